"""Use cases of schedules, and the start of what is due.

Locks are taken in this order: schedule, beat's table, then those of whatever is started (dataset, quota, audit chain).
The row is what is due: beat's message and the sweep only say that somebody should look.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import structlog
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from experiments.adapters.crontabs import read_crontab
from experiments.domain.crontab import next_after
from experiments.domain.experiment_spec import ExperimentSpec
from experiments.domain.experiment_spec_errors import read_experiment_spec
from experiments.domain.schedule_spec import BaselineRun, LatestWithTag, PreviousRun, inside_spec, read_baseline
from experiments.models import Experiment, ExperimentSchedule
from experiments.selectors.dataset_versions import find_version
from experiments.selectors.datasets import find_dataset
from experiments.selectors.runs import runs_of
from experiments.selectors.schedules import (
    find_schedule,
    is_switched_off,
    latest_with_tag,
    previous_of,
    schedule_not_found,
    switched_off,
)
from experiments.services import beat_table, experiment_access
from experiments.services.experiments import create_experiment
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.canonical_json import canonical_json_hash
from governance.domain.errors import Conflict, DomainError, Forbidden, InvalidInput
from governance.models import ProjectStatus
from governance.services import audit
from governance.services.projects import system_caller

log = structlog.get_logger(__name__)
_NAME_LIMIT = 200


@transaction.atomic
def create_schedule(
    *,
    caller: Caller,
    name: str,
    spec: ExperimentSpec,
    crontab: str,
    timezone: str = "UTC",
    baseline: Mapping[str, Any] | None = None,
    is_enabled: bool = True,
) -> ExperimentSchedule:
    """A schedule and its row in beat's table. What it will start is checked as if it were started now.

    Raises what `create_experiment` raises, with `spec.` before the field, and `InvalidInput` naming `name`, `crontab`,
    `timezone` or `baseline`.
    """
    caller.require(Action.RUNS_WRITE)
    schedule = ExperimentSchedule(
        project_id=caller.project_id,
        name=_valid_name(name),
        crontab=_tidy(crontab),
        timezone=timezone,
        is_enabled=is_enabled,
        next_due_at=_next_due(crontab, timezone) if is_enabled else None,
        baseline=_valid_baseline(caller, baseline or {"kind": "none"}),
        spec=_valid_spec(caller, spec),
        created_by=caller.actor_label[:240],
    )
    _save(schedule)
    beat_table.write(schedule, caller.project_name, is_on=is_enabled)
    _record(caller, "experiment_schedule.create", schedule, after=_said(schedule))
    return find_schedule(caller, schedule.public_id)


@transaction.atomic
def update_schedule(
    *,
    caller: Caller,
    schedule_id: str,
    name: str | None = None,
    spec: ExperimentSpec | None = None,
    crontab: str | None = None,
    timezone: str | None = None,
    baseline: Mapping[str, Any] | None = None,
    is_enabled: bool | None = None,
) -> ExperimentSchedule:
    """Change what is given. Another rhythm, or switching on, counts the next turn from now: nothing is made up for."""
    caller.require(Action.RUNS_WRITE)
    given: dict[str, Any] = {"is_enabled": is_enabled, "timezone": timezone}
    given["crontab"] = None if crontab is None else _tidy(crontab)
    given["name"] = None if name is None else _valid_name(name)
    given["baseline"] = None if baseline is None else _valid_baseline(caller, baseline)
    given["spec"] = None if spec is None else _valid_spec(caller, spec)
    schedule = _locked(caller, schedule_id)
    before, is_off = _said(schedule), not schedule.is_enabled or is_switched_off(schedule)
    for field, value in given.items():
        if value is not None:
            setattr(schedule, field, value)
    due, after = _next_due(schedule.crontab, schedule.timezone), _said(schedule)
    changed = sorted(key for key in after if before[key] != after[key])
    is_switched = is_enabled is not None and is_enabled == is_off
    if not changed and not is_switched:
        return find_schedule(caller, schedule_id)
    if not schedule.is_enabled:
        schedule.next_due_at = None
    elif is_switched or {"crontab", "timezone"}.intersection(changed):
        schedule.next_due_at = due
    _save(schedule)
    beat_table.write(schedule, caller.project_name, is_on=is_enabled)
    verb = "update"
    if is_enabled is not None and set(changed) <= {"is_enabled"}:
        verb = "enable" if is_enabled else "disable"
    _record(
        caller,
        f"experiment_schedule.{verb}",
        schedule,
        before={key: before[key] for key in changed},
        after={key: after[key] for key in changed},
    )
    return find_schedule(caller, schedule_id)


def enable_schedule(*, caller: Caller, schedule_id: str) -> ExperimentSchedule:
    """Switch it on, in beat's table too; the next turn counts from now."""
    return update_schedule(caller=caller, schedule_id=schedule_id, is_enabled=True)


def disable_schedule(*, caller: Caller, schedule_id: str) -> ExperimentSchedule:
    """Switch it off: nothing starts by the clock. What was started goes on."""
    return update_schedule(caller=caller, schedule_id=schedule_id, is_enabled=False)


@transaction.atomic
def delete_schedule(*, caller: Caller, schedule_id: str) -> None:
    """Delete a schedule and its row in beat's table; what it started stays."""
    caller.require(Action.RUNS_WRITE)
    schedule = _locked(caller, schedule_id)
    before = _said(schedule)
    beat_table.remove(schedule)
    schedule.delete()  # locks its experiments, which comes before the audit chain
    _record(caller, "experiment_schedule.delete", schedule, before=before)


@transaction.atomic
def start_now(*, caller: Caller, schedule_id: str) -> Experiment:
    """Start one at once, with the caller's rights, switched on or not; the next turn stays where it is."""
    caller.require(Action.RUNS_WRITE)
    schedule = _locked(caller, schedule_id)
    experiment = _create(caller, schedule)
    ExperimentSchedule.objects.filter(pk=schedule.pk).update(last_started_at=Now(), last_error="")
    return experiment


@transaction.atomic
def start_due(*, schedule_pk: int) -> Experiment | None:
    """Start what is due, once, and move `next_due_at` to the next turn after now, in one transaction.

    None when nothing is due, somebody else has just started it, it is switched off in beat's table, or the start was
    refused, which `last_error` then tells. Turns that were missed are started once, not one by one.
    """
    rows = ExperimentSchedule.objects.filter(pk=schedule_pk, is_enabled=True, next_due_at__lte=Now())
    schedule = (
        rows.annotate(now=Now(), is_switched_off=switched_off())
        .select_related("project")
        .select_for_update(of=("self",), skip_locked=True)
        .first()
    )
    if schedule is None:
        return None
    try:
        due = _next_due(schedule.crontab, schedule.timezone, after=schedule.now)
    except InvalidInput as error:  # the time zone left the tables of this machine
        rows.update(is_enabled=False, next_due_at=None, last_error=f"Switched off. {error.message}")
        return None
    if not rows.filter(next_due_at=schedule.next_due_at).update(next_due_at=due) or schedule.is_switched_off:
        return None
    caller = system_caller(schedule.project, label=f"schedule {schedule.name}")
    try:
        if schedule.project.status != ProjectStatus.ACTIVE:
            raise Forbidden(f"Project {schedule.project.name!r} is suspended; nothing was started.")
        with transaction.atomic():
            experiment = _create(caller, schedule)
    except DomainError as error:
        log.warning("scheduled_start_refused", schedule=schedule.public_id, code=error.code, error=error.message)
        ExperimentSchedule.objects.filter(pk=schedule.pk).update(last_error=error.message)
        return None
    ExperimentSchedule.objects.filter(pk=schedule.pk).update(last_started_at=Now(), last_error="")
    log.info("scheduled_start", schedule=schedule.public_id, run_id=experiment.run.run_key)
    return experiment


def _create(caller: Caller, schedule: ExperimentSchedule) -> Experiment:
    """The experiment of a turn. The dataset is pinned now, unless the specification names a version."""
    with inside_spec():
        spec = read_experiment_spec({**schedule.spec, "baseline_run_id": _baseline_run(caller, schedule)})
        return create_experiment(caller=caller, spec=spec, schedule=schedule)


def _baseline_run(caller: Caller, schedule: ExperimentSchedule) -> str | None:
    """The run to compare with now; None while there is no such run yet."""
    baseline = read_baseline(schedule.baseline)
    if isinstance(baseline, BaselineRun):
        return baseline.run_id
    run = None
    if isinstance(baseline, LatestWithTag):
        run = latest_with_tag(caller, baseline.tag)
    elif isinstance(baseline, PreviousRun):
        run = previous_of(caller, schedule)
    return run.run_key if run else None


def _locked(caller: Caller, schedule_id: str) -> ExperimentSchedule:
    rows = ExperimentSchedule.objects.filter(project_id=caller.project_id, public_id=schedule_id)
    schedule = rows.select_for_update().first()
    if schedule is None:
        raise schedule_not_found(schedule_id)
    return schedule


def _save(schedule: ExperimentSchedule) -> None:
    try:
        with transaction.atomic():
            schedule.save()
    except IntegrityError:
        raise Conflict(
            f"Field 'name': a schedule named {schedule.name!r} exists already; choose another name.",
            field="name",
            value=schedule.name,
        ) from None


def _next_due(crontab: str, zone: str, *, after: dt.datetime | None = None) -> dt.datetime:
    """The first turn after a moment (default: now, by our clock, which only chooses which turn is the first)."""
    due = next_after(read_crontab(crontab, zone), after or timezone.now())
    if due is None:
        raise InvalidInput(
            f"Field 'crontab': {crontab[:120]!r} is not due within forty years.", field="crontab", value=crontab[:200]
        )
    return due


def _tidy(crontab: str) -> str:
    """Its parts with one blank between them."""
    return " ".join(crontab.split())


def _valid_name(name: str) -> str:
    if not name.strip() or len(name.strip()) > _NAME_LIMIT:
        raise InvalidInput(
            f"Field 'name' must have 1 to {_NAME_LIMIT} characters; it has {len(name.strip())}.",
            field="name",
            value=name[:200],
        )
    return name.strip()


def _valid_baseline(caller: Caller, data: Mapping[str, Any]) -> dict[str, Any]:
    baseline = read_baseline(dict(data))
    if isinstance(baseline, BaselineRun) and not runs_of(caller).filter(run_key=baseline.run_id).exists():
        raise InvalidInput(
            f"Field 'baseline.run_id': run {baseline.run_id[:100]!r} does not exist in this project.",
            field="baseline.run_id",
            value=baseline.run_id[:200],
        )
    return baseline.model_dump(mode="json")


def _valid_spec(caller: Caller, spec: ExperimentSpec) -> dict[str, Any]:
    """What to store: checked as far as the present tells. Datasets may be filled later.

    Turns act with every right of the project, so what starting takes is asked of whoever writes the specification.
    """
    caller.require(Action.DATASETS_READ)
    with inside_spec():
        if spec.baseline_run_id is not None:
            raise InvalidInput(
                "Field 'baseline_run_id': a schedule chooses its baseline at each start. Leave it out, and give "
                '\'baseline\': {"kind": "run", "run_id": …}, or latest_with_tag, or previous.',
                field="baseline_run_id",
                value=spec.baseline_run_id[:200],
            )
        if spec.dataset_version is not None:
            find_version(caller, spec.dataset_id, spec.dataset_version)
        else:
            find_dataset(caller, spec.dataset_id)
        experiment_access.pin(caller=caller, spec=spec)
    return spec.model_dump(mode="json")


def _said(schedule: ExperimentSchedule) -> dict[str, Any]:
    """What the audit trail keeps of a schedule; the specification by its dataset, target and hash."""
    return {
        "name": schedule.name,
        "crontab": schedule.crontab,
        "timezone": schedule.timezone,
        "baseline": schedule.baseline,
        "is_enabled": schedule.is_enabled,
        "dataset_id": schedule.spec["dataset_id"],
        "target": schedule.spec["target"]["kind"],
        "spec_hash": canonical_json_hash(schedule.spec),
    }


def _record(caller: Caller, action: str, schedule: ExperimentSchedule, **said: Any) -> None:
    audit.record(
        caller=caller,
        action=action,
        target_kind="experiment_schedule",
        target_id=schedule.public_id,
        target_label=schedule.name,
        **said,
    )
