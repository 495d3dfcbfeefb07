"""Memory of web, worker and sweeper at rest and after 100,000 spans, and the time until `hhweb up` is ready.

    python benchmarks/footprint.py [--database sqlite|postgres] [--spans 100000]

Memory is PSS (shared pages are split among those that share them), summed over each kind of process. Prints a
Markdown table; fails when the sum at rest is over 350 MiB, grows by more than 10 % under the spans, or when a
start on the migrated database takes more than 5 s.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from examples.demo.stack import Stack

BATCH = 512
LIMIT_MIB = 350.0
LIMIT_GROWTH = 0.10
LIMIT_READY_SECONDS = 5.0
KINDS = {
    "web": "gunicorn",
    "worker": "hhweb.jobs",
    "sweeper": "hhweb.sweeper",
}


def body(session: bytes) -> bytes:
    """One protobuf request of 512 spans with 12 attributes each, all ids new."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    trace_id, now = os.urandom(16), time.time_ns()
    for number in range(BATCH):
        span = spans.add(
            trace_id=trace_id,
            span_id=os.urandom(8),
            name=f"step {number % 20}",
            start_time_unix_nano=now,
            end_time_unix_nano=now + 5_000_000,
        )
        texts = {
            "traceloop.association.properties.session_id": session.decode(),
            "honeyhive_event_type": "tool",
            **{f"attribute.{index}": f"value {index} of {number}" for index in range(7)},
        }
        for key, value in texts.items():
            span.attributes.add(key=key).value.string_value = value
        span.attributes.add(key="honeyhive_metrics.score").value.double_value = number / BATCH
        span.attributes.add(key="honeyhive_metadata.index").value.int_value = number
        span.attributes.add(key="honeyhive_metadata.flag").value.bool_value = True
    return request.SerializeToString()


def pss(up: psutil.Process) -> dict[str, float]:
    """MiB by kind of process."""
    found = dict.fromkeys(KINDS, 0.0)
    for process in up.children(recursive=True):
        line = " ".join(process.cmdline())
        for kind, words in KINDS.items():
            if words in line:
                found[kind] += process.memory_full_info().pss / 2**20
    return found


def send(stack: Stack, spans: int) -> None:
    """Send so many spans over one connection, each batch acknowledged before the next."""
    headers = {"Authorization": f"Bearer {stack.credentials['api_key']}", "Content-Type": "application/x-protobuf"}
    with httpx.Client(base_url=stack.url, headers=headers, timeout=60) as client:
        for _ in range(-(-spans // BATCH)):
            session = f"{os.urandom(4).hex()}-0000-4000-8000-{os.urandom(6).hex()}".encode()
            answer = client.post("/opentelemetry/v1/traces", content=body(session))
            if answer.status_code != 200:
                raise SystemExit(f"The server answered {answer.status_code}: {answer.text[:300]}")


def ready_seconds(stack: Stack) -> float:
    """What `hhweb up` itself printed: from its first line of work to the answer of /health/ready."""
    found = re.search(r"ready at \S+ in ([0-9.]+) s", stack.log.read_text())
    if found is None:
        raise SystemExit(f"no ready line in {stack.log}")
    return float(found[1])


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--spans", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hhweb-footprint-") as folder:
        data = Path(folder) / "data"
        with Stack(data, database=options.database):
            pass  # first start: migrations, static files
        with Stack(data, database=options.database) as stack:
            time.sleep(8)  # worker and sweeper settle
            ready = ready_seconds(stack)
            assert stack.process is not None
            up = psutil.Process(stack.process.pid)
            readings = {"at rest": pss(up)}
            send(stack, max(BATCH, options.spans // 10))
            readings[f"after {options.spans // 10:,} spans"] = pss(up)
            send(stack, options.spans)
            time.sleep(2)
            readings[f"after {options.spans:,} more"] = pss(up)
        note = data / "postgres-folder"
        if note.exists():  # run by root, the cluster lies outside the data folder
            shutil.rmtree(note.read_text().strip())
    print(f"Ready on the migrated database ({options.database}): {ready:.1f} s\n")
    print(f"| PSS, MiB | {' | '.join(KINDS)} | sum |\n|---|{'---:|' * len(KINDS)}---:|")
    for name, found in readings.items():
        print(f"| {name} | {' | '.join(f'{found[kind]:.0f}' for kind in KINDS)} | {sum(found.values()):.0f} |")
    rest, warm, end = (sum(found.values()) for found in readings.values())
    faults = []
    if rest > LIMIT_MIB:
        faults.append(f"{rest:.0f} MiB at rest, allowed are {LIMIT_MIB:.0f}")
    if end > warm * (1 + LIMIT_GROWTH):
        faults.append(f"grew from {warm:.0f} to {end:.0f} MiB under {options.spans:,} spans")
    if ready > LIMIT_READY_SECONDS:
        faults.append(f"ready after {ready:.1f} s, allowed are {LIMIT_READY_SECONDS:.0f}")
    for fault in faults:
        print(f"FAILED: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
