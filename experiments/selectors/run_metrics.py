"""The raw metrics of a run's events, streamed as JSON text."""

from collections.abc import Iterator, Sequence

import orjson
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from experiments.domain.filters import ANY_TIME, Condition, TimeRange
from experiments.models import Event, Run
from experiments.selectors.event_conditions import as_q
from experiments.selectors.events import of_run, time_bounds
from governance.domain.caller import Caller

_FETCHED_AT_ONCE = 2_000


def events_with_metrics(
    *, caller: Caller, run: Run, conditions: Sequence[Condition] = (), time_range: TimeRange = ANY_TIME
) -> QuerySet[Event]:
    """Events of a run that carry any metric, ascending by start."""
    found = Event.objects.filter(
        of_run(project_id=caller.project_id, run_key=run.run_key),
        project_id=caller.project_id,
        **time_bounds(time_range),
    ).exclude(metrics={})
    for condition in conditions:
        found = found.filter(as_q(condition, project_public_id=caller.project_public_id))
    return found.order_by("start_time", "id")


def metrics_pieces(events: QuerySet[Event]) -> Iterator[bytes]:
    """The answer of `GET /v1/runs/{id}/metrics` in pieces: texts stay, nothing is aggregated."""
    columns = ("event_name", "event_type", "session_key", "datapoint_key", "metrics_text")
    rows = events.annotate(metrics_text=Cast("metrics", TextField())).values_list(*columns)
    total = 0
    held: list[bytes] = [b'{"events":[']
    for event_name, event_type, session_key, datapoint_key, metrics in rows.iterator(_FETCHED_AT_ONCE):
        item = {
            "event_name": event_name,
            "event_type": event_type,
            "session_id": session_key,
            "metadata": {"datapoint_id": datapoint_key},
            "metrics": orjson.Fragment(metrics),
        }
        held.append((b"," if total else b"") + orjson.dumps(item))
        total += 1
        if len(held) >= _FETCHED_AT_ONCE:
            yield b"".join(held)
            held.clear()
    yield b"".join(held) + b'],"totalEvents":' + str(total).encode() + b"}"
