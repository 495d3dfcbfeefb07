"""Bulk SQL of datapoints and memberships: the number of statements does not grow with rows.

The only module of datasets that knows which database it speaks to. Rows travel as one JSON parameter,
which both databases unfold; bulk_create would split at SQLite's limit of parameters.
"""

from collections.abc import Sequence

import orjson
from django.db import connection
from django.utils import timezone

from experiments.domain.wire_datasets import DatapointContent
from experiments.models import Datapoint, DatasetMembership
from governance.domain.json_bodies import numbers_as_sent
from governance.models.project import new_public_id

_DATAPOINTS = Datapoint._meta.db_table
_MEMBERSHIPS = DatasetMembership._meta.db_table
_COLUMNS = "(public_id, project_id, inputs, history, ground_truth, metadata, linked_event, created_at, updated_at)"

# Table names are constants of this program; every value is a parameter.
_INSERT_DATAPOINTS = {
    "postgresql": f"""
        INSERT INTO {_DATAPOINTS} {_COLUMNS}
        SELECT r->>0, %s, r->1, r->2, NULLIF(r->3, 'null'::jsonb), NULLIF(r->4, 'null'::jsonb), r->>5, %s, %s
        FROM jsonb_array_elements(%s::jsonb) AS t(r)""",  # noqa: S608
    "sqlite": f"""
        INSERT INTO {_DATAPOINTS} {_COLUMNS}
        SELECT json_extract(value, '$[0]'), %s, json_extract(value, '$[1]'), json_extract(value, '$[2]'),
          json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'), %s, %s
        FROM json_each(%s)""",  # noqa: S608
}
# CROSS JOIN keeps SQLite's planner from walking the whole list once for every datapoint of the project.
_INSERT_MEMBERSHIPS = {
    "postgresql": f"""
        INSERT INTO {_MEMBERSHIPS} (dataset_id, datapoint_id, position)
        SELECT %s, d.id, %s + t.n - 1
        FROM jsonb_array_elements_text(%s::jsonb) WITH ORDINALITY AS t(public_id, n)
        JOIN {_DATAPOINTS} d ON d.public_id = t.public_id AND d.project_id = %s
        ON CONFLICT DO NOTHING""",  # noqa: S608
    "sqlite": f"""
        INSERT INTO {_MEMBERSHIPS} (dataset_id, datapoint_id, position)
        SELECT %s, d.id, %s + t.key
        FROM json_each(%s) AS t CROSS JOIN {_DATAPOINTS} d
        WHERE d.public_id = t.value AND d.project_id = %s ON CONFLICT DO NOTHING""",  # noqa: S608
}
# Key-share locks keep the rows from being deleted before the membership is committed.
_EXISTING = {
    "postgresql": f"""
        SELECT public_id FROM {_DATAPOINTS}
        WHERE project_id = %s AND public_id IN (SELECT jsonb_array_elements_text(%s::jsonb))
        ORDER BY id FOR KEY SHARE""",  # noqa: S608
    "sqlite": f"""
        SELECT public_id FROM {_DATAPOINTS}
        WHERE project_id = %s AND public_id IN (SELECT value FROM json_each(%s))""",  # noqa: S608
}


def _json(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # a datapoint out of an event, read from jsonb
        return orjson.dumps(numbers_as_sent(value)).decode()


def insert_datapoints(*, project_id: int, contents: Sequence[DatapointContent]) -> list[str]:
    """Store datapoints by one statement; their new public ids in input order."""
    public_ids = [new_public_id() for _ in contents]
    rows = [
        [public_id, each.inputs, each.history, each.ground_truth, each.metadata, each.linked_event]
        for public_id, each in zip(public_ids, contents, strict=True)
    ]
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(_INSERT_DATAPOINTS[connection.vendor], [project_id, now, now, _json(rows)])
    return public_ids


def existing_and_locked(*, project_id: int, public_ids: Sequence[str]) -> set[str]:
    """Those of the ids that the project has; none of them can be deleted before this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(_EXISTING[connection.vendor], [project_id, _json(list(public_ids))])
        return {row[0] for row in cursor.fetchall()}


def insert_memberships(*, project_id: int, dataset_pk: int, first_position: int, public_ids: Sequence[str]) -> int:
    """Put datapoints into a dataset in the given order, by one statement; how many were not in it before."""
    with connection.cursor() as cursor:
        cursor.execute(
            _INSERT_MEMBERSHIPS[connection.vendor],
            [dataset_pk, first_position, _json(list(public_ids)), project_id],
        )
        return int(cursor.rowcount)
