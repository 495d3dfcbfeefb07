"""`kill -9` of the workers in the middle of an A/B test: the report hash is that of an undisturbed run.

No result is lost or doubled and no provider batch is paid twice beyond one per kill. The undisturbed run has two
workers on SQLite. As a test two kills on PostgreSQL with two workers, one of them of the whole tree of processes;
`HHWEB_PROOF=1` asks for fifty on both databases, with one worker and with two.
"""

import contextlib
import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from embeddings_ab.adapters.embedding_providers.canary import CANARY_TEXTS
from tests.hhweb.running import ROOT, Platform, clean_environment, prepared, wait_for
from tests.proofs import report

pytestmark = pytest.mark.process

FULL = os.environ.get("HHWEB_PROOF") == "1"
KILLS = 50 if FULL else 2
WHOLE_TREE_EVERY = 10 if FULL else 2  # these kills take the parent, too; the launcher starts it anew
DOCUMENTS, QUERIES = (3200, 400) if FULL else (320, 30)
CALLS_BETWEEN = 6 if FULL else 15  # at most, between two kills
DELAY_SECONDS = 0.1
WORDS = [f"{first}{last}" for first in "bcdfghklmnprst" for last in ("alto", "eron", "ibex", "ova", "ultan", "yrrh")]
HARMLESS = {hashlib.sha256(text.encode()).hexdigest() for text in CANARY_TEXTS}  # looks at the model, no batches


class Provider:
    """The provider as a process of its own, with a log of what it was asked."""

    def __init__(self, folder: Path, name: str, delay_seconds: float) -> None:
        self.log = folder / f"{name}.jsonl"
        self.log.touch()
        command = [sys.executable, "-m", "tests.embeddings_ab.provider_server", "--log", str(self.log)]
        self.process = subprocess.Popen(
            [*command, "--delay-seconds", str(delay_seconds)],
            env=clean_environment(),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:")

    @property
    def calls(self) -> int:
        return self.log.read_bytes().count(b"\n")

    def batches(self) -> Counter[tuple[str, ...]]:
        """How often each batch of texts was embedded."""
        rows = [json.loads(line) for line in self.log.read_text().splitlines()]
        return Counter(
            tuple(row["texts"]) for row in rows if row["path"] == "/embed" and not HARMLESS.intersection(row["texts"])
        )

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


class Client:
    """A user of the platform, over REST."""

    def __init__(self, platform: Platform) -> None:
        self.http = httpx.Client(
            base_url=f"{platform.url}/api/v1/",
            headers={"Authorization": f"Bearer {platform.credentials['api_key']}"},
            timeout=60,
        )

    def close(self) -> None:
        self.http.close()

    def post(self, path: str, body: Any = None) -> Any:
        answer = self.http.post(path, json=body)
        assert answer.is_success, (path, answer.status_code, answer.text[:500])
        return answer.json()

    def get(self, path: str) -> Any:
        answer = self.http.get(path)
        assert answer.is_success, (path, answer.status_code, answer.text[:500])
        return answer.json()

    def start_test(self, provider: Provider) -> str:
        """Everything from an empty project to a test under way; its id."""
        chance = random.Random(1)
        texts = [" ".join(chance.choices(WORDS, k=12)) + f" number{place}" for place in range(DOCUMENTS)]
        self.post("providers/rules", {"effect": "allow", "provider": "*"})
        documents = [{"id": f"d{place}", "text": text} for place, text in enumerate(texts)]
        self.post("ab/corpora", {"name": "words", "documents": documents})
        wanted = chance.sample(range(DOCUMENTS), QUERIES)
        queries = [
            {"id": f"q{place}", "text": " ".join(chance.sample(texts[document].split()[:-1], 4))}
            for place, document in enumerate(wanted)
        ]
        judgments = [
            {"query_id": f"q{place}", "document_id": f"d{document}", "grade": 1}
            for place, document in enumerate(wanted)
        ]
        self.post("ab/query-sets", {"name": "words/all", "corpus": "words", "queries": queries, "judgments": judgments})
        vectors = {"provider": "tei", "base_url": provider.url}
        reranker = {"kind": "http", "form": "tei", "url": f"{provider.url}/rerank", "depth": 10}
        arms = {
            "lexical": {"retrieval": "lexical"},
            "vector": {"retrieval": "vector", **vectors},
            "hybrid": {"retrieval": "hybrid", **vectors},
            "reranked": {"retrieval": "lexical", "reranker": reranker},
        }
        spec = {
            "name": "killed",
            "corpus": "words",
            "query_set": "words/all",
            "metrics": ["nDCG@10", "R@10", "MRR@10"],
            "arms": arms,
            "draws": 10_000,
            "latency_queries": 5,
        }
        test = self.post("ab/tests", spec)["id"]
        self.post(f"ab/tests/{test}/start")
        return str(test)

    def has_ended(self, test: str) -> bool:
        return self.get(f"ab/tests/{test}")["status"] in ("completed", "incomplete", "failed", "cancelled")


def platform_of(folder: Path, name: str, database: str, workers: int) -> Platform:
    data = prepared(folder / name) if database == "sqlite" else folder / name
    platform = Platform(data, "--database", database)
    platform.settings = {
        "HHWEB_OUTBOUND_ALLOWED_HOSTS": "127.0.0.1",
        "HHWEB_WORKER_PROCESSES": str(workers),
        "HHWEB_PARALLEL_REQUESTS": "1",
        "HHWEB_LEASE_SECONDS": "5",
        "HHWEB_WEB_PROCESSES": "1",
    }
    return platform


def kill_workers(platform: Platform, *, parent_too: bool) -> bool:
    """Without a warning, in the middle of whatever they do; False when there was nobody to kill."""
    found = platform.find("celery", "worker")
    if not found:
        return False
    parent = found[0]
    try:
        children = parent.children()
    except psutil.NoSuchProcess:
        return False
    victims = [parent, *children] if parent_too else children
    for victim in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
    psutil.wait_procs(victims, timeout=10)
    return bool(victims)


def disturb(platform: Platform, client: Client, test: str, provider: Provider, seed: int) -> int:
    """Kill workers at seeded points of the test, counted in calls; how often it was done before the test ended."""
    chance = random.Random(seed)
    for kill in range(1, KILLS + 1):
        target = provider.calls + chance.randint(1, CALLS_BETWEEN)
        wait_for(lambda target=target: provider.calls >= target or client.has_ended(test), "work", 180)
        if client.has_ended(test):
            return kill - 1
        time.sleep(chance.uniform(0.0, 2 * DELAY_SECONDS))
        parent_too = kill % WHOLE_TREE_EVERY == 0
        wait_for(lambda parent_too=parent_too: kill_workers(platform, parent_too=parent_too), "a worker to kill", 90)
    return KILLS


def ended(client: Client, test: str) -> dict[str, Any]:
    """The test once it is over, with the number of its results."""
    wait_for(lambda: client.has_ended(test), "the end of the test", 300)
    found = client.get(f"ab/tests/{test}")
    assert found["status"] == "completed", found
    found["results"] = client.get(f"ab/tests/{test}/results?limit=1")["pagination"]["total"]
    return dict(found)


def ran(
    folder: Path, name: str, database: str, workers: int, *, seed: int | None
) -> tuple[dict[str, Any], Provider, int]:
    """One platform from nothing to the end of a test; killed at random where a seed is given."""
    # Calls take their time for kills to fall into them.
    provider = Provider(folder, name, 0.0 if seed is None else DELAY_SECONDS)
    platform = platform_of(folder, name, database, workers)
    try:
        platform.start()
        with contextlib.closing(Client(platform)) as client:
            test = client.start_test(provider)
            kills = 0 if seed is None else disturb(platform, client, test, provider, seed)
            found = ended(client, test)
    finally:
        platform.kill_everything()
        provider.end()
    return found, provider, kills


@pytest.fixture(scope="module")
def undisturbed(server_folder):
    """The test with two workers, left in peace."""
    found, provider, _ = ran(server_folder, "peace", "sqlite", 2, seed=None)
    assert found["results"] == 4 * QUERIES
    assert set(provider.batches().values()) == {1}
    return found


CASES = [("postgres", 2), *([("sqlite", 1), ("sqlite", 2), ("postgres", 1)] if FULL else [])]


@pytest.mark.parametrize(("database", "workers"), CASES)
def test_killed_workers_change_no_figure_and_pay_at_most_one_batch_again(server_folder, undisturbed, database, workers):
    name = f"killed-{database}-{workers}"
    began = time.monotonic()
    found, provider, kills = ran(server_folder, name, database, workers, seed=4711 + workers)
    batches = provider.batches()
    again = sum(count - 1 for count in batches.values())
    report(
        f"kill -9 of workers during an A/B test, {database}, {workers} worker processes",
        kills=kills,
        batches=len(batches),
        paid_twice=again,
        same_hash=found["report_hash"] == undisturbed["report_hash"],
        results=found["results"],
        seconds=round(time.monotonic() - began),
    )
    assert kills == KILLS, "the test ended before all kills were done"
    assert found["report_hash"] == undisturbed["report_hash"]
    assert found["results"] == 4 * QUERIES
    assert again <= kills
