"""Two runs with statistics: what is averaged, what counts as failed, and how much work is done."""

from dataclasses import replace

import pytest
from scipy.stats import binomtest

from experiments.domain.comparison_options import ComparisonOptions
from experiments.domain.statistics import plan
from experiments.domain.statistics.verdict import compare_paired
from experiments.models import Run
from experiments.selectors.paired_comparison import compare_runs_statistically
from governance.domain.errors import InvalidInput
from tests.experiments.factories import make_metric, make_run, make_session

OLD = [0.50, 0.61, 0.48, 0.72, 0.55, 0.40, 0.66, 0.59]
NEW = [0.58, 0.70, 0.47, 0.80, 0.66, 0.49, 0.71, 0.68]


def filled(project, values, *, metric="accuracy", status="completed", **fields) -> Run:
    run = make_run(project, status=status, **fields)
    for number, value in enumerate(values):
        make_session(project, run.run_key, f"d{number}", metrics={metric: value})
    return run


def compared(caller, new, old, **options):
    return compare_runs_statistically(
        caller=caller, new=new.run_key, old=old.run_key, options=ComparisonOptions(**options)
    )


def test_statistics_are_those_of_the_engine_on_the_common_datapoints(project, caller):
    old = filled(project, [*OLD, 0.1], name="plain", run_key="a")
    new = filled(project, NEW, name="with hints", run_key="b")
    found = compared(caller, new, old)
    (metric,) = found.metrics
    expected = compare_paired(
        {f"d{n}": value for n, value in enumerate(OLD)},
        {f"d{n}": value for n, value in enumerate(NEW)},
        metric="accuracy",
        seed=metric.statistics.seed,
        alpha=0.05,
        control_name="plain",
        arm_name="with hints",
        units_word="datapoints",
    )
    assert metric.statistics.evidence is not None
    assert replace(metric.statistics, evidence=None) == expected
    assert (metric.statistics.verdict, metric.statistics.is_exact, metric.statistics.draws) == ("better", True, 256)
    assert metric.statistics.sentence == (
        "with hints beats plain by 0.072 accuracy [0.034, 0.089], p = 0.016, 8 datapoints."
    )
    assert 0 <= metric.statistics.seed < 2**53
    answer = found.to_json()
    assert (answer["common_datapoints"], answer["old_only_datapoints"], answer["new_only_datapoints"]) == (8, 1, 0)
    assert answer["metrics"][0]["old_aggregate"] == pytest.approx(sum([*OLD, 0.1]) / 9)  # of the whole run
    assert answer["metrics"][0]["improved_most"][0] == {
        "datapoint_id": "d4",
        "old": 0.55,
        "new": 0.66,
        "difference": 0.66 - 0.55,
    }
    assert [mover["datapoint_id"] for mover in answer["metrics"][0]["degraded_most"]] == ["d2"]


def test_the_same_rows_give_the_same_answer_and_other_runs_another_seed(project, caller):
    old, new = filled(project, OLD), filled(project, NEW)
    first, second = compared(caller, new, old).to_json(), compared(caller, new, old).to_json()
    assert first == second
    turned = compared(caller, old, new)
    assert turned.metrics[0].statistics.seed != first["metrics"][0]["statistics"]["seed"]
    assert (turned.metrics[0].statistics.control, turned.metrics[0].statistics.arm) == ("the old run", "the new run")


def test_executions_of_one_datapoint_are_averaged_before_anything_is_tested(project, caller):
    old, new = filled(project, [0.0, 1.0]), make_run(project)
    for value in (1.0, 0.0, 0.5):
        make_session(project, new.run_key, "d0", metrics={"accuracy": value})
    make_session(project, new.run_key, "d1", metrics={"accuracy": 1.0})
    statistics = compared(caller, new, old).metrics[0].statistics
    assert (statistics.n_common, statistics.arm_mean, statistics.wins, statistics.ties) == (2, 0.75, 1, 1)


def test_a_lower_metric_is_better_when_it_falls(project, caller):
    make_metric(project, "latency", direction="lower")
    old, new = filled(project, OLD, metric="latency"), filled(project, NEW, metric="latency")
    metric = compared(caller, new, old).metrics[0]
    assert (metric.statistics.verdict, metric.statistics.losses) == ("worse", 7)
    assert [mover.datapoint_id for mover in metric.improved_most] == ["d2"]


def test_a_crashed_datapoint_is_left_out_counted_and_listed(project, caller):
    old, new = filled(project, [*OLD, 0.5]), filled(project, [*NEW, 0.5])
    for key, run in (("d9", new), ("d10", old)):
        make_session(project, run.run_key, key, error="boom")
        make_session(project, (old if run is new else new).run_key, key, metrics={"accuracy": 0.5})
    make_session(project, new.run_key, "elsewhere", error="boom")  # not common: not compared
    found = compared(caller, new, old)
    statistics = found.metrics[0].statistics
    assert (statistics.verdict, statistics.n_common) == ("better", 9)
    assert (statistics.n_failed_arm, statistics.n_failed_control) == (1, 1)
    failures = found.to_json()["failures"]
    assert (failures["new"], failures["old"], failures["both"], failures["new_fails_more"]) == (1, 1, 0, False)
    assert failures["datapoints"] == [{"datapoint_id": "d9", "side": "new"}, {"datapoint_id": "d10", "side": "old"}]
    assert failures["sentence"] == "Of 11 common datapoints 1 failed in the new run and 1 in the old."


def test_better_is_withheld_while_the_new_run_fails_more(project, caller):
    old, new = filled(project, OLD * 2), filled(project, NEW * 2)
    for number in range(16, 24):
        make_session(project, old.run_key, f"d{number}", metrics={"accuracy": 0.5})
        make_session(project, new.run_key, f"d{number}", error="boom")
    found = compared(caller, new, old)
    statistics = found.metrics[0].statistics
    assert (statistics.verdict, statistics.reason, statistics.wins) == ("undecided", "incomplete", 14)
    assert found.failures.p == pytest.approx(binomtest(8, 8, 0.5).pvalue)
    assert found.failures.is_shown_worse
    assert "fails more often" in statistics.sentence
    turned = compared(caller, old, new)  # that the run that fails more is worse needs no leave
    assert turned.metrics[0].statistics.verdict == "worse"


def test_failures_may_count_as_the_worst_value(project, caller):
    old = filled(project, OLD * 2)
    new = filled(project, NEW * 2, metadata={"bounds": {"accuracy": [0, 1], "other": "no bounds"}})
    make_session(project, old.run_key, "d16", metrics={"accuracy": 0.5})
    make_session(project, new.run_key, "d16", error="boom")
    statistics = compared(caller, new, old, missing="worst").metrics[0].statistics
    assert (statistics.n_common, statistics.evidence.filled_arm, statistics.evidence.filled_with) == (17, 1, 0.0)
    assert statistics.difference == pytest.approx((2 * (sum(NEW) - sum(OLD)) - 0.5) / 17)
    crashed = filled(project, NEW)
    make_session(project, crashed.run_key, "d16", error="boom")
    with pytest.raises(InvalidInput, match="bounds=accuracy=low:high"):
        compared(caller, crashed, old, missing="worst")
    gap = filled(project, NEW[:-1])  # no failure, and yet no score on one side
    make_session(project, gap.run_key, "d7")
    with pytest.raises(InvalidInput, match="bounds=accuracy=low:high"):
        compared(caller, gap, old, missing="worst")
    assert compared(caller, filled(project, NEW), filled(project, OLD), missing="worst").metrics[0].statistics.p
    with pytest.raises(InvalidInput, match="do not hold"):
        compared(caller, new, old, bounds={"accuracy": (0.0, 0.75)})


def test_a_run_that_did_not_complete_gets_no_verdict(project, caller):
    old, new = filled(project, OLD), filled(project, NEW, status="running")
    found = compared(caller, new, old)
    assert found.metrics[0].statistics.reason == "incomplete"
    assert found.warnings == ["The new run is running: its figures may still change, and it gets no verdict."]


def test_margins_allow_equivalence_and_say_how_many_datapoints_are_missing(project, caller):
    values = [n / 40 for n in range(40)]
    old = filled(project, values)
    new = filled(project, [value + (0.001 if n % 2 else -0.001) for n, value in enumerate(values)])
    found = compared(caller, new, old, margins={"accuracy": 0.02, "no such": 1.0})
    assert found.metrics[0].statistics.verdict == "equivalent"
    assert found.warnings == ["The margin of 'no such' is not used: the runs do not both have that metric."]
    narrow = compared(caller, new, old, margins={"accuracy": 0.0001}).metrics[0].statistics
    assert (narrow.target_effect, narrow.is_effect_observed) == (0.0001, False)
    assert narrow.more_queries == 770


def test_pass_rates_carry_wilson_intervals_of_the_whole_runs(project, caller):
    make_metric(project, "accuracy", threshold={"min": 0.5})
    old, new = filled(project, OLD), filled(project, [*NEW, 0.9, 0.9])
    rates = compared(caller, new, old, confidence=0.9).to_json()["pass_rates"]
    assert (rates["old"]["passed"], rates["old"]["total"], rates["old"]["rate"]) == (6, 8, 0.75)
    assert (rates["new"]["passed"], rates["new"]["total"], rates["new"]["level"]) == (8, 10, 0.9)
    assert rates["new"]["low"] == pytest.approx(0.541, abs=0.001)
    assert compared(caller, make_run(project), old).to_json()["pass_rates"]["new"]["rate"] is None


def test_metrics_of_one_run_alone_are_named_and_not_compared(project, caller):
    old, new = filled(project, OLD, metric="before"), filled(project, NEW, metric="after")
    found = compared(caller, new, old)
    assert found.metrics == []
    assert [(each["metric_name"], each["presence"]) for each in found.only_in_one] == [
        ("after", "new"),
        ("before", "old"),
    ]


def test_large_comparisons_take_fewer_flips_and_the_t_interval(project, caller, monkeypatch):
    monkeypatch.setattr(plan, "THOROUGH_PAIRS", 19)
    values = [n / 20 for n in range(20)]
    old, new = filled(project, values), filled(project, [value * 0.9 + 0.01 for value in values])
    statistics = compared(caller, new, old).metrics[0].statistics
    assert (statistics.draws, statistics.interval_method) == (9_999, "t")
    monkeypatch.setattr(plan, "THOROUGH_PAIRS", 20)
    statistics = compared(caller, new, old).metrics[0].statistics
    assert (statistics.draws, statistics.interval_method) == (99_999, "bca")
    monkeypatch.setattr(plan, "THOROUGH_PAIRS_IN_ALL", 19)
    assert compared(caller, new, old).metrics[0].statistics.interval_method == "t"


def test_values_too_large_for_squares_count_as_no_score(project, caller):
    old, new = filled(project, [1e308, 1.0, 2.0]), filled(project, [-1e308, 2.0, 4.0])
    metric = compared(caller, new, old).to_json()["metrics"][0]
    assert (metric["statistics"]["n_common"], metric["statistics"]["difference"]) == (2, 1.5)
    assert metric["degraded_most"][0]["difference"] is None
