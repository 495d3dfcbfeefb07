"""The console's first page: is everything all right, and what needs me?"""

import datetime as dt
from typing import Any

from django.db.models import Count
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils import timezone

from experiments.domain.experiment_status import ExperimentStatus
from experiments.domain.run_status import RunStatus
from experiments.selectors.datasets import datasets
from experiments.selectors.experiments import experiments_of
from experiments.selectors.runs import runs_of
from experiments.selectors.schedules import schedules
from governance.admin.pages import Visit, page
from governance.domain import figures, formats
from governance.domain.actions import Action
from governance.models import AuditChain
from governance.selectors import jobs
from governance.selectors.projects import quotas, usage_by_hour, used_now

HOURS = 24
STOPPED_SHOWN = 5


def ingestion(visit: Visit) -> dict[str, Any]:
    """Events stored in the last 24 hours, by hour, and the picture of it."""
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    first = now - dt.timedelta(hours=HOURS - 1)
    by_hour: dict[dt.datetime, int] = {}
    rejected = 0
    for row in usage_by_hour(caller=visit.caller).filter(hour__gte=first):
        by_hour[row["hour"]] = by_hour.get(row["hour"], 0) + row["events"]
        rejected += row["rejected"]
    values = [by_hour.get(first + dt.timedelta(hours=hour), 0) for hour in range(HOURS)]
    total = sum(values)
    label = f"Events by hour over the last 24 hours: {formats.exact(total)} in all, most in one hour {max(values)}"
    picture = figures.sparkline(values, label=label, width=160, height=28) if total else ""
    return {"total": total, "rejected": rejected, "picture": picture}


def stopped(visit: Visit) -> list[dict[str, str]]:
    """Runs that the server paused by itself, and schedules whose last start was refused; at most five of each."""
    if not visit.caller.may(Action.RUNS_READ):
        return []
    paused = experiments_of(visit.caller).filter(status=ExperimentStatus.PAUSED).exclude(error_code="")[:STOPPED_SHOWN]
    refused = schedules(visit.caller).filter(is_enabled=True).exclude(last_error="")[:STOPPED_SHOWN]
    return [
        {
            "kind": "warning",
            "text": f"Run {experiment.run} is paused: {experiment.error_message}",
            "link": reverse("admin:console_run", args=[experiment.run.public_id]),
        }
        for experiment in paused
    ] + [
        {
            "kind": "failed",
            "text": f"Schedule {schedule.name} could not start: {schedule.last_error}",
            "link": reverse("admin:console_schedule", args=[schedule.public_id]),
        }
        for schedule in refused
    ]


@page(Action.PROJECT_READ)
def landing(visit: Visit) -> HttpResponseBase:
    """State sentence, what needs somebody, four figures, latest runs, first steps while there is nothing."""
    recent = list(runs_of(visit.caller).order_by("-created_at", "-id")[:8])
    states: dict[str, int] = dict(
        runs_of(visit.caller)
        .order_by()
        .values_list("status")
        .annotate(number=Count("id"))
        .values_list("status", "number")
    )
    needs: list[dict[str, str]] = []
    for quota in quotas(caller=visit.caller):
        used = used_now(quota, timezone.now().date())
        if quota.ceiling and used >= 0.8 * quota.ceiling:
            full = used >= quota.ceiling
            share = formats.rate(used, quota.ceiling)
            needs.append({"kind": "full" if full else "warning", "text": f"Quota of {quota.resource}: {share} used."})
    chain = AuditChain.objects.filter(name=visit.caller.project_public_id).first()
    if visit.caller.may(Action.AUDIT_READ):
        from governance.selectors.audit import verifications

        latest = verifications(caller=visit.caller).exclude(finished_at=None).first()
        if latest is not None and latest.status == "broken":
            text = f"The audit chain is broken at entry {latest.first_bad_sequence}."
            needs.append({"kind": "broken", "text": text})
    needs += stopped(visit)
    queue: dict[str, int] = {}
    for entry in jobs.counts():
        queue[entry.state] = queue.get(entry.state, 0) + entry.jobs
    running = states.get(RunStatus.RUNNING, 0)
    return visit.render(
        "console/landing.html",
        title="Overview",
        runs=recent,
        total=sum(states.values()),
        running=running,
        datasets=datasets(visit.caller).count(),
        needs=needs,
        ingestion=ingestion(visit),
        chain=chain,
        waiting=queue.get("pending", 0),
        working=queue.get("running", 0),
        oldest=max(jobs.oldest_waiting_seconds().values(), default=0.0) * 1000,
        address=visit.request.build_absolute_uri("/").rstrip("/"),
    )
