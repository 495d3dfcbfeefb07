"""The bulk statements behind the event writer: what differs between PostgreSQL and SQLite, and nothing else."""

from types import ModuleType
from typing import Protocol, cast
from uuid import UUID

from django.db import connection

from experiments.services.event_statements import postgres, sqlite
from experiments.services.event_statements.shapes import Count, RunIds, StoredSession, Written


class Statements(Protocol):
    """One constant number of statements per call, however many rows. All run inside the caller's transaction."""

    def lock_sessions(self, project_id: int, keys: list[UUID], *, exclusive: bool) -> dict[UUID, StoredSession]:
        """The stored sessions among `keys`, locked (in key order) until the transaction ends."""

    def find_by_span(self, project_id: int, span_keys: list[UUID]) -> dict[tuple[UUID, UUID], UUID]:
        """{(session key, span key): event key} of events whose id differs from that of their span."""

    def upsert_events(self, project_id: int, payload: Written) -> dict[UUID, RunIds]:
        """Store rows (one per key, in key order); the run ids of those that met a stored event, after merging."""

    def finish(
        self, project_id: int, *, measurements: list[tuple[object, ...]], count: Count, run_keys: list[str]
    ) -> None:
        """The end of a transaction: measurements of new events, the request's count, revisions of the runs."""

    def sync_measurements(self, project_id: int, event_keys: list[UUID]) -> None:
        """Make the measurements of these events equal to the numbers among their stored metrics."""

    def hand_on_run_ids(self, project_id: int, session_keys: list[UUID]) -> set[str]:
        """Give run ids of stored sessions to those of their events that lack them; the runs whose events changed."""

    def relink_children(self, project_id: int, event_keys: list[UUID]) -> None:
        """Point children that know only the span of these events to the events' own ids."""


_MODULES: dict[str, ModuleType] = {"postgresql": postgres, "sqlite": sqlite}


def statements() -> Statements:
    """The statements of the database in use."""
    return cast(Statements, _MODULES[connection.vendor])
