"""Events of two runs side by side, paired by datapoint."""

from dataclasses import dataclass
from typing import Any

from experiments.domain.filters import Condition
from experiments.models import Event, Run
from experiments.selectors.event_conditions import as_q
from experiments.selectors.events import of_run, rows_of, wire_events_of
from governance.domain.caller import Caller
from governance.domain.errors import NotFound


@dataclass(frozen=True, slots=True)
class ComparisonQuery:
    """Which events of which runs; without a type only session events. `limit` and `page` are within bounds."""

    new_run_key: str
    old_run_key: str
    event_type: str | None = None
    event_name: str | None = None
    conditions: tuple[Condition, ...] = ()
    limit: int = 1000
    page: int = 1


def compare_events(*, caller: Caller, query: ComparisonQuery) -> tuple[list[dict[str, Any]], int]:
    """(pairs of one page, number of all pairs): one pair per datapoint that both runs have.

    `event_1` is the new run's earliest matching event, `event_2` the old run's. Pairs come in the order of
    the new run's events.
    """
    new = _earliest_by_datapoint(caller, query, query.new_run_key)
    old = _earliest_by_datapoint(caller, query, query.old_run_key)
    common = [key for key in new if key in old]
    start = (query.page - 1) * query.limit
    shown = common[start : start + query.limit]
    ids = [ids[key] for key in shown for ids in (new, old)]
    chosen = Event.objects.filter(project_id=caller.project_id, pk__in=ids)
    # Both runs may contain the same event: rows are looked up by id, not by position.
    rows = {row["event_key"]: row for row in rows_of(chosen)} if ids else {}
    keys = dict(chosen.values_list("pk", "event_key")) if ids else {}
    events = {event["event_id"]: event for event in wire_events_of(list(rows.values()), caller=caller)}
    pairs = [
        {"datapoint_id": key, "event_1": events[keys[new[key]]], "event_2": events[keys[old[key]]]} for key in shown
    ]
    return pairs, len(common)


def _earliest_by_datapoint(caller: Caller, query: ComparisonQuery, run_key: str) -> dict[str, int]:
    """Primary key of the earliest matching event of each datapoint, in order of time."""
    if not Run.objects.filter(project_id=caller.project_id, run_key=run_key).exists():
        raise NotFound(f"Run {run_key!r} does not exist in this project.", field="run_id", value=run_key)
    found = Event.objects.filter(
        of_run(project_id=caller.project_id, run_key=run_key),
        project_id=caller.project_id,
        datapoint_key__isnull=False,
        event_type=query.event_type or "session",
    )
    if query.event_name is not None:
        found = found.filter(event_name=query.event_name)
    for condition in query.conditions:
        found = found.filter(as_q(condition, project_public_id=caller.project_public_id))
    earliest: dict[str, int] = {}
    for datapoint_key, pk in found.order_by("start_time", "id").values_list("datapoint_key", "pk"):
        earliest.setdefault(datapoint_key or "", pk)
    return earliest
