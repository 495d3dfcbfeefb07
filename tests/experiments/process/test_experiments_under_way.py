"""Experiments on real processes: cancel, pause, fair sharing, restart of everything, two beats, a stopped worker.

One installation for all tests; the long forms of `HHWEB_PROOF=1` differ in size alone.
"""

import os
import signal
import time
from typing import Any

import pytest

from tests.experiments.process.cluster import Client, Cluster, row
from tests.experiments.process.stored import (
    Stored,
    check_attempts_are_accounted_for,
    check_every_row_has_one_result,
    stored,
)
from tests.experiments.process.target import Target
from tests.hhweb.running import wait_for
from tests.proofs import report

pytestmark = pytest.mark.process

FULL = os.environ.get("HHWEB_PROOF") == "1"
LONG_RUN = 100_000 if FULL else 4_000
LEASE_SECONDS = 5
CALLS_PER_PROJECT = 16


@pytest.fixture(scope="module")
def target():
    with Target() as started:
        yield started


@pytest.fixture(scope="module")
def cluster(server_folder):
    settings = {"HHWEB_PARALLEL_REQUESTS": "32", "HHWEB_CALLS_PER_PROJECT": str(CALLS_PER_PROJECT)}
    with Cluster(server_folder / "under-way", settings=settings) as started:
        yield started


@pytest.fixture(scope="module")
def client(cluster):
    made = Client(cluster)
    made.allow_providers()
    yield made
    made.close()


@pytest.fixture(scope="module")
def dataset(client):
    """40 datapoints whose calls take a tenth of a second."""
    return client.make_dataset("forty", [row(number, latency_ms=100) for number in range(40)])


def spec_of(target: Target, name: str, dataset: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "dataset_id": dataset, "target": target.spec(name), "concurrency": 8, **more}


def check(cluster: Cluster, target: Target, run: str, label: str, *, datapoints: int = 40) -> Stored:
    """All invariants of a run that ended as completed; the run as stored."""
    found, _ = stored(cluster, run)
    check_every_row_has_one_result(found[run], datapoints=datapoints, repetitions=1)
    check_attempts_are_accounted_for(found[run], target.calls(label), max_attempts=3)
    assert found[run].found["status"] == "completed"
    return found[run]


def test_cancel_ends_calls_under_way_within_seconds(cluster, client, target, dataset):
    target.hang(is_hanging=True)
    try:
        run = client.start(spec_of(target, "cancelled", dataset))
        wait_for(lambda: target.in_flight == 8, "eight calls under way", 30)
        began = time.monotonic()
        client.post(f"/api/v1/experiments/{run}/cancel")
        assert client.status(run) == "cancelled"
        wait_for(lambda: target.in_flight == 0, "the end of the calls", 5)
        took = time.monotonic() - began
    finally:
        target.hang(is_hanging=False)
    calls = len(target.calls("cancelled").calls)
    time.sleep(1)
    record = target.calls("cancelled")
    assert len(record.calls) == calls == 8, "calls after the end"
    found = stored(cluster, run)[0][run]
    assert set(found.statuses()) == {"cancelled"}
    assert [event["type"] for event in found.found["events"]] == []
    assert {holder for _, holder in found.found["lanes"]} == {""}
    report("cancel of an experiment with hanging calls, until the last connection is closed", seconds=round(took, 2))


def test_paused_run_calls_nobody_and_resumes_where_it_was(cluster, client, target, dataset):
    run = client.start(spec_of(target, "paused", dataset, concurrency=4))
    wait_for(lambda: len(target.calls("paused").calls) >= 12, "a dozen calls", 30)
    client.post(f"/api/v1/experiments/{run}/pause")
    wait_for(lambda: target.in_flight == 0, "the end of the calls", 5)
    calls = len(target.calls("paused").calls)
    time.sleep(1)
    assert len(target.calls("paused").calls) == calls < 40
    assert client.status(run) == "paused"
    client.post(f"/api/v1/experiments/{run}/resume")
    client.wait_for_end(run, seconds=30)
    found = check(cluster, target, run, "paused")
    assert found.total("failures") == 0
    assert target.calls("paused").most_at_once <= 4


def test_stopped_worker_that_wakes_up_stores_nothing_twice_and_calls_nobody(cluster, client, target):
    rows = [row(number, latency_ms=150) for number in range(120)]
    run = client.start(spec_of(target, "stopped", client.make_dataset("stopped", rows), concurrency=12))
    wait_for(lambda: target.in_flight >= 6, "work", 30)
    workers = [cluster.process_of(name) for name in ("worker-1", "worker-2")]
    # Both hold rows, or the one that does: whoever is stopped was in the middle of calls.
    stopped = [process for worker in workers[:1] for process in (worker, *worker.children())]
    for process in stopped:
        process.send_signal(signal.SIGSTOP)
    try:
        time.sleep(LEASE_SECONDS + 2)
    finally:
        for process in stopped:
            process.send_signal(signal.SIGCONT)
    client.wait_for_end(run, seconds=60)
    found = check(cluster, target, run, "stopped", datapoints=len(rows))
    assert found.total("failures") == 0


def test_after_a_restart_of_everything_runs_go_on_and_what_was_due_starts_once(cluster, client, target, dataset):
    """Killed together: both workers, web, broker with its data, database, beat; two beats come back."""
    schedule = client.post(
        "/api/v1/experiment-schedules",
        {"name": "nightly", "crontab": "0 3 1 1 *", "spec": spec_of(target, "nightly", dataset)},
    )
    cluster.manage(DUE_SOON, schedule["id"])
    rows = [row(number, latency_ms=100) for number in range(80)]
    run = client.start(spec_of(target, "restarted", client.make_dataset("restarted", rows)))
    wait_for(lambda: len(target.calls("restarted").calls) >= 10, "a few calls", 30)
    for name in cluster.parts:
        assert cluster.kill(name), name
    cluster.revive_all()
    cluster.add("beat-2")
    try:
        scheduled = wait_for(lambda: runs_named(client, "nightly"), "the scheduled run", 60)
        client.wait_for_end(run, *scheduled, seconds=90)
        assert runs_named(client, "nightly") == scheduled
        # Beats that both send what is to be swept make no work twice.
        assert check(cluster, target, scheduled[0], "nightly").total("attempts") == 40
        if FULL:
            check_every_turn_starts_one(client, schedule["id"])
    finally:
        cluster.kill("beat-2")
        del cluster.parts["beat-2"]
    assert len(scheduled) == 1
    found = check(cluster, target, run, "restarted", datapoints=len(rows))
    assert found.total("lost_attempts") >= 1


def check_every_turn_starts_one(client: Client, schedule: str) -> None:
    """Two turns, by the minute, told by both beats and by the sweep beside them."""
    before = len(runs_named(client, "nightly"))
    client.ask("PATCH", f"/api/v1/experiment-schedules/{schedule}", json={"crontab": "* * * * *"})
    time.sleep(170 - time.time() % 60)
    client.ask("PATCH", f"/api/v1/experiment-schedules/{schedule}", json={"is_enabled": False})
    started = len(runs_named(client, "nightly")) - before
    assert started == 2
    report("a schedule of every minute with two beats", minutes=2, runs_started=started)


DUE_SOON = """
import datetime as dt, json, os
from django.utils import timezone
from experiments.models import ExperimentSchedule
(public_id,) = json.loads(os.environ["ARGUMENTS"])
due = timezone.now() + dt.timedelta(seconds=5)  # by then everything is dead
print(ExperimentSchedule.objects.filter(public_id=public_id).update(next_due_at=due))
"""


def runs_named(client: Client, name: str) -> list[str]:
    found = client.get("/api/v1/experiments?limit=100")["results"]
    return [each["run_id"] for each in found if each["name"].startswith(name)]


def test_short_run_does_not_wait_for_a_long_one(cluster, client, target):
    """Both workers are busy with the long run, which alone would use up the project's limit."""
    long_rows = [row(number, latency_ms=40) for number in range(LONG_RUN)]
    long = client.start(spec_of(target, "long", client.make_dataset("long", long_rows), concurrency=64))
    wait_for(lambda: len(target.calls("long").calls) >= 50, "the long run", 120)
    ten = client.make_dataset("ten", [row(number, latency_ms=40) for number in range(10)])
    waits = []
    for attempt in range(3 if FULL else 2):
        began = time.monotonic()
        short = client.start(spec_of(target, f"short-{attempt}", ten))
        client.wait_for_end(short, seconds=30)
        waits.append(time.monotonic() - began)
        times = client.experiment(short)
        print(waits[-1], [times[name] for name in ("created_at", "started_at", "finished_at")])
    long_at_end = client.experiment(long)["progress"]
    assert long_at_end["finished"] < LONG_RUN, "the long run ended first: nothing was shown"
    client.post(f"/api/v1/experiments/{long}/cancel")
    wait_for(lambda: target.in_flight == 0, "the end of the calls", 5)
    assert max(waits) < 8, waits
    report(
        f"10 datapoints beside a run of {LONG_RUN:,} under way, 2 workers, no room left in the project",
        seconds=round(max(waits), 1),
        of_each=[round(seconds, 1) for seconds in waits],
    )
