"""Load generator for any OTLP/HTTP endpoint: sends bodies that were encoded before the clock started.

    python benchmarks/otlp_load.py --url http://127.0.0.1:8000/v1/traces --key hh_… --spans 50000 --threads 4

A program of its own, so that its work is not the server's. Prints one JSON object: spans/s from the first byte
sent to the last answer received, and percentiles of the time per request. An answer other than 200, or one that
reports refused spans, ends it with an error.
"""

import argparse
import http.client
import json
import os
import secrets
import statistics
import sys
import threading
import time
import uuid
from urllib.parse import urlsplit

START_NS = 1_750_000_000_000_000_000
SPANS_PER_TRACE = 8


def attributes_of(number: int, session: str, count: int) -> list[tuple[str, object]]:
    """`count` attributes as the official client writes them, of every kind."""
    known: list[tuple[str, object]] = [
        ("honeyhive.session_id", session),
        ("traceloop.association.properties.session_id", session),
        ("honeyhive.source", "benchmark"),
        ("honeyhive_event_type", "tool"),
        ("honeyhive_event_name", "answer_question"),
        ("honeyhive_inputs.question", f"What is the capital of the country number {number}?"),
        ("honeyhive_inputs.options", json.dumps({"limit": number % 10, "tags": ["a", "b"]})),
        ("honeyhive_outputs.result.answer", f"The capital is the city number {number}."),
        ("honeyhive_metadata.attempt", number % 3),
        ("honeyhive_metrics.score", (number % 100) / 100),
        ("honeyhive_duration_ms", 7.97),
        ("service.version", "1.2.3"),
    ]
    return (known + [(f"custom.attribute_{index}", f"value {number}") for index in range(count)])[:count]


def spans(first: int, count: int, attributes: int):
    """Plain descriptions of `count` spans: new random traces of eight spans, one session per trace."""
    for index in range(count):
        place = index % SPANS_PER_TRACE
        if place == 0:
            trace, session = secrets.token_hex(16), str(uuid.uuid4())
            root = secrets.token_hex(8)
        span = root if place == 0 else secrets.token_hex(8)
        start = START_NS + (first + index) * 1_000_000
        yield trace, span, "" if place == 0 else root, start, attributes_of(first + index, session, attributes)


def json_value(value: object) -> dict:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": value}


def json_body(first: int, count: int, attributes: int) -> bytes:
    raw = [
        {
            "traceId": trace,
            "spanId": span,
            "parentSpanId": parent or None,
            "name": "module.answer_question",
            "kind": "SPAN_KIND_INTERNAL",
            "startTimeUnixNano": str(start),
            "endTimeUnixNano": str(start + 5_000_000),
            "attributes": [{"key": key, "value": json_value(value)} for key, value in pairs],
            "status": {"code": "STATUS_CODE_UNSET"},
        }
        for trace, span, parent, start, pairs in spans(first, count, attributes)
    ]
    scope = {"scope": {"name": "honeyhive.1"}, "spans": raw}
    return json.dumps({"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [scope]}]}).encode()


def protobuf_body(first: int, count: int, attributes: int) -> bytes:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    scoped = request.resource_spans.add().scope_spans.add()
    scoped.scope.name = "honeyhive.1"
    for trace, span, parent, start, pairs in spans(first, count, attributes):
        raw = scoped.spans.add(
            trace_id=bytes.fromhex(trace),
            span_id=bytes.fromhex(span),
            parent_span_id=bytes.fromhex(parent),
            name="module.answer_question",
            kind=1,
            start_time_unix_nano=start,
            end_time_unix_nano=start + 5_000_000,
        )
        for key, value in pairs:
            target = raw.attributes.add(key=key).value
            if isinstance(value, int):
                target.int_value = value
            elif isinstance(value, float):
                target.double_value = value
            else:
                target.string_value = value
    return request.SerializeToString()


class Sender(threading.Thread):
    """One keep-alive connection that sends its share of the bodies, one after the other."""

    def __init__(self, url: str, headers: dict[str, str], bodies: list[bytes], go: threading.Event) -> None:
        super().__init__(daemon=True)
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.connection = kind(parts.netloc, timeout=60)
        self.path = parts.path or "/"
        self.headers, self.bodies, self.go = headers, bodies, go
        self.seconds: list[float] = []
        self.fault = ""

    def run(self) -> None:
        self.connection.connect()
        self.go.wait()
        try:
            for body in self.bodies:
                began = time.perf_counter()
                self.connection.request("POST", self.path, body, self.headers)
                answer = self.connection.getresponse()
                content = answer.read()
                self.seconds.append(time.perf_counter() - began)
                if answer.status != 200 or b"artialSuccess" in content:
                    raise RuntimeError(f"{answer.status}: {content[:300]!r}")
        except (OSError, http.client.HTTPException, RuntimeError) as error:
            self.fault = f"{type(error).__name__}: {error}"


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure(
    *, url: str, key: str, spans: int, batch: int, attributes: int, threads: int, encoding: str, warm_up: int = 0
) -> dict[str, object]:
    """Send `spans` spans and measure; raises `RuntimeError` on the first refusal."""
    encode = json_body if encoding == "json" else protobuf_body
    kind = "application/json" if encoding == "json" else "application/x-protobuf"
    headers = {"Content-Type": kind, "Authorization": f"Bearer {key}"}
    count = -(-spans // batch)
    bodies = [encode(index * batch, batch, attributes) for index in range(count)]
    if warm_up:
        _send(url, headers, [encode(0, batch, attributes) for _ in range(warm_up)], threads)
    seconds, latencies = _send(url, headers, bodies, threads)
    return {
        "encoding": encoding,
        "threads": threads,
        "batch": batch,
        "attributes": attributes,
        "spans": count * batch,
        "seconds": round(seconds, 3),
        "spans_per_second": round(count * batch / seconds),
        "p50_ms": round(statistics.median(latencies) * 1000, 2),
        "p95_ms": round(percentile(latencies, 0.95) * 1000, 2),
        "max_ms": round(max(latencies) * 1000, 2),
        "body_bytes": sum(map(len, bodies)) // count,
    }


def _send(url: str, headers: dict[str, str], bodies: list[bytes], threads: int) -> tuple[float, list[float]]:
    go = threading.Event()
    senders = [Sender(url, headers, bodies[index::threads], go) for index in range(threads)]
    for sender in senders:
        sender.start()
    time.sleep(0.1)
    began = time.perf_counter()
    go.set()
    for sender in senders:
        sender.join()
    seconds = time.perf_counter() - began
    if fault := next((sender.fault for sender in senders if sender.fault), ""):
        raise RuntimeError(fault)
    return seconds, [value for sender in senders for value in sender.seconds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="full address, path included")
    parser.add_argument("--key", default=os.environ.get("HH_API_KEY", ""), help="sent as bearer token")
    parser.add_argument("--spans", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=512, help="spans per request")
    parser.add_argument("--attributes", type=int, default=12, help="attributes per span")
    parser.add_argument("--threads", type=int, default=1, help="connections that send at the same time")
    parser.add_argument("--encoding", choices=["json", "protobuf"], default="json")
    parser.add_argument("--one-span", action="store_true", help="one span per request, for the time of one POST")
    parser.add_argument("--warm-up", type=int, default=0, help="requests sent before the clock starts")
    given = parser.parse_args()
    try:
        result = measure(
            url=given.url,
            key=given.key,
            spans=given.spans,
            batch=1 if given.one_span else given.batch,
            attributes=given.attributes,
            threads=given.threads,
            encoding=given.encoding,
            warm_up=given.warm_up,
        )
    except RuntimeError as error:
        sys.exit(f"refused: {error}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
