"""A finished datapoint in the words of the server: one body with marked session spans for hhweb, single calls else."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from experiments.sdk.errors import InvalidRequest
from experiments.sdk.transport import json_text
from experiments.sdk.transport.records import SESSION_MARK, FinishedDatapoint

Json = dict[str, Any]
TRACES_PATH = "/opentelemetry/v1/traces"
SCOPE = "hhweb"
_RESOURCE = {"attributes": [{"key": "service.name", "value": {"stringValue": "hhweb"}}]}
_WHOLE_BUCKETS = ("inputs", "outputs", "config", "metadata", "feedback", "metrics", "user_properties")
_WHOLE_KEYS = frozenset(f"honeyhive_{name}" for name in _WHOLE_BUCKETS)
_STARTED_WITH = ("session_id", "session_name", "source", "start_time", "inputs", "metadata", "user_properties")
_UPDATED_WITH = ("outputs", "config", "feedback", "metrics", "end_time")


def traces_body(spans: Iterable[Json]) -> bytes:
    """An ExportTraceServiceRequest of spans; their key `scope`, which OTLP does not know there, groups them."""
    scopes: dict[str, list[Json]] = {}
    for span in spans:
        scope = span.get("scope")
        if scope is None:
            scopes.setdefault(SCOPE, []).append(span)
        else:
            scopes.setdefault(scope, []).append({key: value for key, value in span.items() if key != "scope"})
    scoped = [{"scope": {"name": name}, "spans": found} for name, found in scopes.items()]
    return json_text.dumps({"resourceSpans": [{"resource": _RESOURCE, "scopeSpans": scoped}]})


def require_all_stored(answer: Any) -> None:
    """InvalidRequest with the server's sentence when it left spans out."""
    partial = answer.get("partialSuccess") if isinstance(answer, dict) else None
    if isinstance(partial, dict) and str(partial.get("rejectedSpans") or "0") != "0":
        raise InvalidRequest(
            str(partial.get("errorMessage") or "The server refused some of the spans."), status=200, details=partial
        )


def session_span(finished: FinishedDatapoint) -> Json:
    """The span of which hhweb makes the session event itself. Its ids follow from the session's."""
    session = finished.session
    attributes = [
        _attribute("honeyhive.session_id", finished.session_id),
        {"key": SESSION_MARK, "value": {"boolValue": True}},
        _attribute("honeyhive_event_type", "session"),
        _attribute("honeyhive_event_name", str(session.get("session_name") or "")),
    ]
    if source := session.get("source"):
        attributes.append(_attribute("honeyhive.source", str(source)))
    if (error := session.get("error")) is not None:
        attributes.append(_attribute("honeyhive_error", str(error)))
    for name in _WHOLE_BUCKETS:
        if bucket := session.get(name):
            attributes.append(_attribute(f"honeyhive_{name}", json_text.dumps(bucket).decode()))
    digest = hashlib.blake2b(f"session:{finished.session_id}".encode(), digest_size=24).hexdigest()
    start = _nanoseconds(session.get("start_time") or 0)
    return {
        "traceId": finished.spans[0]["traceId"] if finished.spans else digest[:32],
        "spanId": digest[32:],
        "parentSpanId": None,
        "name": str(session.get("session_name") or "session"),
        "kind": "SPAN_KIND_INTERNAL",
        "startTimeUnixNano": start,
        "endTimeUnixNano": _nanoseconds(session["end_time"]) if session.get("end_time") else start,
        "attributes": attributes,
    }


def spans_for_hhweb(batch: Sequence[FinishedDatapoint]) -> list[Json]:
    """Sessions and spans of many datapoints, for one request and one transaction."""
    return [span for finished in batch for span in (session_span(finished), *finished.spans)]


def spans_for_others(batch: Sequence[FinishedDatapoint]) -> list[Json]:
    """Spans of many datapoints with their buckets taken apart, as the official client writes them."""
    return [
        {**span, "attributes": [part for item in span.get("attributes") or () for part in _taken_apart(item)]}
        for finished in batch
        for span in finished.spans
    ]


def _taken_apart(attribute: Json) -> list[Json]:
    """A whole bucket as single attributes; any other attribute as it is.

    Inputs: one per parameter, objects and lists as JSON text. Other buckets: one per scalar under a dotted path.
    """
    key = attribute["key"]
    text = attribute["value"].get("stringValue")
    if key not in _WHOLE_KEYS or not isinstance(text, str):
        return [attribute]
    bucket = json_text.loads(text.encode())
    if key == "honeyhive_inputs":
        bucket = {
            name: json_text.dumps(value).decode() if isinstance(value, dict | list) else value
            for name, value in bucket.items()
        }
    return [{"key": path, "value": scalar} for path, scalar in _scalars(key, bucket)]


def _scalars(path: str, value: Any) -> Iterator[tuple[str, Json]]:
    if isinstance(value, dict | list):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _scalars(f"{path}.{name}", inner)
    elif isinstance(value, bool):
        yield path, {"boolValue": value}
    elif isinstance(value, int):
        yield path, {"intValue": str(value)}
    elif isinstance(value, float):
        yield path, {"doubleValue": value}
    elif value is not None:
        yield path, {"stringValue": value}


def session_start(finished: FinishedDatapoint) -> Json:
    """`session` of POST /session/start."""
    return {name: value for name in _STARTED_WITH if (value := finished.session.get(name))}


def session_update(finished: FinishedDatapoint) -> Json:
    """The body of PUT /events for the session, as the official client sends it after the spans; may be empty."""
    return {name: value for name in _UPDATED_WITH if (value := finished.session.get(name))}


def _attribute(key: str, text: str) -> Json:
    return {"key": key, "value": {"stringValue": text}}


def _nanoseconds(milliseconds: float) -> str:
    """Epoch milliseconds as OTLP's text of nanoseconds; split, as a double holds no nanoseconds of today."""
    whole = int(milliseconds)
    return str(whole * 1_000_000 + round((milliseconds - whole) * 1e6))
