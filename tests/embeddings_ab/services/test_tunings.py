"""Searches from request to result: nothing is embedded, optimism is shown, bad grids are refused at once."""

import pytest

from embeddings_ab.adapters.embedding_providers.synthetic import SyntheticProvider
from embeddings_ab.domain.statuses import TuningStatus
from embeddings_ab.domain.tuning_form import read_tuning
from embeddings_ab.models import AbTest, QueryResult, Tuning
from embeddings_ab.services.tunings import create_tuning, run_tuning
from governance.domain.errors import Conflict, Forbidden, InvalidInput, NotFound
from governance.models import AuditEntry
from tests.embeddings_ab.factories import TEXTS, make_caller, make_corpus, make_query_set
from tests.embeddings_ab.judging import make_judge
from tests.embeddings_ab.pipeline import ARMS, started

pytestmark = pytest.mark.django_db(transaction=True)
QUERIES = {f"q{n}": text for n, text in enumerate(TEXTS.values())} | {
    f"r{n}": " ".join(text.split()[:2]) for n, text in enumerate(TEXTS.values())
}
GRADES = {f"{kind}{n}": {document: 1} for kind in "qr" for n, document in enumerate(TEXTS)}


@pytest.fixture
def embedded(monkeypatch):
    """Texts that reached the provider."""
    seen = []
    original = SyntheticProvider.embed

    def embed(self, texts, role):
        seen.extend(texts)
        return original(self, texts, role)

    monkeypatch.setattr(SyntheticProvider, "embed", embed)
    return seen


@pytest.fixture
def finished(jobs, embedded):
    """A caller and a completed test of a lexical, a vector and a hybrid arm over eight judged queries."""
    caller = make_caller()
    corpus = make_corpus(caller, name="wings")
    query_set = make_query_set(caller, corpus, queries=QUERIES, grades=GRADES)
    convex = {"hybrid": {**ARMS["hybrid"], "fusion": {"method": "convex", "alpha": 0.5}}}
    test = started(caller, corpus, query_set, arms={**ARMS, **convex})
    jobs.run()
    test.refresh_from_db()
    assert test.status == "completed", test.error_message
    embedded.clear()
    return caller, test


def search(caller, test, jobs, **asked) -> Tuning:
    spec = read_tuning({"arm": "hybrid", "folds": 4, "repeats": 2, **asked})
    tuning = create_tuning(caller=caller, test_id=test.public_id, spec=spec)
    assert tuning.status == TuningStatus.PENDING
    jobs.run()
    tuning.refresh_from_db()
    return tuning


def test_a_search_over_alpha_embeds_nothing_and_shows_its_optimism(finished, jobs, embedded):
    caller, test = finished
    tuning = search(caller, test, jobs, grid={"alpha": [0, 0.25, 0.5, 0.75, 1]})

    assert (tuning.status, tuning.error_message) == (TuningStatus.COMPLETED, "")
    assert embedded == []
    result = tuning.result
    assert result["embedded"] == 0
    assert set(result["means"]) == {"alpha 0", "alpha 0.25", "alpha 0.5", "alpha 0.75", "alpha 1"}
    assert result["chosen"] in result["means"]
    assert result["apparent_mean"] == pytest.approx(max(result["means"].values()))
    assert result["optimism_gap"] == pytest.approx(result["apparent_mean"] - result["cross_validated_mean"])
    assert result["optimism_gap"] >= -1e-12
    assert len(result["fold_choices"]) == 4 * 2
    assert result["queries"] == 8
    assert set(result["held_out_scores"]) == set(QUERIES)
    assert {point["name"] for point in result["points"]} == set(result["means"])
    assert all(point["latency_ms"] > 0 and point["bytes_per_chunk"] == 256 for point in result["points"])
    assert set(result["pareto_front"]) <= set(result["means"])
    assert AuditEntry.objects.get(action="tuning.create").after["measure"] == "nDCG@3"


def test_the_ends_of_alpha_score_what_the_single_arms_scored(finished, jobs):
    caller, test = finished
    result = search(caller, test, jobs, grid={"alpha": [0, 1]}, compare_arms=["lexical", "vector"]).result

    assert result["means"]["alpha 0"] == pytest.approx(result["means"]["arm lexical"])
    assert result["means"]["alpha 1"] == pytest.approx(result["means"]["arm vector"])


def test_the_arms_own_setting_scores_what_the_test_stored(finished, jobs):
    caller, test = finished
    result = search(caller, test, jobs, grid={"alpha": [0.5, 0.9]}).result

    stored = QueryResult.objects.filter(test=test, arm__name="hybrid").values_list("metrics", flat=True)
    values = [metrics["nDCG@3"] for metrics in stored]
    assert result["means"]["alpha 0.5"] == pytest.approx(sum(values) / len(values))


def test_other_measures_and_axes_are_searched_too(finished, jobs, embedded):
    caller, test = finished
    result = search(
        caller, test, jobs, measure="recall@1", grid={"depth": [100, 200], "quantisation": ["float32", "int8"]}
    ).result

    assert result["measure"] == "R@1"
    assert set(result["means"]) == {f"depth {d}, {q}" for d in (100, 200) for q in ("float32", "int8")}
    assert {point["bytes_per_chunk"] for point in result["points"]} == {256, 64}
    assert embedded == []
    by_rrf = search(caller, test, jobs, grid={"rrf_k": [10, 60]}).result
    assert set(by_rrf["means"]) == {"rrf_k 10", "rrf_k 60"}


def test_a_second_message_does_nothing(finished, jobs):
    caller, test = finished
    tuning = search(caller, test, jobs, grid={"alpha": [0, 1]})
    before = (tuning.result, tuning.finished_at)
    run_tuning(tuning_id=tuning.pk)
    tuning.refresh_from_db()
    assert (tuning.result, tuning.finished_at) == before


BAD = [
    ({"grid": {"alpha": [0, 1.5]}}, "grid"),
    ({"grid": {"alpha": [0.5], "rrf_k": [60]}}, "grid"),
    ({"grid": {"quantisation": ["int3"]}}, "grid"),
    ({"grid": {"dimensions": [32]}}, "grid"),
    ({"grid": {"alpha": [n / 100 for n in range(101)], "depth": [100, 200]}}, "grid"),
    ({"arm": "lexical", "grid": {"alpha": [0.5]}}, "grid"),
    ({"arm": "nobody", "grid": {"alpha": [0.5]}}, "arm"),
    ({"grid": {"alpha": [0.5]}, "measure": "nDGC@10"}, "measure"),
]


def test_bad_grids_are_refused_naming_the_field(finished):
    caller, test = finished
    for asked, field in BAD:
        with pytest.raises(InvalidInput) as refused:
            create_tuning(caller=caller, test_id=test.public_id, spec=read_tuning({"arm": "hybrid", **asked}))
        assert refused.value.details["field"] == field, asked
        assert field in refused.value.message
    assert not Tuning.objects.exists()


def test_a_search_needs_results_and_the_right(finished):
    caller, test = finished
    spec = read_tuning({"arm": "hybrid", "grid": {"alpha": [0, 1]}})
    with pytest.raises(Forbidden):
        create_tuning(caller=make_judge(caller, "vera", role="viewer"), test_id=test.public_id, spec=spec)
    with pytest.raises(NotFound):
        create_tuning(caller=make_caller(), test_id=test.public_id, spec=spec)
    AbTest.objects.filter(pk=test.pk).update(status="running")
    with pytest.raises(Conflict, match="running"):
        create_tuning(caller=caller, test_id=test.public_id, spec=spec)


def test_a_search_that_cannot_be_done_says_why(finished, jobs):
    caller, test = finished
    tuning = search(caller, test, jobs, measure="R@100", grid={"alpha": [0, 1]}, compare_arms=["lexical"])
    assert tuning.status == TuningStatus.FAILED
    assert "compare_arms" in tuning.error_message
    assert tuning.result is None
