"""How alike two rankings are, without any judgment."""

from collections.abc import Hashable, Sequence

PERSISTENCE = 0.9


def rank_biased_overlap(a: Sequence[Hashable], b: Sequence[Hashable], p: float = PERSISTENCE) -> float:
    """Extrapolated RBO of two rankings of distinct units, from 0 (disjoint) to 1 (equal), over their common depth k.

    (X_k / k) p^k + (1 - p)/p sum over d = 1..k of (X_d / d) p^d, X_d the overlap at depth d: Webber, Moffat and
    Zobel, "A similarity measure for indefinite rankings", ACM TOIS 28, 2010, equation 30. Both empty: 1. One empty: 0.
    """
    if not a and not b:
        return 1.0
    depth = min(len(a), len(b))
    if depth == 0:
        return 0.0
    seen_a: set[Hashable] = set()
    seen_b: set[Hashable] = set()
    overlap, weight, total = 0, 1.0, 0.0
    for d in range(1, depth + 1):
        one, other = a[d - 1], b[d - 1]
        overlap += (one == other) + (one in seen_b) + (other in seen_a)
        seen_a.add(one)
        seen_b.add(other)
        weight *= p
        total += overlap / d * weight
    return overlap / depth * weight + (1 - p) / p * total


def jaccard(a: Sequence[Hashable], b: Sequence[Hashable], k: int) -> float:
    """Shared units over all units of the two top k; both empty: 1."""
    top_a, top_b = set(a[:k]), set(b[:k])
    together = top_a | top_b
    return len(top_a & top_b) / len(together) if together else 1.0
