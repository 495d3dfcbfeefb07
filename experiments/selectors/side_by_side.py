"""One datapoint in two runs: what went in, what came out on either side, and what differs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.domain.text_diff import difference, shown
from experiments.models import Event, Measurement, Run
from experiments.selectors.events import of_run
from experiments.selectors.run_overview import SessionDetail, session_details
from experiments.selectors.runs import get_run
from governance.domain.caller import Caller
from governance.domain.errors import NotFound

MOST_SESSIONS = 100  # executions of one datapoint in one run


@dataclass(frozen=True, slots=True)
class _Side:
    sessions: list[str]
    chosen: str
    detail: SessionDetail
    metrics: dict[str, float | bool]

    def to_json(self) -> dict[str, Any]:
        return {
            "session_id": self.chosen,
            "sessions": self.sessions,
            "outputs": self.detail.outputs,
            "text": shown(self.detail.outputs),
            "error": self.detail.error,
            "latency_ms": self.detail.latency_ms,
            "metrics": self.metrics,
        }


def side_by_side(
    *, caller: Caller, new: str, old: str, datapoint_id: str, old_session: str = "", new_session: str = ""
) -> dict[str, Any]:
    """Both runs' outputs of a datapoint with the difference between them; the first execution unless one is named.

    A side without the datapoint is None, and there is no difference then. Eight queries. Raises NotFound for a run,
    datapoint or session that is not there.
    """
    runs = [get_run(caller=caller, run_key=key) for key in (old, new)]
    sessions = _sessions(caller, runs, datapoint_id)
    if not any(sessions.values()):
        raise NotFound(
            f"Neither run has a datapoint {datapoint_id[:100]!r}; take an id from …/datapoints.",
            field="datapoint_id",
            value=datapoint_id[:255],
        )
    chosen = [
        _named(sessions[run.run_key], asked, field)
        for run, asked, field in zip(runs, (old_session, new_session), ("old_session", "new_session"), strict=True)
    ]
    ids = [each for each in chosen if each]
    details, metrics = session_details(caller=caller, session_ids=ids), _metrics(caller, ids)
    before, after = (
        _Side(sessions[run.run_key], each, details.get(each, SessionDetail()), metrics.get(each, {})) if each else None
        for run, each in zip(runs, chosen, strict=True)
    )
    first = after or before
    return {
        "datapoint_id": datapoint_id,
        "inputs": first.detail.inputs if first else None,
        "expected": first.detail.expected if first else None,
        "old": before.to_json() if before else None,
        "new": after.to_json() if after else None,
        "diff": difference(before.detail.outputs, after.detail.outputs).to_json() if before and after else None,
    }


def _sessions(caller: Caller, runs: Sequence[Run], datapoint_id: str) -> dict[str, list[str]]:
    """Sessions of the datapoint by run, in order of start. Two queries for each run."""
    found: dict[str, list[str]] = {}
    for run in runs:
        rows = Event.objects.filter(
            of_run(project_id=run.project_id, run_key=run.run_key),
            project_id=caller.project_id,
            event_type="session",
            datapoint_key=datapoint_id,
        ).order_by("start_time", "id")
        found[run.run_key] = [str(key) for key in rows.values_list("session_key", flat=True)[:MOST_SESSIONS]]
    return found


def _named(sessions: Sequence[str], asked: str, field: str) -> str:
    if not asked:
        return sessions[0] if sessions else ""
    if asked not in sessions:
        raise NotFound(
            f"Session {asked[:60]!r} is no execution of this datapoint in that run.", field=field, value=asked[:255]
        )
    return asked


def _metrics(caller: Caller, sessions: Sequence[str]) -> dict[str, dict[str, float | bool]]:
    """Metrics of each session by name; of several events the last one counts. One query."""
    rows = Measurement.objects.filter(project_id=caller.project_id, session_key__in=sessions).order_by("id")
    found: dict[str, dict[str, float | bool]] = {}
    for session, name, value, is_boolean in rows.values_list("session_key", "name", "value", "is_boolean"):
        found.setdefault(str(session), {})[name] = bool(value) if is_boolean else value
    return found
