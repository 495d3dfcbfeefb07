"""Brings finished datapoints to the server while the run goes on: journal first, then batches from one thread."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from experiments.sdk.errors import InvalidRequest, RateLimited, ServerError, SpoolError, Unavailable
from experiments.sdk.transport.client import Client
from experiments.sdk.transport.records import FinishedDatapoint
from experiments.sdk.transport.retries import RetryPolicy
from experiments.sdk.transport.sending import send
from experiments.sdk.transport.spool import RunSpool

THREAD_NAME = "hhweb-delivery"
MAX_BATCH_BYTES = 4 * 1024 * 1024
# Of more than this, the journal's copy is enough: a long run with the server away must not fill the memory.
KEPT_IN_MEMORY = 256
# Asked to slow down for less than this is no news to anybody.
QUIET_SECONDS = 10.0
LAST_WORDS_SECONDS = 6.0
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


@dataclass(slots=True)
class _Entry:
    """A datapoint in the queue: in memory, in the journal at `position`, or in both."""

    session_id: str
    finished: FinishedDatapoint | None
    position: int | None


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
        self._queue: deque[_Entry] = deque()
        self._in_memory = 0
        self._report = DeliveryReport()
        self._known: dict[str, None] = {}
        self._deadline: float | None = None
        self._has_stopped = False
        self._is_offline = False
        self._thread: threading.Thread | None = None

    @property
    def is_offline(self) -> bool:
        """Whether the server is away, as far as the last tries tell."""
        return self._is_offline

    def start(self) -> None:
        """Start sending, first what an earlier process of this run left in the spool."""
        if self._spool is not None:
            with self._changed:
                for position, session_id in self._spool.waiting():
                    self._known[session_id] = None
                    self._queue.append(_Entry(session_id, None, position))
        self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
        self._thread.start()

    def put(self, finished: FinishedDatapoint) -> None:
        """Take a finished datapoint: into the journal, then into the queue. Never waits for the network."""
        position: int | None = None
        if self._spool is not None:
            try:
                position = self._spool.append(finished)
            except SpoolError as error:
                self._note_spool_error(error)
        with self._changed:
            self._known[finished.session_id] = None
            is_kept = position is None or self._in_memory < KEPT_IN_MEMORY
            self._queue.append(_Entry(finished.session_id, finished if is_kept else None, position))
            self._in_memory += is_kept
            if len(self._queue) in (1, self._batch_datapoints):
                self._changed.notify_all()

    def close(self, timeout_seconds: float) -> DeliveryReport:
        """Send what is left, at most for so long; then nothing of this runs any more. May be called again.

        What could not be sent is in the report, and in the spool as far as the disk took it.
        """
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            self._deadline = deadline if self._deadline is None else min(deadline, self._deadline)
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_seconds)
            if self._thread.is_alive():
                self._client.interrupt()
                self._thread.join(LAST_WORDS_SECONDS)
        with self._changed:
            self._has_stopped = True
            report = self._report
            report.unsaved = {entry.session_id for entry in self._queue if not self._is_saved(entry)}
            report.pending = {name for name in self._known if name not in report.delivered | report.refused.keys()}
        return report

    def _is_saved(self, entry: _Entry) -> bool:
        """Whether the journal has it; when the disk was full it may have room by now."""
        if entry.position is None and self._spool is not None and entry.finished is not None:
            try:
                entry.position = self._spool.append(entry.finished)
            except SpoolError as error:
                self._report.spool_error = str(error)
        return entry.position is not None

    # --- the sending thread

    def _run(self) -> None:
        while batch := self._take():
            self._deliver(batch)

    def _take(self) -> list[_Entry]:
        """The next batch, when it is full or its first datapoint has lingered; nothing at the end."""
        with self._changed:
            while not self._queue:
                if self._deadline is not None or self._has_stopped:
                    return []
                self._changed.wait()
            until = time.monotonic() + self._linger_seconds
            while len(self._queue) < self._batch_datapoints and self._deadline is None:
                if (left := until - time.monotonic()) <= 0:
                    break
                self._changed.wait(left)
            if self._has_stopped or self._is_late():
                return []
            batch: list[_Entry] = []
            size = 0
            while self._queue and len(batch) < self._batch_datapoints and (not batch or size < self._max_batch_bytes):
                entry = self._queue.popleft()
                self._in_memory -= entry.finished is not None
                if self._spool is not None and entry.position is not None:
                    size += self._spool.size_of(entry.position)
                batch.append(entry)
            return batch

    def _deliver(self, batch: list[_Entry]) -> None:
        """Send a batch, as often and in as many parts as it takes; what cannot be sent goes back into the queue."""
        parts = [batch]
        failures = 0
        while parts:
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
                if self._pause(error, failures):
                    continue
                self._stop()
                break
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
                break
        with self._changed:
            left = [entry for part in parts for entry in reversed(part)]
            self._queue.extendleft(left)
            self._in_memory += sum(entry.finished is not None for entry in left)

    def _stop(self) -> None:
        with self._changed:
            self._has_stopped = True

    def _loaded(self, part: list[_Entry]) -> list[FinishedDatapoint]:
        """The datapoints of a part, read from the journal where they are not in memory; what is lost is refused."""
        found = []
        for entry in list(part):
            try:
                found.append(entry.finished or self._read(entry))
            except SpoolError as error:
                part.remove(entry)
                self._note_refused(entry, str(error))
        return found

    def _read(self, entry: _Entry) -> FinishedDatapoint:
        assert self._spool is not None  # only what the journal has leaves the memory
        assert entry.position is not None
        return self._spool.read(entry.position)

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

    def _note_delivered(self, part: list[_Entry]) -> None:
        if self._spool is not None:
            self._spool.mark_delivered(entry.position for entry in part if entry.position is not None)
        with self._changed:
            self._report.delivered.update(entry.session_id for entry in part)
            self._report.error = None
            waiting = len(self._queue)
        if self._is_offline:
            self._is_offline = False
            rest = f"; {waiting} waiting datapoints are being sent." if waiting else "."
            self._say(f"{self._client.settings.server_url} answers again{rest}")

    def _note_refused(self, entry: _Entry, reason: str) -> None:
        with self._changed:
            self._report.refused[entry.session_id] = reason

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
            self._on_notice(sentence)
