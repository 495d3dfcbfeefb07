"""A whole installation out of single processes, each of which a test may kill and start again as a supervisor would.

Unlike `hhweb up` it runs any number of workers and beats, and restarts a part when the test says so: `Supervisor`
waits longer after each death, which is right for an operator and slow for a test of many.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import psutil

from hhweb.embedded import processes
from hhweb.embedded.installation import Installation
from hhweb.embedded.launcher import listen
from hhweb.embedded.postgres_server import PostgresServer
from hhweb.embedded.redis_server import RedisServer
from hhweb.embedded.supervisor import Program, Server
from tests.hhweb.running import clean_environment, wait_for

PYTHON = [sys.executable, "-P", "-m"]
CELERY = [*PYTHON, "celery", "-A", "hhweb.jobs", "--quiet"]
# Celery's own timers of seconds, which only matter where several workers talk to each other.
QUIET = ["--without-gossip", "--without-mingle", "--without-heartbeat"]


class Cluster:
    """Database, broker, web, workers and beats of one folder. Entered it serves, left nothing of it runs."""

    def __init__(
        self,
        folder: Path,
        *,
        database: str = "postgres",
        workers: int = 2,
        processes: int = 1,
        beats: int = 1,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.database, self.workers, self.beats = database, workers, beats
        self.settings = {
            "HHWEB_OUTBOUND_ALLOWED_HOSTS": "127.0.0.1",
            "HHWEB_LEASE_SECONDS": "5",
            "HHWEB_WEB_PROCESSES": "1",
            "HHWEB_WORKER_PROCESSES": str(processes),
            **(settings or {}),
        }
        self.parts: dict[str, Server] = {}
        self.due: dict[str, float] = {}
        self.restarts = 0

    def __enter__(self) -> Self:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        self.installation = Installation(self.folder, database=self.database)
        self.listener = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        redis: RedisServer = self.installation.redis()
        self._start_part("redis", redis)
        postgres: PostgresServer | None = self.installation.postgres()
        if postgres is not None:
            self._start_part("postgres", postgres)
        asked = clean_environment() | self.settings
        made = self.installation.environment(
            redis_url=redis.url, postgres_url=postgres.url if postgres is not None else None
        )
        names = [name for name in made if name.startswith("HHWEB_") or name == "DJANGO_SETTINGS_MODULE"]
        self.env = asked | {name: made[name] for name in names if name not in self.settings}
        subprocess.run(
            [*PYTHON, "hhweb.preparation", "--credentials", self.installation.credentials_file, "--url", self.url],
            env=self.env,
            cwd=self.folder / "run",
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=120,
        )
        for name in [
            "web",
            *(f"worker-{number}" for number in range(1, self.workers + 1)),
            *(f"beat-{number}" for number in range(1, self.beats + 1)),
        ]:
            self.add(name)
        try:
            wait_for(self.is_ready, "ready", 120)
        except AssertionError as error:
            error.add_note(self.log("web")[-4000:])
            raise

    def add(self, name: str) -> None:
        """Start one more part: `web`, `worker-N` or `beat-N`."""
        fd = self.listener.fileno()
        commands = {
            "web": [*PYTHON, "gunicorn", "--config", "python:hhweb.web_server", "--bind", f"fd://{fd}"],
            "worker": [*CELERY, "worker", "--queues", "jobs,sweeps", "--hostname", f"{name}@test", *QUIET],
            "beat": [*CELERY, "beat", "--pidfile", ""],
        }
        program = Program(
            commands[name.partition("-")[0]],
            env=self.env,
            log_file=self.folder / "logs" / f"{name}.log",
            cwd=self.folder / "run",
            fds=(fd,) if name == "web" else (),
        )
        self._start_part(name, program)

    def _start_part(self, name: str, part: Server) -> None:
        self.parts[name] = part
        part.start()

    @property
    def credentials(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.installation.credentials_file.read_text())
        return found

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def process_of(self, name: str) -> psutil.Process:
        process = self.parts[name].process
        assert process is not None
        return psutil.Process(process.pid)

    def kill(self, name: str, *, what: str = "tree", restart_after: float | None = None) -> bool:
        """`kill -9` of a part: its whole `tree`, or of a worker the `parent` or a `child` alone. False: nobody there.

        A killed broker loses its data, too, a killed database not. With `restart_after` seconds `tick` starts the
        part again.
        """
        process = self.parts[name].process
        if process is None or process.poll() is not None:
            return False
        parent = psutil.Process(process.pid)
        children = parent.children(recursive=True)
        victims = {"tree": [parent, *children], "parent": [parent], "child": children[:1]}[what]
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        if parent in victims:
            process.wait(20)
        psutil.wait_procs(victims, timeout=10)
        if name == "redis":
            for file in (self.folder / "redis").glob("*.aof"):
                file.unlink()
        if restart_after is not None and parent in victims:
            self.due[name] = time.monotonic() + restart_after
        return bool(victims)

    def process_is_gone(self) -> bool:
        """Whether no part runs."""
        return all(part.process is None or part.process.poll() is not None for part in self.parts.values())

    def tick(self) -> None:
        """Start again what is due. As `Supervisor` does, what a dead parent left behind is ended first."""
        for name in [name for name, when in self.due.items() if when <= time.monotonic()]:
            del self.due[name]
            self.revive(name)

    def revive(self, name: str) -> None:
        part = self.parts[name]
        if part.process is not None:
            processes.send(part.process.pid, signal.SIGKILL, group=True)
        part.start()
        self.restarts += 1

    def revive_all(self) -> None:
        """Start whatever is due or dead, broker and database first."""
        self.due.clear()
        for name, part in self.parts.items():
            if part.process is None or part.process.poll() is not None:
                self.revive(name)

    def manage(self, script: str, *arguments: str, seconds: float = 120) -> Any:
        """Run a script in Django's shell; what it printed last, as JSON."""
        done = subprocess.run(
            [*PYTHON, "django", "shell", "-v", "0", "-c", script],
            env=self.env | {"HHWEB_LOG_LEVEL": "ERROR", "ARGUMENTS": json.dumps(arguments)},
            cwd=self.folder / "run",
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return json.loads(done.stdout.splitlines()[-1])

    def log(self, name: str) -> str:
        path = self.folder / "logs" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self) -> None:
        """End everything, hard: nothing here is to be kept."""
        for name in reversed(self.parts):
            process = self.parts[name].process
            if process is not None and process.poll() is None:
                # PostgreSQL frees its shared memory at an immediate shutdown, and not when it is killed.
                processes.send(process.pid, signal.SIGQUIT if name == "postgres" else signal.SIGKILL)
                processes.end(process, ask=None)
                processes.send(process.pid, signal.SIGKILL, group=True)
        for part in reversed(self.parts.values()):
            part.stop()
        self.listener.close()


class Client:
    """A user over REST who asks again when the web is away. What he creates carries an Idempotency-Key."""

    def __init__(self, cluster: Cluster, *, is_main: bool = True) -> None:
        """Only on the main thread (`is_main`) may parts be started while an answer is waited for."""
        self.cluster, self.is_main = cluster, is_main
        self.retries = 0
        self.http = httpx.Client(
            base_url=cluster.url,
            headers={"Authorization": f"Bearer {cluster.credentials['api_key']}"},
            timeout=httpx.Timeout(60, connect=5),
        )

    def close(self) -> None:
        self.http.close()

    def ask(self, method: str, path: str, *, seconds: float = 60, **more: Any) -> httpx.Response:
        """The first answer that is not a failure of the server; the cluster's restarts go on meanwhile."""
        end = time.monotonic() + seconds
        while True:
            # The test holds the listening socket: a request to a web that is away would wait for somebody to start it.
            while self.is_main and "web" in self.cluster.due:
                self.cluster.tick()
                time.sleep(0.02)
            try:
                answer = self.http.request(method, path, **more)
                if answer.status_code < 500 and answer.status_code != 409:
                    break
                said = f"{answer.status_code} {answer.text[:300]}"
            except httpx.TransportError as error:
                said = repr(error)
            self.retries += 1
            assert time.monotonic() < end, f"{method} {path}: {said}"
            if self.is_main:
                self.cluster.tick()
            time.sleep(0.1)
        assert answer.is_success, (method, path, answer.status_code, answer.text[:1000])
        return answer

    def get(self, path: str) -> Any:
        return self.ask("GET", path).json()

    def post(self, path: str, body: Any = None) -> Any:
        """Create or change something exactly once, however often the request must be made."""
        return self.ask("POST", path, json=body, headers={"Idempotency-Key": str(uuid.uuid4())}).json()

    def allow_providers(self) -> None:
        """Let the project's experiments call whom they want."""
        self.post("/api/v1/providers/rules", {"effect": "allow", "provider": "*"})

    def make_dataset(self, name: str, rows: list[dict[str, Any]]) -> str:
        """A dataset of rows for the target: `expected` is ground truth, all other keys are inputs; its id."""
        dataset = str(self.post("/api/v1/datasets", {"name": name})["id"])
        mapping = {"inputs": ["number", "faults", "latency_ms"], "ground_truth": ["expected"]}
        for start in range(0, len(rows), 10_000):
            body = {"data": rows[start : start + 10_000], "mapping": mapping}
            answer = self.http.post(f"/v1/datasets/{dataset}/datapoints", json=body)
            assert answer.is_success, answer.text[:1000]
        return dataset

    def start(self, spec: dict[str, Any]) -> str:
        """Start an experiment; the id of its run."""
        return str(self.post("/api/v1/experiments", spec)["run_id"])

    def experiment(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/api/v1/experiments/{run}")
        return found

    def status(self, run: str) -> str:
        return str(self.experiment(run)["status"])

    def has_ended(self, run: str) -> bool:
        return self.status(run) in ("completed", "failed", "cancelled")

    def wait_for_end(self, *runs: str, seconds: float) -> None:
        """Until none of the runs is under way, starting again what is due."""
        end = time.monotonic() + seconds
        while not all(self.has_ended(run) for run in runs):
            said = [self.experiment(run) for run in runs]
            assert time.monotonic() < end, f"not ended within {seconds} s: {said}"
            self.cluster.tick()
            time.sleep(0.2)


def row(number: int, *, faults: Sequence[str] = (), latency_ms: float = 0.0) -> dict[str, Any]:
    """One datapoint for the target, as `make_dataset` takes it."""
    return {
        "number": number,
        "faults": list(faults),
        "latency_ms": round(latency_ms, 1),
        "expected": f"answer {number}",
    }
