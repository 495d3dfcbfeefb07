"""Several runs at once: candidates against a baseline, all pairs, and what keeps a verdict back."""

import numpy as np
import pytest

from experiments.domain.comparison_options import ComparisonOptions
from experiments.domain.statistics.corrections import holm
from experiments.selectors import run_comparisons
from experiments.selectors.comparison import read_side
from experiments.selectors.paired_comparison import compare_runs_statistically
from experiments.selectors.run_comparisons import compare_many
from governance.domain.errors import InvalidInput
from tests.experiments.factories import make_run, make_session

BASE = [0.50, 0.61, 0.48, 0.72, 0.55, 0.40, 0.66, 0.59, 0.45, 0.52]


def filled(project, values, *, metric="accuracy", **fields):
    run = make_run(project, **fields)
    for number, value in enumerate(values):
        make_session(project, run.run_key, f"d{number}", metrics={metric: value, "ok": value > 0.5})
    return run


def many(caller, runs, *, all_pairs=False, **options):
    sides = [read_side(caller=caller, run=run) for run in runs]
    return compare_many(sides, caller=caller, options=ComparisonOptions(**options), all_pairs=all_pairs)


def test_candidates_carry_holm_over_their_p_of_each_metric(project, caller):
    rng = np.random.default_rng(4)
    base = filled(project, BASE, name="base")
    others = [
        filled(project, [value + shift + float(rng.normal(0, 0.03)) for value in BASE], name=name)
        for shift, name in ((0.05, "a"), (0.0, "b"), (-0.06, "c"))
    ]
    found = many(caller, [base, *others], primary="accuracy")
    assert [metric["metric_name"] for metric in found["metrics"]] == ["accuracy", "ok"]
    assert (found["metrics"][0]["is_primary"], found["metrics"][1]["is_primary"]) == (True, False)
    entries = found["metrics"][0]["comparisons"]
    assert [entry["new_run_id"] for entry in entries] == [run.run_key for run in others]
    p = [entry["statistics"]["p"] for entry in entries]
    assert [entry["statistics"]["adjusted_p"] for entry in entries] == pytest.approx(holm(p))
    assert [entry["statistics"]["verdict"] for entry in entries] == ["better", "undecided", "worse"]
    # With ten pairs every flip is tried, so that the two-run comparison must find the same p.
    alone = compare_runs_statistically(caller=caller, new=others[0].run_key, old=base.run_key)
    assert next(m for m in alone.metrics if m.figures.metric_name == "accuracy").statistics.p == p[0]
    assert found["correction"]["family_size"] == 3
    assert found["metrics"][0]["all_pairs"] is None


def test_all_pairs_share_one_chance_of_a_false_claim(project, caller):
    rng = np.random.default_rng(5)
    runs = [
        filled(project, [value + shift + float(rng.normal(0, 0.02)) for value in BASE * 2], name=name)
        for shift, name in ((0.0, "base"), (0.1, "high"), (0.0, "same"))
    ]
    matrix = many(caller, runs, all_pairs=True, primary="accuracy")["metrics"][0]["all_pairs"]
    pairs = {(pair["first_run_id"], pair["second_run_id"]): pair for pair in matrix["pairs"]}
    base, high, same = (run.run_key for run in runs)
    assert pairs[base, high]["verdict"] == "better"
    assert pairs[base, same]["verdict"] == "undecided"
    assert pairs[high, same]["verdict"] == "worse"
    assert (matrix["method"], matrix["datapoints"]) == ("randomised Tukey HSD", 20)
    assert "all 3 pairs" in matrix["sentence"]


def test_a_run_that_fails_more_is_called_better_by_no_table(project, caller):
    base = filled(project, [*BASE, *BASE], name="base")
    new = filled(project, [value + 0.1 for value in BASE * 2], name="new")
    for number in range(20, 32):
        make_session(project, base.run_key, f"d{number}", metrics={"accuracy": 0.5, "ok": True})
        make_session(project, new.run_key, f"d{number}", error="boom")
    found = many(caller, [base, new], all_pairs=True, primary="accuracy")
    metric = found["metrics"][0]
    assert metric["comparisons"][0]["statistics"]["verdict"] == "undecided"
    (pair,) = metric["all_pairs"]["pairs"]
    assert (pair["verdict"], pair["wins"]) == ("undecided", 20)
    assert "fails or has no score more often (12 against 0 of 32 datapoints)" in pair["sentence"]
    (failures,) = found["failures"]
    assert (failures["new"], failures["old"], failures["new_fails_more"]) == (12, 0, True)


def test_a_run_whose_scores_are_missing_without_a_crash_is_called_better_by_no_table(project, caller):
    base = filled(project, BASE * 2, name="base")
    new = filled(project, [value + 0.1 for value in BASE * 2], name="new")
    for number in range(20, 32):
        make_session(project, base.run_key, f"d{number}", metrics={"accuracy": 0.2, "ok": True})
        make_session(project, new.run_key, f"d{number}", metrics={"ok": True})
    metric = many(caller, [base, new], all_pairs=True, primary="accuracy")["metrics"][0]
    assert metric["comparisons"][0]["statistics"]["verdict"] == "undecided"
    assert metric["all_pairs"]["pairs"][0]["verdict"] == "undecided"


def test_bounds_of_several_runs_hold_for_all_of_them(project, caller):
    bounds = [{"accuracy": [0, 1]}, {"accuracy": [0, 1]}, {"accuracy": [0, 2]}]
    runs = [filled(project, BASE, metadata={"bounds": each}) for each in bounds]
    make_session(project, runs[0].run_key, "d10", metrics={"accuracy": 0.9, "ok": True})
    make_session(project, runs[1].run_key, "d10", error="boom")
    make_session(project, runs[2].run_key, "d10", metrics={"accuracy": 1.5, "ok": True})
    found = many(caller, runs, missing="worst", primary="accuracy")["metrics"][0]["comparisons"]
    assert [entry["statistics"]["evidence"]["filled_arm"] for entry in found] == [1, 0]
    runs[2].metadata = {"bounds": {"accuracy": [0, 1]}}  # which do not hold there: no bounds for the metric
    assert many(caller, runs, primary="accuracy")["warnings"] != []
    with pytest.raises(InvalidInput, match="missing=worst"):
        many(caller, runs[1:], missing="worst", metrics=("accuracy",))


def test_runs_in_progress_get_neither_intervals_nor_verdicts(project, caller):
    base = filled(project, BASE)
    new = filled(project, [value + 0.1 for value in BASE], status="running")
    found = many(caller, [base, new])
    assert found["failures"][0]["p"] is None
    statistics = found["metrics"][0]["comparisons"][0]["statistics"]
    assert (statistics["verdict"], statistics["reason"]) == ("undecided", "incomplete")
    assert [statistics[name] for name in ("interval_low", "interval_high", "p", "adjusted_p")] == [None] * 4


def test_too_many_pairs_and_unknown_metrics_are_refused(project, caller, monkeypatch):
    runs = [filled(project, BASE), filled(project, BASE)]
    with pytest.raises(InvalidInput, match="accuracy, ok"):
        many(caller, runs, metrics=("nothing",))
    with pytest.raises(InvalidInput, match="no datapoint has"):
        many(caller, runs, cluster="metadata.topic")
    assert [m["metric_name"] for m in many(caller, runs, metrics=("ok",))["metrics"]] == ["ok"]
    monkeypatch.setattr(run_comparisons, "MOST_PAIRS", 19)
    with pytest.raises(InvalidInput, match="20 pairs") as refused:
        many(caller, runs)
    assert refused.value.details["field"] == "metric"


def test_names_that_repeat_are_told_apart_by_id(project, caller):
    runs = [filled(project, BASE, name="nightly", run_key=f"night-{number}") for number in range(3)]
    sentences = [entry["statistics"]["arm"] for entry in many(caller, runs)["metrics"][0]["comparisons"]]
    assert sentences == ["nightly (night-1)", "nightly (night-2)"]
