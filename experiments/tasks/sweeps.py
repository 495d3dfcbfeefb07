"""Periodic tasks of experiments. Every one may run twice at once, late or not at all for a while."""

from celery import shared_task

from experiments.services import experiment_sweeps


@shared_task(name="experiments.tasks.sweeps.sweep_lost_experiments")
def sweep_lost_experiments() -> None:
    """Send again what got lost on its way or died with its worker; end what nobody ended."""
    experiment_sweeps.send_lost_work()
