"""Traces, observations and scores of Langfuse as sessions, events and scores."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from experiments.sdk.importers.things import Event, Json, Run, Score, Thing, fingerprint, marks, our_id
from experiments.sdk.importers.values import epoch_ms, given, number_of, object_of, opened, text_of

TOOL = "langfuse"
_TYPES = {"GENERATION": "model", "EMBEDDING": "model", "SPAN": "chain", "AGENT": "chain", "CHAIN": "chain"}
_TRACE_REST = ("userId", "sessionId", "release", "version", "tags", "environment", "public")
_OBSERVATION_REST = ("level", "version", "environment", "promptId", "promptName", "promptVersion")


@dataclass
class Index:
    """Ids of the whole export, from a first reading: they tie rows of different files together."""

    datasets: dict[str, str] = field(default_factory=dict)  # name -> id
    runs: dict[str, Run] = field(default_factory=dict)  # id of the run -> run
    places: dict[str, tuple[str, str, str]] = field(default_factory=dict)  # trace -> (run, dataset, item)
    traces: set[str] = field(default_factory=set)  # that have a row of their own
    rootless: dict[str, str] = field(default_factory=dict)  # trace without a row -> its first root observation


def _session_of(trace: str) -> str:
    return our_id(TOOL, "trace", trace)


def _session(trace: str, value: Json, index: Index, body: Json) -> Event:
    """The session of a trace: what `body` says of it, and its place in a run."""
    run, dataset, item = index.places.get(trace, ("", "", ""))
    metadata = object_of(value.get("metadata"), "metadata") | given({key: value.get(key) for key in _TRACE_REST})
    metadata |= marks(TOOL, trace)
    if run:
        metadata["run_id"] = index.runs[run].run_id
    body = {
        "event_id": _session_of(trace),
        "session_id": _session_of(trace),
        "event_type": "session",
        "source": "evaluation" if run else TOOL,
        "metadata": metadata,
        **body,
    }
    if user := text_of(value.get("userId")):
        body["user_properties"] = {"user_id": user}
    return Event(trace, body, dataset or None, item or None)


def trace(value: Json, index: Index) -> Iterator[Thing]:
    start = epoch_ms(value["timestamp"])
    if start is None:
        raise ValueError("the trace has no timestamp")
    latency = number_of(value.get("latency"))
    body = {
        "event_name": text_of(value.get("name")) or "trace",
        "start_time": start,
        "inputs": object_of(value.get("input"), "input"),
        "outputs": object_of(value.get("output"), "output"),
    }
    yield _session(str(value["id"]), value, index, body | given({"end_time": latency and start + latency * 1000}))


def execution(value: Json, index: Index) -> Iterator[Thing]:
    """An item of an experiment: the session of its trace, unless the trace is in the export."""
    trace = text_of(value["traceId"])
    if trace in index.traces:
        return
    index.traces.add(trace)
    truth = object_of(value.get("expectedOutput"), "expected_output")
    body = {
        "event_name": text_of(value.get("experimentName")) or "trace",
        "inputs": object_of(value.get("input"), "input"),
        "outputs": object_of(value.get("output"), "output"),
        "feedback": {"ground_truth": truth} if truth else {},
        **given({"start_time": epoch_ms(value.get("startTime")), "end_time": epoch_ms(value.get("endTime"))}),
    }
    yield _session(trace, value, index, body)


def observation(value: Json, index: Index) -> Iterator[Thing]:
    source_id, trace = text_of(value.get("id")), text_of(value["traceId"])
    start, end = epoch_ms(value["startTime"]), epoch_ms(value.get("endTime"))
    if not source_id or not trace or start is None:
        raise ValueError("the observation has no id, traceId or startTime")
    kind, parent = text_of(value["type"]).upper(), text_of(value.get("parentObservationId"))
    inputs, outputs = opened(value.get("input")), opened(value.get("output"))
    times = given({"start_time": start, "end_time": end})
    body: Json = {
        "event_id": our_id(TOOL, "observation", source_id),
        "session_id": _session_of(trace),
        "parent_id": our_id(TOOL, "observation", parent) if parent else _session_of(trace),
        "event_type": _TYPES.get(kind, "tool"),
        "event_name": text_of(value.get("name")) or kind.lower(),
        "source": "evaluation" if trace in index.places else TOOL,
        "inputs": {"chat_history": inputs} if _is_chat(inputs) else object_of(inputs, "input"),
        "outputs": object_of(outputs, "content" if kind == "GENERATION" else "output"),
        "config": object_of(value.get("modelParameters"), "parameters") | given({"model": _model(value)}),
        "metadata": object_of(value.get("metadata"), "metadata")
        | _usage(value)
        | given({key: value.get(key) for key in _OBSERVATION_REST})
        | marks(TOOL, source_id)
        | {"observation_type": kind},
        **times,
    }
    if value.get("level") == "ERROR":
        body["error"] = text_of(value.get("statusMessage")) or "ERROR"
    elif value.get("statusMessage"):
        body["metadata"]["status_message"] = text_of(value["statusMessage"])
    if trace not in index.traces and index.rootless.get(trace) in (source_id, None):
        index.traces.add(trace)  # no row of its own: its root observation stands for it
        name = text_of(value.get("traceName")) or body["event_name"]
        yield _session(
            trace, value, index, {"event_name": name, "inputs": body["inputs"], "outputs": body["outputs"], **times}
        )
    yield Event(source_id, body)


def _is_chat(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(t, dict) and "role" in t for t in value)


def _model(value: Json) -> str:
    return text_of(value.get("model") or value.get("providedModelName"))


def _usage(value: Json) -> Json:
    """Tokens and cost under the names that the server adds up."""
    usage = object_of(value.get("usageDetails") or value.get("usage"), "usage")
    cost = object_of(value.get("costDetails"), "total")
    found = {
        "prompt_tokens": number_of(usage.get("input")),
        "completion_tokens": number_of(usage.get("output")),
        "total_tokens": number_of(usage.get("total")),
        "cost": number_of(cost.get("total", value.get("totalCost") or value.get("calculatedTotalCost"))),
    }
    return given(found)


def score(value: Json, index: Index) -> Iterator[Thing]:
    source_id, name = text_of(value.get("id")), text_of(value["name"])
    subject = object_of(value.get("subject"), "id")
    kind = subject.get("kind")
    observation = text_of(value.get("observationId") or (subject.get("id") if kind == "observation" else ""))
    trace = text_of(value.get("traceId") or subject.get("traceId") or (subject.get("id") if kind == "trace" else ""))
    if not observation and not trace:
        raise ValueError("it judges a session or a run of Langfuse, not a trace or an observation")
    found = _judged(value)
    if not name or found is None:
        raise ValueError(f"a score needs a name and a value, this has {name!r} and {value.get('value')!r}")
    session = _session_of(trace)
    event = our_id(TOOL, "observation", observation) if observation else session
    comment = text_of(value.get("comment")) or None
    yield Score(source_id or fingerprint([trace, observation, name, found]), event, session, name, found, comment)


def _judged(value: Json) -> bool | int | float | str | None:
    """The value by its type: a number, a boolean, or the text of a category."""
    kind, raw, text = text_of(value.get("dataType")).upper(), value.get("value"), text_of(value.get("stringValue"))
    if kind == "BOOLEAN" or isinstance(raw, bool):
        return raw in (True, 1, 1.0, "1", "1.0", "true", "True")
    if kind in ("CATEGORICAL", "TEXT", "CORRECTION") or raw is None:
        return text or text_of(raw) or None
    number = number_of(raw)
    return number if number is not None else text_of(raw) or None
