"""How long results and comparisons of runs take, beside the least that any program needs for the same rows.

    python -m benchmarks.result_bench [--database postgres|sqlite] [--small 10000] [--large 100000] [--metrics 10]

Starts a database of its own in a temporary folder, fills it by SQL, and asks through the whole request stack
(URL, authentication, view, cache) in this process. The floor is the driver's fetch of the run's measurement
rows plus orjson's dump of the finished answer, measured in the same process right after.
"""

import argparse
import os
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from benchmarks.installation import installation

CREATED = "2026-01-01 00:00:00+00:00"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--database", choices=("postgres", "sqlite"), default="postgres")
    options.add_argument("--small", type=int, default=10_000, help="datapoints of the runs that are compared")
    options.add_argument("--large", type=int, default=100_000, help="datapoints of the streamed run; 0 leaves it out")
    options.add_argument("--metrics", type=int, default=10)
    options.add_argument("--repeats", type=int, default=5)
    given = options.parse_args()
    with installation(given.database):
        run(given)


def run(given: argparse.Namespace) -> None:
    from django.test import Client

    from governance.services.api_keys import issue_key
    from governance.services.projects import create_project, system_caller

    project = create_project(name="bench")
    from governance.domain.actions import KeyKind

    _, token = issue_key(caller=system_caller(project), kind=KeyKind.PROJECT, name="bench")
    client = Client(headers={"authorization": f"Bearer {token}"})
    print(f"database {given.database}, {given.metrics} metrics a datapoint, best and median of {given.repeats}")
    for key in ("old", "new"):
        seed(project.pk, key, given.small, given.metrics)
    analyse()
    show_small(client, project.pk, given)
    if given.large:
        seed(project.pk, "large", given.large, given.metrics)
        analyse()
        show_large(client, project.pk, given)


def show_small(client: Any, project: int, given: argparse.Namespace) -> None:
    answer = b""

    def cold() -> None:
        nonlocal answer
        bump(project, "new")
        answer = read(client, "/v1/runs/new/result")

    def floor() -> None:
        fetch_rows(project, "new")
        orjson.dumps(document)

    cold_times = timed(cold, given.repeats)
    document = orjson.loads(answer)
    floor_times = timed(floor, given.repeats)
    line(f"result of {given.small} datapoints, cold", cold_times)
    line("  floor: driver's fetch + orjson dump", floor_times)
    print(f"  cold / floor: {min(cold_times) / min(floor_times):.2f} (best), answer {len(answer) / 1e6:.1f} MB")
    line("result, from the cache", timed(lambda: read(client, "/v1/runs/new/result"), given.repeats))
    tag = client.get("/v1/runs/new/result")["ETag"]
    line("result, 304", timed(lambda: client.get("/v1/runs/new/result", headers={"if-none-match": tag}), given.repeats))
    line("compare-with", timed(lambda: read(client, "/v1/runs/new/compare-with/old"), given.repeats))


def show_large(client: Any, project: int, given: argparse.Namespace) -> None:
    bump(project, "large")
    before = peak_memory(reset=True)
    start = last = time.perf_counter()
    first = gap = 0.0
    size = 0
    for piece in client.get("/v1/runs/large/result").streaming_content:
        now = time.perf_counter()
        first = first or now - start
        gap, last, size = max(gap, now - last), now, size + len(piece)
    total = time.perf_counter() - start
    grown = peak_memory() - before
    print(
        f"result of {given.large} datapoints, streamed: first byte {first:.2f} s, longest gap {gap:.2f} s, "
        f"{total:.2f} s in all, {size / 1e6:.0f} MB, {grown / 2**20:.0f} MiB more memory at the peak"
    )


def read(client: Any, path: str) -> bytes:
    answer = client.get(path)
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    if answer.status_code != 200:
        raise SystemExit(f"{path} answered {answer.status_code}: {body[:500]!r}")
    return bytes(body)


def timed(action: Callable[[], Any], repeats: int) -> list[float]:
    action()  # warm: imports, connection, page cache
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return times


def line(name: str, times: list[float]) -> None:
    print(f"{name}: {min(times) * 1000:.0f} ms best, {statistics.median(times) * 1000:.0f} ms median")


def peak_memory(*, reset: bool = False) -> int:
    """Peak resident bytes of this process since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(next(row.split()[1] for row in status.splitlines() if row.startswith("VmHWM"))) * 1024


def analyse() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")


def bump(project: int, key: str) -> None:
    from django.db import transaction

    from experiments.services.event_writer import bump_revisions

    with transaction.atomic():
        bump_revisions(project_id=project, run_keys=[key])


def fetch_rows(project: int, key: str) -> list[Any]:
    """The run's measurement rows by the bare driver."""
    from django.conf import settings
    from django.db import connection

    sql = (
        "SELECT session_key, value, name, event_name, event_type, is_boolean FROM experiments_measurement"
        " WHERE project_id = {} AND run_key = {}"
    )
    if connection.vendor == "postgresql":
        import psycopg

        with psycopg.connect(os.environ["HHWEB_DATABASE_URL"]) as bare:
            return bare.execute(sql.format("%s", "%s"), (project, key)).fetchall()
    import sqlite3

    bare = sqlite3.connect(settings.DATABASES["default"]["NAME"])
    try:
        return bare.execute(sql.format("?", "?"), (project, key)).fetchall()
    finally:
        bare.close()


def seed(project: int, key: str, datapoints: int, metrics: int) -> None:
    """One finished run: per datapoint a session, the function's event, and its metrics."""
    from django.db import connection, transaction
    from django.utils import timezone

    from experiments.models import Run

    Run.objects.create(
        project_id=project,
        run_key=key,
        name=key,
        status="completed",
        configuration={"function": "answer"},
        finished_at=timezone.now(),
    )
    spread = 1.0 if key != "new" else 1.1
    events = ", ".join(f.column for f in _fields("Event"))
    measured = ", ".join(f.column for f in _fields("Measurement"))
    with transaction.atomic(), connection.cursor() as cursor:
        for table, columns, rows in (
            ("experiments_event", events, _events(project, key, datapoints)),
            ("experiments_measurement", measured, _measurements(project, key, datapoints, metrics, spread)),
        ):
            if connection.vendor == "postgresql":
                with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)
            else:
                marks = ", ".join("%s" for _ in columns.split(","))
                cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)


def _fields(model: str) -> list[Any]:
    from experiments import models

    return [field for field in getattr(models, model)._meta.local_fields if not field.primary_key]


def _key(kind: str, run: str, number: int) -> Any:
    from django.db import connection

    key = uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} {run} {number}")
    return key if connection.vendor == "postgresql" else key.hex


def _events(project: int, run: str, datapoints: int) -> Iterator[list[Any]]:
    empty, text = "{}", "x" * 200
    for number in range(datapoints):
        session, event = _key("session", run, number), _key("event", run, number)
        start = 1.7e12 + number
        for key, parent, kind, name in ((session, None, "session", run), (event, session, "chain", "answer")):
            inputs = orjson.dumps({"question": text}).decode()
            row = {
                "project_id": project, "event_key": key, "session_key": session, "parent_key": parent,
                "span_key": None, "event_type": kind, "event_name": name, "source": "evaluation", "run_key": run,
                "dataset_key": "EXT-bench", "datapoint_key": f"EXT-{number:016x}", "inputs": inputs,
                "outputs": inputs, "children_ids": "[]", "error": None, "start_time": start, "end_time": start + 1,
                "duration": 1.0, "client_timestamp": None, "is_stub": False, "created_at": CREATED,
                "updated_at": CREATED,
            }  # fmt: skip
            yield [row.get(field.column, empty) for field in _fields("Event")]


def _measurements(project: int, run: str, datapoints: int, metrics: int, spread: float) -> Iterator[list[Any]]:
    columns = [field.column for field in _fields("Measurement")]
    for number in range(datapoints):
        session, event = _key("session", run, number), _key("event", run, number)
        for metric in range(metrics):
            value = float((number * 7 + metric) % 5 > 0) if metric == 0 else (number * 31 + metric * 17) % 997 / spread
            row = {
                "project_id": project, "event_key": event, "name": f"metric_{metric}", "value": value,
                "is_boolean": metric == 0, "session_key": session, "run_key": run, "event_name": "answer",
                "event_type": "chain",
            }  # fmt: skip
            yield [row[column] for column in columns]


if __name__ == "__main__":
    main()
