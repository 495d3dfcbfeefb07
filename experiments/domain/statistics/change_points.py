"""Where the level of a metric changed over a series of runs."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from experiments.domain.statistics.clusters import Floats
from experiments.domain.statistics.paired import TOLERANCE, power_of_two_scaled
from experiments.domain.statistics.randomness import Stream

DRAWS = 1_999
SMALLEST_SEGMENT = 2  # one run may be an accident
BLOCK_NUMBERS = 1 << 17  # shuffled values at once


@dataclass(frozen=True, slots=True)
class Point:
    """One run of a series: its mean, and if known how many values it averages and their standard deviation."""

    value: float
    count: int | None = None
    deviation: float | None = None


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """A change of level at run number `position` (from 0, the first of the new level); means of the levels around."""

    position: int
    before: float
    after: float
    p: float

    def to_json(self) -> dict[str, Any]:
        """Every field by its name."""
        return asdict(self)


def change_points(points: Sequence[Point], *, seed: int, alpha: float = 0.05, draws: int = DRAWS) -> list[ChangePoint]:
    """Changes of level in a series of runs, oldest first, by position.

    Hierarchical binary segmentation with a permutation test at each step (the procedure of Matteson and James, JASA
    109, 2014). The statistic is the largest weighted difference of means at any split of any window of a segment;
    the windows are those of seeded binary segmentation (Kovács, Bühlmann, Li and Munk, Biometrika 110, 2023), which
    also finds a level that came and went. A split is kept while at most `alpha` of shuffles within the segments
    reach it, and the search ends with the first that is not. So a series without change gets a mark with a chance
    of `alpha` in all, and one with changes gets one too many with that chance. A level has at least two runs, and
    fewer than eight runs can show no change at 5 %: there are too few orders of them. Trends appear as steps.

    Runs weigh 1 / (τ² + s² / count), with s² pooled over all runs and τ² what the differences of neighbours show
    beyond it; by count alone where a deviation is missing, equally where a count is.
    Raises ValueError for values that are not finite, counts < 1, deviations < 0, draws < 1 or alpha outside 0..1.
    """
    values = _checked(points, alpha, draws)
    weights = _weights(points, values)
    edges, found = [0, len(values)], dict[int, float]()
    centred = values - values.mean() if len(values) else values
    scaled = power_of_two_scaled(centred[:, None])[:, 0] if len(values) else values
    while True:
        split, reached = _best_split(scaled, weights, edges)
        if split is None or reached <= TOLERANCE:
            break
        p = _p(scaled, weights, edges, reached, Stream(seed, f"change points {len(edges) - 1}"), draws, alpha)
        if p > alpha:
            break
        found[split] = p
        edges = sorted([*edges, split])
    levels = [
        float(np.average(values[start:end], weights=weights[start:end]))
        for start, end in pairwise(edges)
        if end > start
    ]
    return [
        ChangePoint(position, levels[place], levels[place + 1], found[position])
        for place, position in enumerate(sorted(found))
    ]


def _best_split(values: Floats, weights: Floats, edges: list[int]) -> tuple[int | None, float]:
    """The first run of the best new level, None where nothing can be split; and its statistic."""
    best, reached = None, 0.0
    for start, end in pairwise(edges):
        for first, last in _windows(end - start):
            window = slice(start + first, start + last)
            heights = _heights(values[None, window], weights[window])[0]
            if heights.max() > reached:
                best, reached = start + first + SMALLEST_SEGMENT + int(heights.argmax()), float(heights.max())
    return best, reached


@lru_cache(maxsize=1024)
def _windows(length: int) -> tuple[tuple[int, int], ...]:
    """Windows of a segment in layers: each layer's are 1/√2 as long as the last one's and overlap by half."""
    found = dict[tuple[int, int], None]()
    layer = float(length)
    while layer >= 2 * SMALLEST_SEGMENT:
        size = math.ceil(layer)
        count = max(1, 2 * math.ceil(length / layer) - 1)
        step = (length - size) / (count - 1) if count > 1 else 0.0
        for place in range(count):
            first = math.floor(place * step)
            found[first, first + size] = None
        layer /= math.sqrt(2)
    return tuple(found)


def _heights(rows: Floats, weights: Floats) -> Floats:
    """|difference of weighted means| · sqrt(W₁ W₂ / (W₁ + W₂)) for each split of each row (rows × splits)."""
    splits = np.arange(SMALLEST_SEGMENT, rows.shape[1] - SMALLEST_SEGMENT + 1)
    total_weight = weights.sum()
    left_weight = np.cumsum(weights)[splits - 1]
    sums = np.cumsum(rows * weights, axis=1)
    left = sums[:, splits - 1]
    right = sums[:, -1:] - left
    means = right / (total_weight - left_weight) - left / left_weight
    heights: Floats = np.abs(means) * np.sqrt(left_weight * (total_weight - left_weight) / total_weight)
    return heights


def _p(
    values: Floats, weights: Floats, edges: list[int], reached: float, stream: Stream, draws: int, alpha: float
) -> float:
    """Share of shuffles within the segments whose best split is at least as high: (1 + #) / (draws + 1).

    Ends as soon as it must be above `alpha`, which no further shuffle could change.
    """
    floor = reached - TOLERANCE * max(1.0, reached)
    exceeding = 0
    rows_at_once = max(1, BLOCK_NUMBERS // len(values))
    for first in range(0, draws, rows_at_once):
        rows = min(rows_at_once, draws - first)
        highest = np.zeros(rows)
        # Words for whole rows, so that blocks may be cut anywhere.
        words = stream.words(rows * len(values)).reshape(rows, len(values))
        for start, end in pairwise(edges):
            own = weights[start:end]
            mean = np.average(values[start:end], weights=own)
            # Alike in spread, whatever their weight: a heavy run pulls the mean to itself. Equal weights: as they are.
            scale = np.sqrt(own * (1 - 1 / len(own)) / np.maximum(1 - own / own.sum(), TOLERANCE))
            residuals = (values[start:end] - mean) * scale
            shuffled = residuals[np.argsort(words[:, start:end], axis=1)] / np.sqrt(own)
            for left, right in _windows(end - start):
                heights = _heights(shuffled[:, left:right], own[left:right])
                highest = np.maximum(highest, heights.max(axis=1))
        exceeding += int((highest >= floor).sum())
        if 1 + exceeding > alpha * (draws + 1):
            break
    return (1 + exceeding) / (draws + 1)


def _weights(points: Sequence[Point], values: Floats) -> Floats:
    """Relative precision of each run's mean; their mean is 1."""
    if not len(points) or any(point.count is None for point in points):
        return np.ones(len(points))
    counts = np.array([point.count for point in points], dtype=np.float64)
    if any(point.deviation is None for point in points) or counts.sum() <= len(counts):
        weights = counts
    else:
        deviations = np.array([point.deviation for point in points], dtype=np.float64)
        _, exponent = np.frexp(max(np.abs(values).max(), deviations.max()))
        scaled, spreads = np.ldexp(values, -exponent), np.ldexp(deviations, -exponent)
        pooled = float(((counts - 1) * np.square(spreads)).sum() / (counts - 1).sum())
        sampling = pooled / counts
        neighbours = float(np.square(np.diff(scaled)).mean() / 2) if len(values) > 1 else 0.0
        variances = sampling + max(0.0, neighbours - float(sampling.mean()))
        weights = 1 / variances if variances.min() > 0 else counts
    return np.asarray(weights / weights.mean(), dtype=np.float64)


def _checked(points: Sequence[Point], alpha: float, draws: int) -> Floats:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha}.")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}.")
    values = np.array([point.value for point in points], dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("Every run of a series needs a finite value; leave runs without the metric out before.")
    for point in points:
        if point.count is not None and point.count < 1:
            raise ValueError(f"The count of a run must be at least 1, got {point.count}.")
        if point.deviation is not None and not 0 <= point.deviation < float("inf"):
            raise ValueError(f"The deviation of a run must be a finite number from 0, got {point.deviation}.")
    return values
