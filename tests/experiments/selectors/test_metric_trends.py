"""A metric over runs: which runs, which values, which interval, and where the level changed."""

import datetime as dt

import numpy as np
import pytest
from scipy.stats import t
from statsmodels.stats.proportion import proportion_confint

from experiments.models import Run
from experiments.selectors import metric_trends
from experiments.selectors.metric_trends import TrendQuery, metrics_of_runs, trend_of
from governance.domain.errors import InvalidInput
from tests.experiments.executed import make_experiment
from tests.experiments.factories import make_metric, make_run, make_session, moment
from tests.factories import make_project

DAY = dt.timedelta(days=1)


def make_series(project, means, *, name="nightly", **fields):
    """Completed runs, a day apart, with five datapoints around each mean."""
    runs = []
    for number, mean in enumerate(means):
        run = make_run(project, name=f"{name} {number}", **fields)
        Run.objects.filter(pk=run.pk).update(created_at=moment("2026-01-01T00:00:00+00:00") + number * DAY)
        for place, shift in enumerate((-0.02, -0.01, 0.0, 0.01, 0.02)):
            make_session(project, run.run_key, f"d{place}", metrics={"score": mean + shift, "ok": place > 0})
        runs.append(run)
    return runs


def test_points_are_means_with_their_interval_oldest_first(project, caller):
    runs = make_series(project, [0.5, 0.6])
    make_session(project, runs[0].run_key, "d0", metrics={"score": 0.9})  # a second execution: averaged first
    make_series(project, [0.1], status="running")
    make_series(make_project(), [0.1])
    found = trend_of(caller=caller, query=TrendQuery(metric="score"))
    assert [point["run_id"] for point in found["points"]] == [run.run_key for run in runs]
    values = [(0.48 + 0.9) / 2, 0.49, 0.5, 0.51, 0.52]
    expected = t.interval(0.95, 4, np.mean(values), np.std(values, ddof=1) / np.sqrt(5))
    first = found["points"][0]
    assert (first["n"], first["value"], first["method"]) == (5, pytest.approx(np.mean(values)), "t")
    assert (first["low"], first["high"]) == pytest.approx(expected)
    ok = trend_of(caller=caller, query=TrendQuery(metric="ok", confidence=0.9))["points"][1]
    assert (ok["method"], ok["value"]) == ("wilson", 0.8)
    assert (ok["low"], ok["high"]) == pytest.approx(proportion_confint(4, 5, alpha=0.1, method="wilson"))


def test_a_change_of_level_is_marked_at_the_first_run_of_the_new_one(project, caller):
    runs = make_series(project, [0.50, 0.51, 0.49, 0.50, 0.52, 0.50, 0.80, 0.81, 0.79, 0.80, 0.82, 0.80])
    found = trend_of(caller=caller, query=TrendQuery(metric="score"))
    (change,) = found["changes"]
    assert (change["run_id"], change["position"]) == (runs[6].run_key, 6)
    assert found["points"][6]["change"]["difference"] == pytest.approx(0.3, abs=0.02)
    assert [point["run_id"] for point in found["points"] if point["change"]] == [runs[6].run_key]
    assert trend_of(caller=caller, query=TrendQuery(metric="score")) == found
    assert trend_of(caller=caller, query=TrendQuery(metric="score", limit=5))["changes"] == []


def test_runs_are_chosen_by_name_dataset_tag_and_schedule(project, caller):
    runs = make_series(project, [0.5, 0.6], offline_dataset_id="EXT-1", metadata={"tags": ["rc", "ü"]})
    other = make_series(project, [0.7], name="weekly", metadata={"tags": "rc"})
    experiment = make_experiment(project, status="completed")
    make_session(project, experiment.run.run_key, "d1", metrics={"score": 0.9})

    def chosen(**options):
        found = trend_of(caller=caller, query=TrendQuery(metric="score", **options))
        return [point["run_id"] for point in found["points"]]

    of_series = [run.run_key for run in runs]
    assert chosen(name_prefix="night")[:2] == of_series
    assert chosen(name_prefix="weekly") == [other[0].run_key]
    assert chosen(dataset="EXT-1") == chosen(tag="rc") == chosen(tag="ü") == of_series
    assert chosen(tag="r") == []
    assert chosen(dataset=experiment.dataset_version.dataset_key) == [experiment.run.run_key]
    assert chosen(schedule="none") == []


def test_points_of_what_is_left_and_runs_of_other_datasets_are_warned_of(project, caller):
    runs = make_series(project, [0.5, 0.6], offline_dataset_id="EXT-1")
    for number in range(3):
        make_session(project, runs[1].run_key, f"crash-{number}", error="boom")
    make_session(project, runs[1].run_key, None)
    found = trend_of(caller=caller, query=TrendQuery(metric="score"))
    assert [(point["n"], point["unscored"]) for point in found["points"]] == [(5, 0), (5, 4)]
    assert found["warnings"] == [
        "1 of 2 runs have datapoints without a value, failed or not judged: their points are means of the rest."
    ]
    make_series(project, [0.6], offline_dataset_id="EXT-2")
    assert "of 2 datasets" in trend_of(caller=caller, query=TrendQuery(metric="score"))["warnings"][-1]


def test_of_several_events_the_one_nearest_to_the_session_counts(project, caller):
    run = make_run(project)
    make_session(project, run.run_key, "d1", metrics={"score": 0.2}, event_type="tool", function="search")
    make_session(project, run.run_key, "d2", metrics={"score": 0.6})
    assert trend_of(caller=caller, query=TrendQuery(metric="score"))["points"][0]["value"] == 0.6
    named = trend_of(caller=caller, query=TrendQuery(metric="score", event_name="search"))
    assert named["points"][0]["value"] == 0.2


def test_metrics_that_are_computed_on_read_have_a_trend_as_well(project, caller, monkeypatch):
    children = [{"name": "score", "weight": 1}, {"name": "ok", "weight": 1}]
    make_metric(project, "both", type="COMPOSITE", criteria="weighted-average", child_metrics=children)
    make_series(project, [0.5, 0.7])
    found = trend_of(caller=caller, query=TrendQuery(metric="both"))
    assert [point["value"] for point in found["points"]] == pytest.approx([0.65, 0.75])
    monkeypatch.setattr(metric_trends, "MOST_COMPUTED", 1)
    cut = trend_of(caller=caller, query=TrendQuery(metric="both"))
    assert (len(cut["points"]), len(cut["warnings"])) == (1, 1)


def test_queries_do_not_grow_with_runs_and_values_are_bounded(project, caller, django_assert_num_queries, monkeypatch):
    for count in (1, 4):
        make_series(project, [0.5] * count)
        with django_assert_num_queries(4):  # runs, metrics, values, datapoints executed
            trend_of(caller=caller, query=TrendQuery(metric="score"))
    assert metrics_of_runs(caller) == ["ok", "score"]
    found = trend_of(caller=caller, query=TrendQuery(metric="nothing"))
    assert (found["points"], found["warnings"]) == ([], ["5 of 5 runs have no value of 'nothing'."])
    monkeypatch.setattr(metric_trends, "MOST_VALUES", 24)
    with pytest.raises(InvalidInput, match="25 values") as refused:
        trend_of(caller=caller, query=TrendQuery(metric="score"))
    assert refused.value.details["field"] == "limit"
