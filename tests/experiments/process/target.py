"""The target server as a child process, and what its record of calls says."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from tests.experiments.process.target_server import Call
from tests.hhweb.running import ROOT, clean_environment

# How long after a client closed a connection the server may come to know it.
GRACE_SECONDS = 0.1


class Target:
    """One target server; entered it runs, left it is gone."""

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.experiments.process.target_server"],
            env=clean_environment(),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:")
        self.http = httpx.Client(base_url=self.url, timeout=60)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()
        self.process.kill()
        self.process.communicate()

    def state(self) -> dict[str, int]:
        """`calls` seen so far and `in_flight` now."""
        found: dict[str, int] = self.http.get("/state").json()
        return found

    @property
    def calls_seen(self) -> int:
        return self.state()["calls"]

    @property
    def in_flight(self) -> int:
        return self.state()["in_flight"]

    def hang(self, *, is_hanging: bool) -> None:
        """Answer no call that begins from now on, or answer again."""
        self.http.post("/hang", json={"is_hanging": is_hanging}).raise_for_status()

    def calls(self, label: str) -> "Record":
        """Everything that was called under a label."""
        rows = [Call(**row) for row in self.http.get("/calls").json()]
        return Record([call for call in rows if call.label == label])

    def spec(self, label: str) -> dict[str, Any]:
        """The target of an experiment."""
        body = {name: f"{{{{inputs.{name}}}}}" for name in ("number", "faults", "latency_ms")}
        return {"kind": "http", "url": f"{self.url}/call/{label}", "body": body, "response_path": "output"}


@dataclass
class Record:
    """Calls of one label in the order of their beginning."""

    calls: list[Call]

    def by_number(self) -> Counter[int]:
        return Counter(call.number for call in self.calls)

    def outcomes(self) -> Counter[str]:
        return Counter(call.outcome for call in self.calls)

    def answered(self) -> Counter[int]:
        """How often each number got a good answer."""
        return Counter(call.number for call in self.calls if call.outcome == "200" and not call.fault)

    @property
    def most_at_once(self) -> int:
        return most_at_once(self.calls)


def most_at_once(calls: Iterable[Call]) -> int:
    """The largest number of calls open at one time.

    A call whose client left counts as ended a little earlier, because the server learns of it later than the client.
    """
    steps: list[tuple[float, int]] = []
    for call in calls:
        end = call.end if call.end is not None else float("inf")
        if call.outcome == "dropped":
            end = max(call.begin, end - GRACE_SECONDS)
        steps += [(call.begin, 1), (end, -1)]
    steps.sort()  # at equal times ends come first
    most = now = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most
