"""Reads of schedules, always inside the caller's project, and of the switch that beat's table holds for each."""

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Concat
from django_celery_beat.models import PeriodicTask

from experiments.domain.run_status import RunStatus
from experiments.models import Experiment, ExperimentSchedule, Run
from experiments.selectors.runs import runs_of
from governance.domain.caller import Caller
from governance.domain.errors import NotFound

# Other prefixes are somebody else's: hhweb/schedules.py removes what begins with "hhweb: " and is not in its list.
BEAT_PREFIX = "experiment schedule "


def beat_name(schedule: ExperimentSchedule) -> str:
    """Name of a schedule's row in beat's table."""
    return f"{BEAT_PREFIX}{schedule.public_id}"


def schedules(caller: Caller) -> QuerySet[ExperimentSchedule]:
    """The project's schedules by name, with `last_run_key` (or None) and `is_switched_off`: enabled, but not in beat's
    table, where only an operator leaves it so.
    """
    started = Experiment.objects.filter(schedule=OuterRef("pk")).order_by("-id")
    rows = ExperimentSchedule.objects.filter(project_id=caller.project_id).annotate(
        is_switched_off=Q(is_enabled=True) & Q(switched_off()),
        last_run_key=Subquery(started.values("run__run_key")[:1]),
    )
    return rows.order_by("name", "id")


def find_schedule(caller: Caller, schedule_id: str) -> ExperimentSchedule:
    """One schedule by its public id, or `NotFound`."""
    found = schedules(caller).filter(public_id=schedule_id).first()
    if found is None:
        raise schedule_not_found(schedule_id)
    return found


def schedule_not_found(schedule_id: str) -> NotFound:
    """The one answer for ids that do not exist and ids of other projects."""
    return NotFound(
        f"Field 'schedule_id': this project has no schedule {schedule_id[:80]!r}. "
        "GET /api/v1/experiment-schedules lists them.",
        field="schedule_id",
        value=schedule_id[:200],
    )


def switched_off() -> Exists:
    """A condition on schedules: an operator switched the row in beat's table off. A row that is gone is not off."""
    name = Concat(Value(BEAT_PREFIX), OuterRef("public_id"))
    return Exists(PeriodicTask.objects.filter(name=name, enabled=False))


def is_switched_off(schedule: ExperimentSchedule) -> bool:
    """Whether an operator switched this schedule's row in beat's table off."""
    return bool(PeriodicTask.objects.filter(name=beat_name(schedule), enabled=False).exists())


def completed_runs(caller: Caller) -> QuerySet[Run]:
    """The project's completed runs, the last one to finish first."""
    return runs_of(caller).filter(status=RunStatus.COMPLETED).order_by("-finished_at", "-id")


def latest_with_tag(caller: Caller, tag: str) -> Run | None:
    """The last completed run with the tag: one of its experiment's, or in its metadata's `tags` (a list or one text).

    Metadata is whatever a client sent, so it is looked at here, row by row, and not by the database's JSON functions.
    """
    rows = completed_runs(caller).filter(Q(experiment__isnull=False) | Q(metadata__has_key="tags"))
    for pk, metadata, tags in rows.values_list("pk", "metadata", "experiment__tags").iterator(chunk_size=100):
        said = metadata.get("tags")
        if tag == said or (isinstance(said, list) and tag in said) or tag in (tags or ()):
            return Run.objects.get(pk=pk)
    return None


def previous_of(caller: Caller, schedule: ExperimentSchedule) -> Run | None:
    """The last completed run that the schedule started."""
    return completed_runs(caller).filter(experiment__schedule=schedule).first()
