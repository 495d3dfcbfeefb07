"""The folder in which finished datapoints wait until the server has acknowledged them: crash-safe, bounded, private.

One folder per run: `run.json` (what is needed to create the run again), a journal, a lock. No API key is ever here.
"""

import contextlib
import datetime as dt
import hashlib
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from experiments.sdk.configuration import spool_folder
from experiments.sdk.errors import ConfigurationError, SpoolError
from experiments.sdk.transport import journal, json_text
from experiments.sdk.transport.records import FinishedDatapoint
from experiments.sdk.transport.run_lock import RunLock

Json = dict[str, Any]
DEFAULT_MAX_BYTES = 1024**3
LIMIT_NAME = "HH_SPOOL_MAX_BYTES"
MAX_NAME = 120
_HEADER = "run.json"
_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class PendingRun:
    """A run that waits. `datapoints` are those the server has not acknowledged; `started_at` is ISO 8601, UTC.

    `is_locked`: it is being executed or replayed at this moment. `is_finished`: it came to its end on the client.
    """

    run_id: str
    name: str
    server_url: str
    datapoints: int
    bytes: int
    started_at: str
    is_locked: bool
    is_finished: bool
    path: Path


class RunSpool:
    """The spool of one run, locked for this process. Thread-safe."""

    def __init__(self, path: Path, *, header: Json, lock: RunLock, room_bytes: int) -> None:
        self.path = path
        self.header = header
        self.run_id: str = header["run_id"]
        self._lock = lock
        self._guard = threading.Lock()
        self._journal = journal.Journal(path, room_bytes=room_bytes)

    def append(self, finished: FinishedDatapoint) -> int:
        """Write a finished datapoint; its position. After this no crash of the client loses it.

        SpoolError when the disk, or the spool's bound, is full: then nothing was kept.
        """
        body = json_text.dumps(
            {"session_id": finished.session_id, "session": finished.session, "spans": finished.spans}
        )
        with self._guard:
            return self._journal.append(finished.session_id, body)

    def mark_delivered(self, positions: Iterable[int]) -> None:
        """The server has these. On a full disk that cannot be noted: after a crash they would be sent once more."""
        with self._guard, contextlib.suppress(SpoolError):
            self._journal.acknowledge(positions)

    def finish(self, update_body: Mapping[str, Any]) -> None:
        """Write the last update of the run, for a replay to send. Raises SpoolError."""
        with self._guard:
            self._journal.set_finish(dict(update_body))

    @property
    def finish_body(self) -> Json | None:
        """The last update, when the run came to its end."""
        return self._journal.finish

    def waiting(self) -> list[tuple[int, str]]:
        """Position and session id of every datapoint that is not acknowledged, in the order written."""
        with self._guard:
            return [(position, place.session_id) for position, place in self._journal.waiting.items()]

    def size_of(self, position: int) -> int:
        """Bytes of a waiting datapoint."""
        with self._guard:
            place = self._journal.waiting.get(position)
            return place.length if place is not None else 0

    def read(self, position: int) -> FinishedDatapoint:
        """A waiting datapoint. Raises SpoolError when the disk no longer has it."""
        with self._guard:
            body = json_text.loads(self._journal.read(position))
        return FinishedDatapoint(session_id=body["session_id"], session=body["session"], spans=body["spans"])

    def close(self, *, delete: bool = False) -> bool:
        """Unlock. With `delete` the folder goes, unless datapoints still wait in it; whether it went.

        A folder that stays is made to survive a power loss. Closing again does nothing.
        """
        with self._guard:
            if self._journal.is_closed:
                return False
            gone = delete and not self._journal.waiting
            if not gone:
                self._journal.sync()
            self._journal.close()
            if gone:
                _remove(self.path)
            self._lock.release()
        return gone


class Spool:
    """All runs that wait, in one folder (HH_SPOOL_DIR) of at most `max_bytes` (HH_SPOOL_MAX_BYTES, else 1 GiB).

    The bound is looked at when a run is opened: what the others leave is its room.
    """

    def __init__(self, folder: Path | None = None, *, max_bytes: int | None = None) -> None:
        self.folder = Path(folder) if folder is not None else spool_folder()
        self.max_bytes = _limit_of_environment() if max_bytes is None else max_bytes

    def open_run(self, run_id: str, header: Mapping[str, Any]) -> RunSpool:
        """The spool of a run, made or found again with what waits in it, and locked.

        `header`: server_url, name, create (the body of POST /v1/runs), aggregate_function; never a key. SpoolError
        when the folder cannot be used, another process has the run, or it waits for another server.
        """
        path = self._path(run_id)
        lock = self._locked(path, run_id)
        try:
            stored = _read_header(path)
            if stored is None:
                now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
                stored = {"format": 1, "run_id": run_id, "started_at": now, **header}
                _write_header(path, stored)
            elif stored.get("server_url") != header.get("server_url"):
                raise SpoolError(
                    f"Run {run_id!r} waits in {path} for {stored.get('server_url')}, not for "
                    f"{header.get('server_url')}. Use that server, or another run id."
                )
            return RunSpool(path, header=stored, lock=lock, room_bytes=self._room(path))
        except BaseException:
            lock.release()
            raise

    def reopen(self, run_id: str) -> RunSpool:
        """The spool of a run that waits. SpoolError when there is none, or another process has it."""
        path = self._path(run_id)
        header = _read_header(path)
        if header is None:
            raise SpoolError(f"No run {run_id!r} waits in {self.folder}. `hhweb spool list` shows those that do.")
        return self.open_run(run_id, header)

    def pending(self) -> list[PendingRun]:
        """The runs that wait, oldest first. Asks no server and changes nothing."""
        found = [pending for path in self._folders() if (pending := _pending(path)) is not None]
        return sorted(found, key=lambda pending: (pending.started_at, pending.run_id))

    def discard(self, run_id: str) -> int:
        """Throw away what waits of a run; how many datapoints that were. SpoolError as of `reopen`."""
        run_spool = self.reopen(run_id)
        waiting = run_spool.waiting()
        run_spool.mark_delivered(position for position, _ in waiting)
        run_spool.close(delete=True)
        return len(waiting)

    def _path(self, run_id: str) -> Path:
        name = quote(run_id, safe="")
        if len(name) > MAX_NAME:
            name = hashlib.sha256(run_id.encode()).hexdigest()
        return self.folder / f"run-{name}"

    def _locked(self, path: Path, run_id: str) -> RunLock:
        lock = RunLock(path / _LOCK)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.mkdir(mode=0o700, exist_ok=True)
            taken = lock.acquire()
        except OSError as error:
            raise SpoolError(f"The spool folder {path} cannot be used: {error.strerror}.") from error
        if not taken:
            raise SpoolError(f"Run {run_id!r} is being executed or replayed by another process ({path}).")
        return lock

    def _room(self, own: Path) -> int:
        return max(self.max_bytes - sum(_size(path) for path in self._folders() if path != own), 0)

    def _folders(self) -> list[Path]:
        try:
            return [path for path in self.folder.iterdir() if path.is_dir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise SpoolError(f"{self.folder} cannot be read: {error.strerror}.") from error


def _pending(path: Path) -> PendingRun | None:
    header = _read_header(path)
    if header is None:
        return None
    lock = RunLock(path / _LOCK)
    try:
        found = journal.contents(path)
        is_locked = not lock.acquire(patience_seconds=0)
    except OSError:  # it was delivered meanwhile, or is another user's
        return None
    lock.release()
    return PendingRun(
        run_id=header["run_id"],
        name=str(header.get("name") or ""),
        server_url=str(header.get("server_url") or ""),
        datapoints=len(found.waiting),
        bytes=found.size_bytes,
        started_at=str(header.get("started_at") or ""),
        is_locked=is_locked,
        is_finished=found.finish is not None,
        path=path,
    )


def _read_header(path: Path) -> Json | None:
    try:
        header = json_text.loads((path / _HEADER).read_bytes())
    except (OSError, ValueError):
        return None
    return header if isinstance(header, dict) and isinstance(header.get("run_id"), str) else None


def _write_header(path: Path, header: Json) -> None:
    """Whole or not at all."""
    new = path / f"{_HEADER}.new"
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(json_text.dumps(header))
        new.replace(path / _HEADER)
    except OSError as error:
        raise SpoolError(f"The spool folder {path} cannot be written: {error.strerror}.") from error


def _remove(path: Path) -> None:
    """The datapoints first: a header without them is a run of which nothing waits."""
    with contextlib.suppress(OSError):
        for each in sorted(path.glob(journal.PATTERN)):
            each.unlink()
        for name in (_HEADER, f"{_HEADER}.new", _LOCK):
            (path / name).unlink(missing_ok=True)
        path.rmdir()


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return sum(each.stat().st_size for each in path.iterdir())
    return 0


def _limit_of_environment() -> int:
    text = os.environ.get(LIMIT_NAME, "").strip()
    if not text:
        return DEFAULT_MAX_BYTES
    if not (text.isascii() and text.isdigit()):
        raise ConfigurationError(f"{LIMIT_NAME} is {text!r}; give a whole number of bytes, like 1073741824.")
    return int(text)
