"""Console pages of events: what came in, and what happened inside one trace."""

import datetime as dt
import uuid
from typing import Any

from django.db.models import Count, Max, Min, Q
from django.http import HttpResponseBase

from experiments.domain.trace_rows import trace_rows
from experiments.models import EVENT_TYPES, Event
from experiments.selectors.event_pages import EventCursor
from experiments.selectors.events import as_uuid
from governance.admin.pages import PAGE_SIZE, Visit, clean, page
from governance.domain import figures, formats
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.errors import NotFound

TRACE_EVENTS = 10_000
TRACE_ROWS = 200
LARGE = ("inputs", "outputs", "config", "metadata", "metrics", "feedback", "user_properties", "children_ids")


def _totals(caller: Caller, keys: list[uuid.UUID]) -> dict[uuid.UUID, dict[str, Any]]:
    rows = (
        Event.objects.filter(project_id=caller.project_id, session_key__in=keys)
        .order_by()
        .values("session_key")
        .annotate(
            events=Count("id"),
            failed=Count("id", filter=Q(error__isnull=False) & ~Q(error="")),
            first=Min("start_time"),
            last=Max("end_time"),
        )
    )
    return {row["session_key"]: dict(row) for row in rows}


@page(Action.EVENTS_READ)
def events_page(visit: Visit) -> HttpResponseBase:
    """Sessions (or events of one type), newest first; no count and no OFFSET."""
    query = visit.request.GET
    kind = clean(query.get("type")) or "session"
    asked = {name: clean(query.get(name)) for name in ("name", "run")}
    rows = Event.objects.filter(project_id=visit.caller.project_id).defer(*LARGE)
    if kind in EVENT_TYPES:
        rows = rows.filter(event_type=kind)
    else:
        kind = "all"
    if asked["name"]:
        rows = rows.filter(event_name=asked["name"])
    if asked["run"]:
        rows = rows.filter(run_key=asked["run"])
    if cursor := clean(query.get("before")):
        at = EventCursor.parse(cursor)
        earlier = Q(start_time__lt=at.start_time) | Q(start_time=at.start_time, event_key__lt=at.event_key)
        rows = rows.filter(earlier, start_time__lte=at.start_time)
    found = list(rows.order_by("-start_time", "-event_key")[: PAGE_SIZE + 1])
    shown = found[:PAGE_SIZE]
    totals = _totals(visit.caller, [event.session_key for event in shown]) if kind == "session" else {}
    lines = []
    for event in shown:
        total = totals.get(event.session_key)
        lines.append(
            {
                "event": event,
                "total": total,
                "duration": total["last"] - total["first"] if total else event.duration,
                "at": moment(event.start_time),
            }
        )
    return visit.render(
        "console/events.html",
        title="Events",
        lines=lines,
        kind=kind,
        kinds=["session", "chain", "model", "tool", "all"],
        asked=asked,
        is_filtered=any(asked.values()),
        has_before=bool(cursor),
        older=str(EventCursor.of(shown[-1])) if len(found) > PAGE_SIZE else "",
    )


def moment(milliseconds: float) -> dt.datetime | None:
    """A time of the client as a datetime; None when no calendar has it."""
    try:
        return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
    except (OverflowError, OSError, ValueError):
        return None


@page(Action.EVENTS_READ)
def trace_page(visit: Visit, session_id: str) -> HttpResponseBase:
    """The waterfall of one session, and the chosen span in full."""
    key = as_uuid(session_id)
    unknown = NotFound(f"Session {session_id[:64]!r} does not exist in this project.", field="session_id")
    if key is None:
        raise unknown
    of_session = Event.objects.filter(project_id=visit.caller.project_id, session_key=key)
    events = list(of_session.defer(*LARGE).order_by("start_time", "id")[:TRACE_EVENTS])
    if not events:
        raise unknown
    rows = trace_rows(events)
    wanted = as_uuid(clean(visit.request.GET.get("span")))
    first, last = min(event.start_time for event in events), max(event.end_time for event in events)
    limit = len(rows) if visit.request.GET.get("rows") == "all" else TRACE_ROWS
    chosen_key = wanted or rows[0].event.event_key
    chosen = of_session.filter(event_key=chosen_key).first()
    session = next((event for event in events if event.event_key == key), None)
    failed = sum(1 for event in events if event.error)
    lines = [
        {
            "row": row,
            "event": row.event,
            "duration": row.event.duration,
            "is_chosen": row.event.event_key == chosen_key,
            "bar": figures.waterfall_bar(
                row.event.start_time,
                row.event.end_time,
                first=first,
                last=last,
                kind=row.event.event_type,
                failed=bool(row.event.error),
                label=(
                    f"{row.event.event_name}: starts at {formats.latency(row.event.start_time - first)}, "
                    f"takes {formats.latency(row.event.duration)}"
                ),
            ),
        }
        for row in rows[:limit]
    ]
    parts = []
    if chosen is not None:
        for name in ("inputs", "outputs", "metrics", "feedback", "config", "metadata", "user_properties"):
            if value := getattr(chosen, name):
                is_open = name in {"inputs", "outputs", "metrics"}
                parts.append({"name": name.replace("_", " "), "value": value, "open": is_open})
    return visit.render(
        "console/trace.html",
        title="Trace",
        session_id=session_id,
        session=session,
        root=session or rows[0].event,
        run_key=next((event.run_key for event in events if event.run_key), ""),
        datapoint_key=next((event.datapoint_key for event in events if event.datapoint_key), ""),
        total=len(events),
        failed=failed,
        orphans=sum(1 for row in rows if row.is_orphan),
        duration=last - first,
        started=moment(first),
        lines=lines,
        hidden=max(0, len(rows) - limit),
        ticks=[formats.latency((last - first) * part / 4) for part in range(5)],
        chosen=chosen,
        parts=parts,
    )
