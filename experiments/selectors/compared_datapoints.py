"""Datapoints of two runs on one metric: who won, who lost, who failed; the biggest movers first."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from django.db.models import Q, TextField
from django.db.models.functions import Cast

from experiments.models import Event, Run
from experiments.selectors.comparison import ComparedColumns, Sides, crashed_datapoints, read_sides
from experiments.selectors.events import of_run
from experiments.selectors.metric_choice import primary_of, refuse_absent
from experiments.selectors.results import Computation
from governance.domain.caller import Caller

Outcome = Literal["win", "loss", "tie", "failed", "only_old", "only_new"]
OUTCOMES: tuple[Outcome, ...] = ("win", "loss", "tie", "failed", "only_old", "only_new")
TIE = 1e-12  # scores closer than this differ by rounding only, as in the tests
_ORDER = {outcome: place for place, outcome in enumerate(("loss", "win", "tie", "failed", "only_old", "only_new"))}


@dataclass(frozen=True, slots=True)
class DatapointQuery:
    """Which datapoints: of one metric (the primary one by default), outcome, and text. `page` counts from 1.

    `text` is looked for in the datapoint's id and in inputs and outputs of both runs.
    """

    metric: str = ""
    event_name: str = ""
    outcome: str = ""
    text: str = ""
    page: int = 1
    limit: int = 50


@dataclass(frozen=True, slots=True)
class ComparedDatapoint:
    """One datapoint; means where it has several executions, None without a score. `gain` > 0: the new run is better."""

    datapoint_id: str
    outcome: Outcome
    old: float | None
    new: float | None
    gain: float


def compared_datapoints(*, caller: Caller, new: str, old: str, query: DatapointQuery) -> dict[str, Any]:
    """One page of the datapoints of two runs, and how many there are of each outcome.

    A datapoint with a crashed execution has failed, whatever it scored. Raises InvalidInput for a metric that the runs
    do not both have, NotFound for runs of other projects.
    """
    sides = read_sides(caller=caller, new=new, old=old)
    both = [each for each in sides.compared("average") if each.old is not None and each.new is not None]
    chosen = _chosen(both, query, sides.new)
    rows = _rows(sides, chosen)
    if query.text:
        matching = _matching(caller, [sides.old.run, sides.new.run], query.text)
        rows = [row for row in rows if row.datapoint_id in matching or query.text in row.datapoint_id]
    counts = Counter(row.outcome for row in rows)
    if query.outcome:
        rows = [row for row in rows if row.outcome == query.outcome]
    start = (query.page - 1) * query.limit
    sessions = [_sessions(side) for side in (sides.old, sides.new)]
    return {
        "metric_name": chosen.figures.metric_name if chosen else None,
        "event_name": chosen.figures.event_name if chosen else None,
        "direction": chosen.figures.direction if chosen else None,
        "metrics": [[each.figures.metric_name, each.figures.event_name] for each in both],
        "counts": {outcome: counts.get(outcome, 0) for outcome in OUTCOMES},
        "total": len(rows),
        "page": query.page,
        "limit": query.limit,
        "datapoints": [_shown(row, *sessions) for row in rows[start : start + query.limit]],
    }


def _chosen(both: Sequence[ComparedColumns], query: DatapointQuery, new: Computation) -> ComparedColumns | None:
    if query.metric:
        refuse_absent("metric", [query.metric], both)
        named = [each for each in both if each.figures.metric_name == query.metric]
        if query.event_name:
            refuse_absent("event_name", [query.event_name], named, of=lambda each: each.figures.event_name)
            named = [each for each in named if each.figures.event_name == query.event_name]
        return named[-1]
    first = primary_of(both, "", new)
    return None if first is None else both[first]


def _rows(sides: Sides, chosen: ComparedColumns | None) -> list[ComparedDatapoint]:
    failed = {*crashed_datapoints(sides.old), *crashed_datapoints(sides.new)}
    common = frozenset(sides.common)
    values = [dict(column.by_datapoint) if column else {} for column in (chosen and chosen.old, chosen and chosen.new)]
    sign = -1 if chosen and chosen.figures.direction == "lower" else 1
    rows = []
    for key in dict.fromkeys([*sides.old.table.keys, *sides.new.table.keys]):
        before, after = values[0].get(key), values[1].get(key)
        if key in failed and key in common:
            rows.append(ComparedDatapoint(key, "failed", before, after, 0.0))
        elif before is not None and after is not None:
            gain = sign * (after - before)
            outcome: Outcome = "tie" if abs(gain) <= TIE else "win" if gain > 0 else "loss"
            rows.append(ComparedDatapoint(key, outcome, before, after, gain if outcome != "tie" else 0.0))
        elif before is not None or after is not None:
            rows.append(ComparedDatapoint(key, "only_new" if before is None else "only_old", before, after, 0.0))
    rows.sort(key=lambda row: (-abs(row.gain), _ORDER[row.outcome], row.datapoint_id))
    return rows


def _sessions(side: Computation) -> dict[str, str]:
    """First session of each datapoint."""
    return {session.datapoint_id or session.session_id: session.session_id for session in reversed(side.sessions)}


def _shown(row: ComparedDatapoint, old: dict[str, str], new: dict[str, str]) -> dict[str, Any]:
    is_pair = row.old is not None and row.new is not None
    return {
        "datapoint_id": row.datapoint_id,
        "outcome": row.outcome,
        "old": row.old,
        "new": row.new,
        "difference": (row.new or 0.0) - (row.old or 0.0) if is_pair else None,
        "old_session_id": old.get(row.datapoint_id),
        "new_session_id": new.get(row.datapoint_id),
    }


def _matching(caller: Caller, runs: Sequence[Run], text: str) -> set[str]:
    """Datapoints with the text in inputs or outputs of their sessions or main events. One query."""
    # Stored JSON may write letters beyond ASCII, quotes and line breaks as escapes.
    words = {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    condition = Q()
    for column in ("inputs_text", "outputs_text"):
        for word in words:
            condition |= Q(**{f"{column}__icontains": word})
    either = Q()
    for run in runs:
        either |= of_run(project_id=run.project_id, run_key=run.run_key)
    rows = Event.objects.filter(
        either,
        project_id=caller.project_id,
        event_type__in=("session", "chain"),
        datapoint_key__isnull=False,
    ).annotate(inputs_text=Cast("inputs", TextField()), outputs_text=Cast("outputs", TextField()))
    return {str(key) for key in rows.filter(condition).order_by().values_list("datapoint_key", flat=True).distinct()}
