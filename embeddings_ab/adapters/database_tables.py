"""Tables that an arm of PostgreSQL makes on demand: names, existence, one maker at a time, removal."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from governance.domain.errors import InvalidInput

_NAME = re.compile(r"[A-Za-z0-9_-]{1,30}")


def require_postgres(field: str, value: str) -> None:
    """Raise InvalidInput, naming `field` and `value`, unless the installation runs on PostgreSQL."""
    if connection.vendor != "postgresql":
        raise InvalidInput(
            f"Field {field!r}: {value!r} needs PostgreSQL, this installation runs on {connection.vendor}. "
            "Choose another, or start with --database postgres.",
            field=field,
            value=value,
        )


def table_name(prefix: str, name: str) -> str:
    """`prefix` and a checked `name`, an id of ours. Raises ValueError for anything else."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no id of a collection")
    return f"{prefix}_{name}"


def quoted(table: str) -> str:
    """The name as it goes into SQL."""
    return connection.ops.quote_name(table)


def exists(table: str) -> bool:
    """Whether the table is there."""
    with connection.cursor() as cursor:
        return table in connection.introspection.table_names(cursor)


def make_once(table: str, fill: Callable[[CursorWrapper], None]) -> None:
    """Call `fill` in a transaction of its own unless the table is there; a second maker waits for the first.

    So a table is there with all its rows and indexes, or not at all.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [table])
        cursor.execute("SELECT to_regclass(%s)", [quoted(table)])
        if cursor.fetchone()[0] is None:
            fill(cursor)


def drop_all(table: str) -> None:
    """Drop the table and those whose names go on from it with a point; without one nothing happens."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
            " AND (tablename = %s OR starts_with(tablename, %s))",
            [table, f"{table}."],
        )
        for (found,) in cursor.fetchall():
            cursor.execute(f"DROP TABLE IF EXISTS {quoted(found)}")


@contextmanager
def reading(*settings: tuple[str, int | str]) -> Iterator[CursorWrapper]:
    """A cursor with planner settings that end with the block. Names and values are ours, never a user's."""
    with transaction.atomic(), connection.cursor() as cursor:
        for name, value in settings:
            cursor.execute("SELECT set_config(%s, %s, true)", [name, str(value)])
        yield cursor
        # Inside a caller's transaction the settings would outlive the block; taking the reading back ends them.
        transaction.set_rollback(True)
