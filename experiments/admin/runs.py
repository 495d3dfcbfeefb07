"""Console pages of runs: which run, did it work, how good was it at a glance; and the end of a run."""

from collections import Counter
from typing import Any

from django.db.models import Q
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils import timezone

from experiments.admin import experiments
from experiments.domain.run_status import RunStatus
from experiments.models import Event, Run
from experiments.selectors import run_overview
from experiments.selectors.runs import run_not_found, runs_of
from experiments.services.pass_rates import pass_rates
from experiments.services.runs import delete_run
from governance.admin.pages import Visit, back, clean, page, page_of
from governance.domain import formats
from governance.domain.actions import Action
from governance.domain.caller import Caller


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
    rates = pass_rates(caller=visit.caller, runs=found.rows, sessions=sessions)
    progress = experiments.progress_by_run(visit.caller, found.rows)
    lines = [
        {
            "run": run,
            "datapoints": sessions.get(run.run_key, 0),
            "mean": means.get(run.run_key, {}).get(metric),
            "rate": rates.get(run.pk) and rate_texts(rates[run.pk]),
            "progress": progress.get(run.pk, ""),
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


def rate_texts(rate: dict[str, Any]) -> dict[str, Any]:
    """A pass rate as `71.6 %`, `[65.3, 77.1]` and `161 of 225`."""
    return {
        "text": formats.rate(rate["passed"], rate["total"]),
        "interval": formats.percents(rate["low"], rate["high"]),
        "counts": f"{formats.exact(rate['passed'])} of {formats.exact(rate['total'])}",
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
