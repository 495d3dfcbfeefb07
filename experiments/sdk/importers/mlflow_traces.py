"""One trace of MLflow as a session, its spans as events, its assessments as scores and ground truth."""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from typing import Any

from experiments.sdk.importers.things import Event, Json, Score, Thing, fingerprint, marks, our_id
from experiments.sdk.importers.values import epoch_ms, given, number_of, object_of, opened, text_of

TOOL = "mlflow"
_RUN = "mlflow.sourceRun"
_SPAN_TYPES = {"LLM": "model", "CHAT_MODEL": "model", "EMBEDDING": "model"}
_SPAN_TYPES |= dict.fromkeys(("TOOL", "RETRIEVER", "RERANKER", "PARSER", "MEMORY"), "tool")
_USAGE = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens", "total_tokens": "total_tokens"}
_OPENED = ("mlflow.traceRequestId", "mlflow.spanInputs", "mlflow.spanOutputs", "mlflow.spanType")


def from_columns(value: Json) -> Json:
    """A trace out of the columns of `search_traces`, where the column `trace` was dropped."""
    columns = {key: opened(each) for key, each in value.items()}
    info = {key: columns.get(key) for key in ("trace_id", "state", "request_time", "trace_metadata", "tags")}
    info |= {"assessments": columns.get("assessments"), "execution_duration_ms": columns.get("execution_duration")}
    data = {"spans": columns.get("spans"), "request": columns.get("request"), "response": columns.get("response")}
    return {"info": info, "data": data}


def run_of(value: Json) -> str:
    """The run that a trace was made in; "" for none."""
    return text_of(_metadata(value["info"]).get(_RUN))


def place_of(datapoint: str, records: Mapping[str, str]) -> tuple[str | None, str]:
    """(dataset, datapoint) of inputs: a record of the export when one has the same inputs, else an external id."""
    dataset = records.get(datapoint)
    return (dataset, datapoint) if dataset else (None, f"EXT-{datapoint}")


def trace(value: Json, records: Mapping[str, str]) -> Iterator[Thing]:
    """The session, its spans, its judgments. Raises ValueError, KeyError, TypeError for what is no trace."""
    info, data = value["info"], object_of(value.get("data"), "spans")
    source_id = text_of(info.get("trace_id") or info.get("request_id"))
    if not source_id:
        raise ValueError("it has no trace_id")
    spans = [_Span(span) for span in _list(data.get("spans"))]
    yield _session(info, data, source_id, spans, records)
    for span in spans:
        yield _event(span, source_id, run_of(value))
    known = {span.span_id for span in spans}
    for each in _list(info.get("assessments")):
        yield from _scores(each, source_id, known)


class _Span:
    """A span in the words of MLflow 3 or 2."""

    def __init__(self, raw: Json) -> None:
        context = raw.get("context") or {}
        self.raw = raw
        self.span_id = _hex(raw.get("span_id") or context.get("span_id"))
        self.parent = _hex(raw.get("parent_span_id") or raw.get("parent_id"))
        self.name = text_of(raw.get("name")) or "span"
        self.start = epoch_ms(raw.get("start_time_unix_nano") or raw.get("start_time"))
        self.end = epoch_ms(raw.get("end_time_unix_nano") or raw.get("end_time"))
        self.attributes = {key: _decoded(each) for key, each in object_of(raw.get("attributes"), "attributes").items()}
        if not self.span_id or self.start is None:
            raise ValueError(f"span {self.name!r} has no id or no start")

    @property
    def error(self) -> str:
        """What went wrong, "" when nothing did."""
        status = self.raw.get("status")
        status = status if isinstance(status, dict) else {"code": status or self.raw.get("status_code")}
        if "ERROR" not in text_of(status.get("code")).upper():
            return ""
        for each in _list(self.raw.get("events")):
            message = (each.get("attributes") or {}).get("exception.message")
            if message:
                return text_of(_decoded(message))
        return text_of(status.get("message") or self.raw.get("status_message")) or "ERROR"


def _session(info: Json, data: Json, source_id: str, spans: list[_Span], records: Mapping[str, str]) -> Event:
    root = next((span for span in spans if not span.parent), None)
    facts, tags = _metadata(info), object_of(info.get("tags"), "tags")
    attributes = root.attributes if root else {}
    inputs = object_of(attributes.get("mlflow.spanInputs", data.get("request", info.get("request_preview"))), "input")
    outputs = attributes.get("mlflow.spanOutputs", data.get("response", info.get("response_preview")))
    start = epoch_ms(info.get("request_time") or info.get("timestamp_ms")) or (root.start if root else None)
    duration = number_of(info.get("execution_duration_ms") or info.get("execution_time_ms"))
    session, run = our_id(TOOL, "trace", source_id), text_of(facts.get(_RUN))
    truth, failed = _expectations(info)
    state = text_of(info.get("state") or info.get("status")).upper()
    metadata = {key: each for key, each in (facts | tags).items() if not key.startswith("mlflow.")}
    metadata |= marks(TOOL, source_id) | given({"assessment_errors": failed, "mlflow_run": run})
    if run:
        metadata["run_id"] = our_id(TOOL, "run", run)
    body = {
        "event_id": session,
        "session_id": session,
        "event_type": "session",
        "event_name": text_of(tags.get("mlflow.traceName")) or (root.name if root else "trace"),
        "source": "evaluation" if run else TOOL,
        "inputs": inputs,
        "outputs": object_of(outputs, "output"),
        "feedback": {"ground_truth": truth} if truth else {},
        "metadata": metadata,
        **given({"start_time": start, "duration": duration}),
    }
    if "ERROR" in state:
        body["error"] = (root.error if root else "") or "ERROR"
    return Event(source_id, body, *(place_of(fingerprint(inputs), records) if run else (None, None)))


def _event(span: _Span, source_id: str, run: str) -> Event:
    attributes, session = span.attributes, our_id(TOOL, "trace", source_id)
    usage = object_of(attributes.get("mlflow.chat.tokenUsage"), "usage")
    kind = text_of(attributes.get("mlflow.spanType")) or "UNKNOWN"
    body = {
        "event_id": _event_id(source_id, span.span_id),
        "session_id": session,
        "parent_id": _event_id(source_id, span.parent) if span.parent else session,
        "event_type": _SPAN_TYPES.get(kind, "chain"),
        "event_name": span.name,
        "source": "evaluation" if run else TOOL,
        "inputs": object_of(attributes.get("mlflow.spanInputs"), "input"),
        "outputs": object_of(attributes.get("mlflow.spanOutputs"), "output"),
        "config": given({key: attributes.get(f"mlflow.llm.{key}") for key in ("model", "provider")}),
        "metadata": {key: each for key, each in attributes.items() if key not in _OPENED}
        | given({ours: number_of(usage.get(theirs)) for theirs, ours in _USAGE.items()})
        | {"span_type": kind, **marks(TOOL, span.span_id)},
        **given({"start_time": span.start, "end_time": span.end, "error": span.error}),
    }
    return Event(f"{source_id}/{span.span_id}", body)


def _scores(assessment: Json, source_id: str, known: set[str]) -> Iterator[Thing]:
    feedback = assessment.get("feedback")
    name = text_of(assessment.get("assessment_name") or assessment.get("name"))
    if not isinstance(feedback, dict) or not name or assessment.get("valid") is False:
        return  # an expectation, or a judgment that another one replaced
    found = plain(feedback.get("value"))
    if found is None:
        return
    session, span = our_id(TOOL, "trace", source_id), _hex(assessment.get("span_id"))
    yield Score(
        text_of(assessment.get("assessment_id")) or f"{source_id}/{name}",
        _event_id(source_id, span) if span in known else session,
        session,
        name,
        found,
        text_of(assessment.get("rationale")) or None,
    )


def _expectations(info: Json) -> tuple[Json, Json]:
    """(expected values by name, errors of judges by name)."""
    truth: Json = {}
    failed: Json = {}
    for each in _list(info.get("assessments")):
        name = text_of(each.get("assessment_name") or each.get("name"))
        expected, feedback = each.get("expectation"), each.get("feedback")
        if isinstance(expected, dict):
            kept = expected.get("serialized_value")
            truth[name] = opened(kept.get("value")) if isinstance(kept, dict) else expected.get("value")
        elif isinstance(feedback, dict) and (error := feedback.get("error")):
            failed[name] = text_of(error.get("error_message") or error) if isinstance(error, dict) else text_of(error)
    return truth, failed


def plain(value: Any) -> bool | int | float | str | None:
    """A judgment as a score: a number (also one in a text), a boolean, a text; lists and objects as JSON; or None."""
    if value is None or value == "" or isinstance(value, bool):
        return None if value == "" else value
    number = number_of(value)
    if number is not None:
        return number
    return value if isinstance(value, str) else json.dumps(value)


def _metadata(info: Json) -> Json:
    return object_of(info.get("trace_metadata") or info.get("request_metadata"), "metadata")


def _event_id(trace_id: str, span_id: str) -> str:
    return our_id(TOOL, "span", f"{trace_id}/{span_id}")


def _hex(value: Any) -> str:
    """A span's id in hexadecimal digits, whichever way it is written: base64, hexadecimal, with 0x."""
    text = text_of(value)
    if len(text) == 12 and text.endswith("="):
        try:
            return base64.b64decode(text, validate=True).hex()
        except binascii.Error:
            return text
    return text.removeprefix("0x")


def _decoded(value: Any) -> Any:
    """An attribute as it was: MLflow writes all of them as JSON texts."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _list(value: Any) -> list[Json]:
    value = opened(value)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
