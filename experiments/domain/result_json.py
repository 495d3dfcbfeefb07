"""A run's result as JSON text, written piece by piece while its rows are read. Pure.

Rows are put together as text: of an entry everything but value and verdict is the same for a whole column,
and no dictionary of 100,000 datapoints is ever held.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import orjson

from experiments.domain.run_results import Chunk, ColumnData, Entries, ResultTable

_PIECE = 128 * 1024  # characters
_PASSED = ',"passed":true}'
_FAILED = ',"passed":false}'
_BOOLEANS: dict[float | None, str] = {0.0: "false", 1.0: "true", None: "null"}
_SLICE = 20_000  # ids and numbers encoded at once


def result_pieces(
    *,
    chunks: Iterable[Chunk],
    table: ResultTable,
    aggregate_function: str,
    aggregate: Callable[[ColumnData], float | None],
    event_details: Callable[[], Iterable[tuple[str, str]]],
    run: dict[str, Any],
) -> Iterator[bytes]:
    """The answer of `GET /v1/runs/{id}/result` in pieces. `aggregate` gives a column's aggregate;
    `event_details` is asked after the last row, so that the first one need not wait for it."""
    head = orjson.dumps({"status": run["status"]})[:-1] + b',"datapoints":['
    yield head
    yield from _joined(text for chunk in chunks for text in _row_texts(chunk))
    passed, failed = table.verdicts()
    yield b'],"success":' + orjson.dumps(bool(passed) and not failed)
    yield b',"passed":'
    yield from _array(passed)
    yield b',"failed":'
    yield from _array(failed)
    yield b',"metrics":{"aggregation_function":' + orjson.dumps(aggregate_function) + b',"details":['
    for number, column in enumerate(table.filled_columns()):
        said = {
            "metric_name": column.name,
            "metric_type": column.metric_type,
            "event_name": column.event_name,
            "event_type": column.event_type,
            "direction": column.direction,
            "aggregate": aggregate(column),
            "passing_range": column.interval.as_wire() if column.interval is not None else None,
        }
        yield (b"," if number else b"") + orjson.dumps(said)[:-1] + b',"values":'
        yield from _array(column.values)
        passed, failed = table.metric_verdicts(column)
        yield b',"datapoints":{"passed":'
        yield from _array(passed)
        yield b',"failed":'
        yield from _array(failed)
        yield b"}}"
    details = [{"event_name": name, "event_type": kind} for name, kind in event_details()]
    yield b']},"event_details":' + orjson.dumps(details)
    yield b',"run_object":' + orjson.dumps(run) + b"}"


def _row_texts(chunk: Chunk) -> Iterator[str]:
    metrics: list[list[str]] = [[] for _ in chunk.sessions]
    for entries in chunk.entries:
        for index, text in zip(entries.at, _entry_texts(entries), strict=True):
            metrics[index].append(text)
    for index, (session, passed, texts) in enumerate(zip(chunk.sessions, chunk.passed, metrics, strict=True)):
        datapoint = orjson.dumps(session.datapoint_id).decode()
        verdict = "true" if passed else "false"
        # Why a row failed though none of its metrics did; said where it is so, as rows are many.
        if session.crashed:
            verdict += ',"crashed":true'
        elif index in chunk.missing:
            verdict += f',"missing":{orjson.dumps(chunk.missing[index]).decode()}'
        yield (
            f'{{"datapoint_id":{datapoint},"session_id":"{session.session_id}","passed":{verdict}'
            f',"metrics":[{",".join(texts)}]}}'
        )


def _entry_texts(entries: Entries) -> list[str]:
    column, is_boolean, _, values, verdicts = entries
    said = {"name": column.name, "event_name": column.event_name, "event_type": column.event_type}
    head = orjson.dumps(said).decode()[:-1] + ',"value":'
    if verdicts is None:
        if is_boolean:
            texts = (f"{head}false{_PASSED}", f"{head}true{_PASSED}")
            return [texts[value != 0] for value in values]
        return [f"{head}{value!r}{_PASSED}" for value in values]
    shown = _BOOLEANS.__getitem__ if is_boolean else _number_text
    return [
        f"{head}{shown(value)}{_PASSED if verdict else _FAILED}"
        for value, verdict in zip(values, verdicts, strict=True)
    ]


def _number_text(value: float | None) -> str:
    return "null" if value is None else repr(value)


def _joined(texts: Iterable[str]) -> Iterator[bytes]:
    held: list[str] = []
    size = 0
    separator = ""
    for text in texts:
        held.append(text)
        size += len(text)
        if size >= _PIECE:
            yield (separator + ",".join(held)).encode()
            separator, size = ",", 0
            held.clear()
    if held:
        yield (separator + ",".join(held)).encode()


def _array(items: Sequence[Any]) -> Iterator[bytes]:
    yield b"["
    for start in range(0, len(items), _SLICE):
        piece = orjson.dumps(list(items[start : start + _SLICE]))
        yield (b"," if start else b"") + piece[1:-1]
    yield b"]"
