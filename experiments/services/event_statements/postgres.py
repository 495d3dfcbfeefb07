"""The event writer's statements for PostgreSQL: constant texts, rows as one JSON or array parameter.

Through a cursor with server-side binding: Django's default one would copy megabytes into the statement's text.
"""

import functools
from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from django.db import connection
from django.db.backends.utils import CursorWrapper

from experiments.domain.event_row import dump_json
from experiments.services.event_statements.shapes import (
    COLUMNS,
    COUNT,
    EVENTS,
    JSON_COLUMNS,
    MEASUREMENTS,
    REVISIONS,
    Count,
    RunIds,
    StoredSession,
    Written,
    merge_clause,
)

# One jsonb value holds 256 MiB at most; larger batches take more than one statement.
_NO_MEASUREMENTS: list[list[object]] = [[] for _ in range(8)]
MAX_PAYLOAD = 64 * 1024 * 1024

_TYPES = {
    **dict.fromkeys(JSON_COLUMNS, "jsonb"),
    **dict.fromkeys(("event_key", "session_key", "parent_key", "span_key"), "uuid"),
    **dict.fromkeys(("start_time", "end_time", "duration"), "float8"),
    "client_timestamp": "bigint",
    "is_stub": "boolean",
}
_RECORD = ", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in COLUMNS)
_MERGE = merge_clause(
    least="LEAST",
    greatest="GREATEST",
    merge="{added} || {kept}",
    has_key="jsonb_exists(s.metadata, '{key}')",
    empty_list="'[]'::jsonb",
)
UPSERT = f"""
WITH written AS (
  INSERT INTO {EVENTS} AS s (project_id, {", ".join(COLUMNS)}, created_at, updated_at)
  SELECT %s, {", ".join(f"x.{name}" for name in COLUMNS)}, now(), now()
  FROM jsonb_to_recordset(%s::jsonb) AS x({_RECORD})
  ON CONFLICT (project_id, event_key) DO UPDATE SET {_MERGE}
  RETURNING s.event_key, s.run_key, s.dataset_key, s.datapoint_key, s.xmax <> 0 AS met
)
SELECT event_key, run_key, dataset_key, datapoint_key FROM written WHERE met"""  # noqa: S608 - constants only

_SESSIONS = f"""
SELECT event_key, run_key, dataset_key, datapoint_key, is_stub, start_time FROM {EVENTS}
WHERE project_id = %s AND event_key = ANY(%s) ORDER BY event_key FOR """  # noqa: S608

_BY_SPAN = f"""
SELECT session_key, span_key, event_key FROM {EVENTS}
WHERE project_id = %s AND span_key IS NOT NULL AND span_key = ANY(%s) ORDER BY id DESC"""  # noqa: S608

# One round trip; the parts touch different tables and do not see each other.
_FINISH = f"""
WITH measured AS (
  INSERT INTO {MEASUREMENTS}
    (project_id, event_key, name, value, is_boolean, session_key, run_key, event_name, event_type)
  SELECT %s, x.* FROM unnest(
    %b::uuid[], %b::text[], %b::float8[], %b::bool[], %b::uuid[], %b::text[], %b::text[], %b::text[]) AS x
  ON CONFLICT (project_id, event_key, name) DO NOTHING
), counted AS ({COUNT})
INSERT INTO {REVISIONS} AS r (project_id, run_key, slot, revision)
SELECT %s, k, %s, 1 FROM unnest(%b::text[]) AS k
ON CONFLICT (project_id, run_key, slot) DO UPDATE SET revision = r.revision + 1"""  # noqa: S608

_FORGET = f"""
DELETE FROM {MEASUREMENTS} m WHERE m.project_id = %s AND m.event_key = ANY(%s) AND NOT EXISTS (
  SELECT 1 FROM {EVENTS} e WHERE e.project_id = m.project_id AND e.event_key = m.event_key
  AND jsonb_typeof(e.metrics -> m.name) IN ('number', 'boolean'))"""  # noqa: S608

_COPY_METRICS = f"""
INSERT INTO {MEASUREMENTS} AS m
  (project_id, event_key, name, value, is_boolean, session_key, run_key, event_name, event_type)
SELECT e.project_id, e.event_key, j.key,
  CASE WHEN jsonb_typeof(j.value) = 'boolean' THEN j.value::boolean::int::float8 ELSE j.value::float8 END,
  jsonb_typeof(j.value) = 'boolean', e.session_key, e.run_key, e.event_name, e.event_type
FROM {EVENTS} e CROSS JOIN LATERAL jsonb_each(e.metrics) AS j
WHERE e.project_id = %s AND e.event_key = ANY(%s)
  AND jsonb_typeof(j.value) IN ('number', 'boolean') AND length(j.key) <= 255
ORDER BY e.event_key, j.key
ON CONFLICT (project_id, event_key, name) DO UPDATE SET value = excluded.value, is_boolean = excluded.is_boolean,
  session_key = excluded.session_key, run_key = excluded.run_key, event_name = excluded.event_name,
  event_type = excluded.event_type"""  # noqa: S608

_HAND_ON = f"""
UPDATE {EVENTS} e SET
  run_key = COALESCE(e.run_key, s.run_key), dataset_key = COALESCE(e.dataset_key, s.dataset_key),
  datapoint_key = COALESCE(e.datapoint_key, s.datapoint_key),
  metadata = e.metadata || jsonb_strip_nulls(jsonb_build_object(
    'run_id', CASE WHEN e.run_key IS NULL THEN s.run_key END,
    'dataset_id', CASE WHEN e.dataset_key IS NULL THEN s.dataset_key END,
    'datapoint_id', CASE WHEN e.datapoint_key IS NULL THEN s.datapoint_key END)),
  updated_at = now()
FROM {EVENTS} s WHERE s.project_id = %s AND s.event_key = ANY(%s) AND s.session_key = s.event_key
  AND e.project_id = s.project_id AND e.session_key = s.session_key AND e.event_key <> s.event_key
  AND ((e.run_key IS NULL AND s.run_key IS NOT NULL) OR (e.dataset_key IS NULL AND s.dataset_key IS NOT NULL)
    OR (e.datapoint_key IS NULL AND s.datapoint_key IS NOT NULL))
RETURNING e.run_key"""  # noqa: S608

_HAND_ON_MEASURED = f"""
UPDATE {MEASUREMENTS} m SET run_key = e.run_key FROM {EVENTS} e
WHERE m.project_id = %s AND m.session_key = ANY(%s) AND m.run_key IS NULL
  AND e.project_id = m.project_id AND e.event_key = m.event_key AND e.run_key IS NOT NULL"""  # noqa: S608

_RELINK = f"""
UPDATE {EVENTS} c SET parent_key = p.event_key, updated_at = now() FROM {EVENTS} p
WHERE p.project_id = %s AND p.event_key = ANY(%s) AND p.span_key IS NOT NULL
  AND c.project_id = p.project_id AND c.session_key = p.session_key AND c.parent_key = p.span_key"""  # noqa: S608


@functools.cache
def _cursor_class() -> Any:
    from django.db.backends.postgresql import base  # needs the driver

    server_binding: Any = base.ServerBindingCursor

    class PreparingCursor(server_binding):  # type: ignore[misc]
        """Prepares what it executes: planning the upsert takes longer than storing a few rows."""

        def execute(self, query: str, params: Sequence[Any] | None = None) -> Any:
            return super().execute(query, params, prepare=True)

    return PreparingCursor


def _execute(sql: str, params: Sequence[Any]) -> CursorWrapper:
    """A cursor that executed `sql`; the connection keeps it prepared."""
    wrapped: Any = connection
    wrapped.ensure_connection()
    cursor = cast(CursorWrapper, wrapped._prepare_cursor(_cursor_class()(wrapped.connection)))
    cursor.execute(sql, params)
    return cursor


def _run(sql: str, params: Sequence[Any]) -> None:
    _execute(sql, params).close()


def _rows(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    with _execute(sql, params) as cursor:
        return list(cursor.fetchall())


def lock_sessions(project_id: int, keys: list[UUID], *, exclusive: bool) -> dict[UUID, StoredSession]:
    rows = _rows(_SESSIONS + ("NO KEY UPDATE" if exclusive else "SHARE"), [project_id, keys])
    return {row[0]: StoredSession(RunIds(*row[1:4]), row[4], row[5]) for row in rows}


def find_by_span(project_id: int, span_keys: list[UUID]) -> dict[tuple[UUID, UUID], UUID]:
    return {(session, span): event for session, span, event in _rows(_BY_SPAN, [project_id, span_keys])}


def upsert_events(project_id: int, payload: Written) -> dict[UUID, RunIds]:
    if not payload:
        return {}
    dumped = dump_json(payload)
    if len(dumped) > MAX_PAYLOAD and len(payload) > 1:
        half = len(payload) // 2
        return upsert_events(project_id, payload[:half]) | upsert_events(project_id, payload[half:])
    return {row[0]: RunIds(*row[1:]) for row in _rows(UPSERT, [project_id, dumped.decode()])}


def finish(project_id: int, *, measurements: list[tuple[object, ...]], count: Count, run_keys: list[str]) -> None:
    columns = list(map(list, zip(*measurements, strict=True))) if measurements else _NO_MEASUREMENTS
    _run(_FINISH, [project_id, *columns, project_id, *count, project_id, count.slot, run_keys])


def sync_measurements(project_id: int, event_keys: list[UUID]) -> None:
    if event_keys:
        _run(_FORGET, [project_id, event_keys])
        _run(_COPY_METRICS, [project_id, event_keys])


def hand_on_run_ids(project_id: int, session_keys: list[UUID]) -> set[str]:
    if not session_keys:
        return set()
    changed = _rows(_HAND_ON, [project_id, session_keys])
    if changed:
        _run(_HAND_ON_MEASURED, [project_id, session_keys])
    return {run_key for (run_key,) in changed if run_key is not None}


def relink_children(project_id: int, event_keys: list[UUID]) -> None:
    if event_keys:
        _run(_RELINK, [project_id, event_keys])
