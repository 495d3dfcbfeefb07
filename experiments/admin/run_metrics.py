"""The metric table of a run's page: means with intervals, thresholds, verdicts; live while the server executes it."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpResponseBase

from experiments.admin import compared_metrics as shown
from experiments.admin.comparison_answers import LARGE
from experiments.admin.runs import find_run, rate_texts
from experiments.domain.run_results import MetricResult
from experiments.domain.run_status import TERMINAL, RunStatus
from experiments.models import Run
from experiments.selectors.results import result_of_run
from experiments.selectors.runs import revision_of, runs_of
from experiments.services.comparison_answers import comparison_question, run_summary, watched_run
from governance.admin.live import fragment
from governance.admin.pages import Visit, page
from governance.domain import figures, formats
from governance.domain.actions import Action

Key = tuple[str, str, str]  # metric, event name, event type


@page(Action.RUNS_READ)
def metrics_part(visit: Visit, run_id: str) -> HttpResponseBase:
    """The table alone, for the script that refreshes it while the server executes the run; 304 while no event came."""
    run = find_run(visit.caller, run_id)

    def context() -> dict[str, Any]:
        result = result_of_run(caller=visit.caller, run_key=run.run_key)
        return {"run": run, **metrics_context(visit, run, result.metrics, len(result.datapoints), is_executed=True)}

    answer = fragment(visit.request, "console/run_metrics.html", context, [run.status, revision_of(run)])
    answer["X-Live"] = "ended" if run.status in TERMINAL else "running"
    return answer


def metrics_context(
    visit: Visit, run: Run, results: Sequence[MetricResult], sessions: int, *, is_executed: bool
) -> dict[str, Any]:
    """What the table shows, and the pass rate. `is_executed`: by the server, in a random order."""
    summary = run_summary(caller=visit.caller, run_id=run.run_key)
    baseline = baseline_of(visit, run)
    watched = watched_of(visit, run, baseline) if is_executed and run.status not in TERMINAL else None
    estimates, gains = estimates_of(summary, watched), gains_of(watched)
    verdicts = verdicts_of(visit, run, baseline, sessions)
    lines = [metric_line(metric, estimates, verdicts, gains) for metric in results]
    lines.sort(key=lambda line: (not line["rule"], line["metric"].metric_name))
    return {
        "metrics": lines,
        "is_over": run.status in TERMINAL,
        "rate": {**summary["pass_rate"], **rate_texts(summary["pass_rate"])},
        "has_rules": any(line["rule"] for line in lines),
        "compared_with": baseline if verdicts or gains else None,
        "has_intervals": any(line["interval"] for line in lines),
        "level": shown.percent(summary["confidence"]),
        "note": summary["note"],
        "watched": watched,
    }


def watched_of(visit: Visit, run: Run, baseline: Run | None) -> dict[str, Any]:
    """Intervals that hold at every look, of a run that the server executes now and of what it gains on the baseline."""
    key = baseline.run_key if baseline is not None and baseline.status == RunStatus.COMPLETED else ""
    return watched_run(caller=visit.caller, run_id=run.run_key, baseline=key)


def estimates_of(summary: Mapping[str, Any], watched: Mapping[str, Any] | None) -> dict[Key, dict[str, Any]]:
    """Mean, interval and n by metric: of the whole run, or while it is watched those that may be."""
    found = {key_of(each): {**each, "is_watched": False} for each in summary["metrics"]}
    for each in (watched or {}).get("metrics", ()):
        found[key_of(each)] = {**found.get(key_of(each), {}), **each, "is_watched": True}
    return found


def gains_of(watched: Mapping[str, Any] | None) -> dict[Key, dict[str, str]]:
    """What each metric gains on the baseline so far, with an interval that may be watched."""
    rows = ((watched or {}).get("baseline") or {}).get("metrics", ())
    return {
        key_of(each): {
            "difference": formats.difference(each["difference"], decimals),
            "interval": formats.interval(each["low"], each["high"], signed=True, decimals=decimals),
        }
        for each in rows
        for decimals in [formats.decimals_for(each["low"], each["high"])]
    }


def key_of(metric: Mapping[str, Any]) -> Key:
    """What tells the metrics of a run apart."""
    return metric["metric_name"], metric.get("event_name") or "", metric.get("event_type") or ""


def baseline_of(visit: Visit, run: Run) -> Run | None:
    """The run that this one names as its baseline, if it is there."""
    key = run.metadata.get("baseline_run_id")
    return runs_of(visit.caller).filter(run_key=key).first() if isinstance(key, str) and key else None


def verdicts_of(visit: Visit, run: Run, baseline: Run | None, sessions: int) -> dict[Key, shown.Line]:
    """Verdict of each metric against the baseline; empty until both are complete, and for large runs until computed."""
    if baseline is None or {run.status, baseline.status} != {RunStatus.COMPLETED}:
        return {}
    question = comparison_question(caller=visit.caller, new=run.run_key, old=baseline.run_key)
    answer = question.answer() if 2 * sessions <= LARGE else question.kept()
    if answer is None:
        return {}
    lines = [shown.figures_of(metric) for metric in answer.document["metrics"]]
    return {key_of(line["metric"]): line for line in lines}


def metric_line(
    metric: MetricResult,
    estimates: Mapping[Key, dict[str, Any]],
    verdicts: Mapping[Key, shown.Line],
    gains: Mapping[Key, dict[str, str]],
) -> dict[str, Any]:
    """One line of the metric table, numbers and picture."""
    passing = metric.passing_range
    limits = [bound for bound in (passing or ()) if bound is not None]
    key = (metric.metric_name, metric.event_name, metric.event_type)
    found = estimates.get(key, {})
    is_boolean = bool(found.get("is_boolean"))
    decided = len(metric.passed) + len(metric.failed)
    mean, low, high = (found.get(name) for name in ("mean", "low", "high"))
    decimals = 1 if abs(mean or 0) >= 100 else formats.decimals_for(low, high)
    said = f"{metric.metric_name}: {len(metric.values)} values, mean {formats.score(metric.aggregate)}"
    return {
        "metric": metric,
        "mean": formats.percent(mean) if is_boolean else formats.score(mean, decimals),
        "interval": formats.percents(low, high) if is_boolean else formats.interval(low, high, decimals=decimals),
        "is_watched": bool(found.get("is_watched")),
        "n": found.get("n", 0),
        "warning": found.get("warning") or "",
        "verdict": verdicts.get(key),
        "gain": gains.get(key),
        "rule": rule_of(passing),
        "passed": f"{len(metric.passed)} of {decided}" if passing is not None else "",
        "rate": formats.rate(len(metric.passed), decided) if passing is not None else "",
        "picture": figures.distribution(list(metric.values), label=said, limits=limits, is_boolean=is_boolean),
    }


def rule_of(passing: tuple[float | None, float | None] | None) -> str:
    """A passing range in words."""
    if passing is None:
        return ""
    low, high = passing
    if low is not None and high is not None:
        return f"= {formats.score(low)}" if low == high else f"{formats.score(low)} to {formats.score(high)}"
    return f"≥ {formats.score(low)}" if low is not None else f"≤ {formats.score(high)}"
