"""The event writer's statements for SQLite, where one writer at a time holds the whole database.

Ids are stored as 32 hex digits, JSON as text. Lists go in as one JSON parameter.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import orjson
from django.db import connection
from django.utils import timezone

from experiments.domain.event_row import dump_json
from experiments.services.event_statements.shapes import (
    BUMP,
    COLUMNS,
    COUNT,
    EVENTS,
    JSON_COLUMNS,
    MEASUREMENTS,
    Count,
    RunIds,
    StoredSession,
    Written,
    merge_clause,
)

_MERGE = merge_clause(
    least="MIN",
    greatest="MAX",
    merge="hhweb_json_merge({added}, {kept})",
    has_key="json_type(s.metadata, '$.{key}') IS NOT NULL",
    empty_list="'[]'",
)
UPSERT = f"""
INSERT INTO {EVENTS} AS s (project_id, {", ".join(COLUMNS)}, created_at, updated_at)
VALUES ({", ".join(["%s"] * (len(COLUMNS) + 3))})
ON CONFLICT (project_id, event_key) DO UPDATE SET {_MERGE}"""  # noqa: S608 - constants only

_LISTED = "IN (SELECT value FROM json_each(%s))"

_SESSIONS = f"""
SELECT event_key, run_key, dataset_key, datapoint_key, is_stub, start_time FROM {EVENTS}
WHERE project_id = %s AND event_key {_LISTED}"""  # noqa: S608

_BY_SPAN = f"""
SELECT session_key, span_key, event_key FROM {EVENTS}
WHERE project_id = %s AND span_key IS NOT NULL AND span_key {_LISTED} ORDER BY id DESC"""  # noqa: S608

_MEASURED = f"""
INSERT INTO {MEASUREMENTS}
  (project_id, event_key, name, value, is_boolean, session_key, run_key, event_name, event_type)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (project_id, event_key, name) DO NOTHING"""  # noqa: S608

_FORGET = f"""
DELETE FROM {MEASUREMENTS} WHERE project_id = %s AND event_key {_LISTED}"""  # noqa: S608

_COPY_METRICS = f"""
INSERT INTO {MEASUREMENTS}
  (project_id, event_key, name, value, is_boolean, session_key, run_key, event_name, event_type)
SELECT e.project_id, e.event_key, j.key, CAST(j.value AS REAL), j.type IN ('true', 'false'),
  e.session_key, e.run_key, e.event_name, e.event_type
FROM {EVENTS} e JOIN json_each(e.metrics) AS j
WHERE e.project_id = %s AND e.event_key {_LISTED}
  AND j.type IN ('integer', 'real', 'true', 'false') AND length(j.key) <= 255"""  # noqa: S608

_HAND_ON = f"""
UPDATE {EVENTS} AS e SET
  run_key = COALESCE(e.run_key, s.run_key), dataset_key = COALESCE(e.dataset_key, s.dataset_key),
  datapoint_key = COALESCE(e.datapoint_key, s.datapoint_key),
  metadata = json_patch(e.metadata, json_patch(json_patch(
    CASE WHEN e.run_key IS NULL AND s.run_key IS NOT NULL THEN json_object('run_id', s.run_key) ELSE '{{}}' END,
    CASE WHEN e.dataset_key IS NULL AND s.dataset_key IS NOT NULL
      THEN json_object('dataset_id', s.dataset_key) ELSE '{{}}' END),
    CASE WHEN e.datapoint_key IS NULL AND s.datapoint_key IS NOT NULL
      THEN json_object('datapoint_id', s.datapoint_key) ELSE '{{}}' END)),
  updated_at = %s
FROM {EVENTS} s WHERE s.project_id = %s AND s.event_key {_LISTED} AND s.session_key = s.event_key
  AND e.project_id = s.project_id AND e.session_key = s.session_key AND e.event_key <> s.event_key
  AND ((e.run_key IS NULL AND s.run_key IS NOT NULL) OR (e.dataset_key IS NULL AND s.dataset_key IS NOT NULL)
    OR (e.datapoint_key IS NULL AND s.datapoint_key IS NOT NULL))
RETURNING run_key"""  # noqa: S608

_HAND_ON_MEASURED = f"""
UPDATE {MEASUREMENTS} AS m SET run_key = e.run_key FROM {EVENTS} e
WHERE m.project_id = %s AND m.session_key {_LISTED} AND m.run_key IS NULL
  AND e.project_id = m.project_id AND e.event_key = m.event_key AND e.run_key IS NOT NULL"""  # noqa: S608

_RELINK = f"""
UPDATE {EVENTS} AS c SET parent_key = p.event_key, updated_at = %s FROM {EVENTS} p
WHERE p.project_id = %s AND p.event_key {_LISTED} AND p.span_key IS NOT NULL
  AND c.project_id = p.project_id AND c.session_key = p.session_key AND c.parent_key = p.span_key"""  # noqa: S608


def _json_merge(added: str, kept: str) -> str:
    """Two JSON objects as one, key by key one level deep, `kept` winning."""
    return kept if added == "{}" else orjson.dumps({**orjson.loads(added), **orjson.loads(kept)}).decode()


def _listed(keys: Iterable[UUID]) -> str:
    return orjson.dumps([key.hex for key in keys]).decode()


def _now() -> Any:
    return connection.ops.adapt_datetimefield_value(timezone.now())


def _run(sql: str, params: list[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


def _rows(sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def lock_sessions(project_id: int, keys: list[UUID], *, exclusive: bool) -> dict[UUID, StoredSession]:
    rows = _rows(_SESSIONS, [project_id, _listed(keys)])
    return {UUID(row[0]): StoredSession(RunIds(*row[1:4]), bool(row[4]), row[5]) for row in rows}


def find_by_span(project_id: int, span_keys: list[UUID]) -> dict[tuple[UUID, UUID], UUID]:
    rows = _rows(_BY_SPAN, [project_id, _listed(span_keys)])
    return {(UUID(session), UUID(span)): UUID(event) for session, span, event in rows}


def upsert_events(project_id: int, payload: Written) -> dict[UUID, RunIds]:
    if not payload:
        return {}
    now = _now()
    listed = _listed(row.event_key for row in payload)
    met = [UUID(row[0]) for row in _rows(_SESSIONS, [project_id, listed])]
    params = [(project_id, *_columns(row), now, now) for row in payload]
    with connection.cursor() as cursor:
        cursor.connection.create_function("hhweb_json_merge", 2, _json_merge, deterministic=True)
        cursor.executemany(UPSERT, params)
    if not met:
        return {}
    return {UUID(row[0]): RunIds(*row[1:4]) for row in _rows(_SESSIONS, [project_id, _listed(met)])}


def _columns(row: Any) -> list[Any]:
    values = []
    for name in COLUMNS:
        value = getattr(row, name)
        if name in _JSON:
            value = dump_json(value).decode() if value else "[]" if name == "children_ids" else "{}"
        elif isinstance(value, UUID):
            value = value.hex
        elif isinstance(value, str) and ("\x00" in value or not value.isascii()):
            value = orjson.loads(dump_json(value))
        values.append(value)
    return values


_JSON = frozenset(JSON_COLUMNS)


def finish(project_id: int, *, measurements: list[tuple[object, ...]], count: Count, run_keys: list[str]) -> None:
    params: list[tuple[Any, ...]] = [
        (project_id, *(value.hex if isinstance(value, UUID) else value for value in values)) for values in measurements
    ]
    with connection.cursor() as cursor:
        if params:
            cursor.executemany(_MEASURED, params)
        cursor.execute(COUNT, [project_id, *count])
        if run_keys:
            cursor.executemany(BUMP, [(project_id, run_key, count.slot) for run_key in run_keys])


def sync_measurements(project_id: int, event_keys: list[UUID]) -> None:
    if event_keys:
        listed = _listed(event_keys)
        _run(_FORGET, [project_id, listed])
        _run(_COPY_METRICS, [project_id, listed])


def hand_on_run_ids(project_id: int, session_keys: list[UUID]) -> set[str]:
    if not session_keys:
        return set()
    listed = _listed(session_keys)
    changed = _rows(_HAND_ON, [_now(), project_id, listed])
    if changed:
        _run(_HAND_ON_MEASURED, [project_id, listed])
    return {run_key for (run_key,) in changed if run_key is not None}


def relink_children(project_id: int, event_keys: list[UUID]) -> None:
    if event_keys:
        _run(_RELINK, [_now(), project_id, _listed(event_keys)])
