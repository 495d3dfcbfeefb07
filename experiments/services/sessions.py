"""Use cases on sessions: start (again and again), delete."""

import uuid
from typing import Any

from django.db import transaction

from experiments.domain.wire_events import SessionBody
from experiments.models import Event, Measurement
from experiments.selectors.events import as_uuid, get_stored_event
from experiments.services.event_rows import session_row
from experiments.services.event_writer import bump_revisions, store_events
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.errors import NotFound
from governance.services import audit


def start_session(*, caller: Caller, session: SessionBody) -> dict[str, Any]:
    """Make the session, or add to the one of that id what it does not say yet; the event as the wire shows it."""
    caller.require(Action.EVENTS_WRITE)
    key = session.session_id or uuid.uuid4()
    store_events(caller=caller, rows=[session_row(key, session)])
    return get_stored_event(caller=caller, event_key=key)


@transaction.atomic
def delete_session(*, caller: Caller, session_id: str) -> int:
    """Delete a session with all its events and measurements; how many events there were."""
    caller.require(Action.EVENTS_WRITE)
    key = as_uuid(session_id)
    missing = NotFound(f"Session {session_id!r} does not exist in this project.", field="session_id", value=session_id)
    if key is None:
        raise missing
    found = Event.objects.filter(project_id=caller.project_id, session_key=key)
    # The session first, then its events: the order in which every writer locks.
    list(found.filter(event_key=key).select_for_update().values_list("pk"))
    runs = set(found.order_by("event_key").select_for_update().values_list("run_key", flat=True))
    if not runs:
        raise missing
    deleted, _ = found.delete()
    Measurement.objects.filter(project_id=caller.project_id, session_key=key).delete()
    bump_revisions(project_id=caller.project_id, run_keys=runs)
    audit.record(
        caller=caller,
        action="session.delete",
        target_kind="session",
        target_id=str(key),
        before={"events": deleted, "runs": sorted(run for run in runs if run)[:100]},
    )
    return deleted
