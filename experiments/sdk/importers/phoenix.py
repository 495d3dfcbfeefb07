"""Exports of Arize Phoenix: spans (API pages, or the span frame as CSV or JSON), span annotations, dataset examples
(JSON or CSV), experiments (JSON or CSV). Seen with arize-phoenix 20.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.sdk.importers.files import Row, read_rows
from experiments.sdk.importers.phoenix_spans import TOOL, Index, annotation, scores, span
from experiments.sdk.importers.things import (
    BadRow,
    Datapoint,
    Dataset,
    Event,
    Json,
    Run,
    Thing,
    fingerprint,
    marks,
    our_id,
)
from experiments.sdk.importers.values import epoch_ms, given, number_of, object_of, opened, text_of

# Kinds of rows in the order in which they are sent, and what a bad one is counted as.
_COUNTED_AS = {"execution": "sessions", "span": "events", "annotation": "scores"}


def read(paths: Sequence[Path], *, name: str) -> Iterator[Thing]:
    """Datasets with their examples, experiments as runs with one session per execution, spans, annotations."""
    index = Index()
    yield from _index(paths, name, index)
    for row, kind, value in _records(paths):
        if kind == "example":
            yield _example(row, value, name)
    for file, run in index.runs.items():
        yield _run(file, run, name, index)
    for wanted, make in _READERS:
        for row, kind, value in _records(paths):
            if kind == wanted:
                try:
                    yield from make(value, index)
                except ValueError as error:
                    yield BadRow(row.where, f"cannot be read: {error}.", _COUNTED_AS[kind], _shown_id(value))


def _shown_id(value: Json) -> str:
    return text_of(value.get("context.span_id") or value.get("trace_id") or value.get("id"))


# --- rows


def _records(paths: Sequence[Path]) -> Iterator[tuple[Row, str, Json]]:
    for row in read_rows(paths):
        yield from _unwrapped(row, {})


def _unwrapped(row: Row, about: Json) -> Iterator[tuple[Row, str, Json]]:
    if not isinstance(row.value, dict):
        yield row, "bad", {}
        return
    value = {**about, **row.value}
    inner = value.get("data")
    if isinstance(inner, dict):
        inner = [inner]
    if isinstance(inner, list) and "id" not in value:
        for index, each in enumerate(inner):
            yield from _unwrapped(Row(f"{row.where} data[{index}]", each), {})
        return
    if isinstance(value.get("examples"), list):
        for index, each in enumerate(value["examples"]):
            about = {"dataset_id": value.get("dataset_id")}
            yield from _unwrapped(Row(f"{row.where} examples[{index}]", each), about)
        return
    value = _flat(value)
    yield row, _kind(value), value


def _flat(value: Json) -> Json:
    """A span of the API in the columns of the span frame."""
    if isinstance(value.get("context"), dict):
        value = {**value, **{f"context.{key}": each for key, each in value["context"].items()}}
    if isinstance(value.get("attributes"), dict):
        value = {**value, **{f"attributes.{key}": each for key, each in value["attributes"].items()}}
    if isinstance(value.get("result"), dict):
        value = {**value, **{f"result.{key}": each for key, each in value["result"].items()}}
    return value


def _kind(value: Json) -> str:
    has = value.keys()
    if {"context.span_id", "context.trace_id"} <= has:
        return "span"
    if "span_id" in has and ({"result.score"} <= has or {"score"} <= has):
        return "annotation"
    if {"example_id", "reference_output"} <= has:
        return "execution"
    is_example = {"input", "output"} <= has or any(key.startswith("input.") for key in has)
    return "example" if is_example and "id" in has else "bad"


def _index(paths: Sequence[Path], name: str, index: Index) -> Iterator[Thing]:
    """Fill the index; yields the datasets, and what is no row of Phoenix."""
    known: set[str] = set()
    for row, kind, value in _records(paths):
        if kind == "bad":
            yield BadRow(row.where, row.fault or "is no span, annotation, example or execution of Phoenix.")
        elif kind == "example":
            dataset = _dataset_of(value, name)
            index.datasets[text_of(value["id"])] = dataset
            if dataset not in known:
                known.add(dataset)
                yield Dataset(dataset, name)
        elif kind == "execution":
            file = _file_of(row)
            trace = _trace_of(value)
            index.runs.setdefault(file, f"{name}:{trace}")
            index.examples.setdefault(file, set()).add(text_of(value["example_id"]))
            index.places[trace] = (file, text_of(value["example_id"]))
            index.sessions.add(trace)
        elif kind == "annotation":
            index.spans[text_of(value["span_id"])] = ""
    for file, examples in index.examples.items():
        if not examples <= index.datasets.keys():
            index.external[file] = f"EXT-phoenix-{fingerprint(sorted(examples))}"
    for _, kind, value in _records(paths):
        if kind == "span":
            trace, span = text_of(value["context.trace_id"]), text_of(value["context.span_id"])
            if not text_of(value.get("parent_id")):
                index.roots.add(trace)
            if span in index.spans:
                index.spans[span] = trace


def _file_of(row: Row) -> str:
    return row.where.partition("[")[0].partition(":")[0]


def _trace_of(value: Json) -> str:
    """The trace of an execution; one that has none gets an id from what it is."""
    keys = ("example_id", "repetition_number", "start_time")
    return text_of(value.get("trace_id")) or fingerprint([value.get(key) for key in keys])


def _dataset_of(value: Json, name: str) -> str:
    return text_of(value.get("dataset_id")) or f"{name} (examples)"


def _example(row: Row, value: Json, name: str) -> Thing:
    parts = {part: _part(value, part) for part in ("input", "output", "metadata")}
    return Datapoint(
        text_of(value["id"]),
        _dataset_of(value, name),
        parts["input"],
        parts["output"] or None,
        metadata=parts["metadata"],
    )


def _part(value: Json, part: str) -> Json:
    """An object of an example: whole, or in one column for each of its keys."""
    if part in value:
        return object_of(value[part], part)
    columns = {key.removeprefix(f"{part}."): each for key, each in value.items() if key.startswith(f"{part}.")}
    return {key: each for key, each in columns.items() if each is not None}


# --- experiments


def _run(file: str, run: str, name: str, index: Index) -> Run:
    dataset = index.external.get(file) or index.datasets[min(index.examples[file])]
    title = name if len(index.runs) == 1 else f"{name} {file.partition('.')[0]}"
    return Run(run, our_id(TOOL, "run", run), title, dataset=dataset)


def _execution(value: Json, index: Index) -> Iterator[Thing]:
    trace = _trace_of(value)
    file, example = index.places[trace]
    start, end = epoch_ms(value.get("start_time")), epoch_ms(value.get("end_time"))
    latency = number_of(value.get("latency_ms"))
    session = our_id(TOOL, "trace", trace)
    external = index.external.get(file)
    metadata: Json = {
        "run_id": our_id(TOOL, "run", index.runs[file]),
        "repetition": int(number_of(value.get("repetition_number")) or 1) - 1,
        **marks(TOOL, trace),
    }
    metadata |= given(
        {
            "prompt_tokens": number_of(value.get("prompt_token_count")),
            "completion_tokens": number_of(value.get("completion_token_count")),
        }
    )
    body = {
        "event_id": session,
        "session_id": session,
        "event_type": "session",
        "event_name": "execution",
        "source": "evaluation",
        "inputs": object_of(value.get("input"), "input"),
        "outputs": object_of(value.get("output"), "output"),
        "feedback": given({"ground_truth": object_of(value["reference_output"], "output")}),
        "metadata": metadata,
        **given({"start_time": start, "end_time": end, "duration": latency, "error": text_of(value.get("error"))}),
    }
    # Without its dataset an example is known by its id alone, as a datapoint that lives elsewhere.
    place = (external, f"EXT-{example}") if external else (index.datasets[example], example)
    yield Event(trace, body, *place)
    for each in _annotations(value):
        yield from scores(each, f"{trace}/{text_of(each.get('name'))}", session, session)


def _annotations(value: Json) -> list[Json]:
    """The judgments of an execution: a list, or the columns `annotation_<name>_<key>` of the CSV."""
    listed = opened(value.get("annotations"))
    if isinstance(listed, list):
        return [each for each in listed if isinstance(each, dict)]
    names = [key[11:-6] for key in value if key.startswith("annotation_") and key.endswith("_score")]
    return [
        {"name": name, **{key: value.get(f"annotation_{name}_{key}") for key in ("label", "score", "explanation")}}
        for name in names
    ]


_READERS = (("execution", _execution), ("span", span), ("annotation", annotation))
