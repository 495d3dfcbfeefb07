"""Prometheus instruments of governance and of background work."""

from prometheus_client import Counter, Histogram

REFUSED_CALLS = Counter("hhweb_refused_calls", "Calls refused by authentication, rights or quota.", ["code"])
FINISHED_TASKS = Counter("hhweb_finished_tasks", "Background tasks by how they ended.", ["task", "outcome"])
TASK_SECONDS = Histogram(
    "hhweb_task_seconds",
    "Time a background task ran, in seconds.",
    ["task"],
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600),
)


def count_refusal(code: str, status: int) -> None:
    """Count an error answer if it refuses the caller (401, 403, 429) rather than the input."""
    if status in {401, 403, 429}:
        REFUSED_CALLS.labels(code).inc()
