"""The interval of one run's own mean."""

import numpy as np
import pytest
import scipy.stats

from experiments.domain.statistics.intervals import bca_interval, wilson_interval
from experiments.domain.statistics.plan import plan_of
from experiments.domain.statistics.single import single_run_interval


def test_a_rate_gets_wilsons_interval() -> None:
    assert single_run_interval([1.0, 0.0, 1.0, 1.0], seed=1) == wilson_interval(3, 4)


def test_means_get_bca_up_to_2000_values_and_t_above() -> None:
    values = np.random.default_rng(1).beta(2, 3, size=2_001)
    few = single_run_interval(values[:200], seed=7)
    assert few == bca_interval(values[:200], seed=7)
    many = single_run_interval(values, seed=7)
    theirs = scipy.stats.t.interval(0.95, 2_000, loc=values.mean(), scale=scipy.stats.sem(values))
    assert (many.method, many.low, many.high) == ("t", pytest.approx(theirs[0]), pytest.approx(theirs[1]))
    assert single_run_interval(values[:200], seed=7, pairs_in_all=100_000).method == "t"


def test_clusters_widen_it_and_a_rate_in_clusters_is_no_binomial_one() -> None:
    values, clusters = [1.0] * 20 + [0.0] * 20 + [1.0] * 20, [number // 10 for number in range(60)]
    alone, together = single_run_interval(values, seed=3), single_run_interval(values, seed=3, clusters=clusters)
    assert (alone.method, together.method) == ("wilson", "bca")
    assert together.low is not None
    assert alone.low is not None
    assert together.low < alone.low


def test_nothing_is_said_of_no_value_or_one() -> None:
    assert single_run_interval([], seed=1).low is None
    assert single_run_interval([0.3], seed=1).high is None


@pytest.mark.parametrize(
    ("pairs", "in_all", "flips", "interval"),
    [
        (0, None, 99_999, "bca"),
        (2_000, None, 99_999, "bca"),
        (2_001, None, 9_999, "t"),
        (2_000, 40_000, 99_999, "bca"),
        (2_000, 40_001, 9_999, "t"),
    ],
)
def test_the_plan_depends_on_the_pairs_alone_and_names_itself(
    pairs: int, in_all: int | None, flips: int, interval: str
) -> None:
    plan = plan_of(pairs, pairs_in_all=in_all)
    assert (plan.flips, plan.interval) == (flips, interval)
    assert f"{flips:,} random flips" in plan.text
    assert plan.to_json()["text"] == plan.text


def test_a_plan_for_more_pairs_than_there_are_in_all_is_refused() -> None:
    with pytest.raises(ValueError, match="got 5 of 4"):
        plan_of(5, pairs_in_all=4)
