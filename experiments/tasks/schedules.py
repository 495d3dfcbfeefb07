"""Worker's edge of schedules: beat's message for one, and the sweep over all."""

from celery import shared_task

from experiments.services.beat_table import START_DUE


@shared_task(name=START_DUE)
def start_due(schedule_id: int) -> None:
    """Start the experiment of a schedule when it is due; doing it twice or too late changes nothing."""
    from experiments.services import schedules

    schedules.start_due(schedule_pk=schedule_id)


@shared_task(name="experiments.tasks.schedules.sweep_schedules")
def sweep_schedules() -> None:
    """Start what is due and was not started."""
    from experiments.services import schedule_sweeps

    schedule_sweeps.start_missed()
