"""Calls of targets and judges over HTTP: a slot of the provider, the guarded client, its errors told as CallFailed."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, cast

from experiments.domain.calls import CallFailed
from experiments.domain.redaction import Redaction
from governance.domain.errors import DomainError
from governance.outbound import limiter
from governance.outbound.client import GuardedClient, OutboundAnswer
from governance.outbound.errors import OutboundFailed

SLOT_WAIT_SECONDS = 10.0
_TURN_SECONDS = 1.0  # how long a wait for a slot goes on after `close`
_SLOT_SURPLUS_SECONDS = 30.0  # a slot must outlive its call


@dataclass(frozen=True, slots=True)
class Slots:
    """Calls at once to one provider of one project, over all workers; adapts to "too many requests"."""

    project_id: int
    provider: str
    limit: int


@dataclass(slots=True)
class Outlet:
    """One provider, called from many threads. `close()` ends calls under way and waits for slots.

    What an answer repeats of the secrets that were sent is taken out of it.
    """

    slots: Slots
    redaction: Redaction = field(default_factory=Redaction)
    client: GuardedClient = field(default_factory=GuardedClient)
    _closed: threading.Event = field(default_factory=threading.Event)

    def call(
        self, send: Callable[[GuardedClient, float], OutboundAnswer], *, deadline_seconds: float
    ) -> tuple[OutboundAnswer, float]:
        """The answer of `send(client, timeout)` and its latency in ms, without the wait for a slot.

        Raises CallFailed.
        """
        with ExitStack() as stack:
            self._take_slot(stack, deadline_seconds)
            started = time.perf_counter()
            try:
                # Leaving the slot's context with an error is how the limit hears of "too many requests".
                with stack.pop_all():
                    answer = send(self.client, deadline_seconds)
                    latency_ms = (time.perf_counter() - started) * 1_000
            except ValueError as error:
                raise CallFailed(
                    f"The request cannot be written as JSON: {error}.",
                    error_class="bad_input",
                    is_transient=False,
                    called=False,
                ) from None
            except DomainError as error:
                ms = (time.perf_counter() - started) * 1_000
                raise failed(
                    error, latency_ms=ms, redaction=self.redaction, deadline_seconds=deadline_seconds
                ) from error
        return replace(answer, content=self.redaction.of_bytes(answer.content)), latency_ms

    def close(self) -> None:
        """End everything, from any thread. May be called twice."""
        self._closed.set()
        self.client.close()

    def wait_closed(self, seconds: float) -> bool:
        """Wait so long, or until closed; whether it is closed now."""
        return self._closed.wait(seconds)

    def _take_slot(self, stack: ExitStack, deadline_seconds: float) -> None:
        until = time.monotonic() + SLOT_WAIT_SECONDS
        while True:
            if self._closed.is_set():
                raise CallFailed("The call was called off.", error_class="cancelled", is_transient=False, called=False)
            try:
                stack.enter_context(
                    limiter.slot(
                        project_id=self.slots.project_id,
                        provider=self.slots.provider,
                        limit=self.slots.limit,
                        lease_seconds=deadline_seconds + _SLOT_SURPLUS_SECONDS,
                        wait_seconds=_TURN_SECONDS,
                    )
                )
            except OutboundFailed as error:
                if error.cause == "rate_limited" and time.monotonic() < until:
                    continue
                raise CallFailed(error.message, error_class=error.cause, is_transient=True, called=False) from error
            return


def failed(error: DomainError, *, latency_ms: float, redaction: Redaction, deadline_seconds: float) -> CallFailed:
    """An error of the guarded client as a failed call; its message tells what a 4xx answer says, or the deadline."""
    if not isinstance(error, OutboundFailed):  # our own rules, before or between requests
        return CallFailed(
            error.message,
            error_class="refused",
            is_transient=False,
            called=bool(error.details.get("after_redirect")),
            latency_ms=latency_ms,
        )
    is_cancelled = bool(error.details.get("cancelled"))
    details: dict[str, Any] = {} if error.http_status is None else {"http_status": error.http_status}
    said = redaction.of_start(error.excerpt).strip() if error.cause == "client_error" else ""
    message = f"{error.message} It said: {said}" if said else error.message
    if error.cause == "timeout" and error.http_status is None:
        message = f"{message.removesuffix('.')}: it had {deadline_seconds:.3g} seconds."
    return CallFailed(
        message,
        error_class="cancelled" if is_cancelled else cast(str, error.cause),
        is_transient=error.is_transient and not is_cancelled,
        retry_after_seconds=error.retry_after_seconds,
        latency_ms=latency_ms,
        **details,
    )
