"""Runs code that might never end in processes of its own, which are killed at a deadline or when called off.

A worker process keeps one pool of children. Each runs one thing at a time, is used again, and dies with the worker:
see experiments/sdk/callable_child.py. All are started by one thread that lives as long as the worker, because Linux
ties a child's death signal to the thread that made it.
"""

import atexit
import contextlib
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from experiments.domain.calls import CallFailed

LARGEST_ANSWER = 64 * 1024 * 1024
IDLE_SECONDS = 60.0
MOST_CALLS = 10_000  # of one child: what callables leak is given back
_PIECE = 1 << 20
# The child finds modules where the worker does.
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from experiments.sdk.callable_child import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)


class _Gone(Exception):
    """The child closed its pipes."""


class _Late(Exception):
    """The deadline passed."""


class _Child:
    """One process and the pipes to it. Used by one thread at a time; `kill` by any."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self._to, self._from = process.stdin.fileno(), process.stdout.fileno()
        os.set_blocking(self._to, False)
        os.set_blocking(self._from, False)
        self.calls = 0
        self.idle_since = time.monotonic()

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def ask(self, line: bytes, until: float) -> bytes:
        """Send a line and wait for the answer. Raises _Gone, or _Late at `until` (monotonic clock)."""
        self.calls += 1
        self._write(memoryview(line), until)
        pieces: list[bytes] = []
        while True:
            _wait(self._from, select.POLLIN, until)
            try:
                piece = os.read(self._from, _PIECE)
            except BlockingIOError:
                continue
            if not piece:
                raise _Gone
            pieces.append(piece)
            if piece.endswith(b"\n"):
                return b"".join(pieces)

    def _write(self, rest: memoryview, until: float) -> None:
        while rest:
            _wait(self._to, select.POLLOUT, until)
            try:
                rest = rest[os.write(self._to, rest) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise _Gone from None

    def kill(self) -> None:
        """End it and what it started. Nothing when it has ended: its number may be somebody else's by now."""
        if self.process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def bury(self) -> None:
        """Kill, wait for the end, close the pipes. By the thread that uses it, or when nobody does."""
        self.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()


def _wait(descriptor: int, event: int, until: float) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    left = until - time.monotonic()
    if left <= 0 or not poll.poll(left * 1_000):
        raise _Late


class _Pool:
    """Children of this worker process."""

    def __init__(self) -> None:
        self._idle: list[_Child] = []
        self._all: set[_Child] = set()
        self._lock = threading.Lock()
        self._orders: queue.SimpleQueue[queue.SimpleQueue[_Child | OSError]] = queue.SimpleQueue()
        threading.Thread(target=self._start_forever, name="callable-host", daemon=True).start()
        atexit.register(self.kill_all)

    def take(self) -> _Child:
        """A child that is free, or a new one. Raises OSError when none can be started."""
        while True:
            with self._lock:
                child = self._idle.pop() if self._idle else None
            if child is None:
                break
            if child.is_alive:
                return child
            self.drop(child)
        answer: queue.SimpleQueue[_Child | OSError] = queue.SimpleQueue()
        self._orders.put(answer)
        started = answer.get()
        if isinstance(started, OSError):
            raise started
        return started

    def give_back(self, child: _Child) -> None:
        """The child is free again."""
        if child.calls >= MOST_CALLS:
            self.drop(child)
            return
        child.idle_since = time.monotonic()
        with self._lock:
            self._idle.append(child)

    def drop(self, child: _Child) -> None:
        """The child is of no use any more."""
        child.bury()
        with self._lock:
            self._all.discard(child)

    def kill_all(self) -> None:
        """At the end of the worker."""
        with self._lock:
            for child in self._all:
                child.kill()

    def _start_forever(self) -> None:
        while True:
            try:
                answer = self._orders.get(timeout=IDLE_SECONDS / 2)
            except queue.Empty:
                self._drop_idle()
                continue
            try:
                child = _Child(_started())
            except OSError as error:
                answer.put(error)
                continue
            with self._lock:
                self._all.add(child)
            answer.put(child)

    def _drop_idle(self) -> None:
        oldest = time.monotonic() - IDLE_SECONDS
        with self._lock:
            old = [child for child in self._idle if child.idle_since < oldest]
            self._idle = [child for child in self._idle if child.idle_since >= oldest]
        for child in old:
            self.drop(child)


def _started() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-c", _START, json.dumps(sys.path), str(os.getpid()), str(LARGEST_ANSWER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


_pool: _Pool | None = None
_pool_lock = threading.Lock()


def _the_pool() -> _Pool:
    global _pool
    with _pool_lock:
        if _pool is None:
            _pool = _Pool()
        return _pool


def _forget() -> None:
    """A forked process has no part in its parent's children."""
    global _pool, _pool_lock
    _pool, _pool_lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)


class CallableHost:
    """Calls of one job. Thread-safe; `close()` kills what it has under way, and nothing of other jobs."""

    def __init__(self) -> None:
        self._busy: set[_Child] = set()
        self._lock = threading.Lock()
        self._closed = False

    def run(self, message: dict[str, Any], *, who: str, deadline_seconds: float) -> dict[str, Any]:
        """The child's answer to a message. Raises CallFailed: timeout, crashed, too_large or cancelled.

        `who` is named in errors.
        """
        until = time.monotonic() + deadline_seconds
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        pool, started = _the_pool(), time.perf_counter()
        child = self._taken(pool, who)
        is_usable = False
        try:
            answer = child.ask(line, until)
            is_usable = True
        except (_Late, _Gone) as problem:
            ms = (time.perf_counter() - started) * 1_000
            if self._closed:
                raise _cancelled(called=True, latency_ms=ms) from None
            if isinstance(problem, _Late):
                raise CallFailed(
                    f"{who} did not return within {deadline_seconds:g} seconds and was stopped.",
                    error_class="timeout",
                    is_transient=True,
                    latency_ms=ms,
                ) from None
            raise CallFailed(
                f"The process of {who} died{_how(child)} before it returned.",
                error_class="crashed",
                is_transient=True,
                latency_ms=ms,
            ) from None
        finally:
            with self._lock:
                self._busy.discard(child)
            (pool.give_back if is_usable and child.is_alive else pool.drop)(child)
        said: dict[str, Any] = json.loads(answer)
        if said.get("is_large"):
            raise CallFailed(f"{who}: {said['error']['message']}.", error_class="too_large", is_transient=False)
        return said

    def close(self) -> None:
        """Kill what is under way, from any thread, and refuse further calls. May be called twice."""
        with self._lock:
            self._closed = True
            for child in self._busy:
                child.kill()

    def _taken(self, pool: _Pool, who: str) -> _Child:
        if self._closed:
            raise _cancelled(called=False)
        try:
            child = pool.take()
        except OSError as error:
            raise CallFailed(
                f"No process could be started for {who}: {error.strerror or type(error).__name__}.",
                error_class="crashed",
                is_transient=True,
                called=False,
            ) from error
        with self._lock:
            if not self._closed:
                self._busy.add(child)
                return child
        pool.give_back(child)
        raise _cancelled(called=False)


def _cancelled(*, called: bool, latency_ms: float | None = None) -> CallFailed:
    return CallFailed(
        "The call was called off.", error_class="cancelled", is_transient=False, called=called, latency_ms=latency_ms
    )


def _how(child: _Child) -> str:
    child.process.wait()
    code = child.process.returncode
    if code >= 0:
        return f" with exit code {code}"
    with contextlib.suppress(ValueError):
        return f" by {signal.Signals(-code).name}"
    return f" by signal {-code}"
