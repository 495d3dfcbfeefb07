"""How an experiment ends or stops by itself: everything is done, or nothing may go on for now."""

import structlog
from django.db import transaction
from django.db.models import F, OuterRef
from django.db.models.functions import Now
from django.utils import timezone

from experiments import telemetry
from experiments.domain.experiment_status import (
    EXPERIMENT_PREDECESSORS,
    DatapointRunStatus,
    ExperimentStatus,
    LaneStatus,
)
from experiments.domain.run_status import RunStatus
from experiments.models import DatapointRun, Experiment, Lane, Run
from experiments.services import datapoint_runs
from experiments.services.event_writer import bump_revisions

log = structlog.get_logger(__name__)
RUN_STATUS = {
    ExperimentStatus.COMPLETED: RunStatus.COMPLETED,
    ExperimentStatus.FAILED: RunStatus.FAILED,
    ExperimentStatus.CANCELLED: RunStatus.CANCELLED,
}


def move_experiment(pk: int, to: ExperimentStatus, **changes: object) -> bool:
    """One statement; False when the present status does not allow it."""
    row = Experiment.objects.filter(pk=pk, status__in=[s.value for s in EXPERIMENT_PREDECESSORS[to]])
    return row.update(status=to.value, **changes) == 1


def end_if_done(*, experiment_id: int) -> bool:
    """running → completed | failed when every datapoint run has ended; True when this call did it.

    Failed: not one datapoint was completed. The run ends in the same transaction.
    """
    done = Experiment.objects.filter(
        ~datapoint_runs.unfinished(OuterRef("pk")), pk=experiment_id, status=ExperimentStatus.RUNNING
    )
    if not done.exists():
        return False
    with transaction.atomic():
        # Locked first: a statement that had to wait for somebody's retry would not see what that changed.
        list(Experiment.objects.select_for_update(no_key=True).filter(pk=experiment_id).values_list("pk"))
        completed = DatapointRun.objects.filter(
            experiment_id=experiment_id, status=DatapointRunStatus.COMPLETED
        ).exists()
        to = ExperimentStatus.COMPLETED if completed else ExperimentStatus.FAILED
        changes: dict[str, object] = {"error_code": "", "error_message": ""}
        if not completed:
            first = DatapointRun.objects.filter(experiment_id=experiment_id).order_by("rank").first()
            if first is not None:
                changes = {
                    "error_code": first.error_class,
                    "error_message": f"No datapoint was completed; the first failed with: {first.error_message}",
                }
        if not done.update(status=to.value, finished_at=Now(), **changes):
            return False
        # Of a worker that died: a retry of failed ones need not wait for its lease.
        Lane.objects.filter(experiment_id=experiment_id, status=LaneStatus.RUNNING).update(
            status=LaneStatus.WAITING,
            granted=0,
            leased_until=None,
            lease_holder="",
            lease_token=F("lease_token") + 1,
        )
        _end_run(experiment_id, to)
    telemetry.ENDED_EXPERIMENTS.labels(to.value).inc()
    log.info("experiment_ended", experiment_id=experiment_id, status=to.value)
    return True


def fail_experiment(*, experiment_id: int, code: str, message: str) -> None:
    """The preparation cannot succeed: nothing was called. The run ends with it."""
    with transaction.atomic():
        if not move_experiment(
            experiment_id,
            ExperimentStatus.FAILED,
            finished_at=Now(),
            error_code=code,
            error_message=message,
            leased_until=None,
            lease_holder="",
        ):
            return
        _end_run(experiment_id, ExperimentStatus.FAILED)
    telemetry.ENDED_EXPERIMENTS.labels(ExperimentStatus.FAILED.value).inc()
    log.warning("experiment_failed", experiment_id=experiment_id, cause=code)


def pause_by_itself(*, experiment_id: int, code: str, message: str) -> None:
    """Nothing may go on until somebody does something (a quota is used up, a rule forbids the provider)."""
    if move_experiment(experiment_id, ExperimentStatus.PAUSED, error_code=code, error_message=message):
        log.warning("experiment_paused", experiment_id=experiment_id, cause=code)


def _end_run(experiment_id: int, to: ExperimentStatus) -> None:
    run = Run.objects.get(experiment__pk=experiment_id)
    now = timezone.now()
    Run.objects.move(run.pk, RUN_STATUS[to], finished_at=now, updated_at=now)
    bump_revisions(project_id=run.project_id, run_keys=[run.run_key])
