"""Which stage lost a relevant document: from its rank after each stage. Plain Python."""

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

DEFAULT_K = 10
SIDES = ("vector", "lexical")


class Stage(StrEnum):
    """Where a relevant document got lost, in the order of the stages; FOUND: it is in the top k."""

    NOT_CHUNKED = "not_chunked"
    NOT_IN_CANDIDATES = "not_in_candidates"
    RANKED_LOW = "ranked_low"
    FUSED_OUT = "fused_out"
    RERANKED_DOWN = "reranked_down"
    FOUND = "found"


def blame(ranks: Mapping[str, Any], *, k: int = DEFAULT_K) -> Stage:
    """The stage that lost one relevant document of one query.

    ranks: rank from 1 after each stage the arm has, None where the stage's list lacks it: "vector" and "lexical" (the
    candidates of each side), "fused", "reranked", "final" (the arm's answer); and "chunked", whether the document has
    any chunk (missing: yes). k: how much of the answer counts.

    FOUND: the answer has it in its top k. Else the last stage before which it was within the top k is to blame:
    RERANKED_DOWN from the top k of the fused or only list, FUSED_OUT from the top k of a side. A document that no stage
    had there was RANKED_LOW by the retrievers if they returned it, else NOT_IN_CANDIDATES, or NOT_CHUNKED if nothing of
    it was there to be searched. An arm without stages of ours (external, run) can only rank low or not return it.
    """
    sides = [rank for name in SIDES if (rank := ranks.get(name)) is not None]
    final = ranks.get("final")
    if _within(final, k):
        return Stage.FOUND
    if ranks.get("chunked") is False:
        return Stage.NOT_CHUNKED
    if not sides:
        return Stage.NOT_IN_CANDIDATES if final is None else Stage.RANKED_LOW
    before_reranking = ranks.get("fused") if "fused" in ranks else min(sides)
    if "reranked" in ranks and _within(before_reranking, k):
        return Stage.RERANKED_DOWN
    if "fused" in ranks and _within(min(sides), k):
        return Stage.FUSED_OUT
    return Stage.RANKED_LOW


def blame_of_query(documents: Iterable[tuple[Mapping[str, Any], int]], *, k: int = DEFAULT_K) -> Stage:
    """The stage to blame for one lost query, from (ranks, grade) of its relevant documents.

    The stage that lost the largest sum of grades, of equals the earliest; FOUND if nothing is lost.
    """
    lost: Counter[Stage] = Counter()
    for ranks, grade in documents:
        if (stage := blame(ranks, k=k)) is not Stage.FOUND:
            lost[stage] += grade
    order = list(Stage)
    return max(lost, key=lambda stage: (lost[stage], -order.index(stage)), default=Stage.FOUND)


def summarise(blames: Iterable[str]) -> dict[str, int]:
    """The waterfall over many documents: how many each stage lost, in order of the stages, and last how many are found.

    All stages are there, with 0 where nothing was lost; the numbers add up to the number of `blames`.
    """
    counts = Counter(Stage(stage) for stage in blames)
    return {str(stage): counts[stage] for stage in Stage}


def _within(rank: int | None, k: int) -> bool:
    return rank is not None and rank <= k
