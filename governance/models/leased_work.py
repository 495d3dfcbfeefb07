"""Work that is a row: claimed by one conditional UPDATE under a lease, renewed by its holder, found again by a sweep.

The lease carries a fencing token (`lease_token` grows with each claim): what a worker writes after it lost its lease
names an old token and changes nothing. Every time is the database's.
"""

import datetime as dt
from collections.abc import Collection
from typing import Any, Self

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from governance.models.clock import from_now


class LeaseLost(Exception):
    """Another worker took the row over, or its status was changed; whoever meets this stops without writing."""


class LeasedWork(models.Model):
    """Columns and one-statement moves of a job. Subclasses bring `status`."""

    attempts = models.PositiveIntegerField(default=0)
    dispatched_at = models.DateTimeField(null=True, blank=True)
    next_attempt_at = models.DateTimeField(null=True, blank=True, help_text="not before; empty means at once")
    leased_until = models.DateTimeField(null=True, blank=True)
    lease_holder = models.CharField(max_length=64, blank=True, default="")
    lease_token = models.PositiveBigIntegerField(default=0)

    class Meta:
        abstract = True

    @classmethod
    def claim(
        cls, pk: int, *, waiting: Collection[str], running: str, holder: str, lease: dt.timedelta, **changes: Any
    ) -> Self | None:
        """Take the row when it waits and is due, or runs under a lease that ended; None when somebody else has it."""
        free = Q(status__in=waiting) & (Q(next_attempt_at__isnull=True) | Q(next_attempt_at__lte=Now()))
        lost = Q(status=running) & (Q(leased_until__isnull=True) | Q(leased_until__lt=Now()))
        taken = cls._default_manager.filter(pk=pk).filter(free | lost)
        claimed = taken.update(
            status=running,
            attempts=F("attempts") + 1,
            lease_token=F("lease_token") + 1,
            lease_holder=holder,
            leased_until=from_now(lease),
            next_attempt_at=None,
            **changes,
        )
        # Whoever calls the work off between claim and read clears the holder: then it is not ours any more.
        mine = cls._default_manager.filter(pk=pk, lease_holder=holder).filter(Q(status=running))
        return mine.first() if claimed else None

    def held(self) -> "models.QuerySet[Any]":
        """The row as long as this claim is in force; every write of the holder goes through it."""
        rows: models.QuerySet[Any] = type(self)._default_manager.filter(pk=self.pk, lease_token=self.lease_token)
        return rows.filter(Q(status=getattr(self, "status")))  # noqa: B009 - declared by the subclasses

    def renew(self, lease: dt.timedelta, **changes: Any) -> None:
        """Prolong the lease and write progress in the same statement; raises `LeaseLost`."""
        if not self.held().update(leased_until=from_now(lease), **changes):
            raise LeaseLost(f"{type(self).__name__} {self.pk}")

    def leave(self, status: str, **changes: Any) -> None:
        """Move on from this claim in one statement; raises `LeaseLost` when it is not in force any more."""
        if not self.held().update(status=status, leased_until=None, lease_holder="", **changes):
            raise LeaseLost(f"{type(self).__name__} {self.pk}")
        self.status = status

    @classmethod
    def lost(
        cls,
        *,
        waiting: Collection[str],
        running: Collection[str],
        unsent_for: dt.timedelta,
        at_most: int,
        within: Q | None = None,
    ) -> list[int]:
        """Rows whose worker died, then rows whose message got lost, oldest first; at most as many as asked.

        `within` narrows the table first, so that rows which nobody waits for take nobody's place.
        """
        ago = from_now(-unsent_for)
        due = Q(next_attempt_at__isnull=True) | Q(next_attempt_at__lte=Now())
        unsent = Q(status__in=waiting) & due & (Q(dispatched_at__isnull=True) | Q(dispatched_at__lt=ago))
        died = Q(status__in=running) & (Q(leased_until__isnull=True) | Q(leased_until__lt=Now()))
        rows = cls._default_manager.filter(within if within is not None else Q())
        found = list(rows.filter(died).order_by("pk").values_list("pk", flat=True)[:at_most])
        unsent_rows = rows.filter(unsent).order_by("pk").values_list("pk", flat=True)
        return found + list(unsent_rows[: at_most - len(found)])

    @classmethod
    def note_dispatch(cls, pks: Collection[int]) -> None:
        """Remember when messages were sent, so that the sweep waits before it sends again."""
        cls._default_manager.filter(pk__in=pks).update(dispatched_at=Now())
