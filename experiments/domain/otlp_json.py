"""OTLP in JSON, as the official client sends it by default."""

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from experiments.domain.event_row import MAX_DEPTH, storable_text
from experiments.domain.otlp import MAX_NS, Batch, Span, SpanFault, finite_or_name, sane_times
from governance.domain.errors import InvalidInput

_ERROR_CODES = (2, "STATUS_CODE_ERROR", "2")


def decode(body: bytes) -> Batch:
    """The spans of an ExportTraceServiceRequest."""
    if not body.strip():
        raise InvalidInput("The body is empty; send an ExportTraceServiceRequest as JSON.", field="body")
    request = _loads(body)
    batch = Batch()
    for r, resource in enumerate(_objects(request, "resourceSpans", "body")):
        where = f"resourceSpans[{r}]"
        service = _service(resource.get("resource"))
        for s, scoped in enumerate(_objects(resource, "scopeSpans", where)):
            scope = scoped.get("scope")
            name = scope.get("name") if isinstance(scope, dict) else None
            scope_name = name if isinstance(name, str) else ""
            path = f"{where}.scopeSpans[{s}]"
            spans = scoped.get("spans") or []
            if not isinstance(spans, list):
                raise InvalidInput(f"Field '{path}.spans' must be a list.", field=f"{path}.spans")
            for i, raw in enumerate(spans):
                try:
                    batch.spans.append(_json_span(raw, scope_name, service))
                except SpanFault as fault:
                    batch.refuse(f"{path}.spans[{i}]", fault)
                except (AttributeError, KeyError, TypeError, ValueError) as error:
                    problem = f"the span has not the shape of OTLP ({type(error).__name__})"
                    batch.refuse(f"{path}.spans[{i}]", SpanFault("shape", problem))
    return batch


def _loads(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        value = _loads_loosely(body, error)
    if not isinstance(value, dict):
        raise InvalidInput("The body must be a JSON object with 'resourceSpans'.", field="body")
    return value


def _loads_loosely(body: bytes, error: orjson.JSONDecodeError) -> Any:
    """Text cut in the middle of a character (a lone surrogate) must not cost the other 511 spans."""
    refusal = InvalidInput(f"The body is not valid JSON: {error}.", field="body")
    if b"\\ud" not in body and b"\\uD" not in body:
        raise refusal
    try:
        text = json.dumps(json.loads(body), ensure_ascii=False)
        return orjson.loads(storable_text(text))
    except (ValueError, RecursionError):
        raise refusal from None


def _objects(holder: dict[str, Any], name: str, where: str) -> list[dict[str, Any]]:
    items = holder.get(name) or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InvalidInput(f"Field {name!r} of {where} must be a list of objects.", field=name)
    return items


def _service(resource: object) -> str:
    attributes = resource.get("attributes") if isinstance(resource, dict) else None
    for item in attributes if isinstance(attributes, list) else ():
        if isinstance(item, dict) and item.get("key") == "service.name" and isinstance(item.get("value"), dict):
            name = item["value"].get("stringValue")
            return name if isinstance(name, str) else ""
    return ""


def _json_span(raw: dict[str, Any], scope: str, service: str) -> Span:
    get = raw.get
    parent = get("parentSpanId")
    start, end = sane_times(_nanoseconds(get("startTimeUnixNano")), _nanoseconds(get("endTimeUnixNano") or 0))
    status = get("status") or {}
    name = get("name")
    message = status.get("message")
    return Span(
        _json_id(get("traceId"), 16, "traceId"),
        _json_id(get("spanId"), 8, "spanId"),
        _json_id(parent, 8, "parentSpanId", may_be_zero=True) if parent else "",
        name if isinstance(name, str) else "",
        start,
        end,
        _json_attributes(get("attributes") or ()),
        status.get("code") in _ERROR_CODES,
        message if isinstance(message, str) else "",
        [
            (str(event.get("name", "")), _json_attributes(event.get("attributes") or ()))
            for event in get("events") or ()
        ],
        scope,
        service,
    )


def _json_id(text: object, size: int, name: str, *, may_be_zero: bool = False) -> str:
    """Hex of OTLP's JSON; base64, as generic protobuf encoders write it, is understood, too."""
    if isinstance(text, str):
        try:
            found = bytes.fromhex(text) if len(text) == 2 * size else base64.b64decode(text, validate=True)
        except (ValueError, binascii.Error):
            found = b""
        if len(found) == size:
            if any(found):
                return found.hex()
            if may_be_zero:
                return ""
    raise SpanFault("ids", f"{name} {str(text)[:64]!r} is not {2 * size} hex digits, not all zero")


def _nanoseconds(value: object) -> int:
    if isinstance(value, str | int) and not isinstance(value, bool) and len(str(value)) <= 20:
        try:
            return int(value)
        except ValueError:
            pass
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_NS:
        return int(value)
    raise SpanFault("times", f"time {str(value)[:40]!r} is not a whole number of nanoseconds")


def _json_attributes(items: Iterable[dict[str, Any]]) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for item in items:
        key, value = item["key"], item.get("value")
        if key.__class__ is not str:
            raise SpanFault("shape", f"attribute key {str(key)[:40]!r} is not text")
        if value is None:
            attributes[key] = None
            continue
        text = value.get("stringValue")
        attributes[key] = text if text.__class__ is str else _json_value(value, 0)
    return attributes


def _json_value(value: dict[str, Any], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise SpanFault("values", f"an attribute is nested deeper than {MAX_DEPTH} levels")
    for kind, inner in value.items():
        reader = _READERS.get(kind)
        if reader is not None:
            return reader(inner, depth)
    if value:
        raise SpanFault("values", f"attribute value {str(value)[:60]} is of no known kind")
    return None


def _text(inner: object, depth: int) -> str:
    if not isinstance(inner, str):
        raise SpanFault("values", f"stringValue {str(inner)[:40]} is not text")
    return inner


def _truth(inner: object, depth: int) -> bool:
    if not isinstance(inner, bool):
        raise SpanFault("values", f"boolValue {str(inner)[:40]!r} is neither true nor false")
    return inner


def _integer(inner: object, depth: int) -> int | str:
    """A whole number; beyond 64 bits its text, because nothing behind us holds it exactly."""
    if isinstance(inner, str | int | float) and not isinstance(inner, bool):
        try:
            number = int(inner)
        except (ValueError, OverflowError):
            number = None
        if number is not None and (not isinstance(inner, float) or number == inner):
            return number if -(2**63) <= number < 2**63 else str(number)
    raise SpanFault("values", f"intValue {str(inner)[:40]!r} is not a whole number")


def _json_list(inner: dict[str, Any], depth: int) -> list[Any]:
    return [_json_value(item, depth + 1) if item is not None else None for item in inner.get("values") or ()]


def _json_object(inner: dict[str, Any], depth: int) -> dict[str, Any]:
    return {str(item["key"]): _json_value(item.get("value") or {}, depth + 1) for item in inner.get("values") or ()}


_READERS: dict[str, Callable[[Any, int], Any]] = {
    "stringValue": _text,
    "intValue": _integer,
    "doubleValue": finite_or_name,
    "boolValue": _truth,
    "arrayValue": _json_list,
    "kvlistValue": _json_object,
    "bytesValue": _text,
}
