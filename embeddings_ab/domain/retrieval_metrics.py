"""Measures per query, by trec_eval's own code where it has them. Loads numpy and pytrec_eval.

The scorer is given n - rank as scores: it keeps scores in single precision and breaks ties by its own rule, so that
anything else would let it reorder what `ranking` has fixed.
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from embeddings_ab.domain.measures import Measure
from embeddings_ab.domain.ranking import Candidates
from governance.domain.errors import InvalidInput

Query = TypeVar("Query", bound=Hashable)
Unit = TypeVar("Unit", bound=Hashable)

HIGHEST_GRADE = 1000
HIGHEST_EXPONENTIAL_GRADE = 20  # 2^20 - 1; the scorer keeps one counter per gain up to the largest

_TREC_NAMES = {
    "nDCG": "ndcg_cut_{}",
    "nDCG-exp": "ndcg_cut_{}",
    "nDCG'": "ndcg_cut_{}",
    "R": "recall_{}",
    "Hit": "success_{}",
    "P": "P_{}",
    "AP": "map_cut_{}",
}


def rankings_of(found: Candidates, query_ids: Sequence[Query]) -> dict[Query, list[int]]:
    """The ranked ordinals of each query, best first. `query_ids` in the order of the candidates' rows."""
    if len(found) != len(query_ids):
        raise ValueError(f"{len(query_ids)} queries, but {len(found)} ranked lists")
    return {query: units.tolist() for query, units in zip(query_ids, found.units, strict=True)}


def score(
    rankings: Mapping[Query, Sequence[Unit]],
    judgments: Mapping[Query, Mapping[Unit, int]],
    measures: Sequence[Measure],
    *,
    relevant_from: int = 1,
) -> dict[Query, dict[str, float | None]]:
    """Every measure of every query of `rankings`, by the measure's canonical name.

    rankings: per query distinct units, best first (a repeat is a ValueError: it would count twice).
    judgments: per query the grades of judged units; a grade below 0 counts as 0; units of one kind only (all ordinals
    or all ids). A unit is relevant from grade `relevant_from`; nDCG gains use every grade above 0.
    A query without a relevant unit has None everywhere: it belongs into no mean. An empty list scores 0.
    Raises InvalidInput for a grade above HIGHEST_GRADE (nDCG-exp: HIGHEST_EXPONENTIAL_GRADE).

    With g the grade and i the rank from 1: nDCG@k = sum of g_i / log2(i + 1) for i <= k, over the same sum of the
    best order of all judged units (nDCG-exp: 2^g - 1 for g; nDCG': unjudged units are taken out of the list first).
    R@k = relevant found in k / relevant. R-cap@k = relevant found / min(k, relevant). Hit@k = 1 if any is found.
    MRR@k = 1 / rank of the first, 0 beyond k. P@k = relevant found / k. AP@k = sum of precisions at relevant ranks
    <= k / relevant. Judged@k = judged / min(k, units shown), None when nothing is shown.
    """
    _check_grades(judgments, measures)
    counted = [query for query in rankings if _relevant(judgments.get(query, {}), relevant_from)]
    results: dict[Query, dict[str, float | None]] = {
        query: {str(each): None for each in measures} for query in rankings
    }
    for query in counted:
        units, grades = rankings[query], judgments[query]
        if len(set(units)) != len(units):
            raise ValueError(f"query {query!r}: a unit is ranked twice")
        row = results[query]
        for measure in measures:
            if measure.family in ("MRR", "R-cap", "Judged") or not units:
                row[str(measure)] = _own(measure, units, grades, relevant_from)
    for (gain, judged_only), group in _groups(measures).items():
        _score_by_trec_eval(rankings, judgments, counted, group, results, gain, judged_only, relevant_from)
    return results


def highest(
    rankings: Mapping[Query, Sequence[Unit]],
    judgments: Mapping[Query, Mapping[Unit, int]],
    measures: Sequence[Measure],
    *,
    highest_grade: int | None = None,
    relevant_from: int = 1,
    lowest: Mapping[Query, Mapping[str, float | None]] | None = None,
) -> dict[Query, dict[str, float | None]]:
    """What every measure could at best be if the unjudged units of each list were judged.

    The lowest value, all unjudged units worth 0, is what `score` returns. The highest is the largest value that any
    grades 0..highest_grade for the unjudged units of the list can give; those units then count among the relevant and
    in the ideal order as well, so that the bound is reached by some labels and exceeded by none:

    * R, R-cap, P, Hit, MRR grow with every unit: all unjudged units are relevant. With h relevant and u unjudged units
      in the first k and n relevant at all, R@k = (h + u) / (n + u) and R-cap@k = (h + u) / min(k, n + u). Unjudged
      units below k stay worth 0.
    * AP need not grow: a relevant unit far down lowers it. It is the maximum over m = 0..u of AP with the first m
      unjudged units relevant, since moving a relevant unit up never lowers a precision.
    * nDCG: see `_highest_ndcg`.
    * nDCG' and Judged leave unjudged units out: their value itself.

    highest_grade: of the grading scale; default: the highest grade in `judgments`, at least 1. Below `relevant_from`
    no unjudged unit can be relevant. lowest: what `score` returned for the same, to spare it.
    None for queries without a relevant unit, as in `score`. Raises as `score` does.
    """
    scale = max((max(grades.values(), default=1) for grades in judgments.values()), default=1)
    scale = max(1, scale) if highest_grade is None else highest_grade
    if lowest is None:
        lowest = score(rankings, judgments, measures, relevant_from=relevant_from)
    results = {query: dict(lowest[query]) for query in rankings}
    _check_grades({"": {"": scale}}, measures)
    for query, units in rankings.items():
        grades = judgments.get(query, {})
        if not units or not _relevant(grades, relevant_from):
            continue
        for measure in measures:
            results[query][str(measure)] = _highest(
                measure, units, grades, scale, relevant_from, results[query][str(measure)]
            )
    return results


def mean_of(values: Iterable[float | None]) -> tuple[float | None, int]:
    """The mean of the defined values and how many they are; (None, 0) without any. Rounded once, in any order."""
    defined = [value for value in values if value is not None]
    return (math.fsum(defined) / len(defined) if defined else None), len(defined)


def _relevant(grades: Mapping[Unit, int], relevant_from: int) -> int:
    return sum(grade >= relevant_from for grade in grades.values())


def _check_grades(judgments: Mapping[Query, Mapping[Unit, int]], measures: Sequence[Measure]) -> None:
    is_exponential = any(measure.family == "nDCG-exp" for measure in measures)
    limit = HIGHEST_EXPONENTIAL_GRADE if is_exponential else HIGHEST_GRADE
    for query, grades in judgments.items():
        if grades and max(grades.values()) > limit:
            raise InvalidInput(
                f"grade {max(grades.values())} of query {query!r} is above {limit}"
                + (", the limit of nDCG-exp" if is_exponential else ""),
                field="grade",
                value=max(grades.values()),
                remedy="map the grades to a smaller scale",
            )


def _groups(measures: Sequence[Measure]) -> dict[tuple[str, bool], dict[str, str]]:
    """One call of the scorer for each kind of gain: its name of each measure -> ours."""
    groups: dict[tuple[str, bool], dict[str, str]] = defaultdict(dict)
    for measure in measures:
        if measure.family in _TREC_NAMES:
            trec = "map" if measure.cutoff is None else _TREC_NAMES[measure.family].format(measure.cutoff)
            gain = "exponential" if measure.family == "nDCG-exp" else "linear"
            groups[gain, measure.family == "nDCG'"][trec] = str(measure)
    return groups


def _score_by_trec_eval(
    rankings: Mapping[Query, Sequence[Unit]],
    judgments: Mapping[Query, Mapping[Unit, int]],
    counted: Sequence[Query],
    names: Mapping[str, str],
    results: dict[Query, dict[str, float | None]],
    gain: str,
    judged_only: bool,
    relevant_from: int,
) -> None:
    import pytrec_eval

    qrels: dict[str, dict[str, int]] = {}
    run: dict[str, dict[str, float]] = {}
    rows: dict[str, dict[str, float | None]] = {}
    for position, query in enumerate(counted):
        units = rankings[query]
        if not units:
            continue
        key = str(position)
        qrels[key] = {str(unit): _gain(grade, gain) for unit, grade in judgments[query].items()}
        run[key] = dict(zip(map(str, units), range(len(units), 0, -1), strict=True))
        rows[key] = results[query]
    if not run:
        return
    evaluator = pytrec_eval.RelevanceEvaluator(
        qrels, list(names), relevance_level=relevant_from, judged_docs_only_flag=judged_only
    )
    for key, values in evaluator.evaluate(run).items():
        row = rows[key]
        for trec, value in values.items():
            row[names[trec]] = value


def _gain(grade: int, kind: str) -> int:
    if grade <= 0:
        return 0  # judged, not relevant; a negative grade does not punish
    return 2**grade - 1 if kind == "exponential" else grade


def _own(measure: Measure, units: Sequence[Unit], grades: Mapping[Unit, int], relevant_from: int) -> float | None:
    if not units:
        return None if measure.family == "Judged" else 0.0
    top = units[: measure.cutoff]
    if measure.family == "Judged":
        return sum(unit in grades for unit in top) / len(top)
    hits = [rank for rank, unit in enumerate(top, start=1) if grades.get(unit, 0) >= relevant_from]
    if measure.family == "MRR":
        return 1 / hits[0] if hits else 0.0
    assert measure.cutoff is not None
    return len(hits) / min(measure.cutoff, _relevant(grades, relevant_from))


def _highest(
    measure: Measure,
    units: Sequence[Unit],
    grades: Mapping[Unit, int],
    scale: int,
    relevant_from: int,
    lowest: float | None,
) -> float | None:
    family, top = measure.family, units[: measure.cutoff]
    unjudged = [rank for rank, unit in enumerate(top, start=1) if unit not in grades]
    if not unjudged or family in ("nDCG'", "Judged"):
        return lowest
    if family in ("nDCG", "nDCG-exp"):
        assert measure.cutoff is not None
        return _highest_ndcg(top, unjudged, grades, scale, measure.cutoff, family == "nDCG-exp")
    if scale < relevant_from:
        return lowest
    hits = [rank for rank, unit in enumerate(top, start=1) if grades.get(unit, 0) >= relevant_from]
    known, possible = _relevant(grades, relevant_from), len(hits) + len(unjudged)
    if family == "AP":
        return _highest_average_precision(hits, unjudged, known)
    if family == "Hit":
        return 1.0
    if family == "MRR":
        return 1 / min([*unjudged, *hits])
    assert measure.cutoff is not None
    if family == "P":
        return possible / measure.cutoff
    relevant = known + len(unjudged)
    return possible / (relevant if family == "R" else min(measure.cutoff, relevant))


def _highest_average_precision(hits: list[int], unjudged: list[int], known: int) -> float:
    """The m-th unjudged unit, at rank p, brings (relevant up to p, itself too) / p, and 1 / r to each hit r below."""
    ranks, places = np.array(hits, dtype=np.int64), np.array(unjudged, dtype=np.int64)
    above = np.searchsorted(ranks, places)
    below = np.concatenate([[0.0], np.cumsum(1 / ranks[::-1])])[len(ranks) - above]
    counts = np.arange(1, len(places) + 1)
    sums = np.cumsum(
        np.concatenate([[np.sum(np.arange(1, len(ranks) + 1) / ranks)], (above + counts) / places + below])
    )
    return float(np.max(sums / (known + np.arange(len(places) + 1))))


def _highest_ndcg(
    top: Sequence[Unit],
    unjudged: Sequence[int],
    grades: Mapping[Unit, int],
    scale: int,
    k: int,
    is_exponential: bool,
) -> float:
    """The largest nDCG@k over all grades 0..scale of the unjudged units in the first k.

    Better grades go to better ranks, since the ideal order does not depend on who has them; so level t of the scale
    (gain w_t = gain(t) - gain(t - 1)) is reached by the first a_t unjudged units, and with r_t judged units of grade
    >= t, E(a) the discounts of the first a unjudged ranks and D(c) those of ranks 1..min(c, k),

        nDCG = (DCG of judged + sum_t w_t E(a_t)) / sum_t w_t D(r_t + a_t).

    Dinkelbach's method: for a ratio q, each level alone picks the a_t with the largest E(a_t) - q D(r_t + a_t); the
    ratio of that choice is the next q, until it no longer grows. (a_t does not rise with t by itself, because r_t
    falls and D is concave.)
    """
    discounts = 1 / np.log2(np.arange(2, max(k, len(top)) + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts[:k])])
    reached = np.concatenate([[0.0], np.cumsum(discounts[np.array(unjudged) - 1])])
    gain = "exponential" if is_exponential else "linear"
    judged = sum(_gain(grades.get(unit, 0), gain) * float(discounts[rank]) for rank, unit in enumerate(top))
    levels = range(1, max(scale, *grades.values()) + 1)
    weights = [_gain(level, gain) - _gain(level - 1, gain) for level in levels]
    ideals: list[npt.NDArray[np.float64]] = []
    for level in levels:
        room = len(unjudged) if level <= scale else 0
        have = sum(grade >= level for grade in grades.values())
        ideals.append(ideal[np.minimum(have + np.arange(room + 1), k)])
    ratio = 0.0
    while True:
        numerator, denominator = judged, 0.0
        for weight, sums in zip(weights, ideals, strict=True):
            # On equal terms the larger choice, so that the levels stay nested.
            values = reached[: len(sums)] - ratio * sums
            chosen = len(sums) - 1 - int(np.argmax(values[::-1]))
            numerator += weight * float(reached[chosen])
            denominator += weight * float(sums[chosen])
        if denominator <= 0 or numerator / denominator <= ratio + 1e-15:
            return min(1.0, ratio)
        ratio = numerator / denominator
