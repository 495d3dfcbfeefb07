"""Rows to store, made from what clients send over REST: the defaults of the protocol live here."""

import time
import uuid

from experiments.domain.event_row import UNNAMED_SESSION, EventRow
from experiments.domain.wire_events import LooseEventBody, SessionBody, SessionProperties

UNKNOWN = "unknown"


def now_ms() -> float:
    """Epoch milliseconds, as SDKs stamp them."""
    return time.time_ns() / 1e6


def times_of(body: LooseEventBody | SessionBody) -> tuple[float, float, float]:
    """(start, end, duration) in milliseconds; what is missing follows from the rest, a missing start is now."""
    start, end, duration = body.start_time, body.end_time, body.duration
    if start is None:
        start = end - (duration or 0.0) if end is not None else now_ms()
    if end is None:
        end = start + (duration or 0.0)
    return start, end, max(end - start, 0.0) if duration is None else duration


def session_row(key: uuid.UUID, session: SessionBody) -> EventRow:
    """The session event: its event id is its session id."""
    start, end, duration = times_of(session)
    metadata = session.metadata or {}
    if session.source is not None:
        metadata = {"source": session.source, **metadata}
    return EventRow(
        event_key=key,
        session_key=key,
        parent_key=None,
        span_key=None,
        event_type="session",
        event_name=session.session_name or session.event_name or UNNAMED_SESSION,
        source=session.source or UNKNOWN,
        inputs=session.inputs or {},
        outputs=session.outputs or {},
        config=session.config or {},
        metadata=metadata,
        metrics=session.metrics or {},
        feedback=session.feedback or {},
        user_properties=session.user_properties or {},
        children_ids=session.children_ids or [],
        error=session.error,
        start_time=start,
        end_time=end,
        duration=duration,
    )


def batch_session_row(key: uuid.UUID, properties: SessionProperties, events: list[LooseEventBody]) -> EventRow:
    """The session of a single-session batch: it starts with its first event unless its properties say when."""
    starts = [event.start_time for event in events if event.start_time is not None]
    start = properties.start_time if properties.start_time is not None else min(starts, default=None)
    source = properties.source or next((event.source for event in events if event.source), None)
    session = SessionBody(
        session_name=properties.session_name,
        source=source,
        start_time=start,
        metadata=properties.metadata,
        user_properties=properties.user_properties,
    )
    return session_row(key, session)


def event_row(event: LooseEventBody, session_key: uuid.UUID | None = None) -> EventRow:
    """An event; `session_key` overrides the session that it names."""
    event_type = event.event_type or "tool"
    session = session_key or event.session_id
    key = event.event_id or (session if event_type == "session" and session_key is None else None) or uuid.uuid4()
    if session is None:
        session = key if event_type == "session" else uuid.uuid4()
    start, end, duration = times_of(event)
    return EventRow(
        event_key=key,
        session_key=session,
        parent_key=None if key == session else event.parent_id or session,
        span_key=None,
        event_type=event_type,
        event_name=event.event_name or (UNNAMED_SESSION if key == session else UNKNOWN),
        source=event.source or UNKNOWN,
        inputs=event.inputs or {},
        outputs=event.outputs or {},
        config=event.config or {},
        metadata=event.metadata or {},
        metrics=event.metrics or {},
        feedback=event.feedback or {},
        user_properties=event.user_properties or {},
        children_ids=event.children_ids or [],
        error=event.error,
        start_time=start,
        end_time=end,
        duration=duration,
    )
