"""Empties the database after a transactional test: quickly, and although audit entries refuse to be removed.

The production schema has no back door: what only the owner of the table can do is done here, the triggers are taken
off and put on again. Django's own flush truncates every table and makes all permissions anew, which takes longer than
most tests; here rows leave the few tables that have any, and what migrations made stays.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction
from django.test import TransactionTestCase

TABLE = "governance_auditentry"
# Django's flush empties these and fills them again; nobody adds to them.
KEPT = {"django_content_type", "auth_permission"}


@contextmanager
def without_audit_triggers() -> Iterator[None]:
    """The triggers of the audit table are off inside and on afterwards, as they were."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"ALTER TABLE {TABLE} DISABLE TRIGGER USER")
            try:
                yield
            finally:
                cursor.execute(f"ALTER TABLE {TABLE} ENABLE TRIGGER USER")
        else:
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s", [TABLE])
            triggers = cursor.fetchall()
            for name, _ in triggers:
                cursor.execute(f"DROP TRIGGER {name}")
            try:
                yield
            finally:
                for _, sql in triggers:
                    cursor.execute(sql)


def empty_tables() -> None:
    """Remove all rows but those of `KEPT`, in one transaction at whose end foreign keys are looked at."""
    quote = connection.ops.quote_name
    tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False)) - KEPT
    tests = [f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {quote(name)})" for name in sorted(tables)]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(tests))
        filled = [name for (name,) in cursor.fetchall()]
        with without_audit_triggers(), transaction.atomic():
            for name in filled:
                cursor.execute(f"DELETE FROM {quote(name)}")


def teach_the_flush() -> None:
    """Replace the flush that ends every transactional test; the others end by a rollback, which needs no help."""

    def teardown(self: TransactionTestCase) -> None:
        empty_tables()

    TransactionTestCase._fixture_teardown = teardown
