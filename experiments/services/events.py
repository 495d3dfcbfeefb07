"""Use cases on events that come over REST: create, create many, update."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from experiments.domain.event_merge import EventUpdate, merged
from experiments.domain.event_row import BUCKETS, run_ids_of, stub
from experiments.domain.wire_events import LooseEventBody, SessionProperties
from experiments.models import Event
from experiments.services.event_rows import batch_session_row, event_row, now_ms
from experiments.services.event_writer import bump_revisions, inherit_run_ids, store_events, sync_measurements
from experiments.telemetry import INGESTED_EVENTS
from governance.domain.actions import Action
from governance.domain.caller import Caller

_RUN_KEYS = ("run_key", "dataset_key", "datapoint_key")  # copies of ids in the metadata
_READ = (
    "id",
    "event_key",
    "session_key",
    "event_type",
    "event_name",
    "start_time",
    "end_time",
    "duration",
    "error",
    "children_ids",
    "client_timestamp",
    "is_stub",
    *_RUN_KEYS,
    *BUCKETS,
)


def create_events(
    *,
    caller: Caller,
    events: Sequence[LooseEventBody],
    session_key: uuid.UUID | None = None,
    single_session: bool = False,
    properties: SessionProperties | None = None,
) -> tuple[list[uuid.UUID], uuid.UUID | None]:
    """Store events; (their ids in the order given, the id of their one session if they share one).

    `session_key` puts all of them into that session, `single_session` into the one the first of them names,
    or a new one. Sending an event again changes nothing.
    """
    caller.require(Action.EVENTS_WRITE)
    if not events:
        return [], session_key
    rows = []
    if single_session:
        session_key = next((event.session_id for event in events if event.session_id), None) or uuid.uuid4()
        rows.append(batch_session_row(session_key, properties or SessionProperties(), list(events)))
    event_rows = [event_row(event, session_key) for event in events]
    store_events(caller=caller, rows=[*rows, *event_rows])
    INGESTED_EVENTS.inc(len(event_rows))
    return [row.event_key for row in event_rows], session_key


def update_event(*, caller: Caller, event_key: uuid.UUID, update: EventUpdate) -> None:
    """Merge an update into an event; an unknown id becomes a session that its spans may still join.

    The event's row stays locked from reading to commit, so no concurrent update loses its keys. Measurements
    follow in the same transaction, and a session's run ids reach those of its events that have none.
    """
    caller.require(Action.EVENTS_WRITE)
    if _update_stored(caller, event_key, update):
        return
    store_events(caller=caller, rows=[stub(event_key, start_time=now_ms())])
    _update_stored(caller, event_key, update)


@transaction.atomic
def _update_stored(caller: Caller, event_key: uuid.UUID, update: EventUpdate) -> bool:
    """Whether the event exists and the update is applied."""
    row = Event.objects.select_for_update(no_key=True).filter(project_id=caller.project_id, event_key=event_key)
    stored: Mapping[str, Any] | None = row.values(*_READ).first()
    if stored is None:
        return False
    changed = merged(stored, update)
    if not changed:
        return True
    if "metadata" in changed:
        changed |= dict(zip(_RUN_KEYS, run_ids_of(changed["metadata"]), strict=True))
    Event.objects.filter(pk=stored["id"]).update(**changed, updated_at=Now())
    if changed.keys() == {"client_timestamp"}:
        return True  # nothing that a result could show
    after = {**stored, **changed}
    if "metrics" in changed or after["run_key"] != stored["run_key"]:
        sync_measurements(project_id=caller.project_id, event_keys=[event_key])
    runs = {stored["run_key"], after["run_key"]}
    if event_key == stored["session_key"] and any(after[name] != stored[name] for name in _RUN_KEYS):
        runs |= inherit_run_ids(project_id=caller.project_id, session_keys=[event_key])
    bump_revisions(project_id=caller.project_id, run_keys=runs)
    return True
