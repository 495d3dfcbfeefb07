"""Periodic tasks of A/B tests. Every one may run twice at once, late or not at all for a while."""

from celery import shared_task

from embeddings_ab.services import cleanup, progress


@shared_task(name="embeddings_ab.tasks.sweeps.sweep_lost_work")
def sweep_lost_work() -> None:
    """Send again what got lost on its way or died with its worker; end tests that are out of time."""
    progress.send_lost_work()


@shared_task(name="embeddings_ab.tasks.sweeps.sweep_expired")
def sweep_expired() -> None:
    """Let expired tests go, delete collections that nobody holds and vectors that nobody used for long."""
    cleanup.sweep()
