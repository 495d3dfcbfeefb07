"""Prometheus instruments of experiments. Cheap enough for the hot path: an increment is about a microsecond.

Instruments that are read from tables or from the broker are collected at scrape time in `hhweb/telemetry.py`.
"""

from prometheus_client import Counter, Histogram

INGESTED_SPANS = Counter("hhweb_ingested_spans", "Spans stored through OTLP, re-sent ones included.", ["encoding"])
REJECTED_SPANS = Counter("hhweb_rejected_spans", "Spans refused one by one inside a decodable body.", ["reason"])
REFUSED_BODIES = Counter("hhweb_refused_bodies", "OTLP bodies refused as a whole.", ["reason"])
INGESTED_BYTES = Counter("hhweb_ingested_bytes", "Bytes of accepted OTLP bodies as sent, before inflation.")
INGESTED_EVENTS = Counter("hhweb_ingested_events", "Events stored through the REST endpoints.")
INGEST_SECONDS = Histogram(
    "hhweb_ingest_seconds",
    "Time from the first byte of an OTLP body to the commit, in seconds.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
RESULT_READS = Counter("hhweb_result_reads", "Reads of run results: not modified, cached or computed.", ["source"])
EXPORTS = Counter("hhweb_exports", "Exports that were begun, by kind of rows.", ["kind"])
ENDED_EXPERIMENTS = Counter("hhweb_ended_experiments", "Experiments on the server that ended, by status.", ["status"])
DATAPOINT_CALLS = Counter(
    "hhweb_datapoint_calls", "Calls of targets by experiments on the server, by outcome.", ["outcome"]
)
DATAPOINT_CALL_SECONDS = Histogram(
    "hhweb_datapoint_call_seconds",
    "Time of one answered call of a target, in seconds.",
    buckets=(0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300),
)
LOST_DATAPOINT_ATTEMPTS = Counter(
    "hhweb_lost_datapoint_attempts", "Calls of targets whose worker died, found by whoever took the datapoint over."
)
