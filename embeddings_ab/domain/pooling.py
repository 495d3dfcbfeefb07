"""Which documents to judge, and in which order: the label that would most likely change the verdict comes first.

The priority of document d for query q, over the arms a ≠ control c of a test:

    priority(q, d) = 1/|A| · Σ_a  w(p_a) · π(r) · G · |δ(rank_a(d)) − δ(rank_c(d))| / I(q, d)

* δ(rank): what a relevant document at that rank is worth under the primary measure: 1/log2(rank + 1) up to k for nDCG
  (Järvelin and Kekäläinen 2002) and, as a stand-in, AP; 1/rank for MRR; 1 up to k for the counting measures.
* π(r): chance that d is relevant, r its best rank in any arm: the share of relevant documents among the judged ones
  of that best rank, drawn to the share over all ranks by a weight of five judgments.
* G: the grade a relevant document has on average here (1 where the measure does not grade, or none is known).
* I(q, d): the value of the best possible order of what is known to be relevant for q and of d with grade G. A query of
  few known relevant documents moves more.
* w(p) = exp(−(z(p) − z(alpha))² / 2), z the two-sided normal score: 1 where the verdict hangs on the threshold, small
  where it is settled either way; 1 where there is no p.

It is the expected absolute change of the query's difference, to the first order (the ranks stay, only d's label comes
to be known), weighted by how close the verdict is.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from embeddings_ab.domain.measures import Measure

_PRIOR_WEIGHT = 5.0
_LEAST_P = 1e-12
_DECIMALS = 12
_COUNTING = frozenset({"R", "R-cap", "Hit", "P", "Judged"})
_GRADED = frozenset({"nDCG", "nDCG-exp", "nDCG'"})
Ranking = Mapping[str, Sequence[str]]  # document ids by query id, best first


@dataclass(frozen=True, slots=True)
class PoolItem:
    """One document to judge for one query; `found_by`: its rank from 1, by arm."""

    query_id: str
    document_id: str
    priority: float
    found_by: dict[str, int]


def build_pool(
    rankings: Mapping[str, Ranking],
    *,
    judged: Mapping[str, Mapping[str, int]],
    control: str,
    p_values: Mapping[str, float | None],
    alpha: float,
    measure: Measure,
    depth: int,
    relevant_from: int = 1,
    only_unjudged: bool = True,
) -> list[PoolItem]:
    """The documents that any arm ranks within `depth`, most useful label first; ties by query id, then document id.

    `rankings` by arm may be deeper than `depth`: ranks below count as ranks. `judged`: grades by query and document.
    With `only_unjudged` documents that have a grade are left out. An arm compared with itself or without a control
    among the arms adds nothing: all priorities are then 0.
    """
    queries = sorted({query for ranking in rankings.values() for query in ranking})
    ranks = {query: _ranks(rankings, query) for query in queries}
    chances = _chances(ranks, judged, relevant_from, depth)
    grade = _usual_grade(judged, relevant_from) if measure.family in _GRADED else 1.0
    worth = _worth(measure)
    weights = {arm: _closeness(p_values.get(arm), alpha) for arm in rankings if arm != control and control in rankings}
    found: list[PoolItem] = []
    for query in queries:
        known = judged.get(query, {})
        for document, by_arm in ranks[query].items():
            best = min(by_arm.values())
            if best > depth or (only_unjudged and document in known):
                continue
            gains = sorted(
                (_gain(g, measure) for d, g in known.items() if g >= relevant_from and d != document), reverse=True
            )
            change = sum(
                weight * abs(worth(by_arm.get(arm)) - worth(by_arm.get(control))) for arm, weight in weights.items()
            )
            value = chances(best) * grade * change / _ideal([*gains, grade], worth) / max(len(weights), 1)
            found.append(PoolItem(query, document, round(value, _DECIMALS), dict(sorted(by_arm.items()))))
    found.sort(key=lambda item: (-item.priority, item.query_id, item.document_id))
    return found


def _ranks(rankings: Mapping[str, Ranking], query: str) -> dict[str, dict[str, int]]:
    """Rank by arm of each document that any arm lists for `query`."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for arm, ranking in rankings.items():
        for rank, document in enumerate(ranking.get(query, ()), start=1):
            found[document].setdefault(arm, rank)
    return found


def _worth(measure: Measure) -> Callable[[int | None], float]:
    """δ: the worth of a relevant document by its rank; None (not listed) is worth nothing."""
    cutoff = math.inf if measure.cutoff is None else measure.cutoff

    def worth(rank: int | None) -> float:
        if rank is None or rank > cutoff:
            return 0.0
        if measure.family in _COUNTING:
            return 1.0
        return 1.0 / rank if measure.family == "MRR" else 1.0 / math.log2(rank + 1)

    return worth


def _gain(grade: int, measure: Measure) -> float:
    return float(grade) if measure.family in _GRADED else 1.0


def _ideal(gains: Sequence[float], worth: Callable[[int | None], float]) -> float:
    ordered = sorted(gains, reverse=True)
    return math.fsum(gain * worth(rank) for rank, gain in enumerate(ordered, start=1))


def _usual_grade(judged: Mapping[str, Mapping[str, int]], relevant_from: int) -> float:
    grades = [grade for row in judged.values() for grade in row.values() if grade >= max(relevant_from, 1)]
    return sum(grades) / len(grades) if grades else 1.0


def _chances(
    ranks: Mapping[str, Mapping[str, Mapping[str, int]]],
    judged: Mapping[str, Mapping[str, int]],
    relevant_from: int,
    depth: int,
) -> Callable[[int], float]:
    """π: how often a document of that best rank is relevant, by what is judged already."""
    seen: dict[int, int] = defaultdict(int)
    relevant: dict[int, int] = defaultdict(int)
    for query, documents in ranks.items():
        for document, by_arm in documents.items():
            best, grade = min(by_arm.values()), judged.get(query, {}).get(document)
            if grade is not None and best <= depth:
                seen[best] += 1
                relevant[best] += grade >= relevant_from
    share = (sum(relevant.values()) + 1) / (sum(seen.values()) + 2)
    return lambda rank: (relevant[rank] + share * _PRIOR_WEIGHT) / (seen[rank] + _PRIOR_WEIGHT)


def _closeness(p: float | None, alpha: float) -> float:
    if p is None:
        return 1.0
    normal = NormalDist()

    def score(value: float) -> float:
        return -normal.inv_cdf(min(max(value, _LEAST_P), 1.0) / 2)

    return math.exp(-((score(p) - score(alpha)) ** 2) / 2)
