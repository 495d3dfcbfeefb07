"""What both dialects share: columns, the merge of an upsert, and the shapes that go in and out."""

from typing import Any, NamedTuple

from experiments.domain.event_row import BUCKETS, EventRow
from experiments.models import Event, Measurement, RunRevision
from governance.models import IngestionCount

EVENTS = Event._meta.db_table
MEASUREMENTS = Measurement._meta.db_table
JSON_COLUMNS = (*BUCKETS, "children_ids")
COLUMNS = tuple(EventRow.__slots__)

Written = list[EventRow]


class RunIds(NamedTuple):
    """The ids that tie an event to an experiment."""

    run_key: str | None
    dataset_key: str | None
    datapoint_key: str | None


class StoredSession(NamedTuple):
    """What the writer must know of a session before it writes the session's events."""

    run_ids: RunIds
    is_stub: bool
    start_time: float


class Count(NamedTuple):
    """What one request adds to the count of its key; `hour` as the database takes it."""

    api_key_id: int | None
    key_label: str
    hour: Any
    slot: int
    events: int
    rejected: int


COUNT = f"""
INSERT INTO {IngestionCount._meta.db_table} AS c
  (project_id, api_key_id, key_label, hour, slot, events, rejected, requests) VALUES (%s, %s, %s, %s, %s, %s, %s, 1)
ON CONFLICT (project_id, key_label, hour, slot) DO UPDATE SET
  requests = c.requests + 1, events = c.events + excluded.events, rejected = c.rejected + excluded.rejected"""  # noqa: S608

REVISIONS = RunRevision._meta.db_table
BUMP = f"""
INSERT INTO {REVISIONS} AS r (project_id, run_key, slot, revision) VALUES (%s, %s, %s, 1)
ON CONFLICT (project_id, run_key, slot) DO UPDATE SET revision = r.revision + 1"""  # noqa: S608


def merge_clause(*, least: str, greatest: str, merge: str, has_key: str, empty_list: str) -> str:
    """The SET list of the upsert, `s` being the stored row: `domain.event_row.combine` in SQL."""
    fills = "s.is_stub AND NOT excluded.is_stub"
    has_end = "s.end_time <> s.start_time"
    has_duration = "s.duration <> 0"
    sets = {
        name: f"CASE WHEN {fills} THEN excluded.{name} ELSE s.{name} END"
        for name in ("session_key", "parent_key", "event_type", "source")
    }
    sets["event_name"] = (
        f"CASE WHEN {fills} OR (s.is_stub AND s.event_name = 'session') THEN excluded.event_name ELSE s.event_name END"
    )
    sets["span_key"] = f"CASE WHEN {fills} OR s.span_key IS NULL THEN excluded.span_key ELSE s.span_key END"
    both = "s.is_stub AND excluded.is_stub"
    earlier = f"{least}(s.start_time, excluded.start_time)"
    sets["start_time"] = f"CASE WHEN {fills} THEN excluded.start_time WHEN {both} THEN {earlier} ELSE s.start_time END"
    sets["end_time"] = (
        f"CASE WHEN {fills} AND {has_end} THEN s.end_time"
        f" WHEN {fills} AND {has_duration} THEN excluded.start_time + s.duration"
        f" WHEN {fills} THEN excluded.end_time"
        f" WHEN {both} AND NOT ({has_end}) THEN {earlier} ELSE s.end_time END"
    )
    sets["duration"] = (
        f"CASE WHEN {fills} AND {has_duration} THEN s.duration"
        f" WHEN {fills} AND {has_end} THEN {greatest}(s.end_time - excluded.start_time, 0)"
        f" WHEN {fills} THEN excluded.duration ELSE s.duration END"
    )
    for name in BUCKETS:
        sets[name] = merge.format(added=f"excluded.{name}", kept=f"s.{name}")
    for name, key in (("run_key", "run_id"), ("dataset_key", "dataset_id"), ("datapoint_key", "datapoint_id")):
        sets[name] = f"CASE WHEN {has_key.format(key=key)} THEN s.{name} ELSE excluded.{name} END"
    sets["children_ids"] = f"CASE WHEN s.children_ids = {empty_list} THEN excluded.children_ids ELSE s.children_ids END"
    sets["error"] = "COALESCE(s.error, excluded.error)"
    sets["client_timestamp"] = "COALESCE(s.client_timestamp, excluded.client_timestamp)"
    sets["is_stub"] = "s.is_stub AND excluded.is_stub"
    sets["updated_at"] = "excluded.updated_at"
    return ", ".join(f"{name} = {value}" for name, value in sets.items())
