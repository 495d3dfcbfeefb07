"""Fusion of ranked lists: reciprocal ranks, and the convex combination of min-max scores. Loads numpy."""

import math
from collections.abc import Sequence

import numpy as np

from embeddings_ab.domain.ranking import Candidates, Ordinals, Scores, canonical

RRF_K = 60


def reciprocal_rank(
    lists: Sequence[Candidates],
    *,
    depth: int,
    k: int = RRF_K,
    weights: Sequence[float] | None = None,
    limit: int | None = None,
    ties_by: Candidates | None = None,
) -> Candidates:
    """RRF(d) = sum over lists of weight / (k + rank of d), rank from 1; a list without d adds nothing.

    Cormack, Clarke and Buettcher, SIGIR 2009. Each list is cut to `depth` first; a list of weight 0 is left out
    whole. limit: how many fused documents to keep (default: all). Contributions are added smallest first, so the
    order of the lists changes no bit. Equal sums are common (ranks 2 and 5 against 5 and 2): the document that
    `ties_by` ranks better comes first, one that it lacks after it, and then the lower ordinal.
    Raises ValueError for lists of different queries, k below 0 or bad weights.
    """
    _same_queries(lists)
    if k < 0:
        raise ValueError(f"k {k} is below 0")
    shares = [1.0] * len(lists) if weights is None else [float(weight) for weight in weights]
    if len(shares) != len(lists) or any(not math.isfinite(share) or share < 0 for share in shares) or not any(shares):
        raise ValueError(f"weights {shares} do not fit: one per list, none negative, not all 0")
    used = [(ranked, share) for ranked, share in zip(lists, shares, strict=True) if share > 0]
    fused = Candidates()
    for row in range(len(lists[0])):
        members = [ranked.units[row][:depth] for ranked, _ in used]
        union = np.unique(np.concatenate(members)).astype(np.int32)
        parts = np.zeros((len(used), len(union)))
        for position, (units, (_, share)) in enumerate(zip(members, used, strict=True)):
            parts[position, np.searchsorted(union, units)] = share / (k + np.arange(1, len(units) + 1))
        parts.sort(axis=0)
        total = np.zeros(len(union))
        for part in parts:
            total += part
        order = np.lexsort((union, _places(union, ties_by.units[row] if ties_by else union[:0]), -total))[:limit]
        fused.units.append(union[order])
        fused.scores.append(total[order])
    return fused


def _places(union: Ordinals, ranking: Ordinals) -> Ordinals:
    """The place of each unit of `union` in a ranking; behind all of them where it is missing."""
    places = {unit: place for place, unit in enumerate(ranking.tolist())}
    return np.array([places.get(unit, len(places)) for unit in union.tolist()], dtype=np.int32)


def convex(dense: Candidates, text: Candidates, *, alpha: float, depth: int, limit: int | None = None) -> Candidates:
    """alpha * dense + (1 - alpha) * text, over the union of both lists cut to `depth`.

    Each side is min-max scaled over its own cut list: (s - min) / (max - min); a document that the side lacks has 0
    there, and so have all documents of a side whose scores are all equal. alpha 0 and 1 return the text and the dense
    list itself, cut, with its own scores: scaling may tie what the list tells apart, and would mix the other side's
    documents in with the last of it. limit: how many fused documents to keep (default: all).
    Raises ValueError for alpha outside 0..1 or lists of different queries.
    """
    _same_queries([dense, text])
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha {alpha} is not within 0..1")
    if alpha in (0, 1):
        single = (dense if alpha == 1 else text).cut(depth if limit is None else min(depth, limit))
        return Candidates(single.units, single.scores)
    fused = Candidates()
    for row in range(len(dense)):
        sides = [(ranked.units[row][:depth], ranked.scores[row][:depth]) for ranked in (dense, text)]
        union = np.unique(np.concatenate([units for units, _ in sides])).astype(np.int32)
        total = np.zeros(len(union))
        for (units, scores), share in zip(sides, (alpha, 1 - alpha), strict=True):
            total[np.searchsorted(union, units)] += share * min_max(scores)
        _append(fused, union, total, limit)
    return fused


def min_max(scores: Scores) -> Scores:
    """(s - min) / (max - min); all 0 where every score is the same or there is none."""
    if not len(scores) or scores.max() == scores.min():
        return np.zeros(len(scores))
    scaled: Scores = (scores - scores.min()) / (scores.max() - scores.min())
    return scaled


def _same_queries(lists: Sequence[Candidates]) -> None:
    if not lists:
        raise ValueError("nothing to fuse")
    if len({len(ranked) for ranked in lists}) > 1:
        raise ValueError(f"lists of different queries: {[len(ranked) for ranked in lists]}")


def _append(fused: Candidates, union: Ordinals, total: Scores, limit: int | None) -> None:
    units, scores, _ = canonical(union, total)
    fused.units.append(units[:limit])
    fused.scores.append(scores[:limit])
