"""Runs of the server in every state, versions of a dataset, configurations and schedules, for tests and screenshots."""

import datetime as dt
import uuid
from dataclasses import dataclass, field
from decimal import Decimal

from django.utils import timezone

from experiments.domain.experiment_spec import ExperimentSpec
from experiments.domain.experiment_status import DatapointRunStatus, ExperimentStatus, LaneStatus
from experiments.domain.run_status import RunStatus
from experiments.models import (
    Configuration,
    ConfigurationVersion,
    DatapointRun,
    DatapointSnapshot,
    DatasetVersion,
    Experiment,
    ExperimentSchedule,
    Lane,
    Run,
)
from experiments.services.dataset_versions import snapshot_dataset
from governance.domain.caller import Caller
from governance.services.heartbeats import lease
from governance.services.projects import system_caller
from tests.console.seed import Seeded

MESSAGES = [
    {"role": "system", "content": "You answer questions about pumps.\nBe brief."},
    {"role": "user", "content": "{{question}}"},
]
RUN_STATUS = {
    ExperimentStatus.QUEUED: RunStatus.PENDING,
    ExperimentStatus.PREPARING: RunStatus.PENDING,
    ExperimentStatus.RUNNING: RunStatus.RUNNING,
    ExperimentStatus.PAUSED: RunStatus.RUNNING,
    ExperimentStatus.COMPLETED: RunStatus.COMPLETED,
    ExperimentStatus.FAILED: RunStatus.FAILED,
    ExperimentStatus.CANCELLED: RunStatus.CANCELLED,
}


@dataclass
class SeededExperiments:
    """What was made; experiments by status."""

    seeded: Seeded
    caller: Caller
    versions: list[DatasetVersion]
    configuration: Configuration
    schedules: list[ExperimentSchedule]
    by_status: dict[str, Experiment] = field(default_factory=dict)


def spec_over(seeded: Seeded, **changes: object) -> dict[str, object]:
    """A stored specification of an HTTP target."""
    spec = {
        "name": "prompt v5",
        "dataset_id": seeded.dataset.public_id,
        "target": {"kind": "http", "url": "https://app.example.com/answer", "response_path": "answer"},
        "evaluators": [{"name": "exact_match", "metric_name": "exact"}],
        "tags": ["nightly"],
        **changes,
    }
    return ExperimentSpec.model_validate(spec).model_dump(mode="json")


def make_experiment(seeded: Seeded, version: DatasetVersion, status: str, **changes: object) -> Experiment:
    """An experiment with its run; without datapoint runs."""
    now = timezone.now()
    run_status = RUN_STATUS[ExperimentStatus(status)]
    ended = run_status in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)
    key = str(uuid.uuid4())
    run = Run.objects.create(
        project=seeded.project,
        run_key=key,
        name=f"server {status}",
        status=run_status,
        dataset=seeded.dataset,
        created_by="anna",
        metadata={"dataset_version": version.number, "executed_by": "server"},
        finished_at=now if ended else None,
    )
    return Experiment.objects.create(
        **{
            "project": seeded.project,
            "run": run,
            "dataset_version": version,
            "status": status,
            "spec": spec_over(seeded, name=run.name, dataset_version=version.number, seed=7),
            "seed": 7,
            "tags": ["nightly"],
            "baseline_run_key": seeded.runs[0].run_key,
            "datapoint_runs_count": version.datapoint_count,
            "created_by": "anna",
            "started_at": now - dt.timedelta(seconds=30),
            "finished_at": now if ended else None,
            **changes,
        }
    )


def make_executions(experiment: Experiment, *, done: int, failed: int = 0, again: int = 0, running: int = 0) -> None:
    """Its datapoint runs, in order: done, failed, to be tried again, running; the rest waits (or was cancelled)."""
    now = timezone.now()
    items = experiment.dataset_version.items.select_related("snapshot").order_by("position")
    rest = DatapointRunStatus.CANCELLED if experiment.status == ExperimentStatus.CANCELLED else "pending"
    rows = []
    for rank, item in enumerate(items):
        row = DatapointRun(
            experiment=experiment,
            snapshot=item.snapshot,
            datapoint_key=item.snapshot.datapoint_key,
            rank=rank,
            session_key=uuid.uuid4(),
            status=rest,
        )
        if rank < done + failed:
            row.status, row.attempts, row.finished_at = "completed", 1, now - dt.timedelta(seconds=rank % 20)
            row.latency_ms, row.prompt_tokens, row.completion_tokens = 840.5 + rank, 210, 42
            row.cost = Decimal("0.00031")
        if done <= rank < done + failed:
            row.status, row.attempts, row.failures = "failed", 3, 3
            row.error_class, row.error_message = "server_error", "The endpoint answered 503: upstream is away."
        elif done + failed <= rank < done + failed + again:
            row.attempts, row.failures, row.next_attempt_at = 1, 1, now + dt.timedelta(seconds=20)
            row.error_class, row.error_message = "rate_limited", "The endpoint answered 429 and asked for 20 s."
        elif done + failed + again <= rank < done + failed + again + running:
            row.status, row.attempts, row.lost_attempts = "running", 2, 1
            row.lease_holder, row.leased_until = "w1", now + lease()
        rows.append(row)
    DatapointRun.objects.bulk_create(rows)


def seed_experiments(seeded: Seeded) -> SeededExperiments:
    """Everything; numbers are the same each time."""
    caller = system_caller(seeded.project)
    first = snapshot_dataset(caller=caller, dataset_id=seeded.dataset.public_id)
    changed, gone = seeded.datapoints[0], seeded.datapoints[1]
    changed.inputs = {"question": "How do I reset the new meter after a power failure? (case 1)"}
    changed.save()
    seeded.dataset.memberships.filter(datapoint=gone).delete()
    seeded.dataset.revision += 1
    seeded.dataset.save()
    second = snapshot_dataset(caller=caller, dataset_id=seeded.dataset.public_id)
    assert DatapointSnapshot.objects.count() == first.datapoint_count + 1
    parameters = {"call_type": "chat", "model": "gpt-4o-mini", "hyperparameters": {"temperature": 0.2}}
    configuration = Configuration.objects.create(
        project=seeded.project,
        name="support answers",
        provider="openai",
        parameters={**parameters, "template": MESSAGES},
        tags=["support"],
        version=2,
    )
    old = [{**MESSAGES[0], "content": "You answer questions about pumps."}, MESSAGES[1]]
    for number, template in enumerate((old, MESSAGES), start=1):
        ConfigurationVersion.objects.create(
            configuration=configuration,
            number=number,
            provider="openai",
            parameters={**parameters, "template": template},
            content_hash=f"{number:064d}",
            created_by="anna",
        )
    now = timezone.now()
    nightly = ExperimentSchedule.objects.create(
        project=seeded.project,
        name="nightly against the release",
        spec=spec_over(seeded, name="nightly"),
        crontab="0 2 * * *",
        timezone="Europe/Vienna",
        baseline={"kind": "latest_with_tag", "tag": "release"},
        next_due_at=now + dt.timedelta(hours=7),
        last_started_at=now - dt.timedelta(hours=17),
        created_by="anna",
    )
    weekly = ExperimentSchedule.objects.create(
        project=seeded.project,
        name="weekly",
        spec=spec_over(seeded, name="weekly"),
        crontab="30 6 * * 1",
        baseline={"kind": "previous"},
        is_enabled=False,
        last_error="Field 'target.url': the project's rules do not allow the provider 'http'.",
    )
    made = SeededExperiments(seeded, caller, [first, second], configuration, [nightly, weekly])
    for status in ExperimentStatus:
        version = first if status == ExperimentStatus.CANCELLED else second
        schedule = nightly if status == ExperimentStatus.COMPLETED else None
        made.by_status[status.value] = make_experiment(seeded, version, status.value, schedule=schedule)
    whole = second.datapoint_count
    running = made.by_status["running"]
    make_executions(running, done=whole // 2, failed=1, again=1, running=1)
    Lane.objects.create(
        experiment=running,
        number=0,
        granted=8,
        status=LaneStatus.RUNNING,
        lease_holder="worker-a:4120",
        leased_until=now + lease() - dt.timedelta(seconds=2),
    )
    Lane.objects.create(experiment=running, number=1)
    make_executions(made.by_status["paused"], done=whole // 3)
    make_executions(made.by_status["completed"], done=whole - 2, failed=2)
    make_executions(made.by_status["failed"], done=0, failed=whole)
    make_executions(made.by_status["cancelled"], done=whole // 2)
    failed = made.by_status["failed"]
    failed.error_code, failed.error_message = "server_error", "No datapoint was completed; the first failed with: 503."
    failed.save()
    return made
