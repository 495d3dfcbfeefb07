"""States of what the server executes (experiments, their lanes, their datapoint runs) and the moves between them."""

from enum import StrEnum


class ExperimentStatus(StrEnum):
    """A run that the server executes. `preparing`: its datapoint runs are being written."""

    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class LaneStatus(StrEnum):
    """A share of an experiment's concurrency that one worker takes at a time."""

    WAITING = "waiting"
    RUNNING = "running"


class DatapointRunStatus(StrEnum):
    """One execution of the target on one datapoint."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


EXPERIMENT_ENDED = frozenset({ExperimentStatus.COMPLETED, ExperimentStatus.FAILED, ExperimentStatus.CANCELLED})
EXPERIMENT_UNDER_WAY = frozenset(ExperimentStatus) - EXPERIMENT_ENDED
DATAPOINT_ENDED = frozenset({DatapointRunStatus.COMPLETED, DatapointRunStatus.FAILED, DatapointRunStatus.CANCELLED})

EXPERIMENT_PREDECESSORS: dict[ExperimentStatus, frozenset[ExperimentStatus]] = {
    # Only a pause before the rows were written leads back to the queue.
    ExperimentStatus.QUEUED: frozenset({ExperimentStatus.PREPARING}),
    ExperimentStatus.PREPARING: frozenset({ExperimentStatus.QUEUED}),
    # From an end: failed datapoints are tried again.
    ExperimentStatus.RUNNING: frozenset({ExperimentStatus.PREPARING, ExperimentStatus.PAUSED, *EXPERIMENT_ENDED}),
    ExperimentStatus.PAUSED: frozenset({ExperimentStatus.RUNNING}),
    ExperimentStatus.COMPLETED: frozenset({ExperimentStatus.RUNNING}),
    ExperimentStatus.FAILED: frozenset({ExperimentStatus.QUEUED, ExperimentStatus.PREPARING, ExperimentStatus.RUNNING}),
    ExperimentStatus.CANCELLED: EXPERIMENT_UNDER_WAY,
}
