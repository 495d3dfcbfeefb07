"""What the console's run pages show beside the result: inputs and outputs of sessions, counts of many runs."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Avg, Count, F, Q

from experiments.models import Event, Measurement, Run
from experiments.selectors.events import as_uuid
from governance.domain.caller import Caller

SESSIONS_AVERAGED = 50_000
_REASONABLE = 1e100  # PostgreSQL refuses a mean when a square on the way to it is beyond its numbers


@dataclass(slots=True)
class SessionDetail:
    """Inputs, outputs and error of one execution; `latency_ms` of the whole session, None before it ended."""

    inputs: Any = None
    outputs: Any = None
    expected: Any = None
    error: str = ""
    latency_ms: float | None = None


def session_details(*, caller: Caller, session_ids: Iterable[str]) -> dict[str, SessionDetail]:
    """Details by session id, from the session event and, for what that lacks, its first children. One query."""
    keys = [key for key in map(as_uuid, session_ids) if key is not None]
    found: dict[str, SessionDetail] = {}
    if not keys:
        return found
    rows = (
        Event.objects.filter(project_id=caller.project_id, session_key__in=keys)
        .filter(Q(event_key=F("session_key")) | Q(parent_key__isnull=True) | Q(parent_key=F("session_key")))
        .order_by("start_time", "id")
        .values_list(
            "session_key", "event_key", "inputs", "outputs", "feedback", "error", "start_time", "end_time", "event_type"
        )[: 50 * len(keys)]
    )
    starts: dict[str, tuple[float, float]] = {}
    own: dict[str, bool] = {}
    for session, key, inputs, outputs, feedback, error, start, end, kind in rows:
        name = str(session)
        detail = found.setdefault(name, SessionDetail())
        is_session = key == session
        if inputs and (is_session or not detail.inputs):
            detail.inputs = inputs
        # The session's own outputs win; else those of the last chain below it.
        if outputs and (is_session or (not own.get(name) and (kind == "chain" or not detail.outputs))):
            detail.outputs = outputs
            own[name] = own.get(name, False) or is_session
        if isinstance(feedback, dict) and feedback.get("ground_truth") and not detail.expected:
            detail.expected = feedback["ground_truth"]
        detail.error = detail.error or error or ""
        first, last = starts.get(name, (start, end))
        starts[name] = (min(first, start), max(last, end))
    for name, (first, last) in starts.items():
        found[name].latency_ms = last - first if last > first else None
    return found


def sessions_of_datapoints(
    *, caller: Caller, run_keys: Sequence[str], datapoint_ids: Sequence[str]
) -> dict[tuple[str, str], uuid.UUID]:
    """First session of each (run, datapoint). One query."""
    rows = (
        Event.objects.filter(
            project_id=caller.project_id,
            event_type="session",
            run_key__in=list(run_keys),
            datapoint_key__in=list(datapoint_ids),
        )
        .order_by("-start_time", "-id")
        .values_list("run_key", "datapoint_key", "session_key")
    )
    return {(run, datapoint): session for run, datapoint, session in rows if run and datapoint}


def session_counts(*, caller: Caller, runs: Sequence[Run]) -> dict[str, int]:
    """Number of sessions by run id. One query, answered by the index alone."""
    rows = Event.objects.filter(project_id=caller.project_id, run_key__in=[run.run_key for run in runs])
    counted = rows.order_by().values_list("run_key").annotate(sessions=Count("session_key", distinct=True))
    return {str(run): sessions for run, sessions in counted}


def metric_means(*, caller: Caller, runs: Sequence[Run], sessions: dict[str, int]) -> dict[str, dict[str, float]]:
    """Mean of each metric by run id, absurd values and runs beyond 50,000 sessions in all left out. One query."""
    keys: list[str] = []
    budget = SESSIONS_AVERAGED
    for run in runs:
        budget -= sessions.get(run.run_key, 0)
        if budget < 0:
            break
        keys.append(run.run_key)
    means: dict[str, dict[str, float]] = {}
    if keys:
        rows = Measurement.objects.filter(
            project_id=caller.project_id, run_key__in=keys, value__range=(-_REASONABLE, _REASONABLE)
        )
        for run_key, name, mean in rows.order_by().values_list("run_key", "name").annotate(mean=Avg("value")):
            means.setdefault(str(run_key), {})[name] = mean
    return means
