"""Starts experiments in processes of their own, and reads what they leave behind."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from experiments.sdk.transport.spool import Spool
from tests.experiments.sdk.process.client_program import rows as rows
from tests.hhweb.running import clean_environment

PROGRAM = Path(__file__).with_name("client_program.py")
Json = dict[str, Any]
Key = tuple[int, int]  # number, repetition
Call = tuple[str, Key]
WAIT_SECONDS = 90


class Child:
    """client_program.py under way in `folder`, with its spool there."""

    def __init__(self, folder: Path, url: str, key: str = "key", **settings: Any) -> None:
        self.calls_file = folder / "calls"
        self.begun = len(self.calls())
        given = {"url": url, "key": key, "calls": str(self.calls_file), **settings}
        environment = clean_environment() | {"HH_SPOOL_DIR": str(folder / "spool"), "CI": "1"}
        with (folder / "stderr").open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(PROGRAM), json.dumps(given)],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.folder = folder

    def calls(self) -> list[Call]:
        """What the function's calls wrote, of all processes so far: (start or end, (number, repetition))."""
        if not self.calls_file.exists():
            return []
        lines = [line.split() for line in self.calls_file.read_text().splitlines()]
        return [(word, (int(number), int(repetition))) for word, number, repetition in lines]

    def wait_for_lines(self, count: int) -> None:
        """Until this process's calls have written so many lines, or it has ended."""
        self.wait_until(lambda: len(self.calls()) - self.begun >= count)

    def said(self) -> str:
        """Its standard error so far."""
        return (self.folder / "stderr").read_text()

    def wait_to_say(self, text: str) -> None:
        """Until it has said this on standard error."""
        self.wait_until(lambda: text in self.said())
        assert text in self.said()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Until this is so, or it has ended."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition() and self.process.poll() is None:
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.002)

    def ended(self, seconds: float = WAIT_SECONDS) -> tuple[int, Json | None]:
        """Exit code, and what it printed of its summary."""
        out, _ = self.process.communicate(timeout=seconds)
        return self.process.returncode, json.loads(out) if out else None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def counted(calls: list[Call], word: str) -> Counter[Key]:
    """How often each execution was started or ended."""
    return Counter(key for said, key in calls if said == word)


def ended_numbers(calls: list[Call]) -> set[int]:
    """Numbers of the datapoints whose first repetition has ended."""
    return {number for number, _ in counted(calls, "end")}


def in_spool(folder: Path) -> set[str]:
    """Session ids that wait in the spool."""
    spool = Spool(folder / "spool")
    found = set()
    for pending in spool.pending():
        run_spool = spool.reopen(pending.run_id)
        found |= {session_id for _, session_id in run_spool.waiting()}
        run_spool.close()
    return found


class Stored:
    """What a real server has of one run, by its own REST answers."""

    def __init__(self, url: str, key: str, run_id: str, **filters: Any) -> None:
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as http:
            self.run: Json = http.get(f"/v1/runs/{run_id}").raise_for_status().json()["evaluation"]
            self.result: Json = http.get(f"/v1/runs/{run_id}/result").raise_for_status().json()
            self.events: list[Json] = []
            condition = {"field": "metadata.run_id", "operator": "is", "value": run_id, "type": "string"}
            while True:
                body = {"filters": [condition], "limit": 1000, "page": len(self.events) // 1000 + 1}
                found = http.post("/v1/events/export", json=body).raise_for_status().json()
                self.events += found["events"]
                if len(found["events"]) < 1000:
                    break

    def of_type(self, event_type: str) -> list[Json]:
        return [event for event in self.events if event["event_type"] == event_type]

    @property
    def executions(self) -> Counter[tuple[str, int]]:
        """How many sessions there are of each datapoint and repetition."""
        return Counter(
            (event["metadata"]["datapoint_id"], event["metadata"]["repetition"]) for event in self.of_type("session")
        )

    def sessions(self) -> dict[str, Json]:
        return {event["session_id"]: event for event in self.of_type("session")}
