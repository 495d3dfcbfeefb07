"""What a comparison of so many pairs can see: detectable effect, pairs needed, and equivalence within a margin."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from experiments.domain.statistics.clusters import Clusters, checked, standard_error
from experiments.domain.statistics.paired import cluster_count, is_constant

DEFAULT_POWER = 0.8
FEW_FOR_CONSTANT = 30


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Two one-sided tests: `p` is the larger of the two, None where undefined; `is_constant`: all differences equal."""

    p: float | None
    is_equivalent: bool  # at the alpha given
    is_constant: bool
    margin: float


def detectable_effect(
    deviation: float | None, pairs: int, *, alpha: float = 0.05, power: float = DEFAULT_POWER
) -> float | None:
    """(z_{1−alpha/2} + z_power) · sd / sqrt(n): the true mean difference found with `power`; None where undefined.

    Normal approximation (Cohen 1988). `deviation` is the standard deviation of the paired differences.
    """
    if deviation is None or pairs < 1:
        return None
    return _quantiles(alpha, power) * deviation / math.sqrt(pairs)


def pairs_needed(
    deviation: float | None, effect: float | None, *, alpha: float = 0.05, power: float = DEFAULT_POWER
) -> int | None:
    """((z_{1−alpha/2} + z_power) · sd / effect)², rounded up, at least 2; None for no effect or no deviation known."""
    if deviation is None or not effect:
        return None
    return max(2, math.ceil((_quantiles(alpha, power) * deviation / effect) ** 2))


def planning_deviation(differences: ArrayLike, clusters: Clusters | None = None) -> float | None:
    """standard error · sqrt(n): the plain sd, or with clusters the one that carries their design effect."""
    values = checked(differences)
    error = standard_error(values, clusters)
    if error is None:
        return None
    return 0.0 if is_constant(values) else error * math.sqrt(len(values))


def equivalence_test(
    differences: ArrayLike, *, margin: float, alpha: float = 0.05, clusters: Clusters | None = None
) -> Equivalence:
    """TOST (Schuirmann 1987) of a mean difference within ± `margin`, by one-sided t-tests of the paired differences.

    Undefined for fewer than two units or clusters, and for equal differences, whose standard error of 0 says nothing.
    Equal differences inside the margin count as equivalent all the same from 30 units on: with 95 % confidence at
    most 3 / n of all units can then behave otherwise (the rule of three). Raises ValueError unless margin > 0.
    """
    from scipy.stats import t as student

    if not (margin > 0 and np.isfinite(margin)):
        raise ValueError(f"margin must be a finite number above 0, got {margin}.")
    values = checked(differences)
    error = standard_error(values, clusters)
    units = cluster_count(values, clusters)
    if is_constant(values):
        is_inside = units >= FEW_FOR_CONSTANT and abs(float(values[0])) < margin
        return Equivalence(None, is_inside, True, margin)
    if not error:
        return Equivalence(None, False, False, margin)
    mean, freedom = float(values.mean()), units - 1
    above = float(student.sf((mean + margin) / error, freedom))
    below = float(student.cdf((mean - margin) / error, freedom))
    p = max(above, below)
    return Equivalence(p, p <= alpha, False, margin)


def noninferiority_test(
    differences: ArrayLike,
    *,
    margin: float,
    alpha: float = 0.05,
    clusters: Clusters | None = None,
    higher_is_better: bool = True,
) -> Equivalence:
    """The half of TOST that matters for "not worse by more than `margin`": one one-sided t-test at `alpha`.

    H0 is a mean difference (arm − control) of −margin or less, of +margin or more where lower is better.
    Undefined and equal differences as in `equivalence_test`. Raises ValueError unless margin > 0.
    """
    from scipy.stats import t as student

    if not (margin > 0 and np.isfinite(margin)):
        raise ValueError(f"margin must be a finite number above 0, got {margin}.")
    gains = checked(differences) if higher_is_better else -checked(differences)
    error = standard_error(gains, clusters)
    units = cluster_count(gains, clusters)
    if is_constant(gains):
        is_inside = units >= FEW_FOR_CONSTANT and float(gains[0]) > -margin
        return Equivalence(None, is_inside, True, margin)
    if not error:
        return Equivalence(None, False, False, margin)
    p = float(student.sf((float(gains.mean()) + margin) / error, units - 1))
    return Equivalence(p, p <= alpha, False, margin)


def _quantiles(alpha: float, power: float) -> float:
    from scipy.stats import norm

    if not (0 < alpha < 1 and 0 < power < 1):
        raise ValueError(f"alpha and power must lie between 0 and 1, got {alpha} and {power}.")
    return float(norm.ppf(1 - alpha / 2)) + float(norm.ppf(power))
