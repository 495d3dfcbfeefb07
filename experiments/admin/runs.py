"""Console pages of runs: which run, did it work, how good is it, what went wrong?"""

from collections import Counter
from typing import Any

from django.db.models import Q
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils import timezone

from experiments.domain.run_results import DatapointResult, MetricResult
from experiments.domain.run_status import TERMINAL, RunStatus
from experiments.models import Event, Run
from experiments.selectors import run_overview
from experiments.selectors.results import result_of_run
from experiments.selectors.runs import run_not_found, runs_of
from experiments.services.runs import delete_run
from governance.admin.pages import PAGE_SIZE, Visit, back, clean, page, page_of
from governance.domain import figures, formats
from governance.domain.actions import Action
from governance.domain.caller import Caller

SHOWN_METRICS = 4


def find_run(caller: Caller, run_id: str) -> Run:
    """A run by our id or by the client's."""
    found = list(runs_of(caller).filter(Q(public_id=run_id) | Q(run_key=run_id))[:2])
    if not found:
        raise run_not_found(run_id)
    return next((run for run in found if run.public_id == run_id), found[0])


def duration_ms(run: Run) -> float | None:
    """From creation to the end, or to now while it runs; None before it started."""
    if run.finished_at is not None:
        return max(0.0, (run.finished_at - run.created_at).total_seconds() * 1000)
    if run.status == RunStatus.RUNNING:
        return (timezone.now() - run.created_at).total_seconds() * 1000
    return None


@page(Action.RUNS_READ)
def runs_page(visit: Visit) -> HttpResponseBase:
    """Runs, newest first."""
    asked = {name: clean(visit.request.GET.get(name)) for name in ("name", "status", "dataset")}
    rows = runs_of(visit.caller)
    if asked["name"]:
        rows = rows.filter(Q(name__icontains=asked["name"]) | Q(run_key=asked["name"]))
    if asked["status"] in set(RunStatus):
        rows = rows.filter(status=asked["status"])
    if asked["dataset"]:
        rows = rows.filter(Q(dataset__public_id=asked["dataset"]) | Q(offline_dataset_id=asked["dataset"]))
    found = page_of(rows, visit.request)
    sessions = run_overview.session_counts(caller=visit.caller, runs=found.rows)
    means = run_overview.metric_means(caller=visit.caller, runs=found.rows, sessions=sessions)
    occurring = Counter(name for by_name in means.values() for name in by_name)
    names = sorted(occurring, key=lambda name: (-occurring[name], name))
    metric = clean(visit.request.GET.get("metric"))
    metric = metric if metric in occurring else (names[0] if names else "")
    lines = [
        {
            "run": run,
            "datapoints": sessions.get(run.run_key, 0),
            "mean": means.get(run.run_key, {}).get(metric),
            "duration": duration_ms(run),
        }
        for run in found.rows
    ]
    return visit.render(
        "console/runs.html",
        title="Runs",
        page=found,
        lines=lines,
        metric=metric,
        metric_names=sorted(names),
        asked=asked,
        is_filtered=any(asked.values()),
        statuses=list(RunStatus),
    )


def metric_line(metric: MetricResult, booleans: set[tuple[str, str]]) -> dict[str, Any]:
    """One line of the metric table, numbers and picture."""
    interval = metric.passing_range
    limits = [bound for bound in (interval or ()) if bound is not None]
    is_boolean = (metric.metric_name, metric.event_name) in booleans
    rule = ""
    if interval is not None:
        low, high = interval
        if low is not None and high is not None:
            rule = f"= {formats.score(low)}" if low == high else f"{formats.score(low)} to {formats.score(high)}"
        else:
            rule = f"≥ {formats.score(low)}" if low is not None else f"≤ {formats.score(high)}"
    decided = len(metric.passed) + len(metric.failed)
    said = f"{metric.metric_name}: {len(metric.values)} values, mean {formats.score(metric.aggregate)}"
    return {
        "metric": metric,
        "n": len(metric.values),
        "rule": rule,
        "passed": f"{len(metric.passed)} of {decided}" if interval is not None else "",
        "rate": formats.rate(len(metric.passed), decided) if interval is not None else "",
        "is_boolean": is_boolean,
        "picture": figures.distribution(list(metric.values), label=said, limits=limits, is_boolean=is_boolean),
    }


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
    shown = tabs[tab][first : first + PAGE_SIZE]
    details = run_overview.session_details(caller=visit.caller, session_ids=[row.session_id for row in shown])
    booleans = {(m.name, m.event_name) for row in rows[:200] for m in row.metrics if isinstance(m.value, bool)}
    metrics = [metric_line(metric, booleans) for metric in result.metrics]
    metrics.sort(key=lambda line: (not line["rule"], line["metric"].metric_name))
    unscored = sum(1 for row in rows if not row.metrics and not row.crashed)
    return visit.render(
        "console/run.html",
        title=str(run),
        run=run,
        is_over=run.status in TERMINAL,
        duration=duration_ms(run),
        total=len(rows),
        passed=sum(1 for row in rows if row.passed),
        has_rules=any(line["rule"] for line in metrics),
        failed=len(failed),
        crashed=len(crashed),
        unscored=unscored,
        metrics=metrics,
        tab=tab,
        tabs=[(name, len(found)) for name, found in tabs.items()],
        lines=[datapoint_line(row, details.get(row.session_id)) for row in shown],
        first=first + 1,
        last=first + len(shown),
        in_tab=len(tabs[tab]),
        earlier=str(max(0, first - PAGE_SIZE)) if first else "",
        later=str(first + PAGE_SIZE) if first + PAGE_SIZE < len(tabs[tab]) else "",
        errors=Counter(
            detail.error.strip().splitlines()[-1][:200] for detail in details.values() if detail.error.strip()
        ).most_common(5),
    )


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


@page(Action.RUNS_WRITE, methods=("GET", "POST"))
def delete_page(visit: Visit, run_id: str) -> HttpResponseBase:
    """Confirm, then delete the run; its events stay."""
    run = find_run(visit.caller, run_id)
    if visit.request.method == "POST":
        delete_run(caller=visit.caller, run_key=run.run_key)
        visit.tell(f"Run deleted: {run}. Its events are kept.")
        return back("console_runs")
    events = Event.objects.filter(project_id=visit.caller.project_id, run_key=run.run_key)[:100_000].count()
    return visit.render(
        "console/confirm.html",
        title=f"Delete run {run}?",
        what="The run, its configuration and its place in lists and comparisons go away.",
        stays=f"Its {formats.plural(events, 'event')} and its dataset stay. Its audit entries stay.",
        undo="This cannot be undone.",
        button="Delete run",
        way_out=(reverse("admin:console_runs"), "Keep run"),
    )
