"""What a run's result consists of, and the table that collects it value by value. Pure.

Measurements arrive by chunks of sessions and, inside a chunk, column by column: work is done on whole columns,
because anything done value by value is what a large result would spend its time on. Columns are held in arrays:
a million values cost seventeen megabytes.
"""

import itertools
import math
import operator
from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from experiments.domain.aggregation import aggregate
from experiments.domain.comparison import Column as ComparedColumn
from experiments.domain.composites import (
    Child,
    CompositeFunction,
    children_of,
    composite,
    composites_of_run,
    function_of,
)
from experiments.domain.thresholds import (
    Direction,
    Interval,
    MetricRule,
    applies_to,
    direction_of,
    passing_interval,
)

CLIENT_SIDE = "CLIENT_SIDE"
SESSION = "session"


class Session(NamedTuple):
    """One session of a run: one execution of the function on one datapoint."""

    session_id: str
    datapoint_id: str | None
    start_time: float
    crashed: bool


class MetricValue(NamedTuple):
    """One metric of one datapoint. `value` is None for a category without a score."""

    name: str
    event_name: str
    event_type: str
    value: float | bool | None
    passed: bool


@dataclass(frozen=True, slots=True)
class DatapointResult:
    """One session with its verdict. A crashed one has failed, whatever its metrics say.

    So has one without a value of a metric that the run requires; `missing` names those.
    """

    datapoint_id: str | None
    session_id: str
    passed: bool
    crashed: bool
    start_time: float
    metrics: list[MetricValue]
    missing: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class MetricResult:
    """One column: a metric on one event. `passed` and `failed` are ids as in the result, each once."""

    metric_name: str
    metric_type: str
    event_name: str
    event_type: str
    direction: Direction
    aggregate: float | None
    values: Sequence[float]
    passing_range: Interval | None
    passed: list[str]
    failed: list[str]


@dataclass(frozen=True, slots=True)
class RunResult:
    """A run's whole result. `run` is the run as the wire shows it; times are epoch milliseconds."""

    run: dict[str, Any]
    status: str
    success: bool
    aggregate_function: str
    passed: list[str]
    failed: list[str]
    metrics: list[MetricResult]
    datapoints: list[DatapointResult]
    event_details: list[tuple[str, str]]


class ColumnData:
    """Values of one metric on one (event name, event type), and the sessions they belong to."""

    def __init__(
        self, name: str, event_name: str, event_type: str, metric_type: str, interval: Interval | None, way: Direction
    ) -> None:
        self.name, self.event_name, self.event_type = name, event_name, event_type
        self.metric_type, self.interval, self.direction = metric_type, interval, way
        self.at = array("L")
        self.values = array("d")
        self.verdicts = bytearray()
        self.is_boolean = True  # until a value that is none

    def extend(self, first: int, at: list[int], values: list[float], verdicts: Iterable[bool]) -> None:
        """File values of a chunk of sessions that begins with session `first`."""
        self.at.extend([first + index for index in at] if first else at)
        self.values.extend(values)
        self.verdicts.extend(verdicts)

    def settle(self) -> None:
        """Bring the values into the order of sessions; inside a session they keep their order."""
        if not all(map(operator.le, self.at, itertools.islice(self.at, 1, None))):
            order = sorted(range(len(self.at)), key=self.at.__getitem__)
            self.at = array("L", map(self.at.__getitem__, order))
            self.values = array("d", map(self.values.__getitem__, order))
            self.verdicts = bytearray(map(self.verdicts.__getitem__, order))


ShapeKey = tuple[str, str, str, bool]  # metric, event name, event type, is boolean


class MeasuredColumn(NamedTuple):
    """Values of one metric on one kind of event as the database gives them, and their sessions, in any order."""

    key: ShapeKey
    sessions: list[str]
    values: list[float]


class CategoryValue(NamedTuple):
    """A categorical value: no number of its own, but a score (or none) and a verdict."""

    session_id: str
    key: ShapeKey
    score: float | None
    passed: bool


class Entries(NamedTuple):
    """Values of one column in one chunk: `at` are places in the chunk; `verdicts` None means that all passed."""

    column: ColumnData
    is_boolean: bool
    at: list[int]
    values: list[float] | list[float | None]
    verdicts: list[bool] | None


class Chunk(NamedTuple):
    """Consecutive sessions with their verdicts and everything measured in them."""

    sessions: list[Session]
    passed: bytearray
    entries: list[Entries]
    missing: dict[int, list[str]]  # by place: required metrics without a value


class _Composite(NamedTuple):
    rule: MetricRule
    function: CompositeFunction
    children: list[Child]


class ResultTable:
    """Columns of one run, filled chunk by chunk in the order of its sessions."""

    def __init__(
        self, *, rules: Iterable[MetricRule], metadata: Mapping[str, Any], required: Collection[str] = ()
    ) -> None:
        """`required` metrics must have a value on every session, or the session has failed."""
        self.required = frozenset(required)
        # Of two metrics of one name the project's wins.
        self.rules = {rule.name: rule for rule in [*composites_of_run(metadata), *rules]}
        self.metadata = metadata
        self.keys: list[str] = []
        self.passed = bytearray()
        self.columns: dict[tuple[str, str, str], ColumnData] = {}
        self.composites = [
            _Composite(rule, function, children_of(rule.child_metrics))
            for rule in self.rules.values()
            if rule.type == "COMPOSITE" and (function := function_of(rule.criteria)) is not None
        ]
        self.categorical = {rule.name: rule for rule in self.rules.values() if rule.return_type == "categorical"}

    def column(self, key: ShapeKey) -> ColumnData:
        """The column of a metric on a kind of event, made on first sight."""
        name, event_name, event_type, _ = key
        found = self.columns.get(key[:3])
        if found is None:
            rule = self.rules.get(name)
            interval = passing_interval(
                name,
                event_name=event_name,
                event_type=event_type,
                passing_ranges=self.metadata.get("passing_ranges"),
                metric=rule,
            )
            way = direction_of(name, self.metadata.get("metric_directions"), metric=rule)
            kind = rule.type if rule is not None else CLIENT_SIDE
            found = self.columns[key[:3]] = ColumnData(name, event_name, event_type, kind, interval, way)
        return found

    def add_chunk(
        self, sessions: list[Session], measured: Iterable[MeasuredColumn], categories: Iterable[CategoryValue] = ()
    ) -> Chunk:
        """File the next sessions and what was measured in them; values of other sessions are left out."""
        first = len(self.keys)
        place = {session.session_id: index for index, session in enumerate(sessions)}
        chunk = Chunk(sessions, bytearray(not session.crashed for session in sessions), [], {})
        for key, session_ids, values in measured:
            at: list[Any] = list(map(place.get, session_ids))
            if None in at:
                kept = [(index, value) for index, value in zip(at, values, strict=True) if index is not None]
                at, values = [index for index, _ in kept], [value for _, value in kept]
            self._file(chunk, first, key, at, values)
        for value in categories:
            self._file_category(chunk, first, place, value)
        if self.composites:
            self._file_composites(chunk, first)
        for name in sorted(self.required):
            _fail_without(chunk, name)
        self.keys.extend([session.datapoint_id or session.session_id for session in sessions])
        self.passed.extend(chunk.passed)
        return chunk

    def _file(self, chunk: Chunk, first: int, key: ShapeKey, at: list[int], values: list[float]) -> None:
        column = self.column(key)
        column.is_boolean = column.is_boolean and key[3]
        verdicts = None
        if column.interval is not None:
            low, high = column.interval.bounds
            verdicts = [low <= value <= high for value in values]
            for index, verdict in zip(at, verdicts, strict=True):
                if not verdict:
                    chunk.passed[index] = False
        column.extend(first, at, values, itertools.repeat(True, len(at)) if verdicts is None else verdicts)
        chunk.entries.append(Entries(column, key[3], at, values, verdicts))

    def _file_category(self, chunk: Chunk, first: int, place: Mapping[str, int], value: CategoryValue) -> None:
        index = place.get(value.session_id)
        if index is None:
            return
        column = self.column(value.key)
        column.is_boolean = False
        if value.score is not None:
            column.extend(first, [index], [value.score], [value.passed])
        chunk.entries.append(Entries(column, False, [index], [value.score], [value.passed]))
        if not value.passed:
            chunk.passed[index] = False

    def _file_composites(self, chunk: Chunk, first: int) -> None:
        measured = list(chunk.entries)
        for rule, function, children in self.composites:
            names = {child.name for child in children} - {rule.name}
            found: dict[int, dict[str, list[float]]] = {}
            for column, _, at, values, _ in measured:
                if column.name in names and applies_to(
                    rule.filters, event_name=column.event_name, event_type=column.event_type
                ):
                    for index, value in zip(at, values, strict=True):
                        if value is not None:
                            found.setdefault(index, {}).setdefault(column.name, []).append(value)
            is_boolean = rule.return_type == "boolean"
            scores: list[tuple[int, float]] = []
            for index in sorted(found):
                score = composite(function, children, _means(found[index]))
                if score is not None and math.isfinite(score):
                    scores.append((index, float(score != 0) if is_boolean else score))
            if scores:
                key = (rule.name, SESSION, SESSION, is_boolean)
                self._file(chunk, first, key, [index for index, _ in scores], [score for _, score in scores])

    # --- after the last chunk

    def verdicts(self) -> tuple[list[str], list[str]]:
        """(passed, failed) ids, each once and in order; an id with one failed session has failed."""
        return _split(self.keys, self.passed)

    def metric_verdicts(self, column: ColumnData) -> tuple[list[str], list[str]]:
        """(passed, failed) ids of one column."""
        return _split(map(self.keys.__getitem__, column.at), column.verdicts)

    def filled_columns(self) -> list[ColumnData]:
        """Columns with values, settled, in order of event type, event name and metric."""
        filled = [column for column in self.columns.values() if len(column.values)]
        for column in filled:
            column.settle()
        return sorted(filled, key=lambda column: (column.event_type, column.event_name, column.name))

    def metric_result(self, column: ColumnData, function: str) -> MetricResult:
        """One column, aggregated."""
        passed, failed = self.metric_verdicts(column)
        return MetricResult(
            metric_name=column.name,
            metric_type=column.metric_type,
            event_name=column.event_name,
            event_type=column.event_type,
            direction=column.direction,
            aggregate=aggregate(function, column.values),
            values=column.values,
            passing_range=column.interval,
            passed=passed,
            failed=failed,
        )

    def compared_column(self, column: ColumnData, function: str) -> ComparedColumn:
        """One column by datapoint: the mean where a datapoint has several values."""
        by_datapoint = dict(zip(map(self.keys.__getitem__, column.at), column.values, strict=True))
        if len(by_datapoint) < len(column.values):
            several: dict[str, list[float]] = {}
            for at, value in zip(column.at, column.values, strict=True):
                several.setdefault(self.keys[at], []).append(value)
            by_datapoint = _means(several)
        return ComparedColumn(
            metric_name=column.name,
            metric_type=column.metric_type,
            event_name=column.event_name,
            event_type=column.event_type,
            aggregate=aggregate(function, column.values),
            by_datapoint=by_datapoint,
            is_boolean=column.is_boolean,
        )


def required_metrics(metadata: Mapping[str, Any]) -> frozenset[str]:
    """Names in the run's `required_metrics`; what is no list of texts asks for nothing."""
    found = metadata.get("required_metrics")
    return frozenset(name for name in found if isinstance(name, str)) if isinstance(found, list) else frozenset()


def _fail_without(chunk: Chunk, name: str) -> None:
    """An evaluator that failed leaves no value, and no value must not look like a good one."""
    measured: set[int] = set()
    for entries in chunk.entries:
        if entries.column.name == name:
            measured.update(entries.at)
    for index, session in enumerate(chunk.sessions):
        if index not in measured and not session.crashed:
            chunk.passed[index] = False
            chunk.missing.setdefault(index, []).append(name)


def _means(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The mean of each key's values; without those whose mean is no finite number."""
    means = {key: aggregate("average", several) for key, several in values.items()}
    return {key: mean for key, mean in means.items() if mean is not None}


def _split(keys: Iterable[str], verdicts: Sequence[Any]) -> tuple[list[str], list[str]]:
    if all(verdicts):
        return list(dict.fromkeys(keys)), []
    passed: dict[str, None] = {}
    failed: dict[str, None] = {}
    for key, verdict in zip(keys, verdicts, strict=True):
        (passed if verdict else failed)[key] = None
    return [key for key in passed if key not in failed], list(failed)


def datapoint_results(chunk: Chunk) -> list[DatapointResult]:
    """The rows of a chunk with named fields; booleans are booleans."""
    metrics: list[list[MetricValue]] = [[] for _ in chunk.sessions]
    for column, is_boolean, at, values, verdicts in chunk.entries:
        verdict: Iterable[bool] = verdicts if verdicts is not None else itertools.repeat(True, len(at))
        for index, value, passed in zip(at, values, verdict, strict=True):
            shown = bool(value) if is_boolean and value is not None else value
            metrics[index].append(MetricValue(column.name, column.event_name, column.event_type, shown, passed))
    return [
        DatapointResult(
            datapoint_id=session.datapoint_id,
            session_id=session.session_id,
            passed=bool(passed),
            crashed=session.crashed,
            start_time=session.start_time,
            metrics=found,
            missing=chunk.missing.get(index, ()),
        )
        for index, (session, passed, found) in enumerate(zip(chunk.sessions, chunk.passed, metrics, strict=True))
    ]
