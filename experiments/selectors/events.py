"""Reads of events: pages by filter, one event, one session. Raw rows, no model instances."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from django.db.models import Count, F, Max, Q, QuerySet, Sum, TextField
from django.db.models.functions import Cast, Coalesce

from experiments.domain.filters import ANY_TIME, Condition, TimeRange
from experiments.domain.wire_events import EVENT_COLUMNS, JSON_COLUMNS, project_fields, wire_event
from experiments.models import Event, Run
from experiments.models.json_functions import JsonNumber
from experiments.selectors.event_conditions import as_q, in_sessions
from governance.domain.caller import Caller
from governance.domain.errors import NotFound

MAX_SESSION_EVENTS = 10_000


@dataclass(frozen=True, slots=True)
class EventQuery:
    """What a client asked for. `limit` and `page` (from 1) are already within bounds."""

    conditions: tuple[Condition, ...] = ()
    time_range: TimeRange = ANY_TIME
    run_key: str | None = None
    limit: int = 1000
    page: int = 1
    projections: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events as the wire shows them, ascending by start time, and the number of all matches."""

    events: list[dict[str, Any]]
    total: int


def matching(*, caller: Caller, query: EventQuery) -> QuerySet[Event]:
    """Events of the caller's project that a query means, unordered."""
    found = Event.objects.filter(project_id=caller.project_id, **time_bounds(query.time_range))
    if query.run_key is not None:
        found = found.filter(of_run(project_id=caller.project_id, run_key=query.run_key))
    for condition in query.conditions:
        found = found.filter(as_q(condition, project_public_id=caller.project_public_id))
    return found


def time_bounds(time_range: TimeRange) -> dict[str, float]:
    """Keyword filters of a range of start times."""
    bounds = {"start_time__gte": time_range.since, "start_time__lte": time_range.until}
    return {key: value for key, value in bounds.items() if value is not None}


def of_run(*, project_id: int, run_key: str) -> Q:
    """Events of a run: those that name it, and those of the sessions listed in the run's `event_ids`."""
    listed = Run.objects.filter(project_id=project_id, run_key=run_key).values_list("event_ids", flat=True).first()
    keys = [key for key in map(as_uuid, listed or []) if key is not None]
    return Q(run_key=run_key) | in_sessions(keys) if keys else Q(run_key=run_key)


def as_uuid(value: Any) -> uuid.UUID | None:
    """The UUID that a text spells, or None."""
    try:
        return uuid.UUID(value)
    except (ValueError, AttributeError, TypeError):
        return None


def rows_of(events: QuerySet[Event]) -> list[dict[str, Any]]:
    """Rows with JSON columns as fragments of their stored text: nothing is decoded to be encoded again."""
    texts = {f"{name}_text": Cast(name, TextField()) for name in JSON_COLUMNS}
    names = [name for name in EVENT_COLUMNS if name not in JSON_COLUMNS]
    rows = []
    for values in events.annotate(**texts).values_list(*names, *texts):
        row: dict[str, Any] = dict(zip(EVENT_COLUMNS, values, strict=True))
        for name in JSON_COLUMNS:
            row[name] = orjson.Fragment(row[name])
        rows.append(row)
    return rows


def wire_events_of(rows: Sequence[Mapping[str, Any]], *, caller: Caller) -> list[dict[str, Any]]:
    """Rows as the wire shows them; session events get what their sessions add up to, by one grouped query."""
    events = [wire_event(row, project_id=caller.project_public_id) for row in rows]
    sessions = [event for event in events if event["event_id"] == event["session_id"]]
    if sessions:
        sums = _roll_ups(caller, [event["session_id"] for event in sessions])
        for event in sessions:
            _add_roll_up(event, sums.get(event["session_id"], _NO_CHILDREN))
    return events


_NO_CHILDREN: dict[str, Any] = {"num_events": 0, "num_model_events": 0, "has_feedback": False}


def _roll_ups(caller: Caller, session_keys: Iterable[uuid.UUID]) -> dict[uuid.UUID, dict[str, Any]]:
    """Counts, sums and the latest end over each session's events other than the session event itself."""
    children = (
        Event.objects.filter(project_id=caller.project_id, session_key__in=list(session_keys))
        .exclude(event_key=F("session_key"))
        .order_by()
        .values("session_key")
        .annotate(
            num_events=Count("pk"),
            num_model_events=Count("pk", filter=Q(event_type="model")),
            with_feedback=Count("pk", filter=~Q(feedback={})),
            cost=Sum(Coalesce(JsonNumber("metrics", "cost"), JsonNumber("metadata", "cost"))),
            total_tokens=Sum(JsonNumber("metadata", "total_tokens")),
            prompt_tokens=Sum(
                Coalesce(JsonNumber("metadata", "prompt_tokens"), JsonNumber("metadata", "input_tokens"))
            ),
            completion_tokens=Sum(
                Coalesce(JsonNumber("metadata", "completion_tokens"), JsonNumber("metadata", "output_tokens"))
            ),
            last_end=Max("end_time"),
        )
    )
    sums: dict[uuid.UUID, dict[str, Any]] = {}
    for found in children:
        row: dict[str, Any] = {**found}
        key = row.pop("session_key")
        row["has_feedback"] = row.pop("with_feedback") > 0
        for name in ("total_tokens", "prompt_tokens", "completion_tokens"):
            row[name] = None if row[name] is None else int(row[name])
        sums[key] = row
    return sums


def _add_roll_up(event: dict[str, Any], sums: Mapping[str, Any]) -> None:
    """Put the sums into a session event. What the session's own metadata says wins."""
    said = orjson.loads(orjson.dumps(event["metadata"]))
    added = {name: value for name, value in sums.items() if name != "last_end" and value is not None}
    has_feedback = sums["has_feedback"] or orjson.dumps(event["feedback"]) != b"{}"
    event["metadata"] = {"source": event["source"], **added, "has_feedback": has_feedback, **said}
    last_end = sums.get("last_end")
    if last_end is not None and last_end > event["end_time"]:
        event["end_time"] = last_end
        event["duration"] = max(last_end - event["start_time"], event["duration"])


def find_events(*, caller: Caller, query: EventQuery) -> EventPage:
    """One page of the matching events, and how many match in all."""
    found = matching(caller=caller, query=query)
    start = (query.page - 1) * query.limit
    rows = rows_of(found.order_by("start_time", "id")[start : start + query.limit])
    # A page that is not full tells the total by itself, unless it lies behind the end.
    is_last = len(rows) < query.limit and (rows or start == 0)
    total = start + len(rows) if is_last else found.order_by().count()
    events = wire_events_of(rows, caller=caller)
    if query.projections:
        events = [project_fields(event, query.projections) for event in events]
    return EventPage(events, total)


def get_event(*, caller: Caller, event_id: str) -> dict[str, Any]:
    """One event of the caller's project."""
    key = as_uuid(event_id)
    rows = rows_of(Event.objects.filter(project_id=caller.project_id, event_key=key)) if key else []
    if not rows:
        raise NotFound(f"Event {event_id!r} does not exist in this project.", field="event_id", value=event_id)
    return wire_events_of(rows, caller=caller)[0]


def get_stored_event(*, caller: Caller, event_key: uuid.UUID) -> dict[str, Any]:
    """One event just written, without what a session adds up to."""
    rows = rows_of(Event.objects.filter(project_id=caller.project_id, event_key=event_key))
    return wire_event(rows[0], project_id=caller.project_public_id)


def get_session_events(*, caller: Caller, session_id: str) -> list[dict[str, Any]]:
    """The first 10,000 events of one session, ascending by start time."""
    key = as_uuid(session_id)
    found = Event.objects.filter(project_id=caller.project_id).order_by("start_time", "id")
    rows = rows_of(found.filter(session_key=key)[:MAX_SESSION_EVENTS]) if key else []
    if not rows:
        raise NotFound(f"Session {session_id!r} does not exist in this project.", field="session_id", value=session_id)
    return wire_events_of(rows, caller=caller)
