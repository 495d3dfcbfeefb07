"""Use cases that write runs. A run's events are not its property: they stay when the run is deleted.

Locks are taken in this order: dataset, experiment, run, revision, quota, audit chain. The status of a run that the
server executes follows its experiment (services/experiments.py): nobody else moves it, nobody deletes it under way.
"""

import uuid
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from experiments.domain.experiment_status import EXPERIMENT_ENDED
from experiments.domain.external_ids import move_in
from experiments.domain.run_status import TERMINAL, RunStatus
from experiments.domain.wire_runs import RunBody, RunUpdateBody
from experiments.models import Dataset, Experiment, Run
from experiments.selectors.runs import run_not_found, runs_of
from experiments.services.event_writer import bump_revisions
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.errors import Conflict, InvalidInput
from governance.models import Resource
from governance.services import audit, quotas

_RESERVED = frozenset({".", "..", "schema"})
_ID_LIMIT = 255


def _valid_run_key(run_id: str | None) -> str:
    """The client's id, or a new UUID. Ids that no path can carry are refused."""
    if not run_id:
        return str(uuid.uuid4())
    if run_id in _RESERVED or "/" in run_id or not run_id.strip() or not run_id.isprintable():
        raise InvalidInput(
            f"Field 'run_id': {run_id[:100]!r} cannot stand in an address. Use letters, digits and marks but '/', "
            f"and none of {', '.join(sorted(_RESERVED))}.",
            field="run_id",
            value=run_id[:100],
        )
    return run_id


def _short_enough(offline: str) -> str:
    if len(offline) > _ID_LIMIT:
        raise InvalidInput(
            f"Field 'metadata.offline_dataset_id' has {len(offline)} characters; shorten it to {_ID_LIMIT}.",
            field="metadata.offline_dataset_id",
        )
    return offline


def _locked_dataset(caller: Caller, public_id: str | None) -> Dataset | None:
    if public_id is None:
        return None
    # Locked, so that it cannot be deleted before the run refers to it.
    dataset = Dataset.objects.select_for_update(no_key=True).filter(project_id=caller.project_id, public_id=public_id)
    found = dataset.first()
    if found is None:
        raise InvalidInput(
            f"Field 'dataset_id': dataset {public_id!r} does not exist in this project. Create it first, or use an id "
            "that starts with 'EXT-' for a dataset of your own.",
            field="dataset_id",
            value=public_id,
        )
    return found


@transaction.atomic
def create_run(*, caller: Caller, body: RunBody) -> Run:
    """A run, by default pending. A `run_id` that the project has already is a conflict."""
    caller.require(Action.RUNS_WRITE)
    status = body.parsed_status() or RunStatus.PENDING
    run_key = _valid_run_key(body.run_id)
    managed, offline, metadata = move_in(body.dataset_id, body.folded_metadata())
    dataset = _locked_dataset(caller, managed)
    run = Run(
        project_id=caller.project_id,
        run_key=run_key,
        name=body.name or "",
        description=body.description or "",
        status=status,
        dataset=dataset,
        offline_dataset_id=_short_enough(offline),
        metadata=metadata,
        results=body.results or {},
        configuration=body.configuration or {},
        event_ids=body.event_ids or [],
        created_by=caller.actor_label[:240],
        finished_at=timezone.now() if status in TERMINAL else None,
    )
    try:
        with transaction.atomic():
            run.save(force_insert=True)
    except IntegrityError:
        raise Conflict(
            f"Field 'run_id': run {run_key!r} exists already. Update it, or choose another id.",
            field="run_id",
            value=run_key,
        ) from None
    bump_revisions(project_id=caller.project_id, run_keys=[run_key])
    quotas.reserve(project_id=caller.project_id, resource=Resource.RUNS)
    audit.record(
        caller=caller,
        action="run.create",
        target_kind="run",
        target_id=run_key,
        target_label=run.name,
        after={"name": run.name, "status": status.value, "dataset_id": managed or offline or None},
    )
    return run


@transaction.atomic
def update_run(*, caller: Caller, run_key: str, body: RunUpdateBody) -> Run:
    """Merge what is given into a run: objects key by key with the new value winning, everything else replaced.

    The row is locked while it is merged, so that concurrent updates keep each other's keys; status and fields
    change in one statement. A run that has started cannot become pending again. To repeat the status of a run that
    the server executes changes nothing; another one is a conflict.
    """
    caller.require(Action.RUNS_WRITE)
    status = body.parsed_status()
    run = runs_of(caller).select_for_update(of=("self",)).filter(run_key=run_key).first()
    if run is None:
        raise run_not_found(run_key)
    if status is not None and Experiment.objects.filter(run=run).exists():
        if status != run.status:
            raise Conflict(
                f"Field 'status': run {run_key[:100]!r} is executed by the server, which alone says that it is "
                f"{run.status}. Cancel, pause or resume it below /api/v1/experiments.",
                field="status",
                value=status.value,
            )
        status = None
    _, offline, metadata = move_in(None, body.folded_metadata())
    fields: dict[str, Any] = {"updated_at": timezone.now()}
    for name in ("name", "description", "event_ids"):
        if (value := getattr(body, name)) is not None:
            fields[name] = value
    for name, given in (("metadata", metadata), ("results", body.results), ("configuration", body.configuration)):
        if given:
            fields[name] = {**getattr(run, name), **given}
    if offline:
        fields["offline_dataset_id"] = _short_enough(offline)
    before = {"status": run.status, "name": run.name}
    if status is None:
        Run.objects.filter(pk=run.pk).update(**fields)
    else:
        fields["finished_at"] = (run.finished_at or fields["updated_at"]) if status in TERMINAL else None
        if not Run.objects.move(run.pk, status, **fields):
            raise Conflict(
                f"Field 'status': a run that is {run.status!r} cannot become {status.value!r} again. "
                "Create a new run instead.",
                field="status",
                value=status.value,
            )
        run.status = status.value
    for name, value in fields.items():
        setattr(run, name, value)
    bump_revisions(project_id=caller.project_id, run_keys=[run_key])
    audit.record(
        caller=caller,
        action="run.update",
        target_kind="run",
        target_id=run_key,
        target_label=run.name,
        before=before,
        after={"status": run.status, "name": run.name, "fields": sorted(set(fields) - {"updated_at", "finished_at"})},
    )
    return run


@transaction.atomic
def delete_run(*, caller: Caller, run_key: str) -> Run:
    """Delete a run and give its quota back. Its events stay; a new run of the same id would find them again.

    One that the server executes must have ended: what workers hold then is theirs no more, and nothing starts anew.
    """
    caller.require(Action.RUNS_WRITE)
    _require_ended(caller, run_key)
    run = runs_of(caller).select_for_update(of=("self",)).filter(run_key=run_key).first()
    if run is None:
        raise run_not_found(run_key)
    Run.objects.filter(pk=run.pk).delete()
    bump_revisions(project_id=caller.project_id, run_keys=[run_key])
    quotas.give_back(project_id=caller.project_id, resource=Resource.RUNS)
    audit.record(
        caller=caller,
        action="run.delete",
        target_kind="run",
        target_id=run_key,
        target_label=run.name,
        before={"name": run.name, "status": run.status},
    )
    return run


def _require_ended(caller: Caller, run_key: str) -> None:
    """Lock the experiment of a run, if it has one, and refuse while it is under way."""
    executed = Experiment.objects.filter(project_id=caller.project_id, run__run_key=run_key)
    experiment = executed.select_for_update(of=("self",)).first()
    if experiment is not None and experiment.status not in EXPERIMENT_ENDED:
        raise Conflict(
            f"Run {run_key[:100]!r} is {experiment.status} on the server. Cancel it first "
            f"(POST /api/v1/experiments/{run_key[:100]}/cancel), then delete it.",
            field="run_id",
            value=run_key[:255],
        )
