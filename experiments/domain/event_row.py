"""One event on its way into the database, from a span or from REST, and how two of the same key become one."""

import math
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

BUCKETS = ("inputs", "outputs", "config", "metadata", "metrics", "feedback", "user_properties")
RUN_IDS = ("run_id", "dataset_id", "datapoint_id")
UNNAMED_SESSION = "session"
MAX_KEY = 255  # characters; what the indexed columns hold
MAX_DEPTH = 64
_INT_RANGE = (-(2**63), 2**64 - 1)


@dataclass(slots=True)
class EventRow:
    """The columns of one event. Times are epoch milliseconds, `duration` milliseconds.

    A stub stands for an event that is known only by its id (a session nobody started, an update before its
    span). In a stub `start_time` is provisional, `end_time == start_time` means that no end was given and
    `duration == 0` that no duration was. The last three fields repeat `metadata`; the writer fills them.
    """

    event_key: uuid.UUID
    session_key: uuid.UUID
    parent_key: uuid.UUID | None
    event_type: str
    event_name: str
    source: str
    start_time: float
    end_time: float
    duration: float
    span_key: uuid.UUID | None = None
    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    feedback: dict[str, Any] = field(default_factory=dict)
    user_properties: dict[str, Any] = field(default_factory=dict)
    children_ids: list[Any] = field(default_factory=list)
    error: str | None = None
    client_timestamp: int | None = None
    is_stub: bool = False
    run_key: str | None = None
    dataset_key: str | None = None
    datapoint_key: str | None = None

    @property
    def is_session(self) -> bool:
        """Whether this is the session's own event."""
        return self.event_key == self.session_key


def stub(
    event_key: uuid.UUID, *, start_time: float, event_name: str = UNNAMED_SESSION, source: str = "unknown"
) -> EventRow:
    """A stub of an event known only by id; it passes for a session until it is filled."""
    return EventRow(
        event_key=event_key,
        session_key=event_key,
        parent_key=None,
        event_type="session",
        event_name=event_name,
        source=source,
        start_time=start_time,
        end_time=start_time,
        duration=0.0,
        is_stub=True,
    )


def id_text(value: object) -> str | None:
    """A run, dataset or datapoint id as its indexed column holds it; None when there is none that fits."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value)
    return text if 0 < len(text) <= MAX_KEY else None


def run_ids_of(metadata: Mapping[str, Any]) -> tuple[str | None, str | None, str | None]:
    """(run_key, dataset_key, datapoint_key) of an event with this metadata."""
    get = metadata.get
    return id_text(get("run_id")), id_text(get("dataset_id")), id_text(get("datapoint_id"))


def set_run_keys(row: EventRow) -> None:
    """Fill the three columns that repeat the metadata."""
    row.run_key, row.dataset_key, row.datapoint_key = run_ids_of(row.metadata)


def inherit(row: EventRow, session_ids: Sequence[str | None]) -> None:
    """Give `row` those of the session's run, dataset and datapoint id that it lacks."""
    run_key, dataset_key, datapoint_key = session_ids
    if row.run_key is None and run_key is not None:
        row.run_key = row.metadata["run_id"] = run_key
    if row.dataset_key is None and dataset_key is not None:
        row.dataset_key = row.metadata["dataset_id"] = dataset_key
    if row.datapoint_key is None and datapoint_key is not None:
        row.datapoint_key = row.metadata["datapoint_id"] = datapoint_key


def combine(stored: EventRow, late: EventRow) -> EventRow:
    """What `late` adds to an event already there; the database does the same to stored rows.

    Per top-level key of a bucket the stored value wins. Scalars change only when a stub is filled.
    """
    for name in BUCKETS:
        if added := getattr(late, name):
            setattr(stored, name, {**added, **getattr(stored, name)})
    if stored.error is None:
        stored.error = late.error
    stored.children_ids = stored.children_ids or late.children_ids
    if stored.client_timestamp is None:
        stored.client_timestamp = late.client_timestamp
    if stored.is_stub and late.is_stub:
        start = min(stored.start_time, late.start_time)
        if stored.end_time == stored.start_time:
            stored.end_time = start
        stored.start_time = start
        if stored.event_name == UNNAMED_SESSION:
            stored.event_name = late.event_name
    elif stored.is_stub:
        _fill(stored, late)
    elif stored.span_key is None:
        stored.span_key = late.span_key
    set_run_keys(stored)
    return stored


def _fill(stored: EventRow, real: EventRow) -> None:
    has_end, has_duration = stored.end_time != stored.start_time, stored.duration != 0
    if not has_end:
        stored.end_time = real.start_time + stored.duration if has_duration else real.end_time
    if not has_duration:
        stored.duration = max(stored.end_time - real.start_time, 0.0) if has_end else real.duration
    for name in ("session_key", "parent_key", "span_key", "event_type", "event_name", "source", "start_time"):
        setattr(stored, name, getattr(real, name))
    stored.is_stub = False


def combine_all(rows: Iterable[EventRow]) -> list[EventRow]:
    """One row per event key, in the order of keys (bytes), in which every writer locks them."""
    found: dict[uuid.UUID, EventRow] = {}
    for row in rows:
        known = found.setdefault(row.event_key, row)
        if known is row:
            set_run_keys(row)
        else:
            combine(known, row)
    return [found[key] for key in sorted(found)]


def measured(metrics: Mapping[str, Any]) -> list[tuple[str, float, bool]]:
    """(name, value, is boolean) of every metric that is a finite number or a bool. Text and nested do not count."""
    values = []
    for name, value in metrics.items():
        if isinstance(value, bool | int | float) and len(name) <= MAX_KEY:
            number = float(value)
            if math.isfinite(number):
                values.append((name, number, isinstance(value, bool)))
    return values


def dump_json(value: Any) -> bytes:
    """`value` as JSON that both databases take: no U+0000, no lone surrogates, no integer beyond 64 bits."""
    try:
        dumped = orjson.dumps(value)
    except TypeError:
        return orjson.dumps(storable(value))
    # Also true for the six characters themselves, escaped; then the slow way changes nothing.
    return orjson.dumps(storable(value)) if b"\\u0000" in dumped else dumped


def storable(value: Any) -> Any:
    """A copy of `value` without what JSON in a database cannot hold; too deep branches become text."""
    return _storable(value, 0)


def storable_text(text: str) -> str:
    """`text` with U+0000 and lone surrogates replaced by U+FFFD."""
    if not text.isascii():
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\x00", "\ufffd")


def _storable(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if _INT_RANGE[0] <= value <= _INT_RANGE[1] else str(value)
    if isinstance(value, dict | list) and depth > 3 * MAX_DEPTH:
        return "(nested too deeply to be stored)"
    if isinstance(value, dict):
        return {storable_text(str(key)): _storable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item, depth + 1) for item in value]
    if isinstance(value, EventRow):
        return {name: _storable(getattr(value, name), depth + 1) for name in EventRow.__slots__}
    return value
