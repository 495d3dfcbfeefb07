"""Finished spans as OTLP JSON, with everything that belongs to an event as whole buckets."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from experiments.sdk.jsonable import jsonable

Json = dict[str, Any]
_KINDS = ("INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")


def attribute(key: str, value: Any) -> Json:
    """One OTLP attribute of a text, number, boolean, or list of these."""
    return {"key": key, "value": any_value(value)}


def any_value(value: Any) -> Json:
    """An OTLP value; 64-bit integers are texts in OTLP's JSON."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        shown = jsonable(value)
        return {"doubleValue": value} if isinstance(shown, float) else {"stringValue": shown}
    if isinstance(value, str):
        return {"stringValue": jsonable(value)}
    if isinstance(value, Sequence):
        return {"arrayValue": {"values": [any_value(item) for item in value]}}
    return {"stringValue": str(value)}


def bucket_attributes(buckets: Mapping[str, Mapping[str, Any]]) -> list[Json]:
    """Non-empty buckets as single attributes of JSON text: nested keys keep their exact shape on the server."""
    return [attribute(f"honeyhive_{name}", orjson.dumps(bucket).decode()) for name, bucket in buckets.items() if bucket]


def encode(span: ReadableSpan, *, first: list[Json], last: list[Json]) -> Json:
    """A finished span with attributes before and after its own; of one key the last counts on the server."""
    context = span.get_span_context()
    if context is None:
        raise ValueError("encode() needs a span with a context")
    parent = span.parent
    scope = span.instrumentation_scope
    shown: Json = {
        "traceId": f"{context.trace_id:032x}",
        "spanId": f"{context.span_id:016x}",
        "parentSpanId": f"{parent.span_id:016x}" if parent is not None else None,
        "name": span.name,
        "kind": f"SPAN_KIND_{_KINDS[span.kind.value]}",
        "startTimeUnixNano": str(span.start_time or 0),
        "endTimeUnixNano": str(span.end_time or span.start_time or 0),
        "attributes": [
            *first,
            *(attribute(key, value) for key, value in (span.attributes or {}).items()),
            *last,
        ],
    }
    if scope is not None and scope.name:
        shown["scope"] = scope.name
    if span.status.status_code is StatusCode.ERROR:
        shown["status"] = {"code": "STATUS_CODE_ERROR", "message": jsonable(span.status.description or "")}
    if span.events:
        shown["events"] = [
            {
                "timeUnixNano": str(event.timestamp),
                "name": event.name,
                "attributes": [attribute(key, value) for key, value in (event.attributes or {}).items()],
            }
            for event in span.events
        ]
    return shown
