"""Finished datapoints for tests, the same in every process."""

import json
import uuid

from experiments.sdk.transport.client import Client, RetryPolicy
from experiments.sdk.transport.records import FinishedDatapoint

RUN = "run-1"
START_MS = 1_700_000_000_000.125
HASTY = RetryPolicy(first_delay_seconds=0.01, longest_delay_seconds=0.05, give_up_after_seconds=5.0)
HEADER = {"name": "nightly", "create": {"run_id": RUN, "name": "nightly"}, "aggregate_function": "average"}


def session_id(number: int, run_id: str = RUN) -> str:
    """The session of a datapoint."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{run_id}/{number}"))


def finished(number: int, run_id: str = RUN, *, text: str = "answer") -> FinishedDatapoint:
    """One execution with two spans, the second in a scope of its own."""
    key = session_id(number, run_id)
    session = {
        "session_id": key,
        "session_name": "nightly",
        "source": "evaluation",
        "start_time": START_MS,
        "end_time": START_MS + 12.5,
        "inputs": {"q": f"question {number}"},
        "outputs": {"text": text},
        "metadata": {"run_id": run_id, "dataset_id": "EXT-d", "datapoint_id": f"EXT-{number}"},
        "feedback": {"ground_truth": {"a": number}},
        "metrics": {},
        "user_properties": {},
        "error": None,
    }
    trace = uuid.UUID(key).hex
    return FinishedDatapoint(key, session, [_span(trace, 1, key, "function"), _span(trace, 2, key, "step")])


def _span(trace: str, number: int, key: str, name: str) -> dict[str, object]:
    buckets = {"honeyhive.session_id": key, "honeyhive_event_type": "chain"}
    if number == 1:
        buckets["honeyhive_metrics"] = json.dumps({"exact": 1.0})
        buckets["honeyhive_inputs"] = json.dumps({"q": "text", "rows": [1, {}]})
        buckets["honeyhive_outputs"] = json.dumps({"result": {"list": [True, {"n": 3, "nothing": None}]}})
    return {
        "traceId": trace,
        "spanId": f"{number:016x}",
        "parentSpanId": None if number == 1 else f"{1:016x}",
        "name": name,
        "kind": "SPAN_KIND_INTERNAL",
        "startTimeUnixNano": "1700000000000125000",
        "endTimeUnixNano": "1700000000012625000",
        "scope": f"scope-{number}",
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in buckets.items()],
    }


def client_of(url: str, *, retries: RetryPolicy = HASTY, timeout_seconds: float = 5.0) -> Client:
    """A client that does not dawdle."""
    return Client(server_url=url, api_key="key-1", retries=retries, timeout_seconds=timeout_seconds)
