"""The interval of one run's own mean or rate."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from experiments.domain.statistics.clusters import checked
from experiments.domain.statistics.intervals import Interval, bca_interval, t_interval, wilson_interval
from experiments.domain.statistics.paired import is_constant
from experiments.domain.statistics.plan import plan_of


def single_run_interval(
    values: ArrayLike,
    *,
    seed: int,
    level: float = 0.95,
    clusters: Sequence[Hashable] | None = None,
    pairs_in_all: int | None = None,
) -> Interval:
    """Interval of the mean of a run's values, one for each datapoint (means of its repetitions).

    Only 0 and 1, without clusters: Wilson's interval of a rate. Otherwise BCa up to 2,000 values and t above
    (`plan_of`; `pairs_in_all` counts the values of all metrics of one answer). Undefined for fewer than two values
    or clusters, and for equal values other than 0 and 1. Raises ValueError for numbers that are not finite or a level
    outside 0..1.
    """
    array = checked(values)
    if clusters is None and len(array) and bool(np.isin(array, (0.0, 1.0)).all()):
        return wilson_interval(int(array.sum()), len(array), level=level)
    if len(array) > 1 and is_constant(array):
        method = plan_of(len(array), pairs_in_all=pairs_in_all).interval
        return Interval(None, None, method, level, "All values are equal, so their spread is not known.")
    plan = plan_of(len(array), pairs_in_all=pairs_in_all)
    if plan.interval == "t" or not len(array):
        return t_interval(array, level=level, clusters=clusters)
    return bca_interval(array, seed=seed, level=level, resamples=plan.resamples, clusters=clusters)
