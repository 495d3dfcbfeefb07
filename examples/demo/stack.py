"""The platform as a child process: `hhweb up` on a folder and a free port, ready when entered, stopped when left."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 180
STOP_SECONDS = 60


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class NotReady(Exception):
    """The platform did not start; the message holds the end of its log."""


class Stack:
    """`hhweb up --data DATA --port PORT`; its output goes to `log`.

    Entering starts it and waits until `/health/ready` answers; leaving sends SIGTERM and waits for the end. `settings`
    is added to its environment.
    """

    def __init__(
        self,
        data: Path,
        *,
        port: int | None = None,
        database: str = "sqlite",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.data = data
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data.with_name(f"{data.name}.log")  # beside the folder: the platform makes the folder itself
        # As a module of this very checkout, whether or not its command is installed.
        self.command = [sys.executable, "-m", "hhweb.cli", "up"]
        self.command += ["--data", str(data), "--port", str(self.port), "--database", database]
        self.settings = dict(settings or {})
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def credentials(self) -> dict[str, str]:
        """What the platform wrote for scripts: url, project, api_key, ingestion_api_key, admin login."""
        found: dict[str, str] = json.loads((self.data / "credentials.json").read_text())
        return found

    def __enter__(self) -> Self:
        self.data.parent.mkdir(parents=True, exist_ok=True)
        # The platform's settings come from its options; what the caller's shell holds must not change them.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HHWEB_", "DJANGO_"))}
        environment |= self.settings
        environment |= self.settings
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=ROOT
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self.stop()

    def _wait_until_ready(self) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process is not None and self.process.poll() is not None:
                break
            try:
                with opener.open(f"{self.url}/health/ready", timeout=2) as answer:
                    if answer.status == 200 and (self.data / "credentials.json").exists():
                        return
            except OSError:
                pass
            time.sleep(0.1)
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])
        raise NotReady(f"The platform was not ready on {self.url}; the end of {self.log}:\n{tail}")

    def stop(self) -> int | None:
        """Ask it to stop, wait, and return its exit code; kill it only when it does not end."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode
