"""The names of the background jobs of experiments, and how they are sent: after commit, forgetting failure.

A message carries an id and may be lost, doubled or late: the row is the job, and a sweep sends again.
"""

from collections.abc import Collection

from experiments.models import Experiment, Lane
from governance.dispatch import after_commit

PREPARE_EXPERIMENT = "experiments.tasks.experiments.prepare_experiment"
TAKE_TURN = "experiments.tasks.experiments.take_turn"

__all__ = ["send_lanes", "send_preparations"]


def send_preparations(experiment_ids: Collection[int]) -> None:
    """Have the datapoint runs of experiments written."""
    Experiment.note_dispatch(experiment_ids)
    for pk in experiment_ids:
        after_commit(PREPARE_EXPERIMENT, pk)


def send_lanes(lane_ids: Collection[int], *, delay_seconds: float = 0.0) -> None:
    """Offer lanes to workers, not before `delay_seconds` from now."""
    Lane.note_dispatch(lane_ids)
    for pk in lane_ids:
        after_commit(TAKE_TURN, pk, delay_seconds=delay_seconds)
