"""`kill -9` of the web processes in the middle of ingestion loses no acknowledged span and doubles none.

Five kills as a test; `HHWEB_PROOF=1` asks for the full form of a hundred.
"""

import contextlib
import http.client
import json
import os
import random
import subprocess
import sys
import threading
import time

import psutil
import pytest

from tests.experiments.otlp_bodies import START, json_body, make_span, proto_body
from tests.hhweb.running import ROOT, Platform, clean_environment, prepared, wait_for
from tests.proofs import report

pytestmark = pytest.mark.process

FULL = os.environ.get("HHWEB_PROOF") == "1"
KILLS = 100 if FULL else 5
WHOLE_TREE_EVERY = 20 if FULL else 4  # these kills take the master process, too; the launcher starts it anew
THREADS = 3
SPANS = 25

COUNTS = """
import json
from experiments.models import Event, Measurement
from governance.models import IngestionCount
spans = Event.objects.filter(event_type="tool")
print(json.dumps({
    "names": sorted(spans.values_list("event_name", flat=True)),
    "sessions": Event.objects.filter(event_type="session").count(),
    "measured": sorted(Measurement.objects.values_list("value", flat=True)),
    "counted": sum(IngestionCount.objects.values_list("events", flat=True)),
}))
"""


class Client(threading.Thread):
    """Sends batches over one connection and repeats each until it is acknowledged, as exporters do."""

    def __init__(self, number: int, credentials: dict, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.number, self.stop = number, stop
        self.host = credentials["url"].removeprefix("http://")
        self.headers = {"Authorization": f"Bearer {credentials['ingestion_api_key']}"}
        self.acknowledged: list[str] = []
        self.failures = 0
        self.refusals: list[str] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection(self.host, timeout=30)
        batch = 0
        while not self.stop.is_set():
            first = (self.number * 1_000_000) + batch * SPANS
            spans = [self.span(number) for number in range(first, first + SPANS)]
            protobuf = batch % 2 == 1
            body = (proto_body if protobuf else json_body)(spans)
            kind = "application/x-protobuf" if protobuf else "application/json"
            while True:
                try:
                    connection.request("POST", "/opentelemetry/v1/traces", body, {**self.headers, "Content-Type": kind})
                    answer = connection.getresponse()
                    content = answer.read()
                except (OSError, http.client.HTTPException):
                    self.failures += 1
                    connection.close()
                    time.sleep(0.05)
                    continue
                if answer.status == 200 and b"artialSuccess" not in content:
                    break
                self.refusals.append(f"{answer.status} {content[:200]!r}")
                time.sleep(0.05)
            self.acknowledged += [span["name"] for span in spans]
            batch += 1
        connection.close()

    def span(self, number: int) -> dict:
        return make_span(
            number + 1,
            {"honeyhive.session_id": f"client {self.number}", "honeyhive_metrics.number": number},
            trace=f"{self.number + 1:032x}",
            start=START + number,
            end=START + number + 1000,
        )


def web_processes(platform: Platform) -> tuple[psutil.Process, list[psutil.Process]]:
    """The master and those that serve."""
    master = wait_for(lambda: platform.find("gunicorn"), "a web process")[0]
    try:
        return master, master.children()
    except psutil.NoSuchProcess:
        return master, []


def kill_web(platform: Platform, *, master_too: bool) -> None:
    """Without a warning, in the middle of whatever they do."""
    master, serving = web_processes(platform)
    victims = [master, *serving] if master_too else serving
    for victim in victims:
        with contextlib.suppress(psutil.NoSuchProcess):  # one that a kill before has already taken
            victim.kill()
    psutil.wait_procs(victims, timeout=10)


def stored(platform: Platform) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "hhweb.cli", "manage", "--data", str(platform.data), "shell", "-v", "0", "-c", COUNTS],
        env=clean_environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_killed_web_processes_lose_no_acknowledged_span_and_double_none(server_folder, database) -> None:
    data = server_folder / f"kill-{database}"
    platform = Platform(prepared(data) if database == "sqlite" else data, "--database", database)
    stop = threading.Event()
    clients: list[Client] = []
    try:
        platform.start()
        clients = [Client(number, platform.credentials, stop) for number in range(THREADS)]
        for client in clients:
            client.start()
        chance = random.Random(4711)
        for kill in range(1, KILLS + 1):
            before = sum(len(client.acknowledged) for client in clients)
            # Under way again: every kill meets requests.
            wait_for(lambda before=before: sum(len(c.acknowledged) for c in clients) > before, "ingestion", 90)
            time.sleep(chance.uniform(0.0, 0.3))
            kill_web(platform, master_too=kill % WHOLE_TREE_EVERY == 0)
            wait_for(lambda: len(platform.find("gunicorn")) > 1, "a new web process", 90)
        wait_for(platform.is_ready, "ready", 90)
        stop.set()
        for client in clients:
            client.join(60)
        assert not any(client.is_alive() for client in clients)
        found = stored(platform)
    finally:
        stop.set()
        platform.kill_everything()

    acknowledged = sorted(name for client in clients for name in client.acknowledged)
    assert sum(client.failures for client in clients) >= 1, "no request was hit by a kill"
    assert len(set(acknowledged)) == len(acknowledged) > 0
    # Every batch was sent until it was acknowledged, so stored is exactly acknowledged: none lost, none doubled.
    assert found["names"] == acknowledged
    assert found["sessions"] == THREADS
    assert found["measured"] == sorted(float(name.removeprefix("span ")) - 1 for name in acknowledged)
    assert found["counted"] == len(acknowledged)
    assert [refusal for client in clients for refusal in client.refusals if not refusal.startswith("503")] == []
    report(
        f"kill -9 of the web processes during ingestion, {database}",
        kills=KILLS,
        with_master=KILLS // WHOLE_TREE_EVERY,
        acknowledged_spans=len(acknowledged),
        interrupted_requests=sum(client.failures for client in clients),
        lost=len(set(acknowledged) - set(found["names"])),
        doubled=len(found["names"]) - len(set(found["names"])),
    )
