"""Tests over several arms at once: randomised Tukey HSD for all pairs, max-T for many arms against one control."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from experiments.domain.statistics.clusters import Clusters, Floats, cluster_sums
from experiments.domain.statistics.paired import (
    DEFAULT_DRAWS,
    FLIPS,
    TOLERANCE,
    column_blocks,
    flip_tables,
    flipped_sums,
    power_of_two_scaled,
    row_blocks,
)
from experiments.domain.statistics.randomness import Stream

TUKEY_DRAWS = 20_000
SHUFFLES = "label shuffles"


@dataclass(frozen=True, slots=True)
class TukeyResult:
    """`p[i][j]` of each pair of arms, already corrected for all pairs; 1 on the diagonal. `means` in arm order."""

    p: list[list[float]]
    means: list[float]
    draws: int
    units: int
    seed: int


@dataclass(frozen=True, slots=True)
class MaxTResult:
    """Adjusted `p` for each comparison in the order of the columns."""

    p: list[float]
    draws: int
    units: int
    seed: int


def randomised_tukey(
    scores: ArrayLike, *, seed: int, draws: int = TUKEY_DRAWS, clusters: Clusters | None = None
) -> TukeyResult:
    """Randomised Tukey HSD over all pairs of arms; `scores` is units × arms, every arm scored on every unit.

    Each draw permutes the arm labels within each unit (within each cluster as a whole), and a pair's difference of
    means is compared with the largest difference of any pair under it: p = (1 + #) / (draws + 1)
    (Carterette, ACM TOIS 30, 2012, algorithm 1; the +1 by Phipson and Smyth 2010). Unlike Tukey's test for
    independent groups it keeps the pairing. Same tolerance for ties as the permutation test of one pair.
    Raises ValueError for fewer than two arms, no units, scores that are not finite, or draws < 1.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 2 or not values.shape[0]:
        raise ValueError(f"Expected units × at least two arms, got shape {values.shape}.")
    _check(values, draws)
    arms, means = values.shape[1], values.mean(axis=0)
    centred = values - values.mean(axis=1, keepdims=True)  # what a unit gives to all arms moves no difference
    sums = cluster_sums(centred, clusters).sums
    scaled = power_of_two_scaled(sums.reshape(-1, 1)).reshape(sums.shape)
    ranges = np.sort(_shuffled_ranges(scaled, seed, draws))
    totals = scaled.sum(axis=0)
    observed = np.abs(totals[:, None] - totals[None, :])
    floors = observed - TOLERANCE * np.maximum(1.0, observed)
    p = (1 + draws - np.searchsorted(ranges, floors, side="left")) / (draws + 1)
    np.fill_diagonal(p, 1.0)
    return TukeyResult(p.reshape(arms, arms).tolist(), means.tolist(), draws, len(sums), seed)


def range_test(scores: ArrayLike, *, clusters: Clusters | None = None) -> list[list[float]]:
    """p of each pair of arms by the limit of `randomised_tukey` for many units, where shuffled sums are normal.

    Shuffling the labels of a unit gives each arm's total the variance of that unit's scores (n − 1) less a part that
    all arms share, so that their range over sqrt(Σ variances) follows the studentised range with infinitely many
    degrees of freedom (`scipy.stats.studentized_range`). Raises ValueError as `randomised_tukey` does.
    """
    from scipy.stats import studentized_range

    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 2 or not values.shape[0]:
        raise ValueError(f"Expected units × at least two arms, got shape {values.shape}.")
    _check(values, 1)
    arms = values.shape[1]
    sums = cluster_sums(values - values.mean(axis=1, keepdims=True), clusters).sums
    scale = float(np.sqrt(sums.var(axis=1, ddof=1).sum()))
    totals = sums.sum(axis=0)
    p = np.ones((arms, arms))
    if scale > 0:
        for first in range(arms):
            for second in range(first + 1, arms):
                reach = abs(float(totals[first] - totals[second])) / scale
                p[first, second] = p[second, first] = float(studentized_range.sf(reach, arms, np.inf))
    return [[float(cell) for cell in row] for row in p]


def _shuffled_ranges(sums: Floats, seed: int, draws: int) -> Floats:
    """Largest minus smallest total of the arms in each draw.

    One Fisher-Yates shuffle of each unit's row for all draws together, arms × draws in memory: every step is a
    gather and a scatter over one contiguous row, and the order of additions never changes.
    """
    arms, stream = sums.shape[1], Stream(seed, SHUFFLES)
    totals, columns = np.zeros((arms, draws)), np.arange(draws)
    row = np.empty((arms, draws))
    flat = row.reshape(-1)
    for unit in sums:
        row[:] = unit[:, None]
        for last in range(arms - 1, 0, -1):
            places = stream.below(last + 1, draws) * draws + columns
            chosen = flat[places]
            totals[last] += chosen
            flat[places] = row[last]
        totals[0] += row[0]
    return np.asarray(totals.max(axis=0) - totals.min(axis=0), dtype=np.float64)


def max_t_test(
    differences: ArrayLike, *, seed: int, draws: int = DEFAULT_DRAWS, clusters: Clusters | None = None
) -> MaxTResult:
    """Step-down max-T of arms against one control (Westfall and Young 1993): sharper than Holm when arms resemble.

    `differences` is units × comparisons, NaN where a comparison lacks the unit. All columns are flipped together; a
    column's statistic is |Σ| / sqrt(Σ x²) over the units it has, which orders flips as its t does. Always drawn,
    never enumerated. Columns of zeros get p = 1.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"Expected units × comparisons, got shape {values.shape}.")
    values = np.where(np.isnan(values), 0.0, values)  # a sum does not see a zero, whatever its sign
    _check(values, draws)
    sums = cluster_sums(values, clusters).sums
    norms = np.sqrt(np.square(sums).sum(axis=0))
    sums = sums / np.where(norms > 0, norms, 1.0)
    observed = np.abs(sums.sum(axis=0))
    order = np.argsort(-observed, kind="stable")
    floors = (observed - TOLERANCE * np.maximum(1.0, observed))[order]
    reached, ordered = np.empty((draws, len(order))), sums[:, order]
    for columns in column_blocks(*ordered.shape):
        tables, stream = flip_tables(ordered[:, columns]), Stream(seed, FLIPS)
        for rows in row_blocks(draws, len(sums)):
            flips = stream.bit_rows(rows.stop - rows.start, len(sums))
            reached[rows, columns] = np.abs(flipped_sums(tables, flips))
    largest_from_here = np.maximum.accumulate(reached[:, ::-1], axis=1)[:, ::-1]
    exceeding = (largest_from_here >= floors).sum(axis=0)
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate((1 + exceeding) / (draws + 1))
    return MaxTResult([float(p) for p in np.where(norms > 0, adjusted, 1.0)], draws, len(sums), seed)


def _check(values: Floats, draws: int) -> None:
    if not np.isfinite(values).all():
        raise ValueError("Every unit needs a finite score in every arm; compare complete arms only.")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}.")
