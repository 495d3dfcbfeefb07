"""`kill -9` of workers, broker (with its data), beat and web while the server executes: nothing lost, nothing doubled.

Real processes: PostgreSQL, Redis, web, two workers, beat, and a target server that writes down every call it sees and
fails some of them. A few kills as a test; `HHWEB_PROOF=1` asks for the full form: 2,000 datapoints and 36 kills.
"""

import os
import random
import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest

from tests.experiments.process.cluster import Client, Cluster, row
from tests.experiments.process.stored import (
    Stored,
    check_attempts_are_accounted_for,
    check_counters_agree,
    check_every_row_has_one_result,
    check_faults_ended_as_planned,
    stored,
)
from tests.experiments.process.target import Target, most_at_once
from tests.proofs import report

pytestmark = pytest.mark.process

FULL = os.environ.get("HHWEB_PROOF") == "1"
SEED = int(os.environ.get("HHWEB_PROOF_SEED", "4711")) if FULL else 4711
DATAPOINTS, REPEATED, REPETITIONS = (2000, 100, 2) if FULL else (110, 10, 2)
ROUNDS = 4 if FULL else 1  # of all kinds of kills
LATENCY_MS = (50.0, 350.0) if FULL else (100.0, 500.0)
CALLS_BETWEEN = 60 if FULL else 9  # at most, between two kills
LIMIT_OF_RUN, LIMIT_OF_SECOND, LIMIT_OF_PROJECT = 12, 4, 14
MAX_ATTEMPTS = 4
DEADLINE_SECONDS = 2.0
# Of a hundred datapoints, how many meet which faults, in this order.
FAULTS = [
    (8, ["500"]), (3, ["break"]), (2, ["half"]), (1, ["hang"]), (1, ["429"]), (2, ["503", "break", "500"]),
    (2, ["400", "always"]), (1, ["500", "always"]), (1, ["500", "400", "always"]),
]  # fmt: skip
# Kills of whole workers, of one process of a worker, of both workers at once, of broker, beat and web: one each first.
KINDS = [
    ("worker-1", "tree"), ("worker-2", "child"), ("worker-1", "parent"), ("workers", "tree"), ("redis", "tree"),
    ("beat-1", "tree"), ("web", "tree"), ("worker-2", "tree"), ("redis", "tree"),
]  # fmt: skip


@dataclass(frozen=True)
class Kill:
    """After `calls` more calls of the target and `pause` seconds, kill; start again after `away` seconds."""

    part: str
    what: str
    calls: int
    pause: float
    away: float


def planned(chance: random.Random) -> list[Kill]:
    """The schedule of kills; every fifth comes at once after the one before it."""
    kills = []
    for _ in range(ROUNDS):
        kinds = KINDS if FULL else KINDS[:7]
        for part, what in chance.sample(kinds, len(kinds)):
            calls = 0 if chance.random() < 0.2 else chance.randint(1, CALLS_BETWEEN)
            kills.append(Kill(part, what, calls, chance.uniform(0.0, 0.3), chance.uniform(0.1, 1.5)))
    return kills


def rows_with_faults(chance: random.Random, count: int) -> list[dict[str, Any]]:
    """Datapoints in random order whose faults have exactly the shares of `FAULTS`, and at least one of each."""
    faults = [list(kind) for share, kind in FAULTS for _ in range(max(1, round(share * count / 100)))][:count]
    faults += [[] for _ in range(count - len(faults))]
    chance.shuffle(faults)
    return [row(number, faults=each, latency_ms=chance.uniform(*LATENCY_MS)) for number, each in enumerate(faults)]


def spec_of(target: Target, name: str, dataset: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "dataset_id": dataset,
        "target": target.spec(name),
        "evaluators": [{"kind": "builtin", "name": "exact_match", "options": {"key": "text"}}],
        "retry": {"max_attempts": MAX_ATTEMPTS, "first_delay_seconds": 0.2, "longest_delay_seconds": 2.0},
        "deadline_seconds": DEADLINE_SECONDS,
        "seed": SEED,
        **more,
    }


def wait_for_calls(cluster: Cluster, target: Target, count: int) -> None:
    """Until the target has seen so many calls, starting again what is due."""
    end = time.monotonic() + 90
    while (seen := target.calls_seen) < count:
        assert time.monotonic() < end, f"{seen} calls, not {count}, after 90 s: nobody works"
        cluster.tick()
        time.sleep(0.03)


def kill(cluster: Cluster, planned_kill: Kill) -> int:
    """Do it, waiting for a part that is away; how many parts were killed."""
    names = ["worker-1", "worker-2"] if planned_kill.part == "workers" else [planned_kill.part]
    end = time.monotonic() + 60
    done = 0
    for name in names:
        while not cluster.kill(name, what=planned_kill.what, restart_after=planned_kill.away):
            assert time.monotonic() < end, f"no {name} to kill"
            cluster.tick()
            time.sleep(0.05)
        done += 1
    return done


class Request(threading.Thread):
    """Starts an experiment from a thread of its own, so that the web can be killed in the middle of the request."""

    def __init__(self, cluster: Cluster, spec: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self.client, self.spec = Client(cluster, is_main=False), spec
        self.run_id = ""

    def run(self) -> None:
        self.run_id = self.client.start(self.spec)
        self.client.close()


def disturb(
    cluster: Cluster, target: Target, kills: list[Kill], second: Request, chance: random.Random
) -> tuple[int, float]:
    """All kills; the second experiment is asked for half way, just before a kill of the web.

    How many were killed, and when the last one was.
    """
    began, done, is_asked = time.monotonic(), 0, False
    for number, each in enumerate(kills):
        wait_for_calls(cluster, target, target.calls_seen + each.calls)
        time.sleep(each.pause)
        if not is_asked and each.part == "web" and number >= len(kills) // 2 - 1:
            is_asked = True
            second.start()
            time.sleep(chance.uniform(0.0, 0.15))
        done += kill(cluster, each)
        print(f"{time.monotonic() - began:6.2f} s, {target.calls_seen} calls: killed {each}")
    last_kill = time.monotonic()
    if not is_asked:
        second.start()
    while second.is_alive():
        cluster.tick()
        second.join(0.1)
    assert second.run_id, "the second experiment was never answered"
    return done, last_kill


def test_killed_parts_lose_no_datapoint_and_double_none(server_folder):
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    kills = planned(chance)
    settings = {"HHWEB_PARALLEL_REQUESTS": "32", "HHWEB_CALLS_PER_PROJECT": str(LIMIT_OF_PROJECT)}
    began = time.monotonic()
    with Target() as target, Cluster(server_folder / "kills", settings=settings) as cluster:
        client = Client(cluster)
        client.allow_providers()
        first_rows = client.make_dataset("first", rows_with_faults(chance, DATAPOINTS))
        second_rows = client.make_dataset("second", rows_with_faults(chance, REPEATED))
        first = client.start(spec_of(target, "first", first_rows, concurrency=LIMIT_OF_RUN))
        more = {"concurrency": LIMIT_OF_SECOND, "repetitions": REPETITIONS}
        second_request = Request(cluster, spec_of(target, "second", second_rows, **more))
        done, last_kill = disturb(cluster, target, kills, second_request, chance)
        second = second_request.run_id
        client.wait_for_end(first, second, seconds=300 if FULL else 90)
        runs, quotas = stored(cluster, first, second)
        calls = {first: target.calls("first"), second: target.calls("second")}
        assert max(call.begin for record in calls.values() for call in record.calls) > last_kill, "kills came too late"
        for run in runs.values():
            check_every_row_has_one_result(
                run,
                datapoints=DATAPOINTS if run.run == first else REPEATED,
                repetitions=1 if run.run == first else REPETITIONS,
            )
            check_attempts_are_accounted_for(run, calls[run.run], max_attempts=MAX_ATTEMPTS)
            check_faults_ended_as_planned(run, max_attempts=MAX_ATTEMPTS)
            check_counters_agree(client, run, quotas)
        client.close()
        assert quotas["runs_stored"] == 2, "an experiment was created twice"
    most = {name: calls[run].most_at_once for name, run in (("first", first), ("second", second))}
    most["both"] = most_at_once([*calls[first].calls, *calls[second].calls])
    assert most["first"] <= LIMIT_OF_RUN
    assert most["second"] <= LIMIT_OF_SECOND
    assert most["both"] <= LIMIT_OF_PROJECT
    tell(runs, most, done, sum(len(record.calls) for record in calls.values()), began)


def tell(runs: dict[str, Stored], most: dict[str, int], kills: int, calls: int, began: float) -> None:
    report(
        "kill -9 of workers, broker with its data, beat and web during experiments, postgres, 2 workers",
        kills=kills,
        datapoints=DATAPOINTS + REPEATED,
        results=sum(len(run.rows) for run in runs.values()),
        lost=0,
        doubled=0,
        calls=calls,
        attempts=sum(run.total("attempts") for run in runs.values()),
        failed_attempts=sum(run.total("failures") for run in runs.values()),
        lost_attempts=sum(run.total("lost_attempts") for run in runs.values()),
        most_calls_at_once=most["both"],
        limit=LIMIT_OF_PROJECT,
        seconds=round(time.monotonic() - began),
    )
