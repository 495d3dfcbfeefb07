"""One run's own figures: intervals as textbooks give them, and none before the run is complete."""

import numpy as np
import pytest
from scipy.stats import bootstrap, t
from statsmodels.stats.proportion import proportion_confint

from experiments.selectors.comparison import read_side
from experiments.selectors.run_summaries import summary_of
from tests.experiments.factories import make_metric, make_run, make_session

SCORES = [0.50, 0.61, 0.48, 0.72, 0.55, 0.40, 0.66, 0.59, 0.91, 0.13, 0.77, 0.35]


def filled(project, **fields):
    run = make_run(project, **fields)
    for number, value in enumerate(SCORES):
        make_session(project, run.run_key, f"d{number}", metrics={"score": value, "ok": value > 0.5})
    return run


def summary(caller, run, **options):
    found = summary_of(read_side(caller=caller, run=run), **options)
    return found, {metric["metric_name"]: metric for metric in found["metrics"]}


def test_rates_have_wilsons_interval_and_means_bca(project, caller):
    make_metric(project, "score", threshold={"min": 0.5})
    found, metrics = summary(caller, filled(project))
    passed = sum(value > 0.5 for value in SCORES)
    low, high = proportion_confint(passed, 12, method="wilson")
    ok = metrics["ok"]
    assert (ok["n"], ok["mean"], ok["method"], ok["is_boolean"]) == (12, passed / 12, "wilson", True)
    assert (ok["low"], ok["high"]) == pytest.approx((low, high))
    score = metrics["score"]
    assert (score["mean"], score["sd"]) == pytest.approx((np.mean(SCORES), np.std(SCORES, ddof=1)))
    expected = bootstrap((SCORES,), np.mean, n_resamples=20_000, rng=1).confidence_interval
    assert (score["low"], score["high"]) == pytest.approx((expected.low, expected.high), abs=0.01)
    assert score["method"] == "bca"
    assert found["pass_rate"]["rate"] == sum(value >= 0.5 for value in SCORES) / 12
    assert found["note"] == ""


def test_many_values_have_the_t_interval(project, caller, monkeypatch):
    from experiments.domain.statistics import plan

    monkeypatch.setattr(plan, "THOROUGH_PAIRS", 11)
    _, metrics = summary(caller, filled(project), confidence=0.9)
    expected = t.interval(0.9, 11, np.mean(SCORES), np.std(SCORES, ddof=1) / np.sqrt(12))
    assert (metrics["score"]["low"], metrics["score"]["high"]) == pytest.approx(expected)


def test_executions_of_a_datapoint_are_averaged_first(project, caller):
    run = make_run(project)
    for key, value in (("d0", 0.0), ("d0", 1.0), ("d1", 1.0)):
        make_session(project, run.run_key, key, metrics={"ok": bool(value)})
    _, metrics = summary(caller, run)
    assert (metrics["ok"]["n"], metrics["ok"]["mean"], metrics["ok"]["method"]) == (2, 0.75, "bca")


@pytest.mark.parametrize("status", ["running", "failed", "cancelled"])
def test_there_is_no_interval_before_the_run_is_complete(project, caller, status):
    found, metrics = summary(caller, filled(project, status=status))
    assert (metrics["score"]["mean"], metrics["score"]["low"]) == (pytest.approx(np.mean(SCORES)), None)
    assert (found["pass_rate"]["low"], found["is_complete"]) == (None, False)
    assert ("again and again" if status == "running" else status) in found["note"]
