"""Writes events in bulk, with everything that must be true in the same transaction.

The laws. Events come in any order and any number of times: per top-level key of a bucket the stored value wins
over a re-sent one, and a stub (an event known only by its id) is filled by the first that brings the real one.
An unknown session is made, never refused. Measurements copy the numbers of the metrics. An event that lacks run,
dataset or datapoint id takes its session's, whichever of the two came first. Locks are taken in one order:
sessions, events, measurements, counts, revisions; inside each by key.
"""

import contextlib
import secrets
import threading
from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

from django.db import DataError, OperationalError, connection, transaction
from django.utils import timezone

from experiments.domain.event_row import (
    EventRow,
    combine_all,
    inherit,
    measured,
    run_ids_of,
    storable_text,
    stub,
)
from experiments.services.event_statements import statements
from experiments.services.event_statements.shapes import BUMP, Count, RunIds, StoredSession
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.errors import InvalidInput
from governance.services import ingestion_quota

__all__ = [
    "bump_revisions",
    "inherit_run_ids",
    "reserved",
    "run_ids_of",
    "store_events",
    "sync_measurements",
    "write_events",
]

SLOTS = 16
_DEADLOCKS = {"40P01", "40001"}
_ATTEMPTS = 4
_own = threading.local()


def store_events(*, caller: Caller, rows: Sequence[EventRow], rejected: int = 0) -> None:
    """Reserve quota and store `rows` in one transaction; when this returns they are committed.

    `rejected` is counted beside them. Raises `Forbidden`, `QuotaExceeded`, `InvalidInput`. A caller that has a
    transaction of its own uses `reserved` and `write_events`.
    """
    caller.require(Action.EVENTS_WRITE)
    with reserved(caller=caller, events=len(rows)):
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with transaction.atomic():
                    new = write_events(caller=caller, rows=rows, rejected=rejected)
                break
            except OperationalError as error:
                if attempt == _ATTEMPTS or getattr(error.__cause__, "sqlstate", None) not in _DEADLOCKS:
                    raise
            except DataError as error:
                raise InvalidInput(f"The database cannot hold this: {error}.", field="body") from None
    ingestion_quota.put_back(project_id=caller.project_id, events=len(rows) - new)


@contextlib.contextmanager
def reserved(*, caller: Caller, events: int) -> Iterator[None]:
    """Take `events` of the quota and give them back if the block fails. Enter it before opening a transaction."""
    ingestion_quota.take(project_id=caller.project_id, events=events)
    try:
        yield
    except BaseException:
        ingestion_quota.put_back(project_id=caller.project_id, events=events)
        raise


def write_events(*, caller: Caller, rows: Sequence[EventRow], rejected: int = 0) -> int:
    """Store `rows` inside the caller's transaction, without asking for quota; how many of them are new events."""
    project_id = caller.project_id
    given = combine_all(rows)
    stored, written = _open_sessions(project_id, given)
    met = statements().upsert_events(project_id, [written[key] for key in sorted(written)])
    runs = {met[row.event_key].run_key if row.event_key in met else row.run_key for row in given}
    new = [row for row in given if row.event_key not in met]
    # Sessions that another request made meanwhile: what was thought of their events is void.
    late = {key for key in met if written[key].is_session and key not in stored}
    runs |= _hand_on(project_id, stored, written, met)
    _relink(project_id, given, late)
    again = [row.event_key for row in given if row.event_key in met or row.session_key in late]
    statements().sync_measurements(project_id, again)
    statements().finish(
        project_id,
        measurements=_measurements([row for row in new if row.session_key not in late]),
        count=_count(caller, len(new), rejected),
        run_keys=sorted({run_key for run_key in runs if run_key is not None}),
    )
    return len(new)


def _open_sessions(project_id: int, given: list[EventRow]) -> tuple[dict[UUID, StoredSession], dict[UUID, EventRow]]:
    """Lock every session that is mentioned, give its events its run ids, and link parents by their spans.

    Returns the sessions that were there, and all rows to store: the given ones and stubs of unknown sessions.
    """
    written = {row.event_key: row for row in given}
    earliest: dict[UUID, EventRow] = {}
    for row in given:
        known = earliest.setdefault(row.session_key, row)
        if row.start_time < known.start_time:
            earliest[row.session_key] = row
    if not earliest:
        return {}, written
    # Whoever changes a session or chose an id of its own waits for all who write into it, and they for him.
    exclusive = any(row.is_session or row.span_key is not None for row in given)
    stored = statements().lock_sessions(project_id, sorted(earliest), exclusive=exclusive)
    for key, row in earliest.items():
        if key not in written and _needs_stub(stored.get(key), row):
            written[key] = stub(key, start_time=row.start_time, source=row.source)
    _link_parents(project_id, given)
    for row in given:
        if row.is_session:
            continue
        if (session := stored.get(row.session_key)) is not None:
            inherit(row, session.run_ids)
        if (start := written.get(row.session_key)) is not None:
            inherit(row, (start.run_key, start.dataset_key, start.datapoint_key))
    return stored, written


def _needs_stub(session: StoredSession | None, row: EventRow) -> bool:
    return session is None or (session.is_stub and row.start_time < session.start_time)


def _hand_on(
    project_id: int,
    stored: dict[UUID, StoredSession],
    written: dict[UUID, EventRow],
    met: dict[UUID, RunIds],
) -> set[str]:
    """Give the run ids of sessions that were there already to those of their events that lack them.

    A stub brings no ids to a session that was known before. Returns the runs whose events changed.
    """
    return statements().hand_on_run_ids(
        project_id,
        [
            key
            for key, run_ids in met.items()
            if written[key].is_session and any(run_ids) and (key not in stored or not written[key].is_stub)
        ],
    )


def _relink(project_id: int, given: list[EventRow], late: set[UUID]) -> None:
    """Point children that were stored before their parent to the id it chose."""
    parents = {row.event_key for row in given if row.span_key is not None}
    wanted = {row.parent_key for row in given if row.session_key in late and row.parent_key is not None}
    if wanted:
        parents |= set(statements().find_by_span(project_id, list(wanted)).values())
    statements().relink_children(project_id, sorted(parents))


def _link_parents(project_id: int, given: list[EventRow]) -> None:
    """Replace the span's id by the event's own, where a parent chose one."""
    wanted = {row.parent_key for row in given if row.parent_key is not None and row.parent_key != row.session_key}
    wanted -= {row.event_key for row in given if row.span_key is None}
    if not wanted:
        return
    chosen = statements().find_by_span(project_id, list(wanted))
    chosen |= {(row.session_key, row.span_key): row.event_key for row in given if row.span_key is not None}
    if chosen:
        for row in given:
            if row.parent_key is not None:
                row.parent_key = chosen.get((row.session_key, row.parent_key), row.parent_key)


def _measurements(rows: list[EventRow]) -> list[tuple[object, ...]]:
    """The measurements of new events; those of merged ones follow from what the database made of them."""
    return [
        (
            row.event_key,
            storable_text(name),
            value,
            is_boolean,
            row.session_key,
            row.run_key,
            storable_text(row.event_name),
            row.event_type,
        )
        for row in rows
        if row.metrics
        for name, value, is_boolean in measured(row.metrics)
    ]


def sync_measurements(*, project_id: int, event_keys: Iterable[UUID]) -> None:
    """Make the measurements of these events equal to the numbers among their stored metrics.

    Session, run, name and type of the event are copied anew, too. For updates, inside their transaction.
    """
    statements().sync_measurements(project_id, sorted(set(event_keys)))


def inherit_run_ids(*, project_id: int, session_keys: Iterable[UUID]) -> set[str]:
    """Give run ids of stored sessions to those of their events that lack them; the runs to bump."""
    return statements().hand_on_run_ids(project_id, sorted(set(session_keys)))


def bump_revisions(*, project_id: int, run_keys: Iterable[str | None]) -> None:
    """Say that these runs, or events of them, changed. The last statement before the commit."""
    params = [(project_id, run_key, _slot()) for run_key in sorted({key for key in run_keys if key is not None})]
    if params:
        with connection.cursor() as cursor:
            cursor.executemany(BUMP, params)


def _count(caller: Caller, events: int, rejected: int) -> Count:
    """One request of the key in this hour."""
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    stamp = connection.ops.adapt_datetimefield_value(hour)
    return Count(caller.key_id, caller.actor_label[:240], stamp, _slot(), events, rejected)


def _slot() -> int:
    """The slot of this thread: writers that count in different rows do not wait for each other's commit."""
    slot: int | None = getattr(_own, "slot", None)
    if slot is None:
        slot = _own.slot = secrets.randbelow(SLOTS)
    return slot
