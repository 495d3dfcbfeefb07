"""Console page of one run: how good is it, how sure is that, and what went wrong?"""

from collections import Counter
from typing import Any

from django.http import HttpResponseBase

from experiments.admin import experiments
from experiments.admin.run_metrics import metrics_context
from experiments.admin.runs import duration_ms, find_run
from experiments.domain.run_results import DatapointResult
from experiments.selectors import run_overview
from experiments.selectors.results import result_of_run
from governance.admin.pages import PAGE_SIZE, Visit, clean, page
from governance.domain import formats
from governance.domain.actions import Action

SHOWN_METRICS = 4


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
    return visit.render(
        "console/run.html",
        title=str(run),
        run=run,
        duration=duration_ms(run),
        total=len(rows),
        crashed=len(crashed),
        unscored=sum(1 for row in rows if not row.metrics and not row.crashed),
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
        **metrics_context(visit, run, result.metrics, len(rows), is_executed=execution["experiment"] is not None),
        **execution,
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
