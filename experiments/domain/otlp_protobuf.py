"""OTLP in protobuf."""

import base64
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from experiments.domain.event_row import MAX_DEPTH
from experiments.domain.otlp import Batch, Span, SpanFault, finite_or_name, sane_times
from governance.domain.errors import InvalidInput


def decode(body: bytes) -> Batch:
    """The spans of an ExportTraceServiceRequest."""
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except (DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The body is not a valid ExportTraceServiceRequest: {error}.", field="body") from None
    batch = Batch()
    for r, resource in enumerate(request.resource_spans):
        service = next(
            (item.value.string_value for item in resource.resource.attributes if item.key == "service.name"), ""
        )
        for s, scoped in enumerate(resource.scope_spans):
            scope = scoped.scope.name
            for i, raw in enumerate(scoped.spans):
                try:
                    batch.spans.append(_proto_span(raw, scope, service))
                except SpanFault as fault:
                    batch.refuse(f"resourceSpans[{r}].scopeSpans[{s}].spans[{i}]", fault)
    return batch


def _proto_span(raw: Any, scope: str, service: str) -> Span:
    start, end = sane_times(raw.start_time_unix_nano, raw.end_time_unix_nano)
    has_status = raw.HasField("status")
    return Span(
        _proto_id(raw.trace_id, 16, "trace_id"),
        _proto_id(raw.span_id, 8, "span_id"),
        _proto_id(raw.parent_span_id, 8, "parent_span_id") if any(raw.parent_span_id) else "",
        raw.name,
        start,
        end,
        _proto_attributes(raw.attributes),
        has_status and raw.status.code == 2,
        raw.status.message if has_status else "",
        [(event.name, _proto_attributes(event.attributes)) for event in raw.events] if raw.events else [],
        scope,
        service,
    )


def _proto_id(found: bytes, size: int, name: str) -> str:
    if len(found) != size or not any(found):
        raise SpanFault("ids", f"{name} {found[:32].hex()!r} is not {size} bytes, not all zero")
    return found.hex()


def _proto_attributes(items: Any) -> dict[str, Any]:
    attributes = {}
    for item in items:
        value = item.value
        kind = value.WhichOneof("value")
        attributes[item.key] = value.string_value if kind == "string_value" else _proto_value(value, kind, 0)
    return attributes


def _proto_value(value: Any, kind: str | None, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise SpanFault("values", f"an attribute is nested deeper than {MAX_DEPTH} levels")
    if kind in {"string_value", "int_value", "bool_value"}:
        return getattr(value, kind)
    if kind == "double_value":
        return finite_or_name(value.double_value)
    if kind == "array_value":
        return [_proto_value(item, item.WhichOneof("value"), depth + 1) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {
            item.key: _proto_value(item.value, item.value.WhichOneof("value"), depth + 1)
            for item in value.kvlist_value.values
        }
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return None


def encode_answer(rejected: int, message: str) -> bytes:
    """An ExportTraceServiceResponse; empty when every span was stored."""
    answer = ExportTraceServiceResponse()
    if rejected:
        answer.partial_success.rejected_spans = rejected
        answer.partial_success.error_message = message
    return answer.SerializeToString()
