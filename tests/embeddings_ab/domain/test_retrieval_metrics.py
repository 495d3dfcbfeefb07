"""Measures per query: against trec_eval given n - rank, against plain Python, and against hand-computed values.

300 random runs as a test; `HHWEB_PROOF=1` asks for the full form of 10,000.
"""

import itertools
import os
import random

import ir_measures
import pytest

from embeddings_ab.domain.measures import parse_measure, parse_measures
from embeddings_ab.domain.ranking import candidates_of
from embeddings_ab.domain.retrieval_metrics import highest, mean_of, rankings_of, score
from governance.domain.errors import InvalidInput
from tests.embeddings_ab.domain import reference_metrics as reference
from tests.proofs import report

FULL = os.environ.get("HHWEB_PROOF") == "1"
RUNS = 10_000 if FULL else 300
CLOSE = 1e-9
CUTOFFS = (1, 3, 10, 100, 1000)
WITH_CUTOFF = ("nDCG", "nDCG-exp", "nDCG'", "R", "R-cap", "Hit", "MRR", "P", "AP", "Judged")
ALL = parse_measures([f"{family}@{k}" for family in WITH_CUTOFF for k in CUTOFFS] + ["AP", "MRR"])


def random_run(draw, documents, most_hits, grades):
    """Hits (unit, score) with ties and repeats, and judgments with unjudged and negative grades."""
    hits = [
        (draw.randrange(documents), draw.choice([draw.random(), draw.randrange(4), -1e-9, 0.5, 0.500000001]))
        for _ in range(draw.randrange(most_hits + 1))
    ]
    judged = draw.sample(range(documents), draw.randrange(1, documents + 1))
    return hits, {unit: draw.choice(grades) for unit in judged}


def random_runs(seed, count):
    """Judgments and hits of `count` queries, small and large lists, in turn."""
    draw = random.Random(seed)
    sizes = [(5, 8), (30, 60), (120, 200)]
    runs = {f"q{at}": random_run(draw, *sizes[at % 3], [-2, -1, 0, 0, 1, 1, 2, 3]) for at in range(count)}
    return {query: hits for query, (hits, _) in runs.items()}, {query: grades for query, (_, grades) in runs.items()}


def ours_of(hits):
    """Rankings by our own canonical order."""
    found = candidates_of([([unit for unit, _ in one], [value for _, value in one]) for one in hits.values()])
    return rankings_of(found, list(hits))


def trec_eval(judgments, rankings, names, relevant_from=1):
    """{query: {name of ir_measures: value}} from scores n - rank and grades without negatives."""
    run = {q: {str(u): float(len(r) - rank) for rank, u in enumerate(r, start=1)} for q, r in rankings.items()}
    qrels = {q: {str(u): max(0, g) for u, g in grades.items()} for q, grades in judgments.items()}
    found = {}
    for value in ir_measures.pytrec_eval.iter_calc(list(names), qrels, run):
        found.setdefault(value.query_id, {})[str(value.measure)] = value.value
    return found


@pytest.mark.parametrize("relevant_from", [1, 2])
def test_every_measure_equals_trec_eval_and_plain_python(relevant_from):
    hits, judgments = random_runs(20_26 + relevant_from, RUNS)
    rankings = ours_of(hits)
    assert rankings == {query: reference.ranking_of(one) for query, one in hits.items()}
    values = score(rankings, judgments, ALL, relevant_from=relevant_from)
    # trec_eval's own name -> ours; MRR@k is the reciprocal rank on the list cut to k.
    gains = {grade: 2**grade - 1 for grade in range(1, 4)}
    pairs = {}
    for k in CUTOFFS:
        pairs[str(ir_measures.nDCG @ k)] = (ir_measures.nDCG @ k, f"nDCG@{k}")
        exponential = ir_measures.nDCG(gains=gains) @ k
        pairs[str(exponential)] = (exponential, f"nDCG-exp@{k}")
        judged_only = ir_measures.nDCG(judged_only=True) @ k
        pairs[str(judged_only)] = (judged_only, f"nDCG'@{k}")
        for theirs, family in ((ir_measures.P, "P"), (ir_measures.AP, "AP"), (ir_measures.Success, "Hit")):
            at_k = theirs(rel=relevant_from) @ k
            pairs[str(at_k)] = (at_k, f"{family}@{k}")
        if relevant_from == 1:
            pairs[str(ir_measures.R @ k)] = (ir_measures.R @ k, f"R@{k}")
    for theirs, ours in ((ir_measures.AP, "AP"), (ir_measures.RR, "MRR")):
        whole = theirs(rel=relevant_from)
        pairs[str(whole)] = (whole, ours)
    theirs = trec_eval(judgments, rankings, [measure for measure, _ in pairs.values()], relevant_from)
    compared = undefined = 0
    for query, row in values.items():
        for measure in ALL:
            expected = reference.measure(
                measure.family, measure.cutoff, rankings[query], judgments[query], relevant_from
            )
            got = row[str(measure)]
            assert (got is None) == (expected is None), (query, measure)
            assert got is None or abs(got - expected) <= CLOSE, (query, measure, got, expected)
        if all(value is None for value in row.values()):
            undefined += 1
            continue
        for name, (_, ours) in pairs.items():
            assert abs(row[ours] - theirs[query][name]) <= CLOSE, (query, name)
            compared += 1
    assert compared > RUNS * 20
    assert undefined > 0
    for k in CUTOFFS:
        cut = {query: ranking[:k] for query, ranking in rankings.items()}
        of_cut = trec_eval(judgments, cut, [ir_measures.RR(rel=relevant_from)], relevant_from)
        for query, row in values.items():
            if row["MRR"] is not None:
                (value,) = of_cut[query].values()
                assert abs(row[f"MRR@{k}"] - value) <= CLOSE
    report("retrieval measures", runs=RUNS, relevant_from=relevant_from, values=compared, undefined=undefined)


def test_the_highest_values_are_the_best_of_all_labels():
    """Brute force over every grade of every unjudged unit of the list."""
    draw = random.Random(7)
    measures = parse_measures([f"{family}@{k}" for family in WITH_CUTOFF for k in (1, 3, 6)] + ["AP", "MRR"])
    labelled = 0
    for _ in range(RUNS):
        grades = {unit: draw.choice([-1, 0, 1, 1, 2, 3]) for unit in draw.sample(range(9), draw.randrange(1, 7))}
        ranking = draw.sample(range(9), draw.randrange(8))
        unjudged = [unit for unit in ranking if unit not in grades]
        if len(unjudged) > 4:
            continue
        scale, relevant_from = draw.choice([(1, 1), (2, 1), (3, 1), (3, 2), (1, 2)])
        arguments = {"q": ranking}, {"q": grades}, measures
        lowest = score(*arguments, relevant_from=relevant_from)["q"]
        bounds = highest(*arguments, highest_grade=scale, relevant_from=relevant_from)["q"]
        for measure in measures:
            name = str(measure)
            if lowest[name] is None:
                assert bounds[name] is None
                continue
            best = lowest[name]
            if measure.family not in ("nDCG'", "Judged"):
                best = max(
                    reference.measure(
                        measure.family,
                        measure.cutoff,
                        ranking,
                        grades | dict(zip(unjudged, labels, strict=True)),
                        relevant_from,
                    )
                    for labels in itertools.product(range(scale + 1), repeat=len(unjudged))
                )
            assert abs(bounds[name] - best) <= CLOSE, (name, ranking, grades, scale, relevant_from)
            labelled += bounds[name] > lowest[name]
    assert labelled > RUNS
    report("bounds of retrieval measures", runs=RUNS, wider=labelled)


def test_the_scale_of_the_bounds_is_by_default_that_of_the_judgments():
    rankings, judgments = {"a": [9, 1, 2], "b": [1]}, {"a": {9: 0, 2: 1}, "b": {1: 2}}
    name = parse_measure("nDCG-exp@2")
    by_default = highest(rankings, judgments, [name])["a"]["nDCG-exp@2"]
    assert by_default == highest(rankings, judgments, [name], highest_grade=2)["a"]["nDCG-exp@2"]
    assert by_default != highest(rankings, judgments, [name], highest_grade=1)["a"]["nDCG-exp@2"]
    assert highest({"a": [1]}, {}, [name]) == {"a": {"nDCG-exp@2": None}}


def test_worked_example_of_linear_and_exponential_gain():
    """Ranked 1, 2, 3 where 3, 2, 1 would be right: the figures of the definition."""
    values = score({"q": ["a", "b", "c"]}, {"q": {"a": 1, "b": 2, "c": 3}}, parse_measures(["nDCG@3", "nDCG-exp@3"]))
    assert values["q"]["nDCG@3"] == pytest.approx(0.7900, abs=5e-5)
    assert values["q"]["nDCG-exp@3"] == pytest.approx(0.6806, abs=5e-5)


def test_a_negative_grade_does_not_punish():
    values = score({"q": ["bad", "good"]}, {"q": {"bad": -1, "good": 1}}, parse_measures(["nDCG@10", "Judged@2"]))
    assert values["q"] == pytest.approx({"nDCG@10": 0.6309297535714575, "Judged@2": 1.0})


def test_judged_agrees_with_the_outside_scorer_also_on_short_lists():
    rankings, judgments = {"q": ["a", "b", "c"]}, {"q": {"a": 1, "c": 0, "z": 1}}
    (theirs,) = ir_measures.iter_calc([ir_measures.Judged @ 10], judgments, {"q": {"a": 3.0, "b": 2.0, "c": 1.0}})
    assert score(rankings, judgments, [parse_measure("Judged@10")])["q"]["Judged@10"] == theirs.value == 2 / 3


def test_w01_chunks_of_one_document_count_once():
    """The earlier system got nDCG@3 = 1 + 0.631 + 0.5 = 2.13 from three chunks of the one right document."""
    hits = {"q": [(5, 0.9), (5, 0.8), (5, 0.7), (6, 0.6), (7, 0.5)]}
    rankings = ours_of(hits)
    assert rankings == {"q": [5, 6, 7]}  # k documents, not k chunks
    measures = parse_measures(["nDCG@3", "R@3", "P@3", "AP"])
    assert score(rankings, {"q": {5: 1}}, measures)["q"] == pytest.approx(
        {"nDCG@3": 1.0, "R@3": 1.0, "P@3": 1 / 3, "AP": 1.0}
    )
    with pytest.raises(ValueError, match="ranked twice"):
        score({"q": [5, 5, 6]}, {"q": {5: 1}}, measures)


def test_w06_what_was_not_ranked_is_not_scored():
    """The earlier system scored a failed query 0 in one arm and left it out in another."""
    measures = parse_measures(["nDCG@10"])
    judgments = {"failed": {1: 1}, "found": {1: 1}}
    values = score({"found": [1]}, judgments, measures)
    assert values == {"found": {"nDCG@10": 1.0}}
    assert score({"found": [1], "failed": []}, judgments, measures)["failed"] == {"nDCG@10": 0.0}  # found nothing: 0


def test_w07_queries_without_relevant_units_are_in_no_mean():
    """The earlier system scored them 0, so that means depended on the labelling."""
    rankings = {query: [1, 2] for query in ("labelled", "unlabelled", "irrelevant", "negative")}
    judgments = {"labelled": {1: 1}, "irrelevant": {1: 0}, "negative": {1: -1}}
    values = score(rankings, judgments, parse_measures(["nDCG@10", "Judged@2"]))
    assert [query for query, row in values.items() if row["nDCG@10"] is None] == [
        "unlabelled",
        "irrelevant",
        "negative",
    ]
    assert values["irrelevant"]["Judged@2"] is None
    assert mean_of(row["nDCG@10"] for row in values.values()) == (1.0, 1)


def test_w14_a_measure_nobody_knows_scores_nowhere():
    with pytest.raises(InvalidInput):
        score({"q": [1]}, {"q": {1: 1}}, parse_measures(["nDGC@10"]))


def test_ties_are_ours_and_not_the_scorers():
    """trec_eval breaks ties by id descending and keeps single precision: 0.500000001 and 0.5 would tie there."""
    rankings = ours_of({"q": [(1, 0.5), (2, 0.500000001)], "tie": [(2, 0.5), (1, 0.5)]})
    values = score(rankings, {"q": {1: 1}, "tie": {1: 1}}, parse_measures(["MRR@10", "nDCG@1"]))
    assert values == {"q": {"MRR@10": 0.5, "nDCG@1": 0.0}, "tie": {"MRR@10": 1.0, "nDCG@1": 1.0}}


def test_an_empty_list_scores_zero_and_shows_no_share_of_judged():
    values = score({"q": []}, {"q": {1: 1}}, ALL)
    assert {name for name, value in values["q"].items() if value is None} == {f"Judged@{k}" for k in CUTOFFS}
    assert {value for value in values["q"].values() if value is not None} == {0.0}
    assert highest({"q": []}, {"q": {1: 1}}, ALL, lowest=values) == highest({"q": []}, {"q": {1: 1}}, ALL) == values


def test_grades_that_would_blow_up_the_scorer_are_refused():
    for grade, name in ((1001, "nDCG@10"), (21, "nDCG-exp@10")):
        with pytest.raises(InvalidInput) as refused:
            score({"q": [1]}, {"q": {1: grade}}, [parse_measure(name)])
        assert refused.value.details["value"] == grade
    values = score({"q": [1]}, {"q": {1: 20, 2: 1000}}, [parse_measure("nDCG@10")])
    assert values["q"]["nDCG@10"] is not None


def test_means_do_not_depend_on_the_order():
    draw = random.Random(1)
    values = [draw.random() * 10 ** draw.randrange(-12, 12) for _ in range(1000)]
    assert mean_of(values) == mean_of(sorted(values)) == mean_of(sorted(values, reverse=True))
    assert mean_of([]) == (None, 0)
    assert mean_of([None, 0.5, None]) == (0.5, 1)


def test_rankings_and_queries_must_fit():
    with pytest.raises(ValueError, match="2 queries, but 1"):
        rankings_of(candidates_of([([1], [1.0])]), ["a", "b"])
