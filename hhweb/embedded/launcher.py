"""`hhweb up`: brings one data folder to life, keeps it alive, and ends all of it together."""

import errno
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from hhweb.embedded import processes
from hhweb.embedded.installation import MARK, Installation, read_json, write_private
from hhweb.embedded.processes import EmbeddedServerError
from hhweb.embedded.supervisor import Program, Supervisor, stop_strays

READY_WITHIN = 120.0  # seconds; far more than it takes, a slow disk at first start included
PROGRAMS = ("web", "worker", "sweeper")


def listen(host: str, port: int) -> socket.socket:
    """The web server's listening socket. The launcher keeps it, so that a restart of the web loses no caller."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError:
        raise EmbeddedServerError(f"--host {host!r} is not an address of this machine.") from None
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            why = f"Port {port} of {host} is in use by another program; choose another with --port."
        elif error.errno == errno.EACCES:
            why = f"Port {port} may be opened by root only; choose one above 1023 with --port."
        else:
            why = f"--host {host!r} cannot be listened on: {error.strerror}."
        raise EmbeddedServerError(why) from None
    listener.listen(1024)
    return listener


class Launcher:
    """One `hhweb up` from start to end."""

    def __init__(self, installation: Installation, *, host: str, port: int, say: Callable[[str], None]) -> None:
        self.installation = installation
        self.host, self.port = host, port
        self.say = say
        self.supervisor = Supervisor(say)
        self.stopping = threading.Event()
        self.began = time.monotonic()

    def run(self) -> None:
        """Start, serve until a signal asks for the end, stop. Raises `EmbeddedServerError` when it cannot start."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._asked_to_stop)
        self.installation.lock()
        try:
            self._serve()
        finally:
            self.installation.unlock()
        self.say("hhweb has stopped.")

    def _serve(self) -> None:
        if strays := stop_strays(MARK, str(self.installation.folder)):
            self.say(f"Ended {strays} process(es) that a killed start had left behind.")
        listener = listen(self.host, self.port)
        self.port = listener.getsockname()[1]
        self.installation.say_in_lock(f"pid {os.getpid()}, {self.url}")
        try:
            self._start(listener)
            while not self.stopping.wait(0.25):
                self.supervisor.tick()
        finally:
            listener.close()
            self.supervisor.stop(together=PROGRAMS)
            stop_strays(MARK, str(self.installation.folder), patience=1)

    @property
    def url(self) -> str:
        """Where a caller on this machine reaches the web server."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self.port}"

    def _asked_to_stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping.set()

    def _start(self, listener: socket.socket) -> None:
        folder = self.installation.folder
        for old in (folder / "telemetry").glob("*.db"):
            old.unlink()  # counters start with the installation, not in the middle of a killed one
        redis = self.installation.redis()
        self.supervisor.start("redis", redis)
        postgres = self.installation.postgres()
        if postgres is not None:
            self.supervisor.start("postgres", postgres)
        env = self.installation.environment(
            redis_url=redis.url, postgres_url=postgres.url if postgres is not None else None
        )
        first = not self.installation.credentials_file.exists()
        if first:
            self.say(f"Preparing {folder}: database, first project, keys, static files.")
        self._prepare(env)
        self._show(first=first)
        self._start_program("web", env, listener.fileno())
        self._wait_until_web_answers()
        # Only now: on two cores they would delay each other.
        for name in PROGRAMS[1:]:
            self._start_program(name, env, listener.fileno())
        if not self.stopping.is_set():
            self.say(f"ready at {self.url} in {time.monotonic() - self.began:.1f} s; Ctrl-C stops it")

    def _start_program(self, name: str, env: dict[str, str], fd: int) -> None:
        if self.stopping.is_set():
            return
        folder = self.installation.folder
        program = Program(
            self._command(name, fd),
            env=env,
            log_file=folder / "logs" / f"{name}.log",
            cwd=folder / "run",
            fds=(fd,) if name == "web" else (),
        )
        self.supervisor.start(name, program)

    def _command(self, name: str, fd: int) -> list[str]:
        python = [sys.executable, "-P", "-m"]
        celery = [*python, "celery", "--quiet", "-A"]
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]  # one worker has nobody to talk to
        sweeps = ["--queues", "sweeps", "--pool", "solo", "--hostname", "sweeper@%h"]  # one process, no children
        return {
            "web": [*python, "gunicorn", "--config", "python:hhweb.web_server", "--bind", f"fd://{fd}"],
            "worker": [*celery, "hhweb.jobs", "worker", "--queues", "jobs", *quiet],
            "sweeper": [*celery, "hhweb.sweeper", "worker", *sweeps, *quiet],
        }[name]

    def _prepare(self, env: dict[str, str]) -> None:
        """Migrate, make the first project, collect static files: in a process of its own, which then is gone."""
        log_file = self.installation.folder / "logs" / "prepare.log"
        with log_file.open("wb") as log:
            child = processes.start(
                [
                    *(sys.executable, "-P", "-m", "hhweb.preparation"),
                    *("--credentials", self.installation.credentials_file, "--url", self.url),
                ],
                output=log,
                env=env,
                cwd=self.installation.folder / "run",
            )
        while child.poll() is None:
            if self.stopping.wait(0.05):
                processes.end(child)
                return
        if child.returncode != 0:
            raise EmbeddedServerError(f"Preparing the database failed; {log_file} says:\n{_tail(log_file)}")

    def _show(self, *, first: bool) -> None:
        """Print the keys on the first start; later only where they are."""
        file = self.installation.credentials_file
        found = read_json(file)
        if not found:
            return
        if found.get("url") != self.url:
            write_private(file, {**found, "url": self.url})
        self.say(f"hhweb serves {self.url} from {self.installation.folder}")
        if first:
            self.say(f"  console        {self.url}/console/")
            self.say(f"  login          {found['admin_user']} / {found['admin_password']}")
            self.say(f"  project        {found['project']}")
            self.say(f"  API key        {found['api_key']}")
            self.say(f"  ingestion key  {found['ingestion_api_key']}")
            self.say(f"  Shown this once; kept in {file} (mode 0600).")
        else:
            self.say(f"  login and keys: {file}")

    def _wait_until_web_answers(self) -> None:
        end = time.monotonic() + READY_WITHIN
        while not self._is_ready():
            if self.stopping.wait(0.05):
                return
            self.supervisor.tick()
            if time.monotonic() > end:
                log_file = self.installation.folder / "logs" / "web.log"
                raise EmbeddedServerError(f"The web server did not become ready; {log_file} says:\n{_tail(log_file)}")

    def _is_ready(self) -> bool:
        # Half a second: while the web starts, the launcher's own socket accepts and nobody answers.
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=0.5)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-2000:].strip() if path.exists() else ""


def manage(installation: Installation, arguments: list[str]) -> int:
    """Run a management command on a data folder; returns its exit code."""
    postgres = installation.postgres()
    env = installation.environment(
        redis_url=installation.redis().url, postgres_url=postgres.url if postgres is not None else None
    )
    env.pop(MARK)
    command = [sys.executable, "-P", "-m", "django", *arguments]
    return subprocess.run(command, env=env, check=False).returncode  # noqa: S603 - the operator's own command line
