"""OTLP ingestion speed of the real installation: `hhweb up` on a temporary folder, loaded by `otlp_load.py`.

    python benchmarks/otlp_ingest.py                      # the table of docs/performance.md
    python benchmarks/otlp_ingest.py --database postgres --threads 4 --stored 0 --stored 1000000

CPU per span is user and system time of all processes of the installation, database and Redis included, while the
load ran, divided by its spans. The generator shares the machine and is not counted.
"""

import argparse
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

LOAD = Path(__file__).with_name("otlp_load.py")


@contextlib.contextmanager
def installation(database: str, folder: Path) -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    """A started `hhweb up` and its credentials; ended together with everything it started."""
    command = [sys.executable, "-m", "hhweb.cli", "up", "--port", "0", "--data", str(folder), "--database", database]
    log = (folder.parent / f"{folder.name}.log").open("w+")
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 120
        while "ready at" not in (folder.parent / f"{folder.name}.log").read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"hhweb up did not start:\n{(folder.parent / f'{folder.name}.log').read_text()}")
            time.sleep(0.2)
        root = psutil.Process(process.pid)
        wait_until_quiet(root)
        yield root, json.loads((folder / "credentials.json").read_text())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        log.close()


def wait_until_quiet(root: psutil.Process) -> None:
    """Worker and beat are still loading when the web is ready; that is no cost of ingestion."""
    for _ in range(30):
        before = cpu_seconds(root)
        time.sleep(1)
        if sum(spent(before, cpu_seconds(root)).values()) < 0.05:
            return


def processes_of(root: psutil.Process) -> list[psutil.Process]:
    return [root, *root.children(recursive=True)]


def cpu_seconds(root: psutil.Process) -> dict[int, tuple[str, float]]:
    """{pid: (kind of process, CPU seconds so far)}; children that ended meanwhile count with their parents."""
    found = {}
    for process in processes_of(root):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            command = " ".join(process.cmdline())
            kind = next((word for word in ("gunicorn", "postgres", "redis", "celery") if word in command), "launcher")
            found[process.pid] = (kind, times.user + times.system + times.children_user + times.children_system)
    return found


def spent(before: dict[int, tuple[str, float]], after: dict[int, tuple[str, float]]) -> dict[str, float]:
    """CPU seconds by kind of process."""
    total: dict[str, float] = {}
    for pid, (kind, seconds) in after.items():
        total[kind] = total.get(kind, 0.0) + seconds - before.get(pid, (kind, 0.0))[1]
    return total


def load(credentials: dict[str, str], *, spans: int, threads: int, encoding: str, one: bool = False, warm: int = 3):
    """One run of the generator, as a process of its own."""
    command = [
        *(sys.executable, str(LOAD), "--url", f"{credentials['url']}/opentelemetry/v1/traces"),
        *("--key", credentials["ingestion_api_key"], "--spans", str(spans), "--threads", str(threads)),
        *("--encoding", encoding, "--warm-up", str(warm), *(["--one-span"] if one else [])),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[:2])} failed: {done.stderr[-1000:]}")
    return json.loads(done.stdout)


def measured(root: psutil.Process, credentials: dict[str, str], **options) -> dict[str, object]:
    """One run with the CPU it cost. The generator's warm-up is sent before, by a run of its own."""
    load(credentials, **{**options, "spans": 50 if options.get("one") else 2048, "warm": 0})
    before = cpu_seconds(root)
    result = load(credentials, **options, warm=0)
    cpu = spent(before, cpu_seconds(root))
    result["cpu_ms_per_span"] = round(sum(cpu.values()) / result["spans"] * 1000, 3)
    result["cpu_by_process"] = {kind: round(seconds / result["spans"] * 1000, 3) for kind, seconds in cpu.items()}
    return result


def fill(credentials: dict[str, str], events: int) -> None:
    """Bring the store to `events` events."""
    while events > 0:
        load(credentials, spans=min(events, 50_000), threads=4, encoding="protobuf", warm=0)
        events -= 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=["postgres", "sqlite"], action="append")
    parser.add_argument("--encoding", choices=["json", "protobuf"], action="append")
    parser.add_argument("--threads", type=int, action="append")
    parser.add_argument("--spans", type=int, default=30_000)
    parser.add_argument("--stored", type=int, action="append", help="events to store before; ascending when repeated")
    parser.add_argument("--json", action="store_true", help="print objects, not a table")
    given = parser.parse_args()
    rows = []
    for database in given.database or ["postgres", "sqlite"]:
        work = Path(tempfile.mkdtemp(prefix="hhweb-bench-"))
        work.chmod(0o711)
        try:
            with installation(database, work / "data") as (root, credentials):
                there = 0
                for stored in given.stored or [0]:
                    fill(credentials, stored - there)
                    there = max(there, stored)
                    about = {"database": database, "stored": stored}
                    for encoding in given.encoding or ["json", "protobuf"]:
                        for threads in given.threads or [1, 4]:
                            result = measured(root, credentials, spans=given.spans, threads=threads, encoding=encoding)
                            rows.append({**about, "mode": "batch 512", **result})
                        result = measured(root, credentials, spans=500, threads=1, encoding=encoding, one=True)
                        rows.append({**about, "mode": "one span", **result})
        finally:
            note = work / "data" / "postgres-folder"
            if note.exists():  # run by root, the cluster lies outside the data folder
                shutil.rmtree(note.read_text().strip(), ignore_errors=True)
            shutil.rmtree(work, ignore_errors=True)
    if given.json:
        print("\n".join(json.dumps(row) for row in rows))
        return
    names = (
        "database",
        "stored",
        "mode",
        "encoding",
        "threads",
        "spans_per_second",
        "p50_ms",
        "p95_ms",
        "cpu_ms_per_span",
    )
    print("| " + " | ".join(names) + " |")
    print("|" + " --- |" * len(names))
    for row in rows:
        print("| " + " | ".join(str(row[name]) for name in names) + " |")


if __name__ == "__main__":
    main()
