"""Console page of one run: how good is it, how sure is that, and what went wrong?"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from django.http import HttpResponseBase

from experiments.admin import compared_metrics as shown
from experiments.admin import experiments
from experiments.admin.comparison_answers import LARGE
from experiments.admin.runs import duration_ms, find_run, rate_texts
from experiments.domain.run_results import DatapointResult, MetricResult
from experiments.domain.run_status import TERMINAL, RunStatus
from experiments.models import Run
from experiments.selectors import run_overview
from experiments.selectors.results import result_of_run
from experiments.selectors.runs import runs_of
from experiments.services.comparison_answers import comparison_question, run_summary
from governance.admin.pages import PAGE_SIZE, Visit, clean, page
from governance.domain import figures, formats
from governance.domain.actions import Action

SHOWN_METRICS = 4
Key = tuple[str, str]


@page(Action.RUNS_READ)
def run_page(visit: Visit, run_id: str) -> HttpResponseBase:
    """How good is it, and what went wrong?"""
    run = find_run(visit.caller, run_id)
    result = result_of_run(caller=visit.caller, run_key=run.run_key)
    rows = result.datapoints
    crashed = [row for row in rows if row.crashed]
    failed = [row for row in rows if not row.passed and not row.crashed]
    tabs = {"failed": failed, "crashed": crashed, "all": rows}
    tab = clean(visit.request.GET.get("tab"))
    if tab not in tabs:
        tab = "failed" if failed else "crashed" if crashed else "all"
    start = clean(visit.request.GET.get("from"))
    first = int(start) if start.isascii() and start.isdigit() and len(start) < 9 else 0
    part = tabs[tab][first : first + PAGE_SIZE]
    details = run_overview.session_details(caller=visit.caller, session_ids=[row.session_id for row in part])
    execution = experiments.run_part(visit, run)
    summary = run_summary(caller=visit.caller, run_id=run.run_key)
    watched = watched_of(visit, run) if execution["experiment"] and run.status not in TERMINAL else None
    estimates = estimates_of(summary, watched)
    baseline = baseline_of(visit, run)
    verdicts = verdicts_of(visit, run, baseline, len(rows))
    metrics = [metric_line(metric, estimates, verdicts) for metric in result.metrics]
    metrics.sort(key=lambda line: (not line["rule"], line["metric"].metric_name))
    return visit.render(
        "console/run.html",
        title=str(run),
        run=run,
        is_over=run.status in TERMINAL,
        duration=duration_ms(run),
        total=len(rows),
        rate={**summary["pass_rate"], **rate_texts(summary["pass_rate"])},
        has_rules=any(line["rule"] for line in metrics),
        crashed=len(crashed),
        unscored=sum(1 for row in rows if not row.metrics and not row.crashed),
        metrics=metrics,
        compared_with=baseline if verdicts else None,
        has_intervals=any(line["interval"] for line in metrics),
        level=shown.percent(summary["confidence"]),
        note=summary["note"],
        watched=watched,
        tab=tab,
        tabs=[(name, len(found)) for name, found in tabs.items()],
        lines=[datapoint_line(row, details.get(row.session_id)) for row in part],
        first=first + 1,
        last=first + len(part),
        in_tab=len(tabs[tab]),
        earlier=str(max(0, first - PAGE_SIZE)) if first else "",
        later=str(first + PAGE_SIZE) if first + PAGE_SIZE < len(tabs[tab]) else "",
        errors=Counter(
            detail.error.strip().splitlines()[-1][:200] for detail in details.values() if detail.error.strip()
        ).most_common(5),
        **execution,
    )


def watched_of(visit: Visit, run: Run) -> dict[str, Any]:
    """Intervals that hold at every look, of a run that the server executes now."""
    from experiments.selectors.watched_runs import watch_run  # loads numpy

    return watch_run(caller=visit.caller, run_id=run.run_key)


def estimates_of(summary: Mapping[str, Any], watched: Mapping[str, Any] | None) -> dict[Key, dict[str, Any]]:
    """Mean, interval and n by (metric, event): of the whole run, or while it is watched those that may be."""
    found = {(each["metric_name"], each["event_name"]): {**each, "is_watched": False} for each in summary["metrics"]}
    for each in (watched or {}).get("metrics", ()):
        key = (each["metric_name"], each["event_name"])
        found[key] = {**found.get(key, {}), **each, "is_watched": True}
    return found


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
    return {(line["metric"]["metric_name"], line["metric"]["event_name"]): line for line in lines}


def metric_line(
    metric: MetricResult, estimates: Mapping[Key, dict[str, Any]], verdicts: Mapping[Key, shown.Line]
) -> dict[str, Any]:
    """One line of the metric table, numbers and picture."""
    passing = metric.passing_range
    limits = [bound for bound in (passing or ()) if bound is not None]
    key = (metric.metric_name, metric.event_name)
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


def datapoint_line(row: DatapointResult, detail: run_overview.SessionDetail | None) -> dict[str, Any]:
    """One datapoint with its first metrics: required ones without a value, failed ones, then the others."""
    ordered = sorted(row.metrics, key=lambda metric: metric.passed)
    return {
        "row": row,
        "detail": detail,
        "state": "crashed" if row.crashed else "passed" if row.passed else "failed",
        "scores": [{"name": name, "passed": False, "text": formats.UNDEFINED} for name in row.missing]
        + [
            {
                "name": metric.name,
                "passed": metric.passed,
                "text": formats.metric_value(
                    None if metric.value is None else float(metric.value), is_boolean=isinstance(metric.value, bool)
                ),
            }
            for metric in ordered[:SHOWN_METRICS]
        ],
        "more": max(0, len(ordered) - SHOWN_METRICS),
    }
