"""The tables of what the server executes, for telemetry."""

from experiments.domain.experiment_status import DatapointRunStatus, ExperimentStatus
from experiments.models import DatapointRun, Experiment
from governance.selectors.jobs import JobKind

KINDS = (
    JobKind("experiment", Experiment, [s.value for s in ExperimentStatus], ExperimentStatus.QUEUED, "created_at"),
    # Those that ended are millions after a while, and nobody's job any more.
    JobKind(
        "datapoint_run",
        DatapointRun,
        [DatapointRunStatus.PENDING.value, DatapointRunStatus.RUNNING.value],
        DatapointRunStatus.PENDING,
        "experiment__started_at",
    ),
)
