"""Which properties the latest events have: what filter builders and charts are offered."""

from typing import Any

import orjson
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from experiments.domain.filters import BUCKETS, TimeRange
from experiments.models import Event, Run
from experiments.selectors.events import of_run, time_bounds
from governance.domain.caller import Caller
from governance.domain.errors import NotFound

MAX_EVENTS = 2_000
MAX_DATASETS = 1_000
MAX_DEPTH = 8


def event_schema(*, caller: Caller, time_range: TimeRange, run_key: str | None = None) -> dict[str, Any]:
    """Properties of the latest 2,000 events of the range, of one run where `run_key` is given."""
    events = Event.objects.filter(project_id=caller.project_id, **time_bounds(time_range))
    runs = Run.objects.filter(project_id=caller.project_id)
    if run_key is not None:
        events = events.filter(of_run(project_id=caller.project_id, run_key=run_key))
        runs = runs.filter(run_key=run_key)
    return _schema(events, runs)


def runs_schema(*, caller: Caller, time_range: TimeRange) -> dict[str, Any]:
    """Properties of the latest 2,000 events that belong to any run."""
    events = Event.objects.filter(project_id=caller.project_id, run_key__isnull=False, **time_bounds(time_range))
    return _schema(events, Run.objects.filter(project_id=caller.project_id))


def run_schema(*, caller: Caller, run_key: str, time_range: TimeRange) -> dict[str, Any]:
    """Properties of one run's events; `NotFound` when the run does not exist."""
    if not Run.objects.filter(project_id=caller.project_id, run_key=run_key).exists():
        raise NotFound(f"Run {run_key!r} does not exist in this project.", field="run_id", value=run_key)
    return event_schema(caller=caller, time_range=time_range, run_key=run_key)


def _schema(events: QuerySet[Event], runs: QuerySet[Run]) -> dict[str, Any]:
    texts = [Cast(bucket, TextField()) for bucket in BUCKETS]
    seen: set[tuple[str, str]] = set()
    for event_type, *buckets in events.order_by("-start_time", "-id").values_list("event_type", *texts)[:MAX_EVENTS]:
        for name, text in zip(BUCKETS, buckets, strict=True):
            for path in _paths(name, orjson.loads(text), MAX_DEPTH):
                seen.add((path, event_type))
    linked = runs.order_by().values_list("dataset__public_id", "offline_dataset_id").distinct()[:MAX_DATASETS]
    return {
        "fields": [{"name": name, "event_type": event_type} for name, event_type in sorted(seen)],
        "datasets": sorted({name for pair in linked for name in pair if name}),
        "mappings": {},
    }


def _paths(prefix: str, value: Any, depth: int) -> list[str]:
    """Dotted names of the leaves below `value`; lists and empty objects are leaves."""
    if not isinstance(value, dict) or not value or depth == 0:
        return [] if value == {} and "." not in prefix else [prefix]
    return [path for key, item in value.items() for path in _paths(f"{prefix}.{key}", item, depth - 1)]
