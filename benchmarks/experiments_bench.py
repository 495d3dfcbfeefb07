"""Datapoints per second of experiments that the server executes, and how long a large one takes to create.

    python -m benchmarks.experiments_bench [--database postgres|sqlite|both] [--datapoints 5000] [--large 100000]

A whole installation in a temporary folder: web, one worker with two processes, beat, broker and database, and a target
that answers at once (an HTTP server of its own process, or a registered callable). The rate is counted from `running`
to `completed` by the database's clock; all processes share this machine's cores. Goal: 150 datapoints/s on two cores.
"""

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from tests.experiments.process.cluster import Client, Cluster, row
from tests.experiments.process.target import Target

CONCURRENCY = 16
SETTINGS = {
    "HHWEB_PARALLEL_REQUESTS": str(CONCURRENCY),
    "HHWEB_CALLABLES": "noop=benchmarks.noop_target:noop",
    "HHWEB_LOG_LEVEL": "WARNING",
    "HHWEB_LEASE_SECONDS": "60",
}
TIMES = """
import json, os
from experiments.models import Experiment
(run_key,) = json.loads(os.environ["ARGUMENTS"])
e = Experiment.objects.get(run__run_key=run_key)
finished = e.finished_at
print(json.dumps({
    "queued": (e.started_at - e.created_at).total_seconds(),
    "ran": (finished - e.started_at).total_seconds() if finished else None,
}))
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--database", choices=("postgres", "sqlite", "both"), default="both")
    options.add_argument("--datapoints", type=int, default=5_000)
    options.add_argument("--large", type=int, default=100_000, help="datapoints of the run that is only created")
    options.add_argument("--evaluators", type=int, default=1, help="built-in evaluators for each datapoint")
    options.add_argument("--pause", action="store_true", help="print the worker's pids and wait for Enter (profiling)")
    given = options.parse_args()
    print("| database | target | datapoints | datapoints/s | CPU ms per datapoint: worker, database, broker, target |")
    print("|---|---|---|---|---|")
    for database in ("postgres", "sqlite") if given.database == "both" else (given.database,):
        where = "/tmp" if os.geteuid() == 0 else None
        folder = Path(tempfile.mkdtemp(prefix="hhweb-bench-", dir=where))
        folder.chmod(0o711)
        try:
            measure(folder / "data", database, given)
        finally:
            for note in folder.glob("*/postgres-folder"):  # run by root, a cluster lies outside its data folder
                shutil.rmtree(note.read_text().strip(), ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)


def measure(folder: Path, database: str, given: argparse.Namespace) -> None:
    with Target() as target, Cluster(folder, database=database, workers=1, processes=2, settings=SETTINGS) as cluster:
        client = Client(cluster)
        client.allow_providers()
        dataset = client.make_dataset("bench", [row(number) for number in range(given.datapoints)])
        warm = client.make_dataset("warm", [row(number) for number in range(200)])
        if given.pause:
            print([child.pid for child in cluster.process_of("worker-1").children()], flush=True)
            input()
        http = target.spec("bench")
        callable_ = {"kind": "callable", "name": "noop"}
        for name, asked in (("HTTP", http), ("callable", callable_)):
            run_once(client, cluster, asked, warm, given.evaluators)
            before = spent(cluster, target)
            times = run_once(client, cluster, asked, dataset, given.evaluators)
            after = spent(cluster, target)
            ms = [1000 * (after[part] - before[part]) / given.datapoints for part in after]
            print(
                f"| {database} | {name} | {given.datapoints:,} | **{given.datapoints / times['ran']:.0f}** | "
                f"{', '.join(f'{each:.1f}' for each in ms)} |",
                flush=True,
            )
        if given.large:
            show_creation(client, cluster, http, database, given.large)


def run_once(client: Client, cluster: Cluster, target: dict[str, Any], dataset: str, evaluators: int) -> dict[str, Any]:
    """Run to the end; how long it took."""
    spec = {
        "name": "bench",
        "dataset_id": dataset,
        "target": target,
        "concurrency": CONCURRENCY,
        "evaluators": [
            {"kind": "builtin", "name": "exact_match", "metric_name": f"match_{at}", "options": {"key": "number"}}
            for at in range(evaluators)
        ],
    }
    run = client.start(spec)
    client.wait_for_end(run, seconds=1800)
    found = client.experiment(run)
    assert found["status"] == "completed", found
    assert found["progress"]["failures"] == 0, found
    times: dict[str, Any] = cluster.manage(TIMES, run)
    return times


def show_creation(client: Client, cluster: Cluster, target: dict[str, Any], database: str, count: int) -> None:
    """How long a request over so many datapoints takes: until the answer, and until the first call may be made."""
    dataset = client.make_dataset("large", [row(number) for number in range(count)])
    for what in ("first run, makes the dataset version", "second run, the version is there"):
        began = time.perf_counter()
        run = client.start({"name": "large", "dataset_id": dataset, "target": target, "concurrency": 1})
        answered = time.perf_counter() - began
        while client.status(run) in ("queued", "preparing"):
            time.sleep(0.1)
        client.post(f"/api/v1/experiments/{run}/cancel")
        prepared = cluster.manage(TIMES, run)["queued"]
        print(f"{database}, {count:,} datapoints, {what}: answered in {answered:.2f} s, running {prepared:.1f} s after")


def spent(cluster: Cluster, target: Target) -> dict[str, float]:
    """Seconds of processor by part so far."""
    parts = {"worker": ["worker-1"], "database": ["postgres"], "broker": ["redis"]}
    found = {
        part: sum(tree_seconds(cluster.process_of(n)) for n in names if n in cluster.parts)
        for part, names in parts.items()
    }
    return {**found, "target": tree_seconds(psutil.Process(target.process.pid))}


def tree_seconds(process: psutil.Process) -> float:
    """User and system time of a process and of all below it, those that ended included where it waited for them."""
    total = 0.0
    for each in [process, *process.children(recursive=True)]:
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total + process.cpu_times().children_user + process.cpu_times().children_system


if __name__ == "__main__":
    main()
