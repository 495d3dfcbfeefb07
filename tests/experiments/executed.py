"""Rows of experiments as workers leave them, without any worker: for tests of what is shown of them."""

import datetime as dt
import itertools
import uuid
from decimal import Decimal
from typing import Any

from django.utils import timezone

from experiments.domain.experiment_spec_errors import read_experiment_spec
from experiments.domain.experiment_status import EXPERIMENT_ENDED, DatapointRunStatus
from experiments.models import (
    DatapointRun,
    DatapointSnapshot,
    Dataset,
    DatasetVersion,
    DatasetVersionItem,
    Experiment,
    ExperimentSchedule,
)
from governance.models import Project
from tests.experiments.factories import make_run

_numbers = itertools.count(1)
RUN_STATUS = {"queued": "pending", "preparing": "pending", "paused": "running"}


def make_version(project: Project, *, datapoints: int = 3, name: str = "questions") -> DatasetVersion:
    """A version of a new dataset with so many datapoints."""
    number = next(_numbers)
    dataset = Dataset.objects.create(project=project, name=f"{name} {number}")
    version = DatasetVersion.objects.create(
        project=project,
        dataset=dataset,
        dataset_key=dataset.public_id,
        dataset_name=dataset.name,
        number=1,
        content_hash=f"{number:064x}",
        datapoint_count=datapoints,
    )
    for position in range(datapoints):
        snapshot = DatapointSnapshot.objects.create(
            project=project,
            content_hash=f"{number:032x}{position:032x}",
            datapoint_key=f"datapoint-{number}-{position}",
            inputs={"question": position},
            ground_truth={"answer": position},
        )
        DatasetVersionItem.objects.create(version=version, snapshot=snapshot, position=position)
    return version


def make_experiment(
    project: Project,
    *,
    status: str = "running",
    version: DatasetVersion | None = None,
    name: str = "nightly",
    tags: tuple[str, ...] = (),
    **fields: Any,
) -> Experiment:
    """An experiment and its run, without datapoint runs."""
    version = version or make_version(project)
    spec = read_experiment_spec(
        {
            "name": name,
            "dataset_id": version.dataset_key,
            "target": {"kind": "http", "url": "https://target.example/answer"},
            "tags": list(tags),
        }
    ).model_dump(mode="json")
    run_key = fields.pop("run_key", None) or str(uuid.uuid4())
    run = make_run(project, run_key=run_key, name=name, status=RUN_STATUS.get(status, status), dataset=version.dataset)
    ended = status in EXPERIMENT_ENDED
    return Experiment.objects.create(
        **{
            "project": project,
            "run": run,
            "dataset_version": version,
            "status": status,
            "spec": spec,
            "pinned": {"target": {}, "evaluators": [], "run_metadata": {}},
            "seed": 7,
            "tags": list(tags),
            "datapoint_runs_count": version.datapoint_count,
            "started_at": None if status in ("queued", "preparing") else timezone.now() - dt.timedelta(seconds=30),
            "finished_at": timezone.now() if ended else None,
            **fields,
        }
    )


def make_schedule(project: Project, *, name: str = "nightly", **fields: Any) -> ExperimentSchedule:
    """A schedule that is switched off, so that nothing is due."""
    spec = {"name": name, "dataset_id": "none", "target": {"kind": "http", "url": "https://target.example/answer"}}
    return ExperimentSchedule.objects.create(
        **{"project": project, "name": name, "spec": spec, "crontab": "0 2 * * *", "is_enabled": False, **fields}
    )


def make_datapoint_runs(experiment: Experiment, *kinds: dict[str, Any] | str) -> list[DatapointRun]:
    """One datapoint run for each kind: a status, or fields; ranks go on behind those that are there."""
    snapshots = [item.snapshot for item in experiment.dataset_version.items.select_related("snapshot")]
    first = experiment.datapoint_runs.count()
    rows = []
    for rank, kind in enumerate(kinds, start=first):
        fields = {"status": kind} if isinstance(kind, str) else dict(kind)
        snapshot = snapshots[rank % len(snapshots)]
        status = fields.get("status", "pending")
        fields = {**_left_by(status), **fields}
        rows.append(
            DatapointRun(
                experiment=experiment,
                snapshot=snapshot,
                datapoint_key=snapshot.datapoint_key,
                repetition=rank // len(snapshots),
                rank=rank,
                session_key=uuid.uuid4(),
                **fields,
            )
        )
    return DatapointRun.objects.bulk_create(rows)


def _left_by(status: str) -> dict[str, Any]:
    now = timezone.now()
    if status == DatapointRunStatus.COMPLETED:
        known = {"latency_ms": 12.5, "prompt_tokens": 10, "completion_tokens": 2, "cost": Decimal("0.000025")}
        return {"attempts": 1, "started_at": now, "finished_at": now, **known}
    if status == DatapointRunStatus.FAILED:
        error = {"error_class": "http_500", "error_message": "The target answered 500."}
        return {"attempts": 3, "failures": 3, "started_at": now, "finished_at": now, **error}
    if status == DatapointRunStatus.RUNNING:
        lease = {"leased_until": now + dt.timedelta(minutes=1), "lease_holder": "lane 1:1"}
        return {"attempts": 1, "started_at": now, **lease}
    return {}
