"""Metrics of two values only (passed or not): exact McNemar, and Newcombe's interval of the difference of two rates."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.domain.statistics.clusters import Floats
from experiments.domain.statistics.intervals import Interval, wilson_interval


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two-sided p-values of one 2 × 2 table of pairs. `p` is exact and decides; `mid_p` is less conservative."""

    p: float
    mid_p: float


@dataclass(frozen=True, slots=True)
class BinaryPairs:
    """Pairs by what passed, both rates, exact McNemar, and the interval of arm rate − control rate at `level`."""

    both: int
    only_control: int
    only_arm: int
    neither: int
    control_rate: float
    arm_rate: float
    p: float
    mid_p: float
    low: float | None
    high: float | None
    level: float
    method: str  # newcombe

    def to_json(self) -> dict[str, Any]:
        """Every field by its name."""
        return {name: getattr(self, name) for name in self.__slots__}


def mcnemar_exact(only_control: int, only_arm: int) -> McNemar:
    """McNemar's test of pairs that differ, by the binomial distribution of (only_control + only_arm, ½), two-sided.

    p = min(1, 2 · P(X ≤ smaller)); mid-p counts the observed outcome half: p − P(X = smaller), and 1 for a tie
    (Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13:91, 2013). No pair that differs: both 1.
    Raises ValueError for negative counts.
    """
    from scipy.stats import binom

    if only_control < 0 or only_arm < 0:
        raise ValueError(f"Counts of pairs must not be negative, got {only_control} and {only_arm}.")
    fewer, differing = min(only_control, only_arm), only_control + only_arm
    if 2 * fewer == differing:
        return McNemar(1.0, 1.0)
    p = min(1.0, 2 * float(binom.cdf(fewer, differing, 0.5)))
    return McNemar(p, max(0.0, p - float(binom.pmf(fewer, differing, 0.5))))


def newcombe_paired(both: int, only_control: int, only_arm: int, neither: int, *, level: float = 0.95) -> Interval:
    """Interval of arm rate − control rate of paired outcomes; undefined for no pairs.

    Method 10 of Newcombe (Statistics in Medicine 17, 2635-2650, 1998): the Wilson limits of both rates, joined by the
    correlation phi of the table, whose numerator is moved towards 0 by n/2 where it is above 0.
    Raises ValueError for negative counts or a level outside 0..1.
    """
    cells = (both, only_control, only_arm, neither)
    if min(cells) < 0:
        raise ValueError(f"Counts of pairs must not be negative, got {cells}.")
    pairs = sum(cells)
    control = wilson_interval(both + only_control, pairs, level=level)
    arm = wilson_interval(both + only_arm, pairs, level=level)
    if control.low is None or control.high is None or arm.low is None or arm.high is None:
        return Interval(None, None, "newcombe", level, "No pairs.")
    control_rate, arm_rate = (both + only_control) / pairs, (both + only_arm) / pairs
    phi = _phi(both, only_control, only_arm, neither)
    below = _joined(arm_rate - arm.low, control.high - control_rate, phi)
    above = _joined(arm.high - arm_rate, control_rate - control.low, phi)
    difference = (only_arm - only_control) / pairs
    return Interval(max(-1.0, difference - below), min(1.0, difference + above), "newcombe", level)


def binary_pairs(control: Floats, arm: Floats, *, level: float = 0.95) -> BinaryPairs | None:
    """The table of paired scores in the same order; None where there is no pair or a score other than 0 and 1."""
    if not len(control) or not all(bool(np.isin(side, (0.0, 1.0)).all()) for side in (control, arm)):
        return None
    before, after = control == 1.0, arm == 1.0
    both, neither = int((before & after).sum()), int((~before & ~after).sum())
    only_control, only_arm = int((before & ~after).sum()), int((after & ~before).sum())
    test = mcnemar_exact(only_control, only_arm)
    interval = newcombe_paired(both, only_control, only_arm, neither, level=level)
    return BinaryPairs(
        both=both,
        only_control=only_control,
        only_arm=only_arm,
        neither=neither,
        control_rate=(both + only_control) / len(before),
        arm_rate=(both + only_arm) / len(before),
        p=test.p,
        mid_p=test.mid_p,
        low=interval.low,
        high=interval.high,
        level=level,
        method=interval.method,
    )


def _phi(both: int, only_control: int, only_arm: int, neither: int) -> float:
    product = (both + only_control) * (only_arm + neither) * (both + only_arm) * (only_control + neither)
    if not product:
        return 0.0
    numerator: float = both * neither - only_control * only_arm
    if numerator > 0:
        numerator = max(0.0, numerator - (both + only_control + only_arm + neither) / 2)
    return numerator / math.sqrt(product)


def _joined(reach: float, other: float, phi: float) -> float:
    # Rounding may put a sum of squares that is 0 a hair below it.
    return math.sqrt(max(0.0, reach * reach - 2 * phi * reach * other + other * other))
