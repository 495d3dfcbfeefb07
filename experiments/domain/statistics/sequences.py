"""Intervals that hold at every look: the mean of a run in progress, from the finished prefix of its random order.

A run's datapoints are a finite population that is visited in a seeded random order, so that every prefix of the order
is a sample without replacement. What happens to be finished is none: quick datapoints finish first. Only the prefix
whose every datapoint has ended may go in.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.domain.statistics.clusters import Floats

METHOD = "betting_without_replacement"
LARGEST_BET = 0.5  # share of the capital that one datapoint may lose
STEPS = 22  # halvings of the range: 2.4e-7 of it


@dataclass(frozen=True, slots=True)
class AlwaysValidInterval:
    """Bounds of the mean over the whole population, which hold at `level` for all looks together.

    `estimate` is the mean of the scored part of the prefix. `unscored` units of it ended without score; each may
    have had any value within `bounds`. `is_final`: the whole population has ended, and without unscored units the
    bounds are its mean itself.
    """

    low: float
    high: float
    level: float
    estimate: float | None
    finished: int
    population: int
    unscored: int
    bounds: tuple[float, float]
    is_final: bool
    method: str = METHOD

    def to_json(self) -> dict[str, Any]:
        """Every field by its name."""
        return {name: getattr(self, name) for name in self.__slots__} | {"bounds": list(self.bounds)}


def finished_prefix(ended: Iterable[bool]) -> int:
    """How many units at the start of the random order have ended, one after the other without a gap."""
    count = 0
    for has_ended in ended:
        if not has_ended:
            break
        count += 1
    return count


def always_valid_interval(
    prefix: Sequence[float | None], *, population: int, bounds: tuple[float, float], level: float = 0.95
) -> AlwaysValidInterval:
    """The interval of the mean of `population` units after the finished `prefix` of their random order.

    The hedged capital sequence for sampling without replacement (Waudby-Smith and Ramdas, "Estimating means of
    bounded random variables by betting", JRSS B 86, 2024, section 5), with predictable plug-in bets and the running
    intersection: with probability `level` the mean lies in the interval at every look, however often one looks and
    whenever one stops. None is a unit that failed or has no score: it counts as the lowest value for the lower bound
    and as the highest for the upper one. `bounds` are those declared for the metric.
    Raises ValueError for values outside of the bounds, bounds that do not ascend, and more values than units.
    """
    low, high = bounds
    known = np.array([np.nan if value is None else value for value in prefix], dtype=np.float64)
    scored = known[~np.isnan(known)]
    _check(scored, len(known), population, bounds, level)
    lowest, highest = (np.where(np.isnan(known), bound, known) for bound in bounds)
    return _interval(lowest, highest, scored, population, (low, high), level)


def always_valid_difference(
    control: Sequence[float | None],
    arm: Sequence[float | None],
    *,
    population: int,
    bounds: tuple[float, float],
    level: float = 0.95,
) -> AlwaysValidInterval:
    """The interval of the mean paired difference arm − control, after the finished prefix of the arm's random order.

    `control` holds the scores of the same units in the same order; its run must have ended on all of them. A side
    without score may have had any value within `bounds`, which are those of the metric; the interval's own are
    ± their distance. Everything else as in `always_valid_interval`.
    """
    if len(control) != len(arm):
        raise ValueError(f"Paired values must pair up, got {len(control)} and {len(arm)}.")
    low, high = bounds
    before, after = (
        np.array([np.nan if value is None else value for value in side], dtype=np.float64) for side in (control, arm)
    )
    for side in (before, after):
        _check(side[~np.isnan(side)], len(side), population, bounds, level)
    lowest = np.where(np.isnan(after), low, after) - np.where(np.isnan(before), high, before)
    highest = np.where(np.isnan(after), high, after) - np.where(np.isnan(before), low, before)
    differences = after - before
    scored = differences[~np.isnan(differences)]
    return _interval(lowest, highest, scored, population, (low - high, high - low), level)


def _interval(
    lowest: Floats, highest: Floats, scored: Floats, population: int, bounds: tuple[float, float], level: float
) -> AlwaysValidInterval:
    low, high = bounds
    width, finished = high - low, len(lowest)
    from_below = _lower_bound((lowest - low) / width, population, 1 - level)
    # The upper bound of a value is the lower bound of its distance from the top.
    from_above = _lower_bound((high - highest) / width, population, 1 - level)
    lower, upper = low + width * from_below, high - width * from_above
    if finished == population:
        lower, upper = float(lowest.sum()) / population, float(highest.sum()) / population
    return AlwaysValidInterval(
        low=lower,
        high=max(lower, upper),
        level=level,
        estimate=float(scored.mean()) if len(scored) else None,
        finished=finished,
        population=population,
        unscored=finished - len(scored),
        bounds=bounds,
        is_final=finished == population,
    )


def _lower_bound(values: Floats, population: int, alpha: float) -> float:
    """The largest m found whose every smaller value is refuted by a bet at 2 / `alpha`; `values` lie in 0..1.

    The capital of betting that the mean is above m falls as m rises, and so does its running maximum. Therefore the
    means not yet refuted at any time are those above one point, which halving finds: no grid, and the intersection
    over all earlier looks comes with it. What the values seen exclude by themselves, m < Σ / population, is certain.
    """
    finished = len(values)
    certain = float(values.sum()) / population
    if not finished:
        return 0.0
    index = np.arange(finished)
    before = np.concatenate([[0.0], np.cumsum(values)[:-1]])
    bets = _bets(values, before, alpha)
    left = population - index
    wanted = np.log(2 / alpha)
    refuted, open_ = certain, min(1.0, certain + (population - finished) / population)
    if open_ <= refuted:
        return refuted
    for _ in range(STEPS):
        middle = (refuted + open_) / 2
        # The mean of what is left, were m the mean of all; m ≥ certain keeps it from being negative but for rounding.
        means = np.maximum((population * middle - before) / left, 1e-12)
        stakes = np.minimum(bets, LARGEST_BET / means)
        capital = np.cumsum(np.log1p(stakes * (values - means)))
        if capital.max() >= wanted:
            refuted = middle
        else:
            open_ = middle
    return refuted


def _bets(values: Floats, before: Floats, alpha: float) -> Floats:
    """sqrt(2 log(2/α) / (variance so far · t · log(t + 1))): each bet depends on earlier values alone."""
    finished = len(values)
    counts = np.arange(1, finished + 1)
    means = (0.5 + before + values) / (counts + 1)
    variances = (0.25 + np.cumsum(np.square(values - means))) / (counts + 1)
    earlier = np.concatenate([[0.25], variances[:-1]])
    bets: Floats = np.sqrt(2 * np.log(2 / alpha) / (earlier * counts * np.log(counts + 1)))
    return bets


def _check(scored: Floats, finished: int, population: int, bounds: tuple[float, float], level: float) -> None:
    low, high = bounds
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(f"bounds must be two ascending finite numbers, got {low} and {high}.")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}.")
    if population < 1 or finished > population:
        raise ValueError(f"{finished} values of a population of {population}; give the finished prefix only.")
    if len(scored) and (not np.isfinite(scored).all() or scored.min() < low or scored.max() > high):
        raise ValueError(
            f"Every value must lie within the declared bounds {low:g} to {high:g}, got {scored.min()} to "
            f"{scored.max()}; correct the bounds or the evaluator."
        )
