"""Keeps the parts of one `hhweb up` running: restarts what dies, stops everything together."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from hhweb.embedded import processes

FIRST_DELAY = 0.2  # seconds before the first restart; doubles with each failure in a row
LONGEST_DELAY = 30.0
STEADY_AFTER = 30.0  # seconds of life after which a part counts as sound again
LARGEST_LOG = 10 * 1024 * 1024


class Server(Protocol):
    """What the supervisor needs of an embedded server."""

    process: "subprocess.Popen[bytes] | None"

    def start(self) -> None: ...
    def stop(self) -> None: ...


class Program:
    """One of our own processes, with its log in a file."""

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str], log_file: Path, cwd: Path, fds: Sequence[int] = ()
    ) -> None:
        self.command, self.env, self.log_file, self.cwd, self.fds = command, env, log_file, cwd, fds
        self.process: subprocess.Popen[bytes] | None = None
        self._asked = False

    def start(self) -> None:
        """Start it; says nothing about whether it is ready."""
        if self.log_file.exists() and self.log_file.stat().st_size > LARGEST_LOG:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        self._asked = False
        with self.log_file.open("ab") as log:
            self.process = processes.start(self.command, output=log, env=self.env, cwd=self.cwd, fds=self.fds)

    def ask_to_stop(self) -> None:
        """Ask it to finish, once: to some programs a second signal means to drop everything."""
        if self.process is not None and self.process.poll() is None and not self._asked:
            self._asked = True
            processes.send(self.process.pid, signal.SIGTERM)

    def stop(self) -> None:
        """Ask it to finish, kill what is left of its group after 20 seconds."""
        self.ask_to_stop()
        if self.process is not None:
            processes.end(self.process, ask=None, seconds=20)
            processes.send(self.process.pid, signal.SIGKILL, group=True)


class Supervisor:
    """Parts in the order of their start. `tick` restarts, `stop` ends them in the reverse order."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._parts: dict[str, Server] = {}
        self._started: dict[str, float] = {}
        self._delay: dict[str, float] = {}
        self._due: dict[str, float] = {}

    def start(self, name: str, part: Server) -> None:
        """Start a part and look after it from now on; a failure of this first start is the caller's."""
        part.start()
        self._parts[name] = part
        self._started[name] = time.monotonic()

    def tick(self) -> None:
        """Notice parts that ended and restart those whose delay is over."""
        now = time.monotonic()
        for name, part in self._parts.items():
            if name in self._due:
                if now >= self._due[name]:
                    self._restart(name, part)
                continue
            code = part.process.poll() if part.process is not None else None
            if part.process is not None and code is None:
                continue
            if now - self._started[name] > STEADY_AFTER:
                self._delay.pop(name, None)
            self._plan(name, f"{name} ended with {_reason(code)}")

    def _plan(self, name: str, what: str) -> None:
        delay = self._delay.get(name, FIRST_DELAY)
        self._delay[name] = min(delay * 2, LONGEST_DELAY)
        self._due[name] = time.monotonic() + delay
        self._say(f"{what}; starting it again in {delay:.1f} s")

    def _restart(self, name: str, part: Server) -> None:
        del self._due[name]
        if part.process is not None:
            processes.send(part.process.pid, signal.SIGKILL, group=True)  # children it left behind
        try:
            part.start()
        except (processes.EmbeddedServerError, OSError) as error:  # a full disk must not end the parts that still run
            self._plan(name, f"{name} cannot be started: {error}")
        self._started[name] = time.monotonic()

    def stop(self, *, together: Sequence[str]) -> None:
        """End `together` at the same time first, then the rest from last to first."""
        for name in together:
            part = self._parts.get(name)
            if isinstance(part, Program):
                part.ask_to_stop()
        for name in [*together, *(name for name in reversed(self._parts) if name not in together)]:
            if name in self._parts:
                self._parts[name].stop()
        self._parts.clear()


def _reason(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"code {code}"


def launched_from(mark: str, value: str) -> list[int]:
    """Processes, other than this one, whose environment carries `mark=value`."""
    wanted = f"{mark}={value}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:  # ended meanwhile, or somebody else's
            continue
    return found


def stop_strays(mark: str, value: str, *, patience: float = 3.0) -> int:
    """End what a killed launcher left behind; returns how many processes that were.

    Killing is safe: work is claimed by rows and done again, and the database keeps what it acknowledged.
    """
    strays = {pid: processes.started_at(pid) for pid in launched_from(mark, value)}
    for pid in strays:
        processes.send(pid, signal.SIGTERM)

    def gone() -> bool:
        return all(processes.started_at(pid) != started or not started for pid, started in strays.items())

    if strays and not processes.wait_until(gone, seconds=patience):
        for pid, started in strays.items():
            if started and processes.started_at(pid) == started:
                processes.send(pid, signal.SIGKILL)
        processes.wait_until(gone, seconds=5)
    return len(strays)
