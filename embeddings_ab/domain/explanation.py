"""Which stage lost a relevant document: from its rank after each stage. Plain Python."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """Where a relevant document got lost, in the order of the stages; FOUND: it is in the top k."""

    NOT_CHUNKED = "not_chunked"
    NOT_IN_CANDIDATES = "not_in_candidates"
    RANKED_LOW = "ranked_low"
    FUSED_OUT = "fused_out"
    RERANKED_DOWN = "reranked_down"
    FOUND = "found"


@dataclass(frozen=True)
class Explanation:
    """One relevant document of one query: ranks from 1, None where a stage does not have it.

    `sides` holds the rank in each candidate list by its name; `fused` and `reranked` are None as well where the arm
    has no such stage.
    """

    unit: int
    grade: int
    stage: Stage
    sides: Mapping[str, int | None]
    fused: int | None
    reranked: int | None


@dataclass(frozen=True)
class WaterfallStep:
    """How many relevant documents a stage lost, and how many were left behind it."""

    stage: Stage
    lost: int
    left: int


def explain(
    relevant: Mapping[int, int],
    *,
    chunked: Collection[int],
    sides: Mapping[str, Sequence[int]],
    fused: Sequence[int] | None,
    reranked: Sequence[int] | None,
    k: int,
) -> list[Explanation]:
    """One explanation per relevant document of a query, by grade descending, then ordinal.

    relevant: ordinal -> grade. chunked: ordinals that have a chunk at all. sides: the candidate list of each
    retriever, best first; fused, reranked: the list behind those stages, None where the arm has none; the last list
    there is, is the arm's answer. k: how much of the answer counts.

    The stage to blame is the last one before which the document was within the top k: RERANKED_DOWN from the top k
    of the fused (or only) list, FUSED_OUT from the top k of a side. A document that no stage had in its top k was
    RANKED_LOW by the retrievers if they returned it, else NOT_IN_CANDIDATES, or NOT_CHUNKED if nothing of it was
    there to be searched. Raises ValueError for several sides without a fused list.
    """
    if fused is None and len(sides) != 1:
        raise ValueError(f"{len(sides)} candidate lists, and no fused one")
    ranks = {name: _ranks(units) for name, units in sides.items()}
    of_fused = None if fused is None else _ranks(fused)
    of_reranked = None if reranked is None else _ranks(reranked)
    found: list[Explanation] = []
    for unit, grade in sorted(relevant.items(), key=lambda pair: (-pair[1], pair[0])):
        on_sides = {name: known.get(unit) for name, known in ranks.items()}
        after_fusion = None if of_fused is None else of_fused.get(unit)
        after_reranking = None if of_reranked is None else of_reranked.get(unit)
        retrieved = [rank for rank in on_sides.values() if rank is not None]
        best = min(retrieved, default=None)
        candidate = after_fusion if of_fused is not None else best
        final = after_reranking if of_reranked is not None else candidate
        if _within(final, k):
            stage = Stage.FOUND
        elif unit not in chunked:
            stage = Stage.NOT_CHUNKED
        elif not retrieved:
            stage = Stage.NOT_IN_CANDIDATES
        elif _within(candidate, k):
            stage = Stage.RERANKED_DOWN
        elif _within(best, k):
            stage = Stage.FUSED_OUT
        else:
            stage = Stage.RANKED_LOW
        found.append(Explanation(unit, grade, stage, on_sides, after_fusion, after_reranking))
    return found


def blamed_stage(explanations: Iterable[Explanation]) -> Stage | None:
    """The stage that lost most of one query: the largest sum of grades, of equals the earliest; None: nothing lost."""
    lost: Counter[Stage] = Counter()
    for each in explanations:
        if each.stage is not Stage.FOUND:
            lost[each.stage] += each.grade
    return max(lost, key=lambda stage: (lost[stage], -list(Stage).index(stage)), default=None)


def waterfall(explanations: Iterable[Explanation]) -> list[WaterfallStep]:
    """Losses of all stages in their order over many queries; what the last one leaves are the documents found."""
    counts = Counter(each.stage for each in explanations)
    left = sum(counts.values())
    steps: list[WaterfallStep] = []
    for stage in Stage:
        if stage is not Stage.FOUND:
            left -= counts[stage]
            steps.append(WaterfallStep(stage, counts[stage], left))
    return steps


def _ranks(units: Sequence[int]) -> dict[int, int]:
    return {unit: rank for rank, unit in enumerate(units, start=1)}


def _within(rank: int | None, k: int) -> bool:
    return rank is not None and rank <= k
