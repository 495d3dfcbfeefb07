"""The events of one trace as rows of a waterfall: parents before children, in order of time. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

DEEPEST = 8


class Span(Protocol):
    """What the order needs to know of an event."""

    event_key: Any
    span_key: Any
    parent_key: Any
    start_time: float
    end_time: float


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One event with its depth (0 at the root). `is_orphan`: it names a parent that has not come."""

    event: Any
    depth: int
    is_orphan: bool
    starts_early: bool

    @property
    def indent(self) -> int:
        """Depth as shown: at most 8."""
        return min(self.depth, DEEPEST)


def trace_rows(events: Sequence[Span]) -> list[TraceRow]:
    """Every event once, whatever the parents say: circles are cut, missing parents make orphans at the end."""
    by_key: dict[Any, Span] = {}
    for event in events:
        if event.span_key is not None:
            by_key.setdefault(event.span_key, event)
    by_key.update({event.event_key: event for event in events})
    children: dict[Any, list[Span]] = {}
    roots: list[Span] = []
    orphans: list[Span] = []
    for event in sorted(events, key=lambda item: (item.start_time, -item.end_time, str(item.event_key))):
        parent = by_key.get(event.parent_key) if event.parent_key is not None else None
        if event.parent_key is None or event.parent_key == event.event_key:
            roots.append(event)
        elif parent is None:
            orphans.append(event)
        else:
            children.setdefault(parent.event_key, []).append(event)
    rows: list[TraceRow] = []
    seen: set[Any] = set()

    def walk(start: Span, is_orphan: bool) -> None:
        stack = [(start, 0, start.start_time)]
        while stack:
            event, depth, parent_start = stack.pop()
            if event.event_key in seen:
                continue
            seen.add(event.event_key)
            rows.append(TraceRow(event, depth, is_orphan and depth == 0, event.start_time < parent_start))
            for child in reversed(children.get(event.event_key, [])):
                stack.append((child, depth + 1, event.start_time))

    for event in roots:
        walk(event, is_orphan=False)
    for event in orphans:
        walk(event, is_orphan=True)
    for event in events:  # circles: no root leads to them
        walk(event, is_orphan=True)
    return rows
