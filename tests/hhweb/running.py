"""Runs `hhweb up` as a user would, for the process tests."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[2]


def clean_environment() -> dict[str, str]:
    """This process's environment without what the test session put into it; compiled files go to one shared place."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HHWEB_", "PYTEST_", "COV_CORE")) and name != "DJANGO_SETTINGS_MODULE"
    }
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    env["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir()) / f"hhweb-tests-bytecode-{os.geteuid()}")
    env["PYTHONPATH"] = str(ROOT)
    return env


def prepared(folder: Path) -> Path:
    """A new data folder whose SQLite database is migrated and empty; one that is there already is left as it is.

    It spares most of a first start: migrations run once in a test session. `test_up.py` shows that they run, too.
    """
    if folder.exists():
        return folder
    template = Path(os.environ["HHWEB_TEST_FOLDER"]) / "migrated"
    with template.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            template.mkdir(mode=0o700)
            command = [sys.executable, "-m", "hhweb.cli", "manage", "--data", str(template), "migrate", "-v0"]
            subprocess.run(command, env=clean_environment(), cwd=ROOT, check=True, timeout=180)
    folder.mkdir(mode=0o700, parents=True)
    shutil.copy(template / "hhweb.sqlite3", folder)
    return folder


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """The first true answer of `condition`; fails the test when none comes in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"{what} did not happen within {seconds} s")


def runs(process: psutil.Process) -> bool:
    """Whether a process still does; it may end between any two looks at it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Platform:
    """One `hhweb up` on one data folder."""

    def __init__(self, data: Path, *arguments: str) -> None:
        self.data = data
        self.arguments = arguments
        self.settings: dict[str, str] = {}  # of an operator, as HHWEB_…
        self.output = ""
        self.seen: set[psutil.Process] = set()

    def start(self) -> "Platform":
        """Start and wait for the line that says it is ready."""
        self.output_file = tempfile.NamedTemporaryFile("w+b")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hhweb.cli", "up", "--port", "0", "--data", str(self.data), *self.arguments],
            env=clean_environment() | self.settings,
            cwd=ROOT,
            stdout=self.output_file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        wait_for(lambda: "ready at" in self.said() or self.process.poll() is not None, "ready", 90)
        assert self.process.poll() is None, self.said()
        return self

    def said(self) -> str:
        """Everything printed so far."""
        return Path(self.output_file.name).read_text()

    @property
    def credentials(self) -> dict[str, str]:
        return json.loads((self.data / "credentials.json").read_text())

    @property
    def url(self) -> str:
        return self.credentials["url"]

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(self.url + path, headers=headers, timeout=20)

    def is_ready(self) -> bool:
        try:
            return self.get("/health/ready").status_code == 200
        except httpx.HTTPError:
            return False

    def descendants(self) -> list[psutil.Process]:
        """Every process below `up`; remembered, so that `survivors` knows them after `up` is gone."""
        try:
            found = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            found = []
        self.seen.update(found)
        return found

    def find(self, *words: str) -> list[psutil.Process]:
        """Descendants whose command line has all words, parents before children."""
        found = []
        for process in self.descendants():
            try:
                line = " ".join(process.cmdline())
            except psutil.Error:
                continue
            if all(word in line for word in words):
                found.append(process)
        return found

    def survivors(self) -> list[psutil.Process]:
        """Processes seen below `up` that still run."""
        return [process for process in self.seen if runs(process)]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait, return the exit code."""
        self.descendants()
        self.process.send_signal(number)
        return self.process.wait(60)

    def kill_everything(self) -> None:
        """Leave nothing behind, whatever a failed test left running."""
        if hasattr(self, "process") and self.process.poll() is None:
            self.descendants()
            self.process.kill()
            self.process.wait()
        for process in self.survivors():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
