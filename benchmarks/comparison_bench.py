"""How long comparisons take: the protocol's keys, statistics cold and kept, many runs, trends, single datapoints.

    python -m benchmarks.comparison_bench [--database postgres|sqlite] [--datapoints 10000] [--metrics 5] [--check]

Starts a database of its own in a temporary folder, fills it by SQL, and asks through the whole request stack (URL,
authentication, view, cache) in this process. `cold` means that the run has just changed, so that nothing kept fits;
modules are loaded before. Processor time is this process's alone, and tells more on a busy machine. `--check` ends
with 1 unless the protocol's keys come within 1 s and the statistics within 2 s (median).
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import orjson

from benchmarks.installation import installation
from benchmarks.result_bench import analyse, bump, line, read, seed, timed

KEYS_WITHIN, STATISTICS_WITHIN = 1.0, 2.0  # seconds
CANDIDATES = 3


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--database", choices=("postgres", "sqlite"), default="postgres")
    options.add_argument("--datapoints", type=int, default=10_000)
    options.add_argument("--metrics", type=int, default=5)
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--check", action="store_true", help="fail when a limit is missed")
    given = options.parse_args()
    with installation(given.database):
        sys.exit(run(given))


def run(given: argparse.Namespace) -> int:
    from django.test import Client

    from governance.domain.actions import KeyKind
    from governance.services.api_keys import issue_key
    from governance.services.projects import create_project, system_caller

    project = create_project(name="bench")
    _, token = issue_key(caller=system_caller(project), kind=KeyKind.PROJECT, name="bench")
    client = Client(headers={"authorization": f"Bearer {token}"})
    print(
        f"database {given.database}, {given.datapoints} common datapoints, {given.metrics} metrics, "
        f"best and median of {given.repeats}"
    )
    for key in ("old", "new", *(f"candidate {number}" for number in range(1, CANDIDATES))):
        seed(project.pk, key, given.datapoints, given.metrics)
    analyse()

    def cold(path: str) -> Callable[[], Any]:
        def asked() -> None:
            bump(project.pk, "new")
            read(client, path)

        return asked

    wire, native = "/v1/runs/new/compare-with/old", "/api/v1/runs/new/compare/old"
    read(client, f"{wire}?statistics=false")  # loads what every request needs
    start = time.perf_counter()
    read(client, wire)
    print(f"first statistics of the process, which load numpy and scipy: {(time.perf_counter() - start) * 1000:.0f} ms")
    keys = timed(cold(f"{wire}?statistics=false"), given.repeats)
    line("compare-with, the protocol's keys alone, cold", keys)
    full = timed(cold(wire), given.repeats)
    line("compare-with, with statistics, cold", full)
    for name, path in (("keys alone", f"{wire}?statistics=false"), ("with statistics", wire)):
        print(f"  {name}: {_processor_seconds(cold(path)) * 1000:.0f} ms of this process's processor time")
    line("compare-with, kept", timed(lambda: read(client, wire), given.repeats))
    tag = client.get(wire)["ETag"]
    line("compare-with, 304", timed(lambda: client.get(wire, headers={"if-none-match": tag}), given.repeats))
    line("native comparison, cold", timed(cold(native), given.repeats))
    line("native comparison, kept", timed(lambda: read(client, native), given.repeats))
    line("summary of one run, cold", timed(cold("/api/v1/runs/new/metrics-summary"), given.repeats))
    line("first page of movers", timed(lambda: read(client, f"{native}/datapoints"), given.repeats))
    runs = "&".join(f"run={key}" for key in ("new", *(f"candidate%20{number}" for number in range(1, CANDIDATES))))
    many = f"/api/v1/comparisons?baseline=old&{runs}"
    line(f"{CANDIDATES} candidates, cold", timed(cold(many), given.repeats))
    line(f"{CANDIDATES} candidates and all pairs, cold", timed(cold(f"{many}&all_pairs=true"), given.repeats))
    line("trend over four runs", timed(lambda: read(client, "/api/v1/trends?metric=metric_1"), given.repeats))
    found = orjson.loads(read(client, wire))
    print(f"plan: {found['statistics']['metrics'][0]['statistics']['evidence']['plan']['text']}")
    return _checked(keys, full) if given.check else 0


def _processor_seconds(action: Callable[[], Any]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def _checked(keys: list[float], full: list[float]) -> int:
    late = [
        f"{name} took {statistics.median(times):.2f} s, more than {limit:g} s"
        for name, times, limit in (
            ("the protocol's keys", keys, KEYS_WITHIN),
            ("the statistics", full, STATISTICS_WITHIN),
        )
        if statistics.median(times) > limit
    ]
    print("\n".join(late) or f"within {KEYS_WITHIN:g} s and {STATISTICS_WITHIN:g} s")
    return 1 if late else 0


if __name__ == "__main__":
    main()
