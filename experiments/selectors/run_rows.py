"""Rows a result is computed from, as plain tuples: the one place where the two databases' SQL differs for it.

A run's events are those that name it, and the events without any run of the sessions listed in its
`event_ids`. Sessions come in order of their start, columns in order of their names: the same rows give the same
bytes.
"""

import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson
from django.db import connection
from django.db.models import QuerySet

from experiments.domain.run_results import MeasuredColumn, Session
from experiments.models import Event, Measurement, Run
from experiments.selectors.events import as_uuid

EVALUATOR_SPAN = "Evaluation"  # how the official client names the span of a decorated evaluator
_FETCHED_AT_ONCE = 2_000
_LARGEST = sys.float_info.max
_EVENTS = Event._meta.db_table
_MEASUREMENTS = Measurement._meta.db_table


def _is_postgres() -> bool:
    return connection.vendor == "postgresql"


def _as_text(column: str) -> str:
    """SQL of a UUID as its usual text: the driver would build a slow object for each."""
    if _is_postgres():
        return f"{column}::text"
    parts = [f"substr({column}, {start}, {length})" for start, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))]
    return " || '-' || ".join(parts)


def _among(column: str, keys: Sequence[str]) -> tuple[str, Any]:
    """SQL and one parameter for `column` in a list of UUIDs of any length."""
    if _is_postgres():
        return f"{column} = ANY(%s::uuid[])", list(keys)
    stored = orjson.dumps([uuid.UUID(key).hex for key in keys]).decode()
    return f"{column} IN (SELECT value FROM json_each(%s))", stored  # noqa: S608


def _select(sql: str, params: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        while rows := cursor.fetchmany(_FETCHED_AT_ONCE):
            yield from rows


def _scope(run: Run, listed: Sequence[str] | None) -> tuple[str, list[Any]]:
    """WHERE of a run's own rows, or (`listed`) of sessions that belong to no run."""
    if listed is None:
        return "project_id = %s AND run_key = %s", [run.project_id, run.run_key]
    among, param = _among("session_key", listed)
    return f"project_id = %s AND run_key IS NULL AND {among}", [run.project_id, param]


_ERROR = "COALESCE(error, '') <> ''"


def _flags(function: str | None) -> tuple[str, list[Any]]:
    """SQL of (main event seen, main event failed, namesake of another type seen, namesake failed)."""
    if function:
        main = "event_name = %s AND event_type = 'chain' AND event_key <> session_key"
        other = "event_name = %s AND event_type <> 'chain' AND event_key <> session_key"
        params = [function] * 4
    else:
        main = "event_type = 'chain' AND event_name <> %s AND (parent_key IS NULL OR parent_key = session_key)"
        other = "1 = 0"
        params = [EVALUATOR_SPAN] * 2
    tests = (main, f"{main} AND {_ERROR}", other, f"{other} AND {_ERROR}")
    return ", ".join(f"MAX(CASE WHEN {test} THEN 1 ELSE 0 END)" for test in tests), params


def sessions_of(run: Run, *, listed: Sequence[str] | None = None) -> list[Session]:
    """Sessions of a run, ascending by start, with their verdict on crashes. One query.

    Crashed: an `error` on the session event or on the main event. The main event is the chain event named as
    `configuration.function` (another type where no chain has the name); once the run is over, a session
    without it has crashed too. Without a configured function: every root chain event but evaluators' spans.
    """
    configured = run.configuration.get("function") if isinstance(run.configuration, dict) else None
    function = configured if isinstance(configured, str) and configured else None
    flags, flag_params = _flags(function)
    scope, scope_params = _scope(run, listed)
    sql = (
        f"SELECT {_as_text('session_key')},"  # noqa: S608 - our own constants; values are parameters
        " COALESCE(MAX(CASE WHEN event_key = session_key THEN datapoint_key END), MIN(datapoint_key)),"
        " MIN(start_time) AS started,"
        f" MAX(CASE WHEN event_key = session_key AND {_ERROR} THEN 1 ELSE 0 END), {flags}"
        f" FROM {_EVENTS} WHERE {scope} GROUP BY session_key ORDER BY started, MIN(id)"
    )
    is_over = function is not None and run.finished_at is not None
    sessions = []
    for key, datapoint, started, failed, main, main_failed, other, other_failed in _select(
        sql, [*flag_params, *scope_params]
    ):
        missing = is_over and not main and not other
        crashed = bool(failed or main_failed or (other_failed and not main) or missing)
        sessions.append(Session(key, datapoint or None, started, crashed))
    return sessions


def listed_sessions(run: Run, known: Iterable[str]) -> list[str]:
    """Session ids of `event_ids` that are not known yet; entries that are no UUID are skipped."""
    seen = set(known)
    found = (as_uuid(value) for value in run.event_ids or [])
    return [key for key in dict.fromkeys(str(value) for value in found if value is not None) if key not in seen]


def event_details_of(run: Run, *, listed: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Distinct (event name, event type) of a run's events, sorted. One query."""
    scope, params = _scope(run, None)
    if listed:
        other, other_params = _scope(run, listed)
        scope, params = f"({scope}) OR ({other})", [*params, *other_params]
    sql = f"SELECT DISTINCT event_name, event_type FROM {_EVENTS} WHERE {scope}"  # noqa: S608
    return sorted((name, kind) for name, kind in _select(sql, params))


def session_keys_among(events: QuerySet[Event]) -> set[str]:
    """Sessions that have at least one of the given events. One query."""
    return {str(key) for key in events.order_by().values_list("session_key", flat=True).distinct()}


def measurements_of(
    run: Run,
    *,
    sessions: Sequence[str] | None = None,
    listed: Sequence[str] | None = None,
    events: QuerySet[Event] | None = None,
) -> Iterator[MeasuredColumn]:
    """Measurements of a run (`sessions`: of these only; `listed`: of sessions without a run). One query.

    The database gathers each metric's values into one text: a hundred thousand values arrive as ten rows,
    and the driver builds no object for any of them.
    """
    scope, params = _scope(run, listed)
    if sessions is not None:
        among, param = _among("session_key", sessions)
        scope, params = f"{scope} AND {among}", [*params, param]
    if events is not None:
        chosen, chosen_params = events.order_by().values("event_key").query.sql_with_params()
        scope, params = f"{scope} AND event_key IN ({chosen})", [*params, *chosen_params]
    if _is_postgres():
        gathered = "string_agg(session_key::text, ','), string_agg(value::text, ','), string_agg(id::text, ',')"
    else:
        # Fewer than 17 digits would not give every number back.
        gathered = "group_concat(session_key), group_concat(printf('%%!.17g', value)), group_concat(id)"
    sql = (
        f"SELECT name, event_name, event_type, is_boolean, {gathered} FROM {_MEASUREMENTS}"  # noqa: S608
        # Neither NaN nor infinity, which JSON has no word for.
        f" WHERE {scope} AND value BETWEEN {-_LARGEST!r} AND {_LARGEST!r}"
        " GROUP BY name, event_name, event_type, is_boolean"
    )
    for name, event_name, event_type, is_boolean, keys_text, values_text, ids_text in sorted(
        _select(sql, params), key=lambda row: (row[2], row[1], row[0], row[3])
    ):
        keys, values = keys_text.split(","), orjson.loads(f"[{values_text}]")
        if len(set(keys)) < len(keys):
            # Several values in one session: in the order in which they were stored.
            rows = sorted(zip(orjson.loads(f"[{ids_text}]"), keys, values, strict=True))
            keys, values = [row[1] for row in rows], [row[2] for row in rows]
        if not _is_postgres():
            keys = [f"{k[:8]}-{k[8:12]}-{k[12:16]}-{k[16:20]}-{k[20:]}" for k in keys]
        yield MeasuredColumn((name, event_name, event_type, bool(is_boolean)), keys, values)


def texts_of_metrics(events: QuerySet[Event], names: Sequence[str]) -> Iterator[tuple[str, str, str, str, str]]:
    """(session, metric, text, event name, event type) of textual values of the named metrics. One query."""
    rows = events.filter(metrics__has_any_keys=list(names)) if _is_postgres() else events
    for key, event_name, event_type, metrics in (
        rows.order_by("id").values_list("session_key", "event_name", "event_type", "metrics").iterator(_FETCHED_AT_ONCE)
    ):
        for name in names:
            if isinstance(metrics, dict) and isinstance(metrics.get(name), str):
                yield str(key), name, metrics[name], event_name, event_type
