"""From a span to an event: the rules of the wire contract, section 3.3. Pure, one pass over the attributes."""

import hashlib
import uuid
from collections.abc import Iterable
from typing import Any

from experiments.domain.event_row import EventRow, stub
from experiments.domain.otlp import Span
from experiments.domain.span_buckets import BUCKET_OF, Branch, as_lists, parsed, put
from experiments.domain.span_instrumentors import FAMILIES, Foreign, instrumentor_of, normalise

UNKNOWN = "unknown"
_EVENT_TYPES = frozenset({"model", "tool", "chain", "session"})
SESSION_MARK = "hhweb.session_event"  # true on a span that stands for its session: an addition of this server
_SESSION_SPACE = uuid.UUID("7f6a2b52-0b6c-5d0e-9f3c-51a4e1d5c0de")

# Attributes that say something about the event itself. True: they leave the metadata, because a field has them.
_SPECIAL = {
    SESSION_MARK: True,
    "honeyhive.session_id": True,
    "honeyhive_session_id": True,
    "traceloop.association.properties.session_id": False,
    "session.id": False,
    "honeyhive.source": True,
    "honeyhive_source": True,
    "traceloop.association.properties.source": False,
    "honeyhive.project": True,
    "honeyhive_project": True,
    "traceloop.association.properties.project": False,
    "honeyhive_event_type": False,
    "honeyhive_event_name": True,
    "honeyhive_event_id": False,
    "honeyhive.parent_id": False,
    "honeyhive_error": True,
    "honeyhive.session_name": False,
    "honeyhive_session_name": False,
    "http.status_code": False,
    "http.response.status_code": False,
}


class Translator:
    """Translates the spans of one request; remembers what they share."""

    def __init__(self, *, source: str = "") -> None:
        self.header_source = source
        self._sessions: dict[str, tuple[uuid.UUID, bool]] = {}
        self._prefixes: dict[str, int] = {}
        self._named: dict[uuid.UUID, EventRow] = {}

    def rows(self, spans: Iterable[Span]) -> list[EventRow]:
        """Events of the spans, and a stub of every session that the spans call by a name."""
        rows = [self.row(span) for span in spans]
        rows += self._named.values()
        return rows

    def row(self, span: Span) -> EventRow:
        """The event of one span; of a marked one it is the session's own."""
        is_session = span.attributes.get(SESSION_MARK) is True
        metadata = {} if is_session else _lineage(span)
        buckets: dict[str, dict[str, Any]] = {
            "inputs": {},
            "outputs": {},
            "config": {},
            "metadata": metadata,
            "metrics": {},
            "feedback": {},
            "user_properties": {},
        }
        special: dict[str, Any] = {}
        foreign: dict[str, Any] = {}
        for key, value in span.attributes.items():
            head, dot, rest = key.partition(".")
            name = BUCKET_OF.get(head)
            if name is not None:
                bucket = buckets[name]
                if not dot:
                    _put_whole(bucket, key, value, metadata)
                elif "." in rest:
                    put(bucket, rest, value)
                elif bucket.get(rest).__class__ is Branch:
                    metadata[key] = value  # contradicts an earlier, longer key
                elif name == "inputs" and value.__class__ is str:
                    bucket[rest] = parsed(value)
                else:
                    bucket[rest] = value
                continue
            leaves = _SPECIAL.get(key)
            if leaves is not None:
                special[key] = value
                if leaves or is_session:
                    continue
            elif head in FAMILIES:
                foreign[key] = value
                continue
            metadata[key] = value
        for bucket in buckets.values():
            for key, value in bucket.items():
                if value.__class__ is Branch:
                    bucket[key] = as_lists(value)
        return self._event(span, buckets, special, foreign)

    def _event(
        self, span: Span, buckets: dict[str, dict[str, Any]], special: dict[str, Any], foreign: dict[str, Any]
    ) -> EventRow:
        metadata = buckets["metadata"]
        stated_type = special.get("honeyhive_event_type")
        exception = _flatten_events(span, metadata, foreign) if span.events else None
        is_session = special.get(SESSION_MARK) is True
        if not is_session:
            metadata["instrumentor"] = instrumentor_of(span.scope, foreign)
        event_type = stated_type if stated_type in _EVENT_TYPES else "tool"
        if foreign or stated_type is None:
            view = Foreign(attributes=foreign, stated_type=stated_type, name=span.name)
            event_type = normalise(view, buckets, event_type)
        session_key = self._session(span, special, metadata)
        span_key = self._key(span.trace_id, span.span_id)
        event_key = as_uuid(special.get("honeyhive_event_id"))
        # An id that is the session's own would replace the session; the span keeps the derived one.
        chosen = event_key is not None and event_key not in (session_key, span_key)
        parent_key = as_uuid(special.get("honeyhive.parent_id"))
        if parent_key is None:
            parent_key = self._key(span.trace_id, span.parent_span_id) if span.parent_span_id else session_key
        source = self._source(special)
        if source != UNKNOWN:
            metadata.setdefault("source", source)
        if "ground_truth" in metadata:
            buckets["feedback"].setdefault("ground_truth", metadata.pop("ground_truth"))
        start = span.start_ns / 1e6
        self._name_session(session_key, special, start, source)
        event = EventRow(
            event_key=event_key if chosen and event_key is not None else span_key,
            session_key=session_key,
            parent_key=parent_key,
            event_type=event_type,
            event_name=str(special.get("honeyhive_event_name") or span.name or UNKNOWN),
            source=source,
            start_time=start,
            end_time=span.end_ns / 1e6,
            duration=(span.end_ns - span.start_ns) / 1e6,
            span_key=span_key if chosen else None,
            error=_error(span, special, exception),
            inputs=buckets["inputs"],
            outputs=buckets["outputs"],
            config=buckets["config"],
            metadata=metadata,
            metrics=buckets["metrics"],
            feedback=buckets["feedback"],
            user_properties=buckets["user_properties"],
        )
        return _as_session(event) if is_session else event

    def _session(self, span: Span, special: dict[str, Any], metadata: dict[str, Any]) -> uuid.UUID:
        """The session the span names, under a UUID; a trace without one is a session of its own."""
        for name in ("honeyhive.session_id", "honeyhive_session_id", "traceloop.association.properties.session_id"):
            text = special.get(name)
            if text:
                break
        else:
            key = as_uuid(special.get("session.id"))
            return key if key is not None else self._session_key(f"trace:{span.trace_id}")[0]
        text = str(text)
        key, is_derived = self._session_key(text)
        if is_derived:
            metadata["honeyhive.session_id"] = text
        return key

    def _session_key(self, text: str) -> tuple[uuid.UUID, bool]:
        found = self._sessions.get(text)
        if found is None:
            key = as_uuid(text)
            found = (uuid.uuid5(_SESSION_SPACE, _hashable(text)), True) if key is None else (key, False)
            self._sessions[text] = found
        return found

    def _key(self, trace_id: str, span_id: str) -> uuid.UUID:
        """A name-based UUID of (trace id, span id). Spans of one trace share its first half, so that they are
        neighbours in the index.
        """
        prefix = self._prefixes.get(trace_id)
        if prefix is None:
            prefix = int.from_bytes(hashlib.sha1(trace_id.encode(), usedforsecurity=False).digest()[:8], "big")
            prefix = (prefix & ~0xF000 | 0x5000) << 64
            self._prefixes[trace_id] = prefix
        digest = hashlib.sha1((trace_id + span_id).encode(), usedforsecurity=False).digest()
        return uuid.UUID(int=prefix | int.from_bytes(digest[:8], "big") & 0x3FFFFFFFFFFFFFFF | 0x8000000000000000)

    def _source(self, special: dict[str, Any]) -> str:
        for name in ("honeyhive.source", "honeyhive_source", "traceloop.association.properties.source"):
            if value := special.get(name):
                return str(value)
        return self.header_source or UNKNOWN

    def _name_session(self, key: uuid.UUID, special: dict[str, Any], start: float, source: str) -> None:
        name = special.get("honeyhive.session_name") or special.get("honeyhive_session_name")
        if not name:
            return
        known = self._named.setdefault(key, stub(key, start_time=start, event_name=str(name), source=source))
        known.start_time = known.end_time = min(known.start_time, start)


def _lineage(span: Span) -> dict[str, Any]:
    """What the metadata of a span's event begins with."""
    lineage: dict[str, Any] = {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
        "has_otlp_lineage": True,
        "instrumentor": "",
        "scope": span.scope,
    }
    if span.service:
        lineage["service.name"] = span.service
    return lineage


def _as_session(event: EventRow) -> EventRow:
    """The event as its session's own; spans that name the span as their parent find it by `span_key`."""
    event.span_key = event.span_key or event.event_key
    event.event_key, event.parent_key, event.event_type = event.session_key, None, "session"
    return event


def as_uuid(value: object) -> uuid.UUID | None:
    """The UUID a text spells, or None."""
    if not isinstance(value, str):
        return None
    try:
        return uuid.UUID(value)
    except ValueError:
        return None


def _hashable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _put_whole(bucket: dict[str, Any], key: str, value: Any, metadata: dict[str, Any]) -> None:
    """A bucket sent as one attribute: an object, or JSON text of one; anything else is an unknown attribute."""
    whole = parsed(value) if isinstance(value, str) else value
    if isinstance(whole, dict):
        bucket.update(whole)
    else:
        metadata[key] = value


def _flatten_events(span: Span, metadata: dict[str, Any], foreign: dict[str, Any]) -> str | None:
    """Span events as pseudo-attributes; the message of the first exception among them."""
    exception: str | None = None
    for index, (name, attributes) in enumerate(span.events):
        if name.startswith("gen_ai."):
            foreign[f"_event.{name}.{index}"] = attributes
            continue
        for key, value in attributes.items():
            metadata[f"_event.{name}.{index}.{key}"] = value
        if exception is None and name == "exception":
            message = attributes.get("exception.message")
            exception = str(message) if message else None
    return exception


def _error(span: Span, special: dict[str, Any], exception: str | None) -> str | None:
    stated = special.get("honeyhive_error")
    if stated is not None and stated != "":
        return str(stated)
    if span.is_error:
        return span.status_message or exception or "error"
    if exception is not None:
        return exception
    status = special.get("http.status_code", special.get("http.response.status_code"))
    if isinstance(status, str) and status.isascii() and status.isdigit():
        status = int(status[:6])
    if isinstance(status, int) and not isinstance(status, bool) and status >= 400:
        return f"HTTP status {status}"
    return None
