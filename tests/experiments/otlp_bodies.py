"""OTLP bodies in both encodings from one plain description, and how to send them."""

import gzip
import zlib

import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

START = 1_700_000_000_000_000_000
SESSION = "0b7ab2f6-9f5c-4f33-9f0c-5f1f3c2d1e00"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def span_id(number: int) -> str:
    return f"{number:016x}"


def make_span(number: int = 1, attributes=None, **fields) -> dict:
    """A span as a plain description; `attributes` are Python values."""
    return {
        "trace": TRACE,
        "span": span_id(number),
        "parent": "",
        "name": f"span {number}",
        "start": START + number,
        "end": START + number + 5_000_000,
        "error": None,
        "events": [],
        "attributes": {"honeyhive.session_id": SESSION, **(attributes or {})},
        **fields,
    }


def json_value(value) -> dict:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [json_value(item) for item in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": json_attributes(value)}}
    return {"stringValue": value}


def json_attributes(attributes: dict) -> list:
    return [{"key": key, "value": json_value(value)} for key, value in attributes.items()]


def json_span(span: dict) -> dict:
    """As the official client writes it: names of enums, times as text, null parents."""
    status = {"code": "STATUS_CODE_ERROR", "message": span["error"]} if span["error"] else {"code": "STATUS_CODE_UNSET"}
    return {
        "traceId": span["trace"],
        "spanId": span["span"],
        "parentSpanId": span["parent"] or None,
        "name": span["name"],
        "kind": "SPAN_KIND_INTERNAL",
        "startTimeUnixNano": str(span["start"]),
        "endTimeUnixNano": str(span["end"]),
        "attributes": json_attributes(span["attributes"]),
        "status": status,
        "events": [{"name": name, "attributes": json_attributes(extra)} for name, extra in span["events"]],
    }


def json_body(spans: list, *, scope: str = "honeyhive.1") -> bytes:
    raw = [span if "traceId" in span else json_span(span) for span in spans]
    resource = {"attributes": json_attributes({"service.name": "tests"})}
    return orjson.dumps(
        {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": scope}, "spans": raw}]}]}
    )


def proto_value(target: AnyValue, value) -> None:
    if isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, bytes):
        target.bytes_value = value
    elif isinstance(value, list):
        target.array_value.SetInParent()
        for item in value:
            proto_value(target.array_value.values.add(), item)
    elif isinstance(value, dict):
        target.kvlist_value.SetInParent()
        for key, item in value.items():
            proto_value(target.kvlist_value.values.add(key=key).value, item)
    elif value is not None:
        target.string_value = value


def proto_body(spans: list, *, scope: str = "honeyhive.1") -> bytes:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    proto_value(resource.resource.attributes.add(key="service.name").value, "tests")
    scoped = resource.scope_spans.add()
    scoped.scope.name = scope
    for span in spans:
        raw = scoped.spans.add(
            trace_id=bytes.fromhex(span["trace"]),
            span_id=bytes.fromhex(span["span"]),
            parent_span_id=bytes.fromhex(span["parent"]),
            name=span["name"],
            kind=1,
            start_time_unix_nano=span["start"],
            end_time_unix_nano=span["end"],
        )
        for key, value in span["attributes"].items():
            proto_value(raw.attributes.add(key=key).value, value)
        if span["error"]:
            raw.status.code = 2
            raw.status.message = span["error"]
        for name, extra in span["events"]:
            event = raw.events.add(name=name)
            for key, value in extra.items():
                proto_value(event.attributes.add(key=key).value, value)
    return request.SerializeToString()


def deflate_raw(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(body) + stream.flush()


COMPRESSIONS = {
    "": lambda body: body,
    "identity": lambda body: body,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}


def send(
    api, body: bytes, *, protobuf: bool = False, encoding: str = "", path: str = "/opentelemetry/v1/traces", **extra
):
    """POST through Django's test client."""
    headers = {"Content-Encoding": encoding} if encoding else {}
    return api.post(
        path,
        data=body,
        content_type="application/x-protobuf" if protobuf else "application/json",
        headers={**headers, **extra},
    )
