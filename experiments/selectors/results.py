"""A run's result, computed on read: the one path for the protocol, the console and exports, small runs and large.

`Computation` reads the run's sessions first and then streams over the measurements, one query for up to
10,000 sessions, so that memory stays flat and the first row is there at once.
"""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from django.db.models import Q

from experiments.domain.aggregation import DEFAULT_AGGREGATE, aggregate, aggregate_name
from experiments.domain.filters import Condition
from experiments.domain.result_json import result_pieces
from experiments.domain.run_results import (
    CategoryValue,
    Chunk,
    DatapointResult,
    ResultTable,
    RunResult,
    Session,
    datapoint_results,
    required_metrics,
)
from experiments.domain.thresholds import MetricRule, category_passes
from experiments.domain.wire_runs import wire_run
from experiments.models import Event, Metric, Run
from experiments.selectors import run_rows
from experiments.selectors.event_conditions import as_q
from experiments.selectors.runs import get_run, revision_of
from governance.domain.caller import Caller
from governance.models import Project

SESSIONS_AT_ONCE = 10_000
SESSIONS_PER_CHUNK = 5_000
RESULT_VERSION = 2  # raise it when the same rows would give other bytes

__all__ = ["Computation", "DatapointResult", "RunResult", "iter_datapoint_rows", "result_identity", "result_of_run"]


def metric_rules(project_id: int) -> list[MetricRule]:
    """What the project's metrics say about values of their names. One query."""
    return [
        MetricRule(
            name=metric.name,
            type=metric.type,
            return_type=metric.return_type,
            direction="lower" if metric.direction == "lower" else "higher",
            threshold=metric.threshold if isinstance(metric.threshold, dict) else None,
            categories=_objects(metric.categories),
            child_metrics=_objects(metric.child_metrics),
            criteria=metric.criteria,
            filters=_objects(metric.filters.get("filterArray") if isinstance(metric.filters, dict) else None),
        )
        for metric in Metric.objects.filter(project_id=project_id).order_by("name")
    ]


def _objects(raw: Any) -> list[dict[str, Any]]:
    return [item for item in raw if isinstance(item, dict)] if isinstance(raw, list) else []


class Computation:
    """One computation of one run's result. Making it reads the sessions; `chunks` may be walked once.

    `conditions` restrict which events take part; a session takes part when one of its events does.
    """

    def __init__(self, *, caller: Caller, run: Run, conditions: Sequence[Condition] = ()) -> None:
        self.caller, self.run, self.conditions = caller, run, conditions
        # A run under way, or a part of its events, has values that are not there yet or not asked for.
        is_whole = run.finished_at is not None and not conditions
        self.table = ResultTable(
            rules=metric_rules(run.project_id),
            metadata=run.metadata,
            required=required_metrics(run.metadata) if is_whole else (),
        )
        sessions = run_rows.sessions_of(run)
        self.listed = run_rows.listed_sessions(run, (session.session_id for session in sessions))
        if self.listed:
            sessions += run_rows.sessions_of(run, listed=self.listed)
            sessions.sort(key=lambda session: session.start_time)
        if conditions:
            chosen = run_rows.session_keys_among(self._events())
            sessions = [session for session in sessions if session.session_id in chosen]
        self.sessions = sessions

    @property
    def is_large(self) -> bool:
        """Whether the answer should be streamed rather than held."""
        return len(self.sessions) > SESSIONS_AT_ONCE

    @property
    def depends_on_run_alone(self) -> bool:
        """Whether every event read names the run, so that the run's revision tells of every change."""
        return not self.listed

    def _events(self) -> Any:
        scope = Q(run_key=self.run.run_key)
        if self.listed:
            scope |= Q(run_key__isnull=True, session_key__in=self.listed)
        found = Event.objects.filter(scope, project_id=self.run.project_id)
        for condition in self.conditions:
            found = found.filter(as_q(condition, project_public_id=self.caller.project_public_id))
        return found

    def event_details(self) -> list[tuple[str, str]]:
        """Distinct (event name, event type) of the run's events."""
        if self.conditions:
            return sorted(self._events().order_by().values_list("event_name", "event_type").distinct())
        return run_rows.event_details_of(self.run, listed=self.listed)

    def chunks(self) -> Iterator[Chunk]:
        """The sessions in order of start, with what was measured in them; fills the table on the way."""
        categories = self._categories()
        listed = set(self.listed)
        events = self._events() if self.conditions else None
        for sessions, keys in self._session_chunks():
            measured = run_rows.measurements_of(self.run, sessions=keys, events=events)
            own = self.listed if keys is None else [key for key in keys if key in listed]
            if own:
                measured = itertools.chain(measured, run_rows.measurements_of(self.run, listed=own, events=events))
            yield self.table.add_chunk(sessions, measured, categories)

    def _session_chunks(self) -> Iterator[tuple[list[Session], list[str] | None]]:
        if not self.is_large:
            yield self.sessions, None
            return
        for start in range(0, len(self.sessions), SESSIONS_PER_CHUNK):
            chunk = self.sessions[start : start + SESSIONS_PER_CHUNK]
            yield chunk, [session.session_id for session in chunk]

    def _categories(self) -> list[CategoryValue]:
        """Values of categorical project metrics, which are texts and therefore no measurements."""
        rules = self.table.categorical
        if not rules:
            return []
        return [
            CategoryValue(session, (name, event_name, event_type, False), *category_passes(rules[name], text))
            for session, name, text, event_name, event_type in run_rows.texts_of_metrics(self._events(), sorted(rules))
        ]

    def wire_run(self) -> dict[str, Any]:
        """The run as the wire shows it."""
        return wire_run(self.run, scope_id=self.caller.project_public_id)

    def pieces(self, aggregate_function: str) -> Iterator[bytes]:
        """The protocol's answer, piece by piece."""
        return result_pieces(
            chunks=self.chunks(),
            table=self.table,
            aggregate_function=aggregate_function,
            aggregate=lambda column: aggregate(aggregate_function, column.values),
            event_details=self.event_details,
            run=self.wire_run(),
        )


def result_identity(*, caller: Caller, run: Run, aggregate_function: str, conditions: Sequence[Condition] = ()) -> str:
    """A hash that changes whenever the bytes of the answer may: read it before the result itself. Two queries.

    It tells of every change as long as `Computation.depends_on_run_alone`.
    """
    metrics_revision = Project.objects.values_list("metrics_revision", flat=True).get(pk=run.project_id)
    said = [
        RESULT_VERSION,
        wire_run(run, scope_id=caller.project_public_id),
        revision_of(run),
        metrics_revision,
        aggregate_function,
        repr(conditions),
    ]
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS, default=str)).hexdigest()


def result_of_run(
    *,
    caller: Caller,
    run_key: str,
    aggregate_function: str = DEFAULT_AGGREGATE,
    conditions: Sequence[Condition] = (),
) -> RunResult:
    """A run's whole result in memory; `success` needs at least one datapoint and none that failed."""
    name = aggregate_name(aggregate_function)
    computation = Computation(caller=caller, run=get_run(caller=caller, run_key=run_key), conditions=conditions)
    table = computation.table
    datapoints = [row for chunk in computation.chunks() for row in datapoint_results(chunk)]
    passed, failed = table.verdicts()
    return RunResult(
        run=computation.wire_run(),
        status=computation.run.status,
        success=bool(passed) and not failed,
        aggregate_function=name,
        passed=passed,
        failed=failed,
        metrics=[table.metric_result(column, name) for column in table.filled_columns()],
        datapoints=datapoints,
        event_details=computation.event_details(),
    )


def iter_datapoint_rows(
    *, caller: Caller, run_key: str, conditions: Sequence[Condition] = ()
) -> Iterator[DatapointResult]:
    """Rows of a run's result, one at a time, in order of start; for exports of any length.

    An unknown run is refused here, before the first row is asked for.
    """
    computation = Computation(caller=caller, run=get_run(caller=caller, run_key=run_key), conditions=conditions)
    return itertools.chain.from_iterable(map(datapoint_results, computation.chunks()))
