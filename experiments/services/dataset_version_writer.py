"""Bulk SQL of dataset versions: contents are copied inside the database, only hashes and keys travel.

The only module of dataset versions that knows which database it speaks to. Rows travel as one JSON parameter.
"""

from collections.abc import Sequence

import orjson
from django.db import connection

from experiments.models import Datapoint, DatapointSnapshot, DatasetVersionItem

_DATAPOINTS = Datapoint._meta.db_table
_SNAPSHOTS = DatapointSnapshot._meta.db_table
_ITEMS = DatasetVersionItem._meta.db_table
_COPIED = "d.public_id, d.inputs, d.history, d.ground_truth, d.metadata"
_COLUMNS = "(project_id, content_hash, datapoint_key, inputs, history, ground_truth, metadata)"

# Table names are constants of this program; every value is a parameter. NOT EXISTS spares numbers of rows that exist
# already (a conflict uses one up), ON CONFLICT settles races. The order of insertion is what cannot deadlock.
_INSERT_SNAPSHOTS = {
    "postgresql": f"""
        INSERT INTO {_SNAPSHOTS} {_COLUMNS}
        SELECT d.project_id, t.r->>0, {_COPIED}
        FROM jsonb_array_elements(%s::jsonb) AS t(r) JOIN {_DATAPOINTS} d ON d.id = (t.r->>1)::bigint
        WHERE d.project_id = %s AND NOT EXISTS (
          SELECT 1 FROM {_SNAPSHOTS} s WHERE s.project_id = d.project_id AND s.content_hash = t.r->>0)
        ORDER BY (t.r->>0) COLLATE "C"
        ON CONFLICT DO NOTHING""",  # noqa: S608
    # CROSS JOIN keeps SQLite's planner from walking the list once for every row of the other table.
    "sqlite": f"""
        INSERT INTO {_SNAPSHOTS} {_COLUMNS}
        SELECT d.project_id, json_extract(t.value, '$[0]'), {_COPIED}
        FROM json_each(%s) AS t CROSS JOIN {_DATAPOINTS} d
        WHERE d.id = json_extract(t.value, '$[1]') AND d.project_id = %s
        ON CONFLICT DO NOTHING""",  # noqa: S608
}
_INSERT_ITEMS = {
    "postgresql": f"""
        INSERT INTO {_ITEMS} (version_id, snapshot_id, position)
        SELECT %s, s.id, %s + t.n - 1
        FROM jsonb_array_elements_text(%s::jsonb) WITH ORDINALITY AS t(hash, n)
        JOIN {_SNAPSHOTS} s ON s.project_id = %s AND s.content_hash = t.hash""",  # noqa: S608
    "sqlite": f"""
        INSERT INTO {_ITEMS} (version_id, snapshot_id, position)
        SELECT %s, s.id, %s + t.key
        FROM json_each(%s) AS t CROSS JOIN {_SNAPSHOTS} s
        WHERE s.project_id = %s AND s.content_hash = t.value""",  # noqa: S608
}


def insert_snapshots(*, project_id: int, rows: Sequence[tuple[str, int]]) -> None:
    """Copy datapoints that have no snapshot of their content yet; `rows` are (hash, primary key), sorted by hash.

    Two transactions that store overlapping contents must both go by ascending hash, or they could deadlock.
    """
    with connection.cursor() as cursor:
        cursor.execute(_INSERT_SNAPSHOTS[connection.vendor], [orjson.dumps(rows).decode(), project_id])


def insert_items(*, project_id: int, version_pk: int, first_position: int, hashes: Sequence[str]) -> int:
    """Put stored snapshots into a version in the given order, by one statement; how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            _INSERT_ITEMS[connection.vendor],
            [version_pk, first_position, orjson.dumps(hashes).decode(), project_id],
        )
        return int(cursor.rowcount)
