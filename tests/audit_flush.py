"""Lets transactional tests empty the database although audit entries refuse to be removed.

The production schema has no back door: the flush between tests does what only the owner of the table can do,
it takes the triggers off, empties, and puts them on again.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection
from django.test import TransactionTestCase

TABLE = "governance_auditentry"


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


def teach_the_flush() -> None:
    """Wrap the flush that ends every transactional test."""
    plain = TransactionTestCase._fixture_teardown

    def teardown(self: TransactionTestCase) -> None:
        with without_audit_triggers():
            plain(self)

    # TestCase overrides it by a rollback, which needs no help.
    TransactionTestCase._fixture_teardown = teardown
