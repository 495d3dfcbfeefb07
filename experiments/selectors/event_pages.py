"""Events in key-set order: pages of the native API and chunks of exports, each one short query."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from experiments.models import Event
from experiments.selectors.events import of_run
from governance.domain.caller import Caller
from governance.domain.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class EventSelection:
    """Which events of the project; times are epoch milliseconds, both bounds inclusive."""

    run_id: str | None = None
    session_id: uuid.UUID | None = None
    event_type: str | None = None
    event_name: str | None = None
    start_after_ms: float | None = None
    start_before_ms: float | None = None

    def given(self) -> dict[str, Any]:
        """The filters in use, as JSON, for audit entries and file headers."""
        named = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {
            name: str(value) if isinstance(value, uuid.UUID) else value
            for name, value in named.items()
            if value is not None
        }


@dataclass(frozen=True, slots=True)
class EventCursor:
    """The place after one event, in order of start time and then event id."""

    start_time: float
    event_key: uuid.UUID

    @classmethod
    def of(cls, event: Event) -> "EventCursor":
        return cls(event.start_time, event.event_key)

    @classmethod
    def parse(cls, text: str) -> "EventCursor":
        """A cursor as an answer gave it; anything else is refused."""
        moment, _, key = text.partition("_")
        try:
            return cls(float.fromhex(moment), uuid.UUID(key))
        except (ValueError, OverflowError):
            raise InvalidInput(
                f"Query parameter 'cursor' is {text[:80]!r}; send 'next_cursor' of the page before, unchanged.",
                field="cursor",
                value=text[:200],
            ) from None

    def __str__(self) -> str:
        return f"{self.start_time.hex()}_{self.event_key}"


def selected(caller: Caller, selection: EventSelection) -> QuerySet[Event]:
    """The events of a selection, oldest first."""
    found = Event.objects.filter(project_id=caller.project_id)
    if selection.run_id is not None:
        found = found.filter(of_run(project_id=caller.project_id, run_key=selection.run_id))
    if selection.session_id is not None:
        found = found.filter(session_key=selection.session_id)
    if selection.event_type is not None:
        found = found.filter(event_type=selection.event_type)
    if selection.event_name is not None:
        found = found.filter(event_name=selection.event_name)
    if selection.start_after_ms is not None:
        found = found.filter(start_time__gte=selection.start_after_ms)
    if selection.start_before_ms is not None:
        found = found.filter(start_time__lte=selection.start_before_ms)
    return found.order_by("start_time", "event_key")


def page(found: QuerySet[Event], *, cursor: EventCursor | None, size: int) -> list[Event]:
    """Up to `size` events after the cursor."""
    if cursor is not None:
        later = Q(start_time__gt=cursor.start_time) | Q(start_time=cursor.start_time, event_key__gt=cursor.event_key)
        # The first bound lets the database start in the middle of its index.
        found = found.filter(later, start_time__gte=cursor.start_time)
    return list(found[:size])


def chunks(found: QuerySet[Event], *, size: int = 500) -> Iterator[list[Event]]:
    """All the events, each chunk a query of its own: no transaction stays open while a client reads slowly."""
    cursor = None
    while chunk := page(found, cursor=cursor, size=size):
        yield chunk
        cursor = EventCursor.of(chunk[-1])
