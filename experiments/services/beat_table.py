"""Rows of schedules in beat's table (`django_celery_beat`), written in the transaction that changes the schedule.

Saving or deleting a row there tells every beat, through a table of its own, to read again within seconds. Rows of
crontab lines are shared and stay, as celery's own are: somebody else's task may stand on them.
"""

import json

from django.db.models import Value
from django.db.models.functions import Concat
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from experiments.models import ExperimentSchedule
from experiments.selectors.schedules import BEAT_PREFIX, beat_name

START_DUE = "experiments.tasks.schedules.start_due"  # the task that every row sends
# A turn that waited longer than this in the queue is left to the sweep.
_EXPIRE_SECONDS = 120


def write(schedule: ExperimentSchedule, project_name: str, *, is_on: bool | None) -> None:
    """Make the row agree with the schedule; the switch only where `is_on` says so, else an operator's choice stays."""
    minute, hour, day, month, weekday = schedule.crontab.split()
    line = {
        "minute": minute,
        "hour": hour,
        "day_of_month": day,
        "month_of_year": month,
        "day_of_week": weekday,
        "timezone": schedule.timezone,
    }
    crontab = CrontabSchedule.objects.filter(**line).first() or CrontabSchedule.objects.create(**line)
    fields = {
        "task": START_DUE,
        "crontab": crontab,
        "args": json.dumps([schedule.pk]),
        "expire_seconds": _EXPIRE_SECONDS,
        "description": f"{schedule.name}, of project {project_name}",
    }
    switch = {} if is_on is None else {"enabled": is_on}
    PeriodicTask.objects.update_or_create(
        name=beat_name(schedule),
        defaults={**fields, **switch},
        create_defaults={**fields, "enabled": schedule.is_enabled},
    )


def remove(schedule: ExperimentSchedule) -> None:
    """Take the row away."""
    for row in PeriodicTask.objects.filter(name=beat_name(schedule)):
        row.delete()


def remove_orphans() -> int:
    """Take rows away whose schedule went with its project; how many."""
    known = ExperimentSchedule.objects.annotate(row=Concat(Value(BEAT_PREFIX), "public_id")).order_by().values("row")
    gone = list(PeriodicTask.objects.filter(name__startswith=BEAT_PREFIX).exclude(name__in=known))
    for row in gone:
        row.delete()
    return len(gone)
