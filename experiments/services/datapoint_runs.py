"""Single executions: claimed by one conditional UPDATE under their lane's lease, ended by another.

Law of attempts: a claim counts the attempt and commits before the call is made, so that no call is ever made that is
not written down. An attempt ends as completed or failed for good (with its events in the same transaction), as a
failure that is tried again, or is given back because no call was made; an attempt whose worker died is counted as lost
by whoever claims the row next. What a worker writes after it lost its lease names an old token and changes nothing.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from django.db import DataError, OperationalError, transaction
from django.db.models import DurationField, Exists, ExpressionWrapper, F, Q
from django.db.models.functions import Coalesce, Now

from experiments import telemetry
from experiments.domain.calls import CallFailed
from experiments.domain.event_row import storable_text
from experiments.domain.experiment_status import DatapointRunStatus
from experiments.models import DatapointRun, Lane
from experiments.services.datapoint_events import EVENTS_PER_DATAPOINT, Outcome, events_of, system_caller
from experiments.services.event_writer import write_events
from governance.models.clock import from_now
from governance.models.leased_work import LeaseLost
from governance.outbound.retries import delay_before
from governance.services import ingestion_quota
from governance.services.heartbeats import lease

CostOf = Callable[[int | None, int | None], Decimal | None]
MOST_LOST_ATTEMPTS = 20  # workers that died over one datapoint
RELEASED_FOR = dt.timedelta(seconds=1)
KEPT_ERRORS = 20
_ATTEMPTS_TO_STORE = 5
_DEADLOCKS = {"40P01", "40001"}
PENDING = Q(status=DatapointRunStatus.PENDING) & (Q(next_attempt_at__isnull=True) | Q(next_attempt_at__lte=Now()))
LOST = Q(status=DatapointRunStatus.RUNNING) & (Q(leased_until__isnull=True) | Q(leased_until__lt=Now()))


def mark_of(lane: Lane) -> str:
    """Who holds a row: this claim of this lane."""
    return f"lane {lane.pk}:{lane.lease_token}"


def claim_rows(lane: Lane, *, count: int) -> list[DatapointRun]:
    """Up to `count` rows that are due, those of dead workers first, else in the random order. Snapshots come along.

    Raises `LeaseLost` when the lane is not held any more: its room may be somebody else's.
    """
    mark = mark_of(lane)
    mine = DatapointRun.objects.filter(experiment_id=lane.experiment_id)
    with transaction.atomic():
        _require_lane(lane)
        # Rows that another worker is about to claim are passed over, not waited for.
        lost = list(
            mine.filter(LOST)
            .select_for_update(skip_locked=True)
            .order_by("leased_until")
            .values_list("pk", flat=True)[:count]
        )
        fresh: list[int] = []
        if len(lost) < count:
            waiting = mine.filter(PENDING).select_for_update(skip_locked=True).order_by("rank")
            fresh = list(waiting.values_list("pk", flat=True)[: count - len(lost)])
        if not lost and not fresh:
            return []
        claimed: dict[str, Any] = {
            "status": DatapointRunStatus.RUNNING,
            "attempts": F("attempts") + 1,
            "lease_token": F("lease_token") + 1,
            "lease_holder": mark,
            "leased_until": from_now(lease()),
            "next_attempt_at": None,
            "started_at": Coalesce("started_at", Now()),
        }
        if fresh:
            DatapointRun.objects.filter(PENDING, pk__in=fresh).update(**claimed)
        if lost:
            DatapointRun.objects.filter(LOST, pk__in=lost).update(**claimed, lost_attempts=F("lost_attempts") + 1)
            telemetry.LOST_DATAPOINT_ATTEMPTS.inc(len(lost))
        held = DatapointRun.objects.filter(pk__in=[*lost, *fresh], status=DatapointRunStatus.RUNNING, lease_holder=mark)
        return list(held.select_related("snapshot").order_by("rank"))


def renew_rows(lane: Lane) -> None:
    """Prolong the leases of all rows that this claim of the lane holds. One statement."""
    held = DatapointRun.objects.filter(lease_holder=mark_of(lane), status=DatapointRunStatus.RUNNING)
    with transaction.atomic():
        _require_lane(lane)
        held.update(leased_until=from_now(lease()))


def store_outcomes(lane: Lane, outcomes: Sequence[Outcome], *, event_type: str, cost_of: CostOf) -> None:
    """End these attempts in one transaction: rows first, then the events of those that ended for good.

    Rows that are not held any more are left alone, and their events are not stored. Events that were taken from the
    quota and not stored go back to it. An answer that the database cannot hold fails its datapoint alone. Raises
    `LeaseLost` when the lane is not held any more.
    """
    stored = 0
    try:
        stored = _stored_in_pieces(lane, outcomes, event_type, cost_of)
    finally:
        ingestion_quota.put_back(
            project_id=lane.experiment.project_id, events=EVENTS_PER_DATAPOINT * len(outcomes) - stored
        )


def _stored_in_pieces(lane: Lane, outcomes: Sequence[Outcome], event_type: str, cost_of: CostOf) -> int:
    try:
        return _stored(lane, outcomes, event_type, cost_of)
    except (DataError, ValueError) as error:
        if len(outcomes) > 1:
            return sum(_stored_in_pieces(lane, [outcome], event_type, cost_of) for outcome in outcomes)
        (outcome,) = outcomes
        refused = CallFailed(
            f"The database cannot hold what came of the call ({type(error).__name__}).",
            error_class="unstorable",
            is_transient=False,
        )
        return _stored(lane, [replace(outcome, answer=None, judgement=None, error=refused)], event_type, cost_of)


def _stored(lane: Lane, outcomes: Sequence[Outcome], event_type: str, cost_of: CostOf) -> int:
    for attempt in range(1, _ATTEMPTS_TO_STORE + 1):
        try:
            with transaction.atomic():
                return _store(lane, outcomes, event_type, cost_of)
        except OperationalError as error:
            if attempt == _ATTEMPTS_TO_STORE or getattr(error.__cause__, "sqlstate", None) not in _DEADLOCKS:
                raise
    raise AssertionError("unreachable")


def _store(lane: Lane, outcomes: Sequence[Outcome], event_type: str, cost_of: CostOf) -> int:
    _require_lane(lane)
    experiment = lane.experiment
    events = []
    # In the order of keys, as every writer locks.
    for outcome in sorted(outcomes, key=lambda outcome: outcome.row.pk):
        changes = _changes(lane, outcome, cost_of)
        if outcome.row.held().update(leased_until=None, lease_holder="", **changes) and (
            changes["status"] != DatapointRunStatus.PENDING
        ):
            events += events_of(experiment, outcome, event_type=event_type)
    return write_events(caller=system_caller(experiment), rows=events) if events else 0


def unfinished(experiment: Any) -> Q:
    """Whether the experiment (a key, or a reference of an outer query) has rows that wait or run.

    Two questions, because each has an index of its own; one over both states would walk over all finished rows.
    """
    rows = DatapointRun.objects.filter(experiment_id=experiment)
    return Q(Exists(rows.filter(status=DatapointRunStatus.PENDING))) | Q(
        Exists(rows.filter(status=DatapointRunStatus.RUNNING))
    )


def give_up_rows(lane: Lane) -> None:
    """Attempts that this worker cannot end: counted as lost at once, instead of when their lease has run out."""
    held = DatapointRun.objects.filter(lease_holder=mark_of(lane), status=DatapointRunStatus.RUNNING)
    with transaction.atomic():
        _require_lane(lane)
        given_up = held.update(
            status=DatapointRunStatus.PENDING,
            lost_attempts=F("lost_attempts") + 1,
            next_attempt_at=from_now(RELEASED_FOR),
            leased_until=None,
            lease_holder="",
            lease_token=F("lease_token") + 1,
        )
    telemetry.LOST_DATAPOINT_ATTEMPTS.inc(given_up)


def _require_lane(lane: Lane) -> None:
    """Raise `LeaseLost` unless the lane is held, and keep it so until the commit.

    The lane's row is the first lock of whoever writes to datapoint runs, so that nobody takes it over or calls it off
    in between, and no two writers wait for each other.
    """
    if not lane.held().filter(leased_until__gte=Now()).select_for_update().values_list("pk").first():
        raise LeaseLost(f"Lane {lane.pk}")


def _changes(lane: Lane, outcome: Outcome, cost_of: CostOf) -> dict[str, Any]:
    row, error = outcome.row, outcome.error
    message = "" if error is None else storable_text(error.message)
    if error is None:
        answer = outcome.answer
        assert answer is not None
        return {
            "status": DatapointRunStatus.COMPLETED,
            "latency_ms": answer.latency_ms,
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "cost": cost_of(answer.prompt_tokens, answer.completion_tokens),
            "error_class": "",
            "error_message": "",
            "finished_at": Now(),
        }
    if not error.called and error.is_transient:
        # Nobody was called: the attempt did not happen.
        return {
            "status": DatapointRunStatus.PENDING,
            "attempts": F("attempts") - 1,
            "next_attempt_at": from_now(RELEASED_FOR),
            "error_class": error.error_class,
            "error_message": message,
        }
    entry = {
        "attempt": row.attempts,
        "error_class": error.error_class,
        "message": message,
        "latency_ms": error.latency_ms,
        "at": dt.datetime.fromtimestamp(outcome.ended_ms / 1000, tz=dt.UTC).isoformat(),
    }
    changes: dict[str, Any] = {
        "failures": F("failures") + 1,
        "error_class": error.error_class,
        "error_message": message,
        "attempt_errors": [*row.attempt_errors, entry][-KEPT_ERRORS:],
    }
    wait = retry_after(lane.experiment.spec["retry"], row, error)
    if wait is None:
        return {**changes, "status": DatapointRunStatus.FAILED, "latency_ms": error.latency_ms, "finished_at": Now()}
    return {**changes, "status": DatapointRunStatus.PENDING, "next_attempt_at": from_now(dt.timedelta(seconds=wait))}


def retry_after(policy: dict[str, Any], row: DatapointRun, error: CallFailed) -> float | None:
    """Seconds until this datapoint is tried again after `error`; None when it has failed for good.

    The shared policy of outbound calls (exponential with full jitter, `Retry-After` as a lower bound), scaled to the
    experiment's own first and longest delay.
    """
    tried = row.failures - row.failures_forgiven + 1
    if not error.is_transient or tried >= policy["max_attempts"]:
        return None
    return delay_before(
        tried,
        retry_after=error.retry_after_seconds,
        seed=f"{row.experiment_id}:{row.rank}",
        first=policy["first_delay_seconds"],
        longest=policy["longest_delay_seconds"],
    )


def seconds_until_due(lane: Lane) -> float | None:
    """When the next row of the experiment that waits for its next attempt is due; None when none waits."""
    waiting = DatapointRun.objects.filter(experiment_id=lane.experiment_id, status=DatapointRunStatus.PENDING)
    first = waiting.order_by(F("next_attempt_at").asc(nulls_first=True)).annotate(
        wait=ExpressionWrapper(Coalesce("next_attempt_at", Now()) - Now(), output_field=DurationField())
    )
    wait = first.values_list("wait", flat=True).first()
    return None if wait is None else max(0.0, wait.total_seconds())
