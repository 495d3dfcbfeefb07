"""A lock that says a run is being executed or replayed; it vanishes with the process, however that ends."""

import contextlib
import os
import time
import weakref
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing keeps a replay away from a living run there
    fcntl = None  # type: ignore[assignment]

# Who lists the spool holds a lock for an instant.
PATIENCE_SECONDS = 0.5


class RunLock:
    """An exclusive lock on a file, held until `release` or the end of the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def acquire(self, *, patience_seconds: float = PATIENCE_SECONDS) -> bool:
        """Take the lock; False when another process, or another part of this one, holds it. Raises OSError."""
        deadline = time.monotonic() + patience_seconds
        while not self._try():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        _held.add(self)
        return True

    def release(self) -> None:
        """Give it back; harmless when it is not held."""
        _held.discard(self)
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _try(self) -> bool:
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Meanwhile its holder may have deleted the file: then this is a lock on nothing.
            if os.fstat(handle).st_ino == self.path.stat().st_ino:
                self._handle, handle = handle, -1
                return True
        except (BlockingIOError, FileNotFoundError):
            pass
        finally:
            if handle >= 0:
                os.close(handle)
        return False


_held: "weakref.WeakSet[RunLock]" = weakref.WeakSet()


def _release_in_child() -> None:
    """A forked child that outlives its killed parent must not keep the parent's locks."""
    for lock in list(_held):
        with contextlib.suppress(OSError):
            lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)
