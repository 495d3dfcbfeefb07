"""Our SDK and the official client honeyhive 1.7.0 side by side, against the same running hhweb.

    python -m benchmarks.sdk_bench [--database sqlite|postgres] [--datapoints 200] [--long 1000] [--rounds 3]

A trivial function and two trivial evaluators on 10 workers; every run is a process of its own (`sdk_client.py`), the
two clients take turns. CPU of the client is of `evaluate()`, imports inside it included; CPU of the server is of all
its web, database and Redis processes. Prints the load of the machine and Markdown tables of medians; fails when a
target of the SDK is missed.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from benchmarks.otlp_ingest import cpu_seconds, spent, wait_until_quiet
from examples.demo.stack import Stack

ROOT = Path(__file__).resolve().parents[1]
CLIENT = Path(__file__).with_name("sdk_client.py")
SERVING = ("gunicorn", "postgres", "redis")
IMPORTS = {"ours": "experiments", "official": "honeyhive"}
ROWS = (
    ("wall_ms", "wall time per datapoint, ms", "{:.1f}"),
    ("client_cpu_ms", "client CPU per datapoint, ms", "{:.1f}"),
    ("server_cpu_ms", "server CPU per datapoint, ms", "{:.1f}"),
    ("import_s", "`import evaluate, evaluator`, s", "{:.2f}"),
    ("first_call_s", "process start to first call, s", "{:.2f}"),
    ("peak_mib", "peak memory of the client, MiB", "{:.0f}"),
    ("left_threads", "threads left behind", "{:.0f}"),
)
Figures = dict[str, float]


def client_environment(stack: Stack) -> dict[str, str]:
    """What the client may know: address, key, and folders of its own."""
    state = stack.data.parent / "client"
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(state),
        "PYTHONPATH": str(ROOT),
        "HH_API_URL": stack.url,
        "HH_API_KEY": stack.credentials["api_key"],
        "HH_PROJECT": stack.credentials["project"],
        "BENCH_STARTED": repr(time.time()),
    }


def client(stack: Stack, kind: str, datapoints: int, warm_up: int = 0) -> dict[str, Any]:
    """One run, with the CPU that the server spent on it and every datapoint of it read back."""
    assert stack.process is not None
    root = psutil.Process(stack.process.pid)
    before = cpu_seconds(root)
    done = subprocess.run(
        [sys.executable, str(CLIENT), kind, str(datapoints), str(warm_up)],
        env=client_environment(stack),
        cwd=stack.data.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"The run of {kind} failed:\n{done.stderr[-3000:]}")
    cpu = spent(before, cpu_seconds(root))
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    found["server_cpu_ms"] = sum(cpu.get(name, 0.0) for name in SERVING) * 1000 / (datapoints + warm_up)
    found["left_threads"] = found["after"]["threads"] - found["at_start"]["threads"]
    check_stored(stack, found["run_id"], datapoints)
    return found


def check_stored(stack: Stack, run_id: str, datapoints: int) -> None:
    """What was fast must also be right."""
    request = urllib.request.Request(
        f"{stack.url}/v1/runs/{run_id}/result", headers={"Authorization": f"Bearer {stack.credentials['api_key']}"}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        result = json.load(answer)
    details = {detail["metric_name"]: detail["values"] for detail in result["metrics"]["details"]}
    exact = sum(n % 4 != 0 for n in range(datapoints))
    assert len(result["datapoints"]) == datapoints, f"{len(result['datapoints'])} of {datapoints} datapoints stored"
    assert sum(details["exact"]) == exact, f"exact: {sum(details['exact'])}, not {exact}"
    assert sum(details["closeness"]) == exact + (datapoints - exact) / 2


def import_seconds(stack: Stack, kind: str) -> float:
    """Time of the one import line in a fresh process, its bytecode there."""
    code = (
        "import time; t = time.perf_counter(); "
        f"from {IMPORTS[kind]} import evaluate, evaluator; print(time.perf_counter() - t)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=client_environment(stack), capture_output=True, text=True, check=True)
    return float(done.stdout)


def side_by_side(stack: Stack, datapoints: int, rounds: int) -> dict[str, Figures]:
    """Medians of each client."""
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "official": []}
    for kind in found:
        client(stack, kind, 10)  # bytecode, connections, caches of the server
    for _ in range(rounds):
        for kind, runs in found.items():
            runs.append(client(stack, kind, datapoints) | {"import_s": import_seconds(stack, kind)})
            print(f"  {kind}: " + ", ".join(f"{name} {runs[-1][name]:.2f}" for name, _, _ in ROWS), flush=True)
    return {
        kind: {name: statistics.median(run[name] for run in runs) for name, _, _ in ROWS}
        for kind, runs in found.items()
    }


def show(medians: dict[str, Figures]) -> None:
    ours, official = medians["ours"], medians["official"]
    print("\n| | hhweb | honeyhive 1.7.0 | ratio |\n|---|---:|---:|---:|")
    for name, title, form in ROWS:
        ratio = f"{ours[name] / official[name]:.3f}" if official[name] else ""
        print(f"| {title} | {form.format(ours[name])} | {form.format(official[name])} | {ratio} |")


def show_long(found: dict[str, Any], datapoints: int) -> None:
    print(f"\nOurs, {datapoints:,} datapoints after a warm-up of 10 in the same process: ", end="")
    print(f"{found['wall_ms']:.1f} ms wall, {found['client_cpu_ms']:.1f} ms client CPU per datapoint.")
    print("\n| | at the start | before | after |\n|---|---:|---:|---:|")
    for name, title in (("threads", "threads"), ("sockets", "sockets"), ("rss_mib", "memory, MiB")):
        cells = " | ".join(f"{found[when][name]:.0f}" for when in ("at_start", "before", "after"))
        print(f"| {title} | {cells} |")


def misses(medians: dict[str, Figures], long: dict[str, Any] | None) -> list[str]:
    """Targets that were not met."""
    ours, official = medians["ours"], medians["official"]
    limits = {"wall_ms": 10.0, "client_cpu_ms": 5.0, "server_cpu_ms": 5.0, "import_s": 0.35}
    shares = {"wall_ms": 0.1, "client_cpu_ms": 0.1, "server_cpu_ms": 0.1, "first_call_s": 0.5, "peak_mib": 1.0}
    found = [f"{name}: {ours[name]:.2f} is over {limit}" for name, limit in limits.items() if ours[name] > limit]
    for name, share in shares.items():
        if ours[name] > share * official[name]:
            found.append(f"{name}: {ours[name]:.2f} is over {share} of {official[name]:.2f}")
    if ours["left_threads"]:
        found.append(f"{ours['left_threads']:.0f} threads left behind")
    if long is not None:
        for name in ("threads", "sockets"):
            if long["after"][name] > long["at_start"][name]:
                found.append(f"{name}: {long['at_start'][name]} at the start, {long['after'][name]} after the long run")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=["postgres", "sqlite"], default="sqlite")
    parser.add_argument("--datapoints", type=int, default=200)
    parser.add_argument("--long", type=int, default=1000, help="datapoints of our long run; 0 leaves it out")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(f"{given.database}, {given.datapoints} datapoints, 10 workers, medians of {given.rounds}; load", end=" ")
    print(" ".join(f"{value:.2f}" for value in os.getloadavg()), flush=True)
    with contextlib.ExitStack() as closing:
        folder = Path(tempfile.mkdtemp(prefix="hhweb-bench-"))
        closing.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o711)  # run by root, PostgreSQL is another user
        (folder / "client").mkdir()
        stack = closing.enter_context(Stack(folder / "data", database=given.database))
        assert stack.process is not None
        wait_until_quiet(psutil.Process(stack.process.pid))
        medians = side_by_side(stack, given.datapoints, given.rounds)
        long = client(stack, "ours", given.long, warm_up=10) if given.long else None
    show(medians)
    if long is not None:
        show_long(long, given.long)
    print(f"\nload at the end {os.getloadavg()[0]:.2f}")
    if missed := misses(medians, long):
        sys.exit("Missed: " + "; ".join(missed))


if __name__ == "__main__":
    main()
