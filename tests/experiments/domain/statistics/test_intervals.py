"""Intervals against scipy's bootstrap and t, statsmodels' Wilson, and values worked out by hand."""

import math

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint

from experiments.domain.statistics import intervals
from experiments.domain.statistics.clusters import cluster_sums

SEED = 41


def skewed(units: int, seed: int = 2) -> NDArray[np.float64]:
    return np.random.default_rng(seed).exponential(size=units) - 0.7


@pytest.mark.parametrize(("units", "level"), [(20, 0.95), (60, 0.9), (225, 0.99)])
def test_bca_agrees_with_scipy(units: int, level: float) -> None:
    values, resamples = skewed(units), 40_000
    ours = intervals.bca_interval(values, seed=SEED, level=level, resamples=resamples)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=resamples, confidence_level=level, method="BCa", batch=4_000,
        rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    error = values.std(ddof=1) / math.sqrt(units)
    assert ours.low == pytest.approx(theirs.low, abs=0.06 * error)  # both wobble by their resamples
    assert ours.high == pytest.approx(theirs.high, abs=0.06 * error)
    skew_shift = (ours.high + ours.low) / 2 - values.mean()
    assert skew_shift > 0.02 * error  # a plain percentile interval would sit nearer to the mean


def test_acceleration_equals_the_jackknife_done_one_by_one() -> None:
    values = skewed(25)
    left_out = np.array([np.delete(values, k).mean() for k in range(25)])
    pulls = left_out.mean() - left_out
    expected = (pulls**3).sum() / (6 * (pulls**2).sum() ** 1.5)
    grouped = cluster_sums(values[:, None], None)
    assert intervals.jackknife_acceleration(grouped) == pytest.approx(expected, rel=1e-9)
    assert expected > 0


def test_clustered_acceleration_leaves_out_whole_clusters() -> None:
    values, clusters = skewed(30), np.repeat(np.arange(9), [1, 2, 3, 4, 5, 6, 5, 3, 1])
    left_out = np.array([values[clusters != k].mean() for k in range(9)])
    pulls = left_out.mean() - left_out
    expected = (pulls**3).sum() / (6 * (pulls**2).sum() ** 1.5)
    grouped = cluster_sums(values[:, None], clusters.tolist())
    assert intervals.jackknife_acceleration(grouped) == pytest.approx(expected, rel=1e-9)


def test_clustered_bca_agrees_with_scipy_over_clusters() -> None:
    values = skewed(120)
    clusters = np.sort(np.random.default_rng(3).integers(0, 35, size=120))
    values += np.random.default_rng(4).normal(size=35)[clusters]
    labels, codes = np.unique(clusters, return_inverse=True)
    sums, sizes = np.bincount(codes, values), np.bincount(codes)

    def mean_of(picked: NDArray[np.int64], axis: int = -1) -> NDArray[np.float64]:
        return sums[picked].sum(axis=axis) / sizes[picked].sum(axis=axis)

    reach = intervals.expanded_quantile(0.95, len(labels))
    theirs = scipy.stats.bootstrap(
        (np.arange(len(labels)),), mean_of, n_resamples=100_000, method="BCa", vectorized=True, batch=2_000,
        confidence_level=1 - 2 * scipy.stats.norm.sf(reach), rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    ours = intervals.bca_interval(values, seed=SEED, resamples=100_000, clusters=clusters.tolist())
    assert ours.low == pytest.approx(theirs.low, abs=0.01)
    assert ours.high == pytest.approx(theirs.high, abs=0.01)
    alone = intervals.bca_interval(values, seed=SEED)
    assert alone.high is not None
    assert alone.low is not None
    assert ours.high - ours.low > 1.3 * (alone.high - alone.low)  # clusters carry less than their units


def test_the_quantile_for_few_clusters_is_a_widened_t() -> None:
    assert intervals.expanded_quantile(0.95, 30) == pytest.approx(2.045230 * math.sqrt(30 / 29), abs=1e-5)
    assert intervals.expanded_quantile(0.95, 10**7) == pytest.approx(1.959964, abs=1e-5)


def test_blocks_never_change_the_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    values = skewed(40)
    expected = intervals.bca_interval(values, seed=SEED, resamples=3_000)
    monkeypatch.setattr(intervals, "BLOCK_NUMBERS", 130)
    assert intervals.bca_interval(values, seed=SEED, resamples=3_000) == expected
    assert intervals.bca_interval(values, seed=SEED + 1, resamples=3_000) != expected


def test_mean_difference_is_the_interval_of_the_paired_differences() -> None:
    control, arm = skewed(60, seed=5), skewed(60, seed=6)
    assert intervals.bca_mean_difference(control, arm, seed=SEED) == intervals.bca_interval(arm - control, seed=SEED)
    with pytest.raises(ValueError, match="got 60 and 59"):
        intervals.bca_mean_difference(control, arm[1:], seed=SEED)


def test_few_units_are_flagged_and_enough_are_not() -> None:
    assert "49 pairs" in str(intervals.bca_interval(skewed(49), seed=SEED).warning)
    assert intervals.bca_interval(skewed(50), seed=SEED).warning is None
    clusters = [number % 29 for number in range(200)]
    assert "29 clusters" in str(intervals.bca_interval(skewed(200), seed=SEED, clusters=clusters).warning)
    assert intervals.few_units_warning(30, is_clustered=True) is None


def test_degenerate_values() -> None:
    for build in (lambda v: intervals.bca_interval(v, seed=SEED), intervals.t_interval):
        assert (build([]).low, build([0.4]).high) == (None, None)
        assert build([]).excludes(0.0) is None
        flat = build([0.1 + 0.2, 0.3, 0.3])
        assert flat.low == flat.high == pytest.approx(0.3)
        assert "equal" in str(flat.warning)
    one_cluster = intervals.bca_interval([0.1, 0.4], seed=SEED, clusters=["a", "a"])
    assert (one_cluster.low, one_cluster.high) == (None, None)
    assert intervals.bca_interval([0.0, 1.0, 5.0], seed=SEED, resamples=1).low is None


def test_t_interval_equals_scipy() -> None:
    values = skewed(33)
    expected = scipy.stats.ttest_1samp(values, 0.0).confidence_interval(0.9)
    ours = intervals.t_interval(values, level=0.9)
    assert (ours.low, ours.high) == (pytest.approx(expected.low, rel=1e-10), pytest.approx(expected.high, rel=1e-10))
    assert ours.excludes(float(values.mean())) is False
    assert ours.excludes(99.0) is True


def test_t_interval_of_clusters_uses_their_number() -> None:
    from statsmodels.api import OLS

    values, clusters = skewed(40), np.arange(40) % 7
    fitted = OLS(values, np.ones(40)).fit(cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True)
    ours = intervals.t_interval(values, clusters=clusters.tolist())
    assert [ours.low, ours.high] == pytest.approx(list(fitted.conf_int()[0]), rel=1e-9)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (1, 10), (7, 9), (10, 10), (193, 225)])
def test_wilson_equals_statsmodels(successes: int, trials: int) -> None:
    ours = intervals.wilson_interval(successes, trials)
    expected = proportion_confint(successes, trials, alpha=0.05, method="wilson")
    assert [ours.low, ours.high] == pytest.approx(list(expected), abs=1e-12)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_values_of_newcombe_1998(successes: int, trials: int, low: float, high: float) -> None:
    ours = intervals.wilson_interval(successes, trials)
    assert [ours.low, ours.high] == pytest.approx([low, high], abs=5e-5)


def test_wilson_without_trials_is_undefined() -> None:
    assert intervals.wilson_interval(0, 0).low is None


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="3 of 2"):
        intervals.wilson_interval(3, 2)
    with pytest.raises(ValueError, match="level must lie"):
        intervals.t_interval([0.1, 0.2], level=95)
    with pytest.raises(ValueError, match="resamples must be at least 1, got 0"):
        intervals.bca_interval([0.1, 0.2], seed=SEED, resamples=0)
    with pytest.raises(ValueError, match="finite"):
        intervals.bca_interval([0.1, math.nan], seed=SEED)
