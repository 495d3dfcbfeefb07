"""The sweep of schedules: turns whose message got lost, or came while nobody worked, are started here."""

import time

import structlog
from django.db.models import Q
from django.db.models.functions import Now

from experiments.models import ExperimentSchedule
from experiments.services import beat_table, schedules

log = structlog.get_logger(__name__)
AT_MOST = 50
BUDGET_SECONDS = 20.0


def start_missed() -> int:
    """Start what is due, longest due first, until the time is used up; how many were started.

    Runs the start itself and sends no message: a long queue must not multiply. Beat's own message usually wins; the
    row's lock and its one conditional UPDATE make sure that only one does.
    """
    beat_table.remove_orphans()
    until = time.monotonic() + BUDGET_SECONDS
    due = ExperimentSchedule.objects.filter(Q(next_due_at__lte=Now()), is_enabled=True).order_by("next_due_at", "pk")
    started = 0
    for pk in list(due.values_list("pk", flat=True)[:AT_MOST]):
        if time.monotonic() > until:
            break
        try:
            started += schedules.start_due(schedule_pk=pk) is not None
        except Exception:  # whatever it is: rolled back whole, due still, and no other schedule waits for it
            log.exception("scheduled_start_failed", schedule=pk)
    return started
