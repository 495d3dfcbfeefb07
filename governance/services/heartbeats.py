"""Keeps a lease alive while a worker computes or waits for a provider, and tells it when it has lost the work.

A thread with a connection of its own looks every second, so that cancelling takes effect within seconds even in the
middle of a call: `on_lost` closes what the worker waits for.
"""

import datetime as dt
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog
from django.conf import settings
from django.db import DatabaseError, connections, transaction

from governance.models.leased_work import LeasedWork, LeaseLost

LOOK_SECONDS = 1.0
RENEWALS = 6  # in the time of one lease: a few may be missed
log = structlog.get_logger(__name__)


def lease() -> dt.timedelta:
    """How long a claim holds without a sign of life, as the operator says."""
    return dt.timedelta(seconds=settings.LEASE_SECONDS)


class Heartbeat:
    """`with Heartbeat(work, on_lost=client.close) as beat:`; call `beat.check()` between steps."""

    def __init__(
        self,
        work: LeasedWork,
        *,
        on_lost: Callable[[], None] | None = None,
        on_renew: Callable[[], None] | None = None,
    ) -> None:
        """`on_renew` is called on the heartbeat's own thread and connection, to renew what hangs on the work."""
        self.work = work
        self.on_lost, self.on_renew = on_lost, on_renew
        # On the monotonic clock, which runs on while a process is stopped: until then nobody can have taken the work.
        self._sure_until = time.monotonic() + lease().total_seconds()
        self._stop = threading.Event()
        self._lost = threading.Event()
        # Inside a transaction nobody else can see the claim: there is nothing to keep alive.
        self._thread = (
            None
            if transaction.get_connection().in_atomic_block
            else threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        )

    def __enter__(self) -> Self:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    @property
    def is_lost(self) -> bool:
        """Whether the work belongs to somebody else or was called off."""
        return self._lost.is_set()

    @property
    def is_sure(self) -> bool:
        """Whether nobody else can have the work: neither called off nor past its lease, as after a long stop."""
        return not self._lost.is_set() and (self._thread is None or time.monotonic() <= self._sure_until)

    def check(self) -> None:
        """Raise `LeaseLost` when the work was called off, or its lease ran out without a renewal."""
        if not self.is_sure:
            raise LeaseLost(f"{type(self.work).__name__} {self.work.pk}")

    def _beat(self) -> None:
        looks = 0
        renew_every = max(1, int(lease().total_seconds() / RENEWALS / LOOK_SECONDS))
        try:
            while not self._stop.wait(LOOK_SECONDS):
                looks += 1
                try:
                    if looks % renew_every == 0:
                        began = time.monotonic()
                        self.work.renew(lease())
                        self._sure_until = began + lease().total_seconds()
                        if self.on_renew is not None:
                            self.on_renew()
                    elif not self.work.held().exists():
                        raise LeaseLost
                except LeaseLost:
                    self._lost.set()
                    if self.on_lost is not None:
                        self.on_lost()
                    return
                except DatabaseError as error:  # the next look tries again; the lease is longer than a few of them
                    log.warning("heartbeat_missed", work=type(self.work).__name__, error=type(error).__name__)
        finally:
            connections.close_all()
