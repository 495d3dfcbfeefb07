"""Figures of two stored runs against scipy and statsmodels on the same numbers, and runs of odd shapes."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from experiments.domain.comparison_options import ComparisonOptions
from experiments.selectors.paired_comparison import compare_runs_statistically
from governance.domain.errors import InvalidInput
from tests.experiments.factories import make_run, make_session

RNG = np.random.default_rng(11)
OLD = [round(float(value), 3) for value in RNG.uniform(0.2, 0.8, 24)]
NEW = [round(float(value), 3) for value in np.array(OLD) + RNG.normal(0.05, 0.08, 24)]
KIND_OLD, KIND_NEW = (
    [number % 3 > 0 for number in range(24)],
    [number % 3 > 0 or number % 4 > 1 for number in range(24)],
)


@pytest.fixture
def runs(project):
    made = [make_run(project, run_key=key, name=key) for key in ("old", "new")]
    for run, scores, kinds in zip(made, (OLD, NEW), (KIND_OLD, KIND_NEW), strict=True):
        for number, (score, kind) in enumerate(zip(scores, kinds, strict=True)):
            # Two executions of each datapoint, whose mean is the score.
            for shift in (-0.01, 0.01):
                make_session(project, run.run_key, f"d{number}", metrics={"score": score + shift, "kind": kind})
    return made


def compared(caller, **options):
    found = compare_runs_statistically(caller=caller, new="new", old="old", options=ComparisonOptions(**options))
    return found, {metric.figures.metric_name: metric.statistics for metric in found.metrics}


def test_tests_and_intervals_are_those_of_scipy(runs, caller):
    _, metrics = compared(caller, margins={"score": 0.1}, effects={"score": 0.02}, noninferiority={"score": 0.05})
    found, differences = metrics["score"], np.array(NEW) - np.array(OLD)
    assert found.n_common == 24
    assert found.difference == pytest.approx(differences.mean())
    assert found.t_p == pytest.approx(stats.ttest_rel(NEW, OLD).pvalue)
    assert found.wilcoxon_p == pytest.approx(stats.wilcoxon(differences, zero_method="pratt").pvalue)
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    assert found.sign_p == pytest.approx(stats.binomtest(wins, wins + losses).pvalue)
    flipped = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=200_000, rng=1)
    assert found.p == pytest.approx(flipped.pvalue, abs=0.004)
    bca = stats.bootstrap((differences,), np.mean, n_resamples=20_000, rng=1).confidence_interval
    assert (found.interval_low, found.interval_high) == pytest.approx((bca.low, bca.high), abs=0.003)
    error = stats.sem(differences)
    tost = max(stats.t.sf((differences.mean() + 0.1) / error, 23), stats.t.cdf((differences.mean() - 0.1) / error, 23))
    assert found.equivalence_p == pytest.approx(tost)
    assert found.evidence.noninferiority.p == pytest.approx(stats.t.sf((differences.mean() + 0.05) / error, 23))
    reach = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert found.queries_needed == int(np.ceil((reach * differences.std(ddof=1) / 0.02) ** 2))
    assert found.mde == pytest.approx(reach * differences.std(ddof=1) / np.sqrt(24))


def test_booleans_have_mcnemars_test_and_newcombes_interval(runs, caller):
    _, metrics = compared(caller)
    binary = metrics["kind"].evidence.binary
    table = np.zeros((2, 2), dtype=int)
    for old, new in zip(KIND_OLD, KIND_NEW, strict=True):
        table[int(not old), int(not new)] += 1
    assert [binary.both, binary.only_control, binary.only_arm, binary.neither] == table.ravel().tolist()
    assert binary.p == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert binary.low < binary.arm_rate - binary.control_rate < binary.high


def test_both_corrections_are_those_of_statsmodels_and_the_chosen_one_decides(runs, caller):
    _, metrics = compared(caller)
    p = [found.p for found in metrics.values()]
    for method, name in (("holm", "holm_p"), ("fdr_bh", "benjamini_hochberg_p")):
        adjusted = [getattr(found.evidence, name) for found in metrics.values()]
        assert adjusted == pytest.approx(list(multipletests(p, method=method)[1]))
    for correction, name in (("holm", "holm_p"), ("benjamini_hochberg", "benjamini_hochberg_p")):
        found, metrics = compared(caller, correction=correction)
        assert all(each.adjusted_p == getattr(each.evidence, name) for each in metrics.values())
        assert found.to_json()["correction"]["name"].lower().startswith(correction[:4])
    assert all(each.adjusted_p is None for each in compared(caller, correction="none")[1].values())


def test_the_primary_metric_is_the_one_asked_for_or_the_first_with_a_pass_rule(runs, caller):
    def primary(**options):
        return compared(caller, **options)[0].to_json()["primary_metric"]["metric_name"]

    assert primary() == "kind"  # the first of the answer
    runs[1].metadata = {"passing_ranges": {"score": {"min": 0.5}, "zeal": {"min": 1}}}
    runs[1].save()
    assert primary() == "score"
    assert primary(primary="kind") == "kind"
    runs[1].metadata |= {"primary_metric": "kind"}
    runs[1].save()
    assert primary() == "kind"
    with pytest.raises(InvalidInput, match="kind, score"):
        primary(primary="zeal")


def test_only_the_metrics_asked_for_are_a_family(runs, caller):
    found, metrics = compared(caller, metrics=("score",))
    assert (list(metrics), metrics["score"].correction, found.only_in_one) == (["score"], "none", [])


def test_runs_without_common_datapoints_metrics_or_sessions_are_compared_all_the_same(project, caller):
    for key, datapoint in (("old", "a"), ("new", "b")):
        make_run(project, run_key=key)
        make_session(project, key, datapoint, metrics={"score": 0.5})
    found, metrics = compared(caller)
    assert (metrics["score"].n_common, metrics["score"].reason) == (0, "too_few")
    document = found.to_json()
    assert (document["common_datapoints"], document["new_only_datapoints"], document["old_only_datapoints"]) == (
        0,
        1,
        1,
    )
    make_run(project, run_key="empty")
    empty = compare_runs_statistically(caller=caller, new="empty", old="old").to_json()
    assert (empty["metrics"], empty["primary_metric"], empty["failures"]["difference"]) == ([], None, None)


def test_scores_that_are_missing_without_a_crash_do_not_make_a_run_better(project, caller):
    for key in ("old", "new"):
        make_run(project, run_key=key)
        for number in range(40):
            is_hard = number < 10
            scores = {"score": (0.3 if is_hard else 0.7) + number / 1000 + (0.04 if key == "new" else 0)}
            # The evaluator of the new run gives up on the hard ones.
            metrics = {"other": 0.5} if key == "new" and is_hard else scores
            make_session(project, key, f"d{number}", metrics=metrics)
    found, metrics = compared(caller)
    statistics = metrics["score"]
    assert (statistics.verdict, statistics.reason, statistics.n_common) == ("undecided", "incomplete", 30)
    lacking = statistics.evidence.lacking
    assert (lacking.arm, lacking.control, lacking.p) == (10, 0, pytest.approx(2 * 0.5**10))
    assert statistics.evidence.failures.arm == 0
    assert "has no score more often than the old run (10 against 0 of 40 datapoints, p = 0.002)" in statistics.sentence
    assert found.failures.new == 0


def test_equal_runs_differ_in_nothing(project, caller):
    for key in ("old", "new"):
        make_run(project, run_key=key)
        for number in range(40):
            make_session(project, key, f"d{number}", metrics={"score": number / 40})
    found = compared(caller, margins={"score": 0.01})[1]["score"]
    assert (found.verdict, found.p, found.ties) == ("equivalent", 1.0, 40)
    assert (found.interval_low, found.interval_high, found.mde, found.queries_needed) == (None, None, None, None)
