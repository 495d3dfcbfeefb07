"""The monthly quota of events, reserved ahead in blocks so that ingestion asks the database rarely.

A process reserves a block from the `events` row of `Quota`, and requests consume it from memory. A block is
also a `QuotaBlock` row under a lease. What a killed process had not consumed is found again by
`quota_reconciliation`: used = events counted in the month + blocks under lease. So every event must be
counted within `LEASE - RENEWED_WHEN_LEFT` of its `take`, which is longer than any request may last.
"""

import atexit
import datetime as dt
import os
import socket
import threading
import time
from dataclasses import dataclass, field

import structlog
from django.conf import settings
from django.db import Error, transaction
from django.db.models import Case, DateField, F, Q, Value, When
from django.utils import timezone

from governance.domain.errors import QuotaExceeded
from governance.models import Quota, QuotaBlock, Resource
from governance.models.clock import from_now

log = structlog.get_logger(__name__)

LEASE = dt.timedelta(minutes=5)
RENEWED_WHEN_LEFT = dt.timedelta(minutes=2, seconds=30)
# Whole blocks are reserved only while this many more would fit; nearer to the ceiling each request reserves
# exactly what it needs, so that no process is refused what another one holds and does not use.
_BLOCKS_OF_HEADROOM = 16


@dataclass(slots=True)
class _Block:
    """What this process holds of one `QuotaBlock` row. `usable_until` is on the monotonic clock, in seconds."""

    pk: int
    month: dt.date
    size: int
    remaining: int
    usable_until: float


@dataclass(slots=True)
class _Purse:
    """One project's block in this process.

    `memory` is held for arithmetic only; `refill` also across the database call. `put_back` must take only
    the first: its caller may hold the database's write lock, which a refill of another thread waits for.
    """

    memory: threading.Lock = field(default_factory=threading.Lock)
    refill: threading.Lock = field(default_factory=threading.Lock)
    block: _Block | None = None


_purses: dict[int, _Purse] = {}
_purses_lock = threading.Lock()
_holder = ""


def take(*, project_id: int, events: int) -> None:
    """Take `events` of this month's quota or raise `QuotaExceeded`; mostly without a query.

    Call it before the transaction that writes the events: the reservation commits by itself. What was not
    stored in the end is returned by `put_back`.
    """
    if events <= 0:
        return
    purse = _purse(project_id)
    if _spend(purse, events):
        return
    with purse.refill:
        if not _spend(purse, events):
            _refill(project_id, purse, events)


def put_back(*, project_id: int, events: int) -> None:
    """Return events that were taken but not stored. Without a query, never raises, safe inside a transaction.

    What does not fit into the present block is returned by the reconciliation later.
    """
    if events <= 0:
        return
    purse = _purse(project_id)
    with purse.memory:
        block = purse.block
        if block is not None and block.month == current_month():
            block.remaining = min(block.size, block.remaining + events)


def current_month() -> dt.date:
    """First day of the present calendar month, UTC."""
    return timezone.now().astimezone(dt.UTC).date().replace(day=1)


def holder() -> str:
    """This process among all machines: host, process id, start."""
    global _holder
    if not _holder:
        _holder = f"{socket.gethostname()[:30]}:{os.getpid()}:{time.time_ns() // 1_000_000}"
    return _holder


def give_back_all() -> None:
    """Return every unused block of this process to its quota; at exit. Failing is harmless: leases run out."""
    with _purses_lock:
        purses = list(_purses.items())
        _purses.clear()
    for project_id, purse in purses:
        with purse.refill, purse.memory:
            block, purse.block = purse.block, None
        if block is None or block.remaining == 0:
            continue
        try:
            _give_back(project_id, block)
        except Error as error:
            log.warning("quota_block_not_returned", project_id=project_id, error=str(error))


def forget() -> None:
    """Drop what this process remembers, returning nothing: after a fork the blocks are the parent's."""
    global _holder, _purses_lock
    _holder = ""
    _purses_lock = threading.Lock()
    _purses.clear()


def _purse(project_id: int) -> _Purse:
    purse = _purses.get(project_id)
    if purse is None:
        with _purses_lock:
            purse = _purses.setdefault(project_id, _Purse())
    return purse


def _spend(purse: _Purse, events: int) -> bool:
    """Consume from memory, if the block is of this month, under a sure lease, and large enough."""
    with purse.memory:
        block = purse.block
        if (
            block is None
            or block.remaining < events
            or block.usable_until <= time.monotonic()
            or block.month != current_month()
        ):
            return False
        block.remaining -= events
        return True


def _refill(project_id: int, purse: _Purse, events: int) -> None:
    """Take `events` with the help of the database: a renewed lease, a new block, or exactly what is missing."""
    with purse.memory:
        old, purse.block = purse.block, None
    if old is not None and old.remaining and not _still_ours(old):
        old = None
    held = old.remaining if old is not None else 0
    if old is not None and held >= events:
        old.remaining -= events
        new: _Block | None = old
    else:
        try:
            new = _reserve(project_id, events - held)
        except QuotaExceeded:
            with purse.memory:
                purse.block = old
            raise
    with purse.memory:
        purse.block = new


def _still_ours(block: _Block) -> bool:
    """Whether the block may still be consumed, its lease renewed when little of it is left."""
    if block.month != current_month():
        return False
    if block.usable_until > time.monotonic():
        return True
    usable_until = _usable_until()
    with transaction.atomic(durable=True):
        renewed = QuotaBlock.objects.filter(pk=block.pk, leased_until__gt=from_now(dt.timedelta())).update(
            leased_until=from_now(LEASE)
        )
    block.usable_until = usable_until
    return renewed == 1


def _usable_until() -> float:
    return time.monotonic() + (LEASE - RENEWED_WHEN_LEFT).total_seconds()


def _reserve(project_id: int, missing: int) -> _Block:
    """Reserve whole blocks, or exactly `missing` near the ceiling; `missing` is already taken from the answer."""
    size = -(-missing // settings.INGESTION_BLOCK) * settings.INGESTION_BLOCK
    month, usable_until = current_month(), _usable_until()
    with transaction.atomic(durable=True):
        if not _add_to_used(project_id, month, size, headroom=_BLOCKS_OF_HEADROOM * settings.INGESTION_BLOCK):
            size = missing
            if not _add_to_used(project_id, month, size, headroom=0):
                _refuse(project_id, month, missing)
        row = QuotaBlock.objects.create(
            project_id=project_id, holder=holder(), period_start=month, size=size, leased_until=from_now(LEASE)
        )
    return _Block(pk=row.pk, month=month, size=size, remaining=size - missing, usable_until=usable_until)


def _add_to_used(project_id: int, month: dt.date, events: int, *, headroom: int) -> bool:
    """One conditional UPDATE; the first of a month starts the count anew.

    A row that is already in a later month (our clock is behind) counts as the present one.
    """
    in_month = Q(period_start__gte=month)
    return (
        Quota.objects.filter(project_id=project_id, resource=Resource.EVENTS)
        .filter(
            (in_month & Q(used__lte=F("ceiling") - events - headroom)) | (~in_month & Q(ceiling__gte=events + headroom))
        )
        .update(
            used=Case(When(in_month, then=F("used") + events), default=Value(events)),
            period_start=Case(When(in_month, then=F("period_start")), default=Value(month, output_field=DateField())),
        )
        == 1
    )


def _refuse(project_id: int, month: dt.date, events: int) -> None:
    row = Quota.objects.filter(project_id=project_id, resource=Resource.EVENTS).first()
    ceiling, used = (row.ceiling, row.used) if row else (0, 0)
    if row and row.period_start and row.period_start < month:
        used = 0
    raise QuotaExceeded(
        f"The quota of events is {ceiling} for {month:%B %Y}, {used} are used or reserved, {events} more do not fit. "
        "Wait for the next month (UTC) or ask an owner to raise the quota.",
        resource=Resource.EVENTS.value,
        requested=events,
        ceiling=ceiling,
        used=used,
    )


def _give_back(project_id: int, block: _Block) -> None:
    """Lower `used` by what is left; the row keeps covering what was taken and is perhaps not yet counted."""
    with transaction.atomic():
        quota = Quota.objects.select_for_update().filter(project_id=project_id, resource=Resource.EVENTS).first()
        left = QuotaBlock.objects.filter(pk=block.pk, leased_until__gt=from_now(dt.timedelta()))
        # No row: the reconciliation has returned it already.
        if quota and quota.period_start == block.month and left.update(size=F("size") - block.remaining) == 1:
            Quota.objects.filter(pk=quota.pk).update(used=quota.used - min(quota.used, block.remaining))


os.register_at_fork(after_in_child=forget)
atexit.register(give_back_all)
