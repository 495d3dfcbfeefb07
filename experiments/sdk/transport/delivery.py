"""Brings finished datapoints to the server while the run goes on: journal first, then batches from one thread."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from experiments.sdk.errors import InvalidRequest, RateLimited, ServerError, SpoolError, Unavailable
from experiments.sdk.transport.client import Client
from experiments.sdk.transport.outbox import Entry, Outbox
from experiments.sdk.transport.records import FinishedDatapoint
from experiments.sdk.transport.retries import RetryPolicy
from experiments.sdk.transport.sending import send
from experiments.sdk.transport.spool import RunSpool

THREAD_NAME = "hhweb-delivery"
MAX_BATCH_BYTES = 4 * 1024 * 1024
# Asked to slow down for less than this is no news to anybody.
QUIET_SECONDS = 10.0
POISON_FAILURES = 4  # answers of 500 in a row to one part
LAST_WORDS_SECONDS = 6.0
LAST_MOMENT_SECONDS = 1.0
SHORTEST_PAUSE_SECONDS = 0.05


@dataclass(slots=True)
class DeliveryReport:
    """What became of the datapoints, by session id.

    `pending` wait in the spool, but for those in `unsaved`, which are in memory only. `refused` (with the server's
    reason) are kept in the spool, too. `error` is why the server could not be reached at last, `spool_error` why
    something could not be written to disk.
    """

    delivered: set[str] = field(default_factory=set)
    pending: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    error: ServerError | None = None
    spool_error: str | None = None
    unsaved: set[str] = field(default_factory=set)


class Delivery:
    """The way of one run's datapoints to the server. `start`, `put` from any thread, `close` once all are put.

    `on_notice` gets one clear sentence when the server goes away, when it comes back, and when the disk is full;
    it is called from whichever thread notices.
    """

    def __init__(
        self,
        client: Client,
        run_spool: RunSpool | None,
        *,
        batch_datapoints: int = 64,
        linger_seconds: float = 0.02,
        max_batch_bytes: int = MAX_BATCH_BYTES,
        retries: RetryPolicy | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        self._client = client
        self._spool = run_spool
        self._batch_datapoints = batch_datapoints
        self._linger_seconds = linger_seconds
        self._max_batch_bytes = max_batch_bytes
        self._retries = retries or client.retries
        self._on_notice = on_notice
        self._changed = threading.Condition()
        self._outbox = Outbox(run_spool)
        self._report = DeliveryReport()
        self._known: dict[str, None] = {}
        self._deadline: float | None = None
        self._patience_seconds = float("inf")
        self._has_stopped = False
        self._is_closed = False
        self._is_offline = False
        self._thread: threading.Thread | None = None
        self._is_through = threading.Event()  # the thread

    @property
    def is_offline(self) -> bool:
        """Whether the server is away, as far as the last tries tell."""
        return self._is_offline

    @property
    def waiting(self) -> int:
        """How many pieces are in the queue."""
        return len(self._outbox)

    def start(self) -> None:
        """Start sending, first what an earlier process of this run left in the spool."""
        with self._changed:
            self._known.update(dict.fromkeys(self._outbox.add_waiting()))
        self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
        self._thread.start()

    def put(self, finished: FinishedDatapoint) -> None:
        """Take a finished datapoint: into the journal, then into the queue. Never waits for the network.

        After `close` nothing is taken: the run is over, and its report is out.
        """
        if self._is_closed:
            return
        position: int | None = None
        if self._spool is not None:
            try:
                position = self._spool.append(finished)
            except SpoolError as error:
                self._note_spool_error(error)
        with self._changed:
            self._known[finished.session_id] = None
            self._outbox.add(finished, position)
            if len(self._outbox) in (1, self._batch_datapoints):
                self._changed.notify_all()

    def close(self, timeout_seconds: float) -> DeliveryReport:
        """Send what is left, while the server takes some of it at least every so many seconds; then stop.

        What could not be sent is in the report, and in the spool as far as the disk took it. May be called again,
        with less patience.
        """
        with self._changed:
            self._patience_seconds = min(timeout_seconds, self._patience_seconds)
            self._deadline = time.monotonic() + self._patience_seconds
            self._changed.notify_all()
        # Not join(): one that Ctrl-C interrupts takes the thread for ended though it runs (bpo-45274).
        while self._thread is not None and not self._is_through.is_set():
            if (left := self._deadline - time.monotonic()) <= 0:
                self._cut(LAST_WORDS_SECONDS)
                break
            self._is_through.wait(left)
        return self._closed()

    def abandon(self) -> DeliveryReport:
        """Stop at once: what is not acknowledged stays in the spool. For who was interrupted in `close`."""
        with self._changed:
            self._patience_seconds, self._deadline = 0.0, time.monotonic()
        self._cut(LAST_MOMENT_SECONDS)
        return self._closed()

    def _cut(self, seconds: float) -> None:
        """End the thread, and the request that it waits for."""
        self._stop()
        if self._thread is not None:
            self._client.interrupt()
            self._is_through.wait(seconds)

    def _closed(self) -> DeliveryReport:
        if self._thread is not None and self._is_through.is_set():
            self._thread.join()
        with self._changed:
            self._has_stopped = self._is_closed = True
            report = self._report
            report.unsaved, reason = self._outbox.save()
            report.spool_error = reason or report.spool_error
            report.pending = self._known.keys() - report.delivered - report.refused.keys()
        return report

    # --- the sending thread

    def _run(self) -> None:
        try:
            while batch := self._take():
                self._deliver(batch)
        finally:
            self._is_through.set()

    def _take(self) -> list[Entry]:
        """The next batch, when it is full or its first datapoint has lingered; nothing at the end."""
        with self._changed:
            while not self._outbox:
                if self._deadline is not None or self._has_stopped:
                    return []
                self._changed.wait()
            until = time.monotonic() + self._linger_seconds
            while len(self._outbox) < self._batch_datapoints and self._deadline is None:
                if (left := until - time.monotonic()) <= 0:
                    break
                self._changed.wait(left)
            if self._has_stopped or self._is_late():
                return []
            return self._outbox.take(self._batch_datapoints, self._max_batch_bytes)

    def _deliver(self, batch: list[Entry]) -> None:
        """Send a batch, as often and in as many parts as it takes; what cannot be sent goes back into the queue."""
        parts = [batch]
        failures = 0
        while parts and not self._has_stopped and not self._is_late():
            part = parts[-1]
            try:
                if found := self._loaded(part):
                    limit = self._max_batch_bytes
                    send(self._client, found, max_bytes=limit, timeout_seconds=self._time_left())
                    failures = 0
                    self._note_delivered(part)
                parts.pop()
            except Unavailable as error:
                failures += 1
                self._note_failure(error, failures)
                if error.status == 500 and failures >= POISON_FAILURES:
                    # Not an outage: something in this part breaks the server. The others shall not wait for it.
                    failures = 0
                    parts.pop()
                    if half := len(part) // 2:
                        parts += [part[half:], part[:half]]
                    else:
                        self._note_refused(part[0], str(error))
                elif not self._pause(error, failures):
                    self._stop()
            except InvalidRequest as error:
                parts.pop()
                if len(part) > 1:
                    half = len(part) // 2
                    parts += [part[half:], part[:half]]
                else:
                    self._note_refused(part[0], str(error))
            except Exception as error:  # the key is no longer good, this is no such server, or a fault of ours
                failure = error if isinstance(error, ServerError) else ServerError(f"Delivery failed: {error!r}")
                self._note_failure(failure)
                self._stop()
        with self._changed:
            self._outbox.put_back([entry for part in reversed(parts) for entry in part])

    def _stop(self) -> None:
        with self._changed:
            self._has_stopped = True
            self._changed.notify_all()

    def _loaded(self, part: list[Entry]) -> list[FinishedDatapoint]:
        """The datapoints of a part, read from the journal where they are not in memory; what is lost is refused."""
        found = []
        for entry in list(part):
            try:
                found.append(self._outbox.load(entry))
            except SpoolError as error:
                part.remove(entry)
                self._note_refused(entry, str(error))
        return found

    def _pause(self, error: Unavailable, failures: int) -> bool:
        """Wait before the next try; False when there will be none."""
        is_asked = error.retry_after_seconds is not None
        now = time.monotonic()
        until = now + self._retries.delay(failures, error.retry_after_seconds)
        with self._changed:
            was_closing = self._deadline is not None
            if self._deadline is not None and not is_asked:
                until = min(until, now + max((self._deadline - now) / 2, SHORTEST_PAUSE_SECONDS))
            while not self._has_stopped:
                if self._deadline is not None:
                    if self._is_late() or (is_asked and until > self._deadline):
                        return False
                    if not was_closing and not is_asked:
                        return True  # the run has ended: one more try without delay
                if (left := until - time.monotonic()) <= 0:
                    return True
                self._changed.wait(left if self._deadline is None else min(left, self._deadline - time.monotonic()))
        return False

    def _is_late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _time_left(self) -> float:
        """Seconds that a request may take."""
        left = self._client.timeout_seconds
        return left if self._deadline is None else min(left, max(self._deadline - time.monotonic(), 0.05))

    # --- what is told

    def _note_delivered(self, part: list[Entry]) -> None:
        if self._spool is not None:
            self._spool.mark_delivered(entry.position for entry in part if entry.position is not None)
        with self._changed:
            self._report.delivered.update(entry.session_id for entry in part)
            self._report.error = None
            self._progress()
            waiting = len(self._outbox)
        if self._is_offline:
            self._is_offline = False
            rest = f"; {waiting} waiting datapoints are being sent." if waiting else "."
            self._say(f"{self._client.settings.server_url} answers again{rest}")

    def _note_refused(self, entry: Entry, reason: str) -> None:
        with self._changed:
            self._report.refused[entry.session_id] = reason
            self._progress()

    def _progress(self) -> None:
        """The server did something: the deadline moves on."""
        if self._deadline is not None:
            self._deadline = max(self._deadline, time.monotonic() + self._patience_seconds)

    def _note_failure(self, error: ServerError, failures: int = 0) -> None:
        self._report.error = error
        # One lost connection, or a word to slow down, is nothing to speak of.
        is_lasting = failures != 1 and (
            not isinstance(error, RateLimited) or (error.retry_after_seconds or QUIET_SECONDS) >= QUIET_SECONDS
        )
        if is_lasting and not self._is_offline:
            self._is_offline = True
            where = f"in {self._spool.path}" if self._spool is not None else "in memory"
            self._say(f"{error} The run goes on; finished datapoints wait {where}.")

    def _note_spool_error(self, error: SpoolError) -> None:
        with self._changed:
            known, self._report.spool_error = self._report.spool_error, str(error)
        if known is None:
            self._say(f"{error} The run goes on; finished datapoints wait in memory until the server has them.")

    def _say(self, sentence: str) -> None:
        if self._on_notice is not None:
            with contextlib.suppress(Exception):  # a closed terminal is no reason to deliver nothing
                self._on_notice(sentence)
