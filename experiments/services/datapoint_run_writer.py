"""Bulk SQL of datapoint runs: as many rows as wanted by one statement.

Rows travel as one JSON parameter, which both databases unfold. The ORM's bulk_create took five times as long for a
hundred thousand rows, because it asks every field of every row how to store its default.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.db import connection

from experiments.models import DatapointRun


class NewDatapointRun(NamedTuple):
    """What differs from row to row. The order is that of the SQL."""

    snapshot_id: int
    datapoint_key: str
    repetition: int
    rank: int
    session_key: UUID


# By vendor: how a value is taken out of a row, and what rows are taken from. WHERE keeps SQLite from reading ON as a
# condition of a join.
_VALUES = {
    "postgresql": "(r->>0)::bigint, r->>1, (r->>2)::smallint, (r->>3)::integer, (r->>4)::uuid",
    "sqlite": ", ".join(f"json_extract(value, '$[{at}]')" for at in range(len(NewDatapointRun._fields))),
}
_SOURCE = {"postgresql": "jsonb_array_elements(%s::jsonb) AS t(r)", "sqlite": "json_each(%s)"}


def insert_datapoint_runs(*, experiment_id: int, rows: Sequence[NewDatapointRun]) -> None:
    """Store rows that wait for their execution. Rows that are there already stay as they are."""
    sent = [[*row[:-1], row.session_key.hex] for row in rows]
    statement, constants = _statement(connection.vendor)
    with connection.cursor() as cursor:
        cursor.execute(statement, [experiment_id, *constants, orjson.dumps(sent).decode()])


@lru_cache(maxsize=2)
def _statement(vendor: str) -> tuple[str, list[Any]]:
    """The statement, and the values that every new row has: the model's own defaults, where they are not NULL."""
    fresh = DatapointRun()
    given = {"id", "experiment_id", *NewDatapointRun._fields}
    defaults = [field for field in DatapointRun._meta.concrete_fields if field.attname not in given]
    defaults = [field for field in defaults if getattr(fresh, field.attname) is not None]
    columns = ["experiment_id", *NewDatapointRun._fields, *(str(field.column) for field in defaults)]
    # In a SELECT a bare parameter is a text, which PostgreSQL does not put into every column.
    casts = [f"CAST(%s AS {field.cast_db_type(connection)})" for field in defaults]
    # Names and types are constants of this program; every value is a parameter.
    statement = f"""
        INSERT INTO {DatapointRun._meta.db_table} ({", ".join(columns)})
        SELECT %s, {", ".join([_VALUES[vendor], *casts])}
        FROM {_SOURCE[vendor]} WHERE true ON CONFLICT DO NOTHING"""  # noqa: S608
    return statement, [field.get_db_prep_save(getattr(fresh, field.attname), connection) for field in defaults]
