"""Runs on the real server, stored as the SDK stores them: the same datapoints in each, one session per value."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.sdk.transport.client import Client
from experiments.sdk.transport.dialects import spans_for_hhweb
from experiments.sdk.transport.records import FinishedDatapoint

T0 = 1_700_000_000_000.0


def store_run(
    client: Client,
    name: str,
    values: Mapping[str, Sequence[float]],
    *,
    status: str = "completed",
    branch: str | None = None,
    crashed: Mapping[int, str] | None = None,
    passing_ranges: Mapping[str, Any] | None = None,
    prefix: str = "datapoint",
    texts: Mapping[int, str] | None = None,
    event: str = "answer",
) -> str:
    """Store a run whose datapoint number n has the n-th value of each metric; its id.

    `crashed` maps numbers to errors (those have no values); `texts` are outputs of other than the usual words.
    """
    run_id = str(uuid.uuid4())
    metadata: dict[str, Any] = {"git": {"branch": branch}} if branch else {}
    metadata["metric_directions"] = {"latency": "lower"}
    body = {"run_id": run_id, "name": name, "status": "running", "metadata": metadata}
    client.create_run(body | ({"passing_ranges": dict(passing_ranges)} if passing_ranges else {}))
    failures = crashed or {}
    finished = []
    for number in range(max(map(len, values.values()), default=0)):
        metrics = {metric: row[number] for metric, row in values.items() if number < len(row)}
        finished.append(
            FinishedDatapoint(
                session_id=str(uuid.uuid4()),
                session={
                    "session_name": event,  # runs are compared metric by metric and event by event
                    "source": "evaluation",
                    "start_time": T0 + number,
                    "end_time": T0 + number + 12,
                    "inputs": {"question": f"question {number}"},
                    "outputs": {"answer": (texts or {}).get(number, f"answer {number}")},
                    "feedback": {"ground_truth": {"answer": f"truth {number}"}},
                    "metadata": {"run_id": run_id, "datapoint_id": f"{prefix}-{number}"},
                    "metrics": {} if number in failures else metrics,
                    "error": failures.get(number),
                },
            )
        )
    if finished:
        client.send_spans(spans_for_hhweb(finished))
    client.update_run(run_id, {"status": status})
    return run_id
