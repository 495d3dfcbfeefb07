"""Worker's edge of experiments on the server."""

from celery import shared_task

from experiments import dispatch


@shared_task(name=dispatch.PREPARE_EXPERIMENT)
def prepare_experiment(experiment_id: int) -> None:
    """Write what is to be executed; doing it twice or too late changes nothing."""
    from experiments.services import experiment_preparation

    experiment_preparation.prepare_experiment(experiment_id=experiment_id)


@shared_task(name=dispatch.TAKE_TURN)
def take_turn(lane_id: int) -> None:
    """Execute datapoints for a while."""
    from experiments.services import turns

    turns.take_turn(lane_id=lane_id)
