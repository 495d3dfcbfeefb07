"""Use cases on experiments that the server executes: create, cancel, pause, resume, try failed ones again, run again.

Locks are taken in this order: experiment, datapoint runs and lanes, run, sessions and events, revisions, quota, audit
chain. Workers find out by their lease: every call-off makes the tokens of lanes and rows grow.
"""

import secrets
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from experiments import dispatch, telemetry
from experiments.domain.experiment_spec import ExperimentSpec
from experiments.domain.experiment_status import (
    EXPERIMENT_ENDED,
    DatapointRunStatus,
    ExperimentStatus,
    LaneStatus,
)
from experiments.domain.run_status import RunStatus
from experiments.domain.wire_runs import RunBody
from experiments.models import (
    DatapointRun,
    Dataset,
    DatasetVersion,
    Event,
    Experiment,
    ExperimentSchedule,
    Lane,
    Measurement,
    Run,
)
from experiments.selectors.runs import run_not_found, runs_of
from experiments.services import dataset_versions, experiment_access, experiment_endings
from experiments.services.event_writer import bump_revisions
from experiments.services.runs import create_run
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.errors import Conflict, InvalidInput
from governance.services import audit

MOST_DATAPOINT_RUNS = 1_000_000
SEEDS = 2**53  # what every JSON reader can hold
_SESSIONS_AT_ONCE = 5_000
_NOT_RETRIED = {
    ExperimentStatus.QUEUED: "It has not started yet.",
    ExperimentStatus.PREPARING: "It has not started yet.",
    ExperimentStatus.CANCELLED: "Run it again instead.",
}


@transaction.atomic
def create_experiment(
    *, caller: Caller, spec: ExperimentSpec, schedule: ExperimentSchedule | None = None
) -> Experiment:
    """A run that the server will execute, with everything it refers to pinned; workers take it up after the commit.

    Raises `InvalidInput`, `NotFound`, `Forbidden`, `ProviderNotAllowed`, `QuotaExceeded`, each naming its field.
    """
    caller.require(Action.RUNS_WRITE)
    pinned = experiment_access.pin(caller=caller, spec=spec)
    version = dataset_versions.snapshot_dataset(caller=caller, dataset_id=spec.dataset_id, number=spec.dataset_version)
    return _create(caller, spec, pinned, version, schedule)


@transaction.atomic
def rerun_experiment(*, caller: Caller, run_id: str, name: str = "") -> Experiment:
    """The same again: dataset version, configuration and metric versions of the first run, in the same order."""
    caller.require(Action.RUNS_WRITE)
    first = _experiment(caller, run_id)
    spec = ExperimentSpec.model_validate(
        {
            **first.spec,
            "name": name or first.spec["name"],
            "dataset_version": first.dataset_version.number,
            "seed": first.seed,
        }
    )
    pinned = experiment_access.pin(caller=caller, spec=spec, earlier=first.pinned)
    return _create(caller, spec, pinned, first.dataset_version, None, rerun_of=first.run.run_key)


def _create(
    caller: Caller,
    spec: ExperimentSpec,
    pinned: experiment_access.Pinned,
    version: DatasetVersion,
    schedule: ExperimentSchedule | None,
    *,
    rerun_of: str = "",
) -> Experiment:
    count = version.datapoint_count * spec.repetitions
    if not count:
        raise InvalidInput(
            f"Field 'dataset_id': dataset {version.dataset_name!r} holds no datapoints at version {version.number}. "
            "Add some first.",
            field="dataset_id",
            value=version.dataset_key,
        )
    if count > MOST_DATAPOINT_RUNS:
        raise InvalidInput(
            f"Field 'repetitions': {version.datapoint_count:,} datapoints times {spec.repetitions} are {count:,} "
            f"executions; at most {MOST_DATAPOINT_RUNS:,} are possible.",
            field="repetitions",
            value=spec.repetitions,
        )
    if spec.baseline_run_id and not runs_of(caller).filter(run_key=spec.baseline_run_id).exists():
        raise InvalidInput(
            f"Field 'baseline_run_id': run {spec.baseline_run_id[:100]!r} does not exist in this project.",
            field="baseline_run_id",
            value=spec.baseline_run_id[:100],
        )
    has_dataset = Dataset.objects.filter(project_id=caller.project_id, public_id=version.dataset_key).exists()
    seed = spec.seed if spec.seed is not None else secrets.randbelow(SEEDS)
    body = RunBody(
        name=spec.name,
        description=spec.description or None,
        status=RunStatus.PENDING.value,
        dataset_id=version.dataset_key if has_dataset else None,
        configuration={
            "function": spec.function,
            "evaluators": [evaluator.metric for evaluator in spec.evaluators],
            "target": spec.target.kind,
            "repetitions": spec.repetitions,
        },
        metadata=_run_metadata(spec, pinned, version, rerun_of),
        passing_ranges=spec.passing_ranges or None,
    )
    run = create_run(caller=caller, body=body)
    experiment = Experiment.objects.create(
        project_id=caller.project_id,
        run=run,
        dataset_version=version,
        schedule=schedule,
        spec={**spec.model_dump(mode="json"), "dataset_version": version.number, "seed": seed},
        pinned=pinned.document,
        seed=seed,
        provider=pinned.provider,
        baseline_run_key=spec.baseline_run_id or "",
        tags=list(spec.tags),
        datapoint_runs_count=count,
        created_by=caller.actor_label[:240],
    )
    dataset_versions.record_new_version(caller=caller, version=version)
    _record(caller, "experiment.create", experiment, run, after={"dataset_version": str(version), "executions": count})
    dispatch.send_preparations([experiment.pk])
    return experiment


def _run_metadata(
    spec: ExperimentSpec, pinned: experiment_access.Pinned, version: DatasetVersion, rerun_of: str
) -> dict[str, Any]:
    """What the run says of itself beside the user's metadata."""
    said: dict[str, Any] = {
        **spec.metadata,
        **pinned.document.get("run_metadata", {}),
        "dataset_version": version.number,
        "executed_by": "server",
    }
    optional = {
        "tags": list(spec.tags),
        "bounds": {name: list(bounds) for name, bounds in spec.bounds.items()},
        "baseline_run_id": spec.baseline_run_id,
        "rerun_of": rerun_of,
    }
    return {**said, **{name: value for name, value in optional.items() if value}}


@transaction.atomic
def cancel_experiment(*, caller: Caller, run_id: str) -> Experiment:
    """End it now. What is stored stays; calls under way are cut off within seconds and stored nowhere."""
    caller.require(Action.RUNS_WRITE)
    experiment = _experiment(caller, run_id, lock=True)
    changed = experiment_endings.move_experiment(
        experiment.pk,
        ExperimentStatus.CANCELLED,
        finished_at=Now(),
        error_code="",
        error_message="",
        leased_until=None,
        lease_holder="",
        lease_token=F("lease_token") + 1,
    )
    if not changed:
        raise _conflict(experiment, "cancelled", "It has ended already.")
    # Lanes first, in their order: theirs is the first lock of whoever writes to datapoint runs.
    list(Lane.objects.select_for_update().filter(experiment=experiment).order_by("pk").values_list("pk"))
    Lane.objects.filter(experiment=experiment).update(
        status=LaneStatus.WAITING,
        granted=0,
        asked_at=None,
        leased_until=None,
        lease_holder="",
        lease_token=F("lease_token") + 1,
    )
    open_rows = DatapointRun.objects.filter(
        experiment=experiment, status__in=[DatapointRunStatus.PENDING, DatapointRunStatus.RUNNING]
    )
    cancelled = open_rows.update(
        status=DatapointRunStatus.CANCELLED,
        finished_at=Now(),
        leased_until=None,
        lease_holder="",
        lease_token=F("lease_token") + 1,
    )
    _move_run(experiment, RunStatus.CANCELLED)
    telemetry.ENDED_EXPERIMENTS.labels(ExperimentStatus.CANCELLED.value).inc()
    _record(caller, "experiment.cancel", experiment, experiment.run, after={"executions_cancelled": cancelled})
    return _reread(experiment)


@transaction.atomic
def pause_experiment(*, caller: Caller, run_id: str) -> Experiment:
    """Start no further calls; those under way end and are stored. Nothing is lost."""
    caller.require(Action.RUNS_WRITE)
    experiment = _experiment(caller, run_id, lock=True)
    if not experiment_endings.move_experiment(experiment.pk, ExperimentStatus.PAUSED):
        raise _conflict(experiment, "paused", "Only a running one can be paused.")
    _record(caller, "experiment.pause", experiment, experiment.run)
    return _reread(experiment)


@transaction.atomic
def resume_experiment(*, caller: Caller, run_id: str) -> Experiment:
    """Go on where it was paused, by somebody or by itself."""
    caller.require(Action.RUNS_WRITE)
    experiment = _experiment(caller, run_id, lock=True)
    if experiment.status != ExperimentStatus.PAUSED:
        raise _conflict(experiment, "resumed", "Only a paused one can be resumed.")
    experiment_endings.move_experiment(experiment.pk, ExperimentStatus.RUNNING, error_code="", error_message="")
    _offer_lanes(experiment)
    _record(caller, "experiment.resume", experiment, experiment.run)
    return _reread(experiment)


@transaction.atomic
def retry_failed(*, caller: Caller, run_id: str) -> int:
    """Set failed datapoint runs back, with the full retry policy before them; how many they were.

    What their last attempt stored is deleted in the same transaction: at the end there is one result each.
    """
    caller.require(Action.RUNS_WRITE)
    experiment = _experiment(caller, run_id, lock=True)
    if experiment.status in _NOT_RETRIED:
        raise _conflict(experiment, "retried", _NOT_RETRIED[ExperimentStatus(experiment.status)])
    failed = list(
        DatapointRun.objects.select_for_update()
        .filter(experiment=experiment, status=DatapointRunStatus.FAILED)
        .order_by("pk")
        .values_list("pk", "session_key")
    )
    if not failed:
        raise _conflict(experiment, "retried", "No datapoint of it has failed.")
    DatapointRun.objects.filter(experiment=experiment, status=DatapointRunStatus.FAILED).update(
        status=DatapointRunStatus.PENDING,
        failures_forgiven=F("failures"),
        lost_forgiven=F("lost_attempts"),
        next_attempt_at=None,
        finished_at=None,
        latency_ms=None,
        lease_token=F("lease_token") + 1,
    )
    _delete_sessions(caller, sorted(key for _, key in failed))
    _offer_lanes(experiment)
    if experiment.status in EXPERIMENT_ENDED:
        experiment_endings.move_experiment(
            experiment.pk, ExperimentStatus.RUNNING, finished_at=None, error_code="", error_message=""
        )
        _move_run(experiment, RunStatus.RUNNING)
    else:
        bump_revisions(project_id=caller.project_id, run_keys=[experiment.run.run_key])
    _record(caller, "experiment.retry_failed", experiment, experiment.run, after={"executions": len(failed)})
    return len(failed)


def _delete_sessions(caller: Caller, keys: list[Any]) -> None:
    for start in range(0, len(keys), _SESSIONS_AT_ONCE):
        block = keys[start : start + _SESSIONS_AT_ONCE]
        found = Event.objects.filter(project_id=caller.project_id, session_key__in=block)
        # Sessions first, then their events: the order in which every writer locks.
        list(found.filter(event_key=F("session_key")).order_by("event_key").select_for_update().values_list("pk"))
        found.delete()
        Measurement.objects.filter(project_id=caller.project_id, session_key__in=block).delete()


def _offer_lanes(experiment: Experiment) -> None:
    """Those that nobody holds; who holds one finds the work by himself."""
    waiting = Lane.objects.filter(experiment=experiment, status=LaneStatus.WAITING).order_by("pk")
    pks = list(waiting.select_for_update(skip_locked=True).values_list("pk", flat=True))
    Lane.objects.filter(pk__in=pks).update(next_attempt_at=None)
    dispatch.send_lanes(pks)


def _experiment(caller: Caller, run_id: str, *, lock: bool = False) -> Experiment:
    rows = Experiment.objects.filter(project_id=caller.project_id, run__run_key=run_id)
    if lock:
        # No key lock: rows that refer to it are checked for that at their commit and must not wait for us.
        rows = rows.select_for_update(of=("self",), no_key=True)
    found = rows.select_related("run", "dataset_version", "project").first()
    if found is not None:
        return found
    if runs_of(caller).filter(run_key=run_id).exists():
        raise Conflict(
            f"Run {run_id[:100]!r} is not executed by the server but by a client; act there.", field="run_id"
        )
    raise run_not_found(run_id)


def _move_run(experiment: Experiment, to: RunStatus) -> None:
    """The run follows its experiment, in the same transaction."""
    now = timezone.now()
    finished = now if to == RunStatus.CANCELLED else None
    Run.objects.move(experiment.run_id, to, finished_at=finished, updated_at=now)
    bump_revisions(project_id=experiment.project_id, run_keys=[experiment.run.run_key])


def _reread(experiment: Experiment) -> Experiment:
    return Experiment.objects.select_related("run", "dataset_version", "project").get(pk=experiment.pk)


def _conflict(experiment: Experiment, done: str, why: str) -> Conflict:
    return Conflict(
        f"Run {str(experiment.run)[:100]!r} is {experiment.status} and cannot be {done}. {why}",
        status=experiment.status,
    )


def _record(
    caller: Caller, action: str, experiment: Experiment, run: Run, *, after: dict[str, Any] | None = None
) -> None:
    audit.record(
        caller=caller,
        action=action,
        target_kind="run",
        target_id=run.run_key,
        target_label=run.name,
        before={"status": experiment.status} if action != "experiment.create" else None,
        after=after or {},
    )
