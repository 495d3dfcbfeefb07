"""States of a run and the moves between them, as data."""

from enum import StrEnum


class RunStatus(StrEnum):
    """The five states of the wire contract."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED})

# Clients of the protocol own the status of their runs and may reopen one (a retried upload ends
# "completed" after "failed"), so every state can be reached from every other; a run never
# becomes pending again.
PREDECESSORS: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.PENDING: frozenset({RunStatus.PENDING}),
    RunStatus.RUNNING: frozenset(RunStatus),
    RunStatus.COMPLETED: frozenset(RunStatus),
    RunStatus.FAILED: frozenset(RunStatus),
    RunStatus.CANCELLED: frozenset(RunStatus),
}
