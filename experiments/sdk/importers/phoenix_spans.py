"""Spans of Phoenix and their annotations as sessions, events and scores. Read as the server does."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from experiments.domain.span_instrumentors import FAMILIES, Foreign, normalise
from experiments.sdk.importers.things import BadRow, Event, Json, Score, Thing, marks, our_id
from experiments.sdk.importers.values import epoch_ms, given, number_of, opened, text_of

TOOL = "phoenix"
_MESSAGES = ("llm.input_messages", "llm.output_messages")


@dataclass
class Index:
    """Ids of the whole export, from a first reading."""

    datasets: dict[str, str] = field(default_factory=dict)  # id of an example -> id of its dataset
    roots: set[str] = field(default_factory=set)  # traces whose root span is in the files
    sessions: set[str] = field(default_factory=set)  # traces whose session was made
    spans: dict[str, str] = field(default_factory=dict)  # annotated span -> its trace
    runs: dict[str, str] = field(default_factory=dict)  # file -> id of the experiment's run
    examples: dict[str, set[str]] = field(default_factory=dict)  # file -> examples of its experiment
    external: dict[str, str] = field(default_factory=dict)  # file -> id of its dataset, which is not in the files
    places: dict[str, tuple[str, str]] = field(default_factory=dict)  # trace -> (run, example)


def span(value: Json, index: Index) -> Iterator[Thing]:
    span_id, trace = text_of(value["context.span_id"]), text_of(value["context.trace_id"])
    start, end = epoch_ms(value.get("start_time")), epoch_ms(value.get("end_time"))
    if not span_id or not trace or start is None:
        raise ValueError("the span has no span_id, trace_id or start_time")
    session, parent = our_id(TOOL, "trace", trace), text_of(value.get("parent_id"))
    attributes = _attributes(value)
    buckets: dict[str, Json] = {name: {} for name in ("inputs", "outputs", "config", "metadata", "metrics")}
    foreign = {key: each for key, each in attributes.items() if key.partition(".")[0] in FAMILIES}
    buckets["metadata"] = {key: each for key, each in attributes.items() if key not in foreign}
    name = text_of(value.get("name")) or "span"
    event_type = normalise(Foreign(attributes=foreign, stated_type=None, name=name), buckets, "tool")
    buckets["metadata"] |= marks(TOOL, span_id) | {"trace_id": trace, "span_id": span_id}
    times = given({"start_time": start, "end_time": end})
    failed = text_of(value.get("status_code")).upper() == "ERROR"
    error = {"error": text_of(value.get("status_message")) or "ERROR"} if failed else {}
    if trace not in index.sessions and (not parent or trace not in index.roots):
        index.sessions.add(trace)
        yield _session(trace, session, name, times | error, buckets)
    body = {
        "event_id": our_id(TOOL, "span", span_id),
        "session_id": session,
        "parent_id": our_id(TOOL, "span", parent) if parent else session,
        "event_type": event_type,
        "event_name": name,
        "source": "evaluation" if trace in index.places else TOOL,
        **buckets,
        **times,
        **error,
    }
    yield Event(span_id, body)


def _session(trace: str, session: str, name: str, facts: Json, buckets: dict[str, Json]) -> Event:
    body = {
        "event_id": session,
        "session_id": session,
        "event_type": "session",
        "event_name": name,
        "source": TOOL,
        "inputs": buckets["inputs"],
        "outputs": buckets["outputs"],
        "metadata": marks(TOOL, trace) | given({"phoenix_session": buckets["metadata"].get("session.id")}),
        **facts,
    }
    return Event(trace, body)


def _attributes(value: Json) -> dict[str, Any]:
    """Attributes under their dotted names, messages numbered as on the wire."""
    found: dict[str, Any] = {}
    for key, each in value.items():
        if not key.startswith("attributes.") or each is None or each != each:
            continue
        name = key.removeprefix("attributes.")
        messages = opened(each) if name in _MESSAGES else None
        if isinstance(messages, list):
            for index, message in enumerate(messages):
                for part, text in (message if isinstance(message, dict) else {"message.content": message}).items():
                    found[f"{name}.{index}.{part}"] = text
        else:
            found[name] = each
    if (kind := text_of(value.get("span_kind"))) and kind != "UNKNOWN":
        found.setdefault("openinference.span.kind", kind)
    return found


def annotation(value: Json, index: Index) -> Iterator[Thing]:
    span = text_of(value["span_id"])
    name = text_of(value.get("name") or value.get("annotation_name"))
    trace = index.spans.get(span, "")
    flat = {key: value.get(f"result.{key}", value.get(key)) for key in ("label", "score", "explanation")}
    source_id = text_of(value.get("id")) or f"{span}/{name}"
    yield from scores({"name": name, **flat}, source_id, our_id(TOOL, "span", span), our_id(TOOL, "trace", trace))


def scores(annotation: Json, source_id: str, event: str, session: str) -> Iterator[Thing]:
    """A number under the annotation's name; its label under `<name>_label`, or alone where there is no number."""
    name = text_of(annotation.get("name"))
    score, label = number_of(annotation.get("score")), text_of(annotation.get("label"))
    explanation = text_of(annotation.get("explanation")) or None
    if not name:
        yield BadRow("", "the annotation has no name.", "scores", source_id)
    elif score is not None:
        yield Score(source_id, event, session, name, score, explanation)
        if label:
            yield Score(f"{source_id}/label", event, session, f"{name}_label", label)
    elif label:
        yield Score(source_id, event, session, name, label, explanation)
    # Neither: the evaluator failed, and there is no judgment to keep.
