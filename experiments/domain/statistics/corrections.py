"""Corrections of p-values for many comparisons; undefined ones stay undefined and do not count in the family."""

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment (Holm 1979): controls the chance of any false claim in the family.

    The k-th smallest of m is multiplied by m − k + 1, then made monotone and cut at 1. None stays None.
    """
    order = _ascending(p_values)
    adjusted: list[float | None] = [None] * len(p_values)
    reached = 0.0
    for rank, (p, position) in enumerate(order):
        reached = max(reached, min(1.0, p * (len(order) - rank)))
        adjusted[position] = reached
    return adjusted


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """Step-up adjustment (Benjamini and Hochberg 1995): controls the expected share of false claims among the claims.

    The k-th smallest of m is multiplied by m / k, then made monotone from the largest down and cut at 1.
    """
    order = _ascending(p_values)
    adjusted: list[float | None] = [None] * len(p_values)
    reached = 1.0
    for rank in range(len(order), 0, -1):
        p, position = order[rank - 1]
        reached = min(reached, p * len(order) / rank)
        adjusted[position] = reached
    return adjusted


def _ascending(p_values: Sequence[float | None]) -> list[tuple[float, int]]:
    family = [(p, position) for position, p in enumerate(p_values) if p is not None]
    for p, _ in family:
        if not 0 <= p <= 1:
            raise ValueError(f"A p-value must lie in 0..1, got {p}.")
    return sorted(family)
