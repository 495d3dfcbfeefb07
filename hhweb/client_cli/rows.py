"""Rows of a dataset file as the server's datapoints: what goes where, what is there already, how it is sent."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from experiments.sdk.jsonable import jsonable
from experiments.sdk.running.binding import ground_truth_of, inputs_of
from hhweb.client_cli.connection import Refused

Json = dict[str, Any]
CHUNK_ROWS = 500
CHUNK_CHARACTERS = 4 * 1024 * 1024
_OWN_KEYS = frozenset({"inputs", "ground_truth", "ground_truths", "history", "metadata"})


def contents_of(rows: Sequence[Json], inputs: Sequence[str], ground_truth: Sequence[str]) -> list[Json]:
    """Each row as inputs, ground_truth, history and metadata. With names of columns these choose, and the rest becomes
    metadata; without, a row is read as evaluate() reads it. Refused for a row that does not fit, by its number.
    """
    rows = [jsonable(row) for row in rows]  # as it is sent: NaN becomes text
    if inputs or ground_truth:
        return [_chosen(row, inputs, ground_truth, number) for number, row in enumerate(rows, 1)]
    return [_as_evaluated(row, number) for number, row in enumerate(rows, 1)]


def content_of_datapoint(datapoint: Json) -> Json:
    """The content of a datapoint as the server shows it, its ids and times left out."""
    return _content(*(datapoint.get(key) for key in ("inputs", "ground_truth", "history", "metadata")))


def missing(wanted: Sequence[Json], there: Sequence[Json]) -> tuple[list[Json], int]:
    """(wanted contents that are not there, in their order; how many others are there)."""
    have = Counter(map(_canonical, there))
    left = []
    for content in wanted:
        key = _canonical(content)
        if have[key]:
            have[key] -= 1
        else:
            left.append(content)
    return left, have.total()


def chunks(contents: Sequence[Json]) -> Iterator[list[Json]]:
    """Pieces that one request can carry."""
    chunk: list[Json] = []
    size = 0
    for content in contents:
        length = len(json.dumps(content))
        if chunk and (len(chunk) == CHUNK_ROWS or size + length > CHUNK_CHARACTERS):
            yield chunk
            chunk, size = [], 0
        chunk.append(content)
        size += length
    if chunk:
        yield chunk


def as_flat_rows(contents: Sequence[Json]) -> tuple[list[Json], dict[str, list[str]]] | None:
    """(rows, mapping) of the protocol's request for many rows; None when one name stands for two things.

    A mapping only says which key goes where, so that `answer` cannot be an input and a ground truth in one request.
    """
    places: dict[str, set[str]] = {"inputs": set(), "ground_truth": set(), "history": set(), "metadata": set()}
    rows = []
    for content in contents:
        rows.append({**content["inputs"], **(content["ground_truth"] or {}), **(content["metadata"] or {})})
        for place in ("inputs", "ground_truth", "metadata"):
            places[place].update(content[place] or ())
        if content["history"]:
            rows[-1]["history"] = content["history"]
            places["history"].add("history")
    if len(set().union(*places.values())) != sum(map(len, places.values())):
        return None
    del places["metadata"]  # whatever nothing maps
    return rows, {place: sorted(names) for place, names in places.items()}


def _chosen(row: Json, inputs: Sequence[str], ground_truth: Sequence[str], number: int) -> Json:
    for name in (*inputs, *ground_truth):
        if name not in row:
            raise Refused(f"Row {number} has no {name!r}; it has {', '.join(map(str, row)) or 'nothing'}.")
    rest = {key: value for key, value in row.items() if key not in inputs and key not in ground_truth}
    return _content({key: row[key] for key in inputs}, {key: row[key] for key in ground_truth}, None, rest)


def _as_evaluated(row: Json, number: int) -> Json:
    inputs, truth = inputs_of(row), ground_truth_of(row)
    if not isinstance(inputs, dict):
        raise Refused(
            f'Row {number}: inputs is {str(inputs)[:80]!r}; the server stores objects like {{"question": …}}.'
        )
    nested = "inputs" in row
    history = row.get("history") if nested else None
    if history is not None and not (isinstance(history, list) and all(isinstance(turn, dict) for turn in history)):
        raise Refused(f"Row {number}: history is {str(history)[:80]!r}; give a list of chat turns.")
    metadata = row.get("metadata")
    rest = dict(metadata) if isinstance(metadata, dict) else {}
    rest |= {key: value for key, value in row.items() if key not in _OWN_KEYS and (nested or key not in inputs)}
    return _content(inputs, truth, history, rest)


def _content(inputs: Any, ground_truth: Any, history: Any, metadata: Any) -> Json:
    if ground_truth is not None and not isinstance(ground_truth, dict):
        ground_truth = {"ground_truth": ground_truth}
    return {
        "inputs": inputs or {},
        "ground_truth": ground_truth or None,
        "history": history or [],
        "metadata": metadata or None,
    }


def _canonical(content: Json) -> str:
    return json.dumps(_plain(content), sort_keys=True)


def _plain(value: Any) -> Any:
    """Numbers that JSON does not tell apart are one: 1.0 is 1."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
