"""Every periodic task, and how the list reaches the table that beat reads and operators switch.

Written at the start of beat. An operator's `enabled` switch is never touched; entries that left this list are
removed from the table, entries that an operator made stay.
"""

from dataclasses import dataclass
from typing import Any

import structlog

log = structlog.get_logger(__name__)
PREFIX = "hhweb: "


@dataclass(frozen=True, slots=True)
class Schedule:
    """One task every so many seconds. A missed turn is not made up: sweeps look at the tables anyway."""

    name: str
    task: str
    seconds: int
    queue: str = "sweeps"


SCHEDULES: tuple[Schedule, ...] = (
    Schedule("send lost audit verifications again", "governance.tasks.sweeps.sweep_lost_verifications", 30),
    Schedule("verify audit chains hourly", "governance.tasks.sweeps.sweep_due_verifications", 300),
    Schedule("give back unused event quota", "governance.tasks.sweeps.sweep_event_quotas", 60),
    Schedule("send lost A/B work again", "embeddings_ab.tasks.sweeps.sweep_lost_work", 10),
    Schedule("clean up after A/B tests", "embeddings_ab.tasks.sweeps.sweep_expired", 120),
    Schedule("send lost experiments again", "experiments.tasks.sweeps.sweep_lost_experiments", 5),
    Schedule("start due experiments", "experiments.tasks.schedules.sweep_schedules", 15),
    Schedule("delete old idempotent answers", "governance.tasks.sweeps.sweep_idempotent_answers", 900),
)


def write(schedules: tuple[Schedule, ...] | None = None) -> None:
    """Make the table agree with the list. Running it twice changes nothing."""
    from django.db import transaction
    from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

    wanted = SCHEDULES if schedules is None else schedules
    with transaction.atomic():
        changed = 0
        for entry in wanted:
            interval = IntervalSchedule.objects.filter(every=entry.seconds, period=IntervalSchedule.SECONDS).first()
            if interval is None:
                interval = IntervalSchedule.objects.create(every=entry.seconds, period=IntervalSchedule.SECONDS)
            fields: dict[str, Any] = {
                "task": entry.task,
                "interval_id": interval.pk,
                "queue": entry.queue,
                "expire_seconds": max(entry.seconds, 60),
            }
            row = PeriodicTask.objects.filter(name=PREFIX + entry.name)
            if not row.exists():
                PeriodicTask.objects.create(name=PREFIX + entry.name, **fields)
                changed += 1
            elif row.exclude(**fields).exists():
                row.update(**fields)
                changed += 1
        retired, _ = (
            PeriodicTask.objects.filter(name__startswith=PREFIX)
            .exclude(name__in=[PREFIX + entry.name for entry in wanted])
            .delete()
        )
        if changed or retired:
            PeriodicTasks.update_changed()
            log.info("schedules_written", changed=changed, retired=retired)
