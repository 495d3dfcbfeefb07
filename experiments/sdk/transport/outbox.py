"""The datapoints that are not sent yet, in order: in memory, or for long queues in the run's spool only."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.sdk.errors import SpoolError
from experiments.sdk.transport.records import FinishedDatapoint
from experiments.sdk.transport.spool import RunSpool

# Of more than this, the journal's copy is enough: a long run with the server away must not fill the memory.
KEPT_IN_MEMORY = 256


@dataclass(slots=True)
class Entry:
    """A datapoint in the queue: in memory, in the journal at `position`, or in both."""

    session_id: str
    finished: FinishedDatapoint | None
    position: int | None


class Outbox:
    """A queue of entries. Not thread-safe, but for `load`: Delivery guards it."""

    def __init__(self, run_spool: RunSpool | None) -> None:
        self._spool = run_spool
        self._entries: deque[Entry] = deque()
        self._in_memory = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def in_memory(self) -> int:
        """How many datapoints the queue holds in memory."""
        return self._in_memory

    def add_waiting(self) -> list[str]:
        """Queue what an earlier process of the run left in its spool; the session ids."""
        waiting = self._spool.waiting() if self._spool is not None else []
        self._entries.extend(Entry(session_id, None, position) for position, session_id in waiting)
        return [session_id for _, session_id in waiting]

    def add(self, finished: FinishedDatapoint, position: int | None) -> None:
        """Queue one that was written at `position`, or could not be written (None)."""
        is_kept = position is None or self._in_memory < KEPT_IN_MEMORY
        self._entries.append(Entry(finished.session_id, finished if is_kept else None, position))
        self._in_memory += is_kept

    def take(self, count: int, max_bytes: int) -> list[Entry]:
        """At most `count` from the front, and no more once those in the journal reach `max_bytes`."""
        batch: list[Entry] = []
        size = 0
        while self._entries and len(batch) < count and (not batch or size < max_bytes):
            entry = self._entries.popleft()
            self._in_memory -= entry.finished is not None
            if self._spool is not None and entry.position is not None:
                size += self._spool.size_of(entry.position)
            batch.append(entry)
        return batch

    def put_back(self, entries: Sequence[Entry]) -> None:
        """What could not be sent is the front again."""
        self._entries.extendleft(reversed(entries))
        self._in_memory += sum(entry.finished is not None for entry in entries)

    def load(self, entry: Entry) -> FinishedDatapoint:
        """The datapoint, read from the journal when it is there only; SpoolError when the disk lost it."""
        if entry.finished is not None:
            return entry.finished
        assert self._spool is not None  # only what the journal has leaves the memory
        assert entry.position is not None
        return self._spool.read(entry.position)

    def save(self) -> tuple[set[str], str | None]:
        """Write what is in memory only, as a full disk may have room by now.

        Session ids that are still in memory only, and the last error.
        """
        unsaved: set[str] = set()
        reason: str | None = None
        for entry in self._entries:
            if entry.position is None and self._spool is not None:
                try:
                    entry.position = self._spool.append(self.load(entry))
                except SpoolError as error:
                    reason = str(error)
            if entry.position is None:
                unsaved.add(entry.session_id)
        return unsaved, reason
