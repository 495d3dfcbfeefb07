"""Runs in progress: only the finished prefix of the random order counts, and only metrics with bounds."""

import orjson
import pytest

from experiments.domain.statistics.sequences import always_valid_difference, always_valid_interval
from experiments.models import DatapointRun, Run
from experiments.selectors import watched_runs
from experiments.selectors.watched_runs import watch_run
from experiments.services.comparison_answers import watched_run
from governance.domain.errors import NotFound
from tests.experiments.executed import make_datapoint_runs, make_experiment, make_version
from tests.experiments.factories import make_run, make_session
from tests.factories import make_project


def in_progress(project, statuses, *, repetitions=1, bounds=None, status="running"):
    """An experiment with one datapoint run per status, and a session with scores for each completed one."""
    version = make_version(project, datapoints=len(statuses) // repetitions)
    experiment = make_experiment(project, version=version, status=status, datapoint_runs_count=len(statuses))
    experiment.spec["repetitions"] = repetitions
    experiment.save()
    Run.objects.filter(pk=experiment.run_id).update(metadata={"bounds": bounds or {}})
    rows = make_datapoint_runs(experiment, *statuses)
    if repetitions > 1:  # those of a datapoint follow each other
        names = [row.datapoint_key for row in rows[: len(rows) // repetitions]]
        for rank, row in enumerate(rows):
            row.repetition, row.datapoint_key = rank % repetitions + 1_000, names[rank // repetitions]
            row.save()
    for rank, row in enumerate(rows):
        if row.status == "completed":
            scores = {"score": rank / 10, "ok": rank % 2 == 0}
            make_session(project, experiment.run.run_key, row.datapoint_key, metrics=scores)
        elif row.status == "failed":
            make_session(project, experiment.run.run_key, row.datapoint_key, error="boom")
    return experiment, rows


def test_only_the_finished_prefix_counts(project, caller):
    statuses = ["completed"] * 4 + ["running"] + ["completed"] * 3
    experiment, _ = in_progress(project, statuses, bounds={"score": [0, 1]})
    found = watch_run(caller=caller, run_id=experiment.run.run_key)
    assert (found["total"], found["finished"], found["prefix"]) == (8, 4, 4)
    metrics = {metric["metric_name"]: metric for metric in found["metrics"]}
    expected = always_valid_interval([0.0, 0.1, 0.2, 0.3], population=8, bounds=(0.0, 1.0))
    assert (metrics["score"]["low"], metrics["score"]["high"]) == (expected.low, expected.high)
    assert (metrics["score"]["mean"], metrics["score"]["is_final"]) == (pytest.approx(0.15), False)
    assert metrics["ok"]["bounds"] == [0.0, 1.0]  # booleans need no declaration
    assert found["label"].startswith("May be watched")


def test_failed_datapoints_of_the_prefix_widen_the_interval(project, caller):
    experiment, _ = in_progress(project, ["completed", "failed", "completed", "pending"], bounds={"score": [0, 1]})
    metrics = watch_run(caller=caller, run_id=experiment.run.run_key)["metrics"]
    score = next(metric for metric in metrics if metric["metric_name"] == "score")
    expected = always_valid_interval([0.0, None, 0.2], population=4, bounds=(0.0, 1.0))
    assert (score["n"], score["unscored"]) == (3, 1)
    assert (score["low"], score["high"]) == (expected.low, expected.high)


def test_a_datapoint_counts_when_all_its_repetitions_have_finished(project, caller):
    statuses = ["completed", "completed", "completed", "running"]
    experiment, _ = in_progress(project, statuses, repetitions=2, bounds={"score": [0, 1]})
    found = watch_run(caller=caller, run_id=experiment.run.run_key)
    assert (found["total"], found["prefix"]) == (2, 1)
    score = next(metric for metric in found["metrics"] if metric["metric_name"] == "score")
    assert score["mean"] == pytest.approx(0.05)


def test_metrics_without_bounds_that_hold_have_no_interval(project, caller):
    experiment, _ = in_progress(project, ["completed"] * 3 + ["pending"], bounds={"score": [0, 0.1]})
    found = watch_run(caller=caller, run_id=experiment.run.run_key)
    assert ([metric["metric_name"] for metric in found["metrics"]], found["without_bounds"]) == (["ok"], ["score"])
    assert "metadata.bounds" in found["note"]


def test_differences_are_over_the_datapoints_that_the_baseline_has(project, caller):
    experiment, rows = in_progress(project, ["completed"] * 4 + ["pending"] * 2, bounds={"score": [0, 1]})
    baseline = make_run(project, metadata={"bounds": {"score": [0, 1]}})
    for row in rows[1:]:
        make_session(project, baseline.run_key, row.datapoint_key, metrics={"score": 0.5})
    found = watch_run(caller=caller, run_id=experiment.run.run_key, baseline=baseline.run_key)["baseline"]
    (metric,) = found["metrics"]
    expected = always_valid_difference([0.5] * 3, [0.1, 0.2, 0.3], population=5, bounds=(0.0, 1.0))
    assert (found["common_datapoints"], metric["n"], metric["population"]) == (5, 3, 5)
    assert (metric["low"], metric["high"]) == (expected.low, expected.high)
    assert metric["difference"] == pytest.approx(-0.3)


def test_a_baseline_in_progress_gives_no_differences(project, caller):
    experiment, rows = in_progress(project, ["completed"] * 3 + ["pending"], bounds={"score": [0, 1]})
    baseline = make_run(project, status="running")
    make_session(project, baseline.run_key, rows[0].datapoint_key, metrics={"score": 0.5})
    found = watch_run(caller=caller, run_id=experiment.run.run_key, baseline=baseline.run_key)
    assert found["baseline"]["metrics"] == []
    assert found["note"] == "The baseline is not complete, so there are no differences to it."


def test_intervals_are_kept_for_each_length_of_the_prefix(project, caller, settings, tmp_path, monkeypatch):
    settings.DATA_DIR = tmp_path
    experiment, rows = in_progress(project, ["completed"] * 3 + ["running", "pending"], bounds={"score": [0, 1]})
    asked = {"caller": caller, "run_id": experiment.run.run_key}
    first = watched_run(**asked)
    assert first == orjson.loads(orjson.dumps(watch_run(**asked), option=orjson.OPT_UTC_Z)) | {"run": first["run"]}
    with monkeypatch.context() as broken:
        broken.setattr(watched_runs, "read_side", None)  # nothing is read again
        DatapointRun.objects.filter(pk=rows[4].pk).update(status="completed")  # beyond the prefix
        assert watched_run(**asked) == first
    DatapointRun.objects.filter(pk=rows[3].pk).update(status="failed")
    assert [metric["n"] for metric in watched_run(**asked)["metrics"]] == [5, 5]


def test_nothing_is_shown_before_the_start_and_of_runs_of_clients(project, caller):
    experiment, _ = in_progress(project, ["pending"] * 2, status="preparing")
    assert watch_run(caller=caller, run_id=experiment.run.run_key)["metrics"] == []
    run = make_run(project, status="running")
    make_session(project, run.run_key, "d1", metrics={"ok": True})
    found = watch_run(caller=caller, run_id=run.run_key)
    assert (found["metrics"], found["prefix"]) == ([], 0)
    assert "client executes it" in found["note"]


def test_runs_of_other_projects_are_not_found(project, caller):
    other = make_run(make_project())
    experiment, _ = in_progress(project, ["completed"])
    for names in ({"run_id": other.run_key}, {"run_id": experiment.run.run_key, "baseline": other.run_key}):
        with pytest.raises(NotFound):
            watch_run(caller=caller, **names)
