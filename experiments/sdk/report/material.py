"""Everything a report shows, as it was asked of the server: result, comparison, and the events behind failures."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments.sdk.errors import NotFound
from experiments.sdk.gate.baselines import find_baseline
from experiments.sdk.gate.rules import Figures

if TYPE_CHECKING:
    from experiments.sdk.models import (
        DatapointResult,
        ExperimentResultSummary,
        ExperimentRun,
        MetricComparison,
        RunComparisonResult,
    )
    from experiments.sdk.transport.client import Client

Json = dict[str, Any]
MAX_FAILING = 25
MAX_MOVERS = 5  # in each direction, of each metric
MAX_MOVED_SESSIONS = 40
MAX_EVENTS = 50  # of one session


@dataclass(frozen=True, slots=True)
class Content:
    """What happened in one session: buckets of its session event, explanations of all its events."""

    inputs: Any = None
    outputs: Any = None
    ground_truth: Any = None
    error: str | None = None
    explanations: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failing:
    """A datapoint's execution that failed, with what is known of it."""

    row: "DatapointResult"
    content: Content


@dataclass(frozen=True, slots=True)
class Mover:
    """A common datapoint whose value changed."""

    datapoint_id: str
    old: float
    new: float
    shown_input: Any = None


@dataclass(frozen=True, slots=True)
class ComparedMetric:
    """Figures of one metric of both runs, and who moved most; `event` tells namesakes apart."""

    figures: Figures
    event: str
    improved: int
    degraded: int
    same: int
    improved_most: list[Mover]
    degraded_most: list[Mover]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side; `pass_rates` (new, old) as hhweb sends them, None from other servers."""

    baseline: "ExperimentRun"
    baseline_result: "ExperimentResultSummary"
    common: int
    metrics: list[ComparedMetric]
    only_in_one: list[tuple[str, str]]
    warnings: list[str]
    pass_rates: Json | None
    level: float | None


@dataclass(frozen=True, slots=True)
class Material:
    """What one report is made of; `failing` are the first of `failing_count`, crashed ones before all others."""

    run: "ExperimentRun"
    result: "ExperimentResultSummary"
    failing: list[Failing]
    failing_count: int
    crashed: int
    comparison: Comparison | None
    server_url: str
    has_console: bool


def gathered(client: "Client", run: str, baseline: str | None) -> Material:
    """Ask the server for all of it: a handful of requests, and one for each failing or moving session shown."""
    from experiments.sdk.results import get_run_result
    from experiments.sdk.run_references import find_run

    found = find_run(client, run)
    old = find_baseline(client, baseline, found) if baseline is not None else None
    result = get_run_result(client, found.run_id)
    failing = sorted((row for row in result.datapoints if row.passed is False), key=lambda row: not row.has_crashed)
    return Material(
        run=found,
        result=result,
        failing=[Failing(row, _content(client, row.session_id)) for row in failing[:MAX_FAILING]],
        failing_count=len(failing),
        crashed=len({row.datapoint_id or row.session_id for row in failing if row.has_crashed}),
        comparison=_compared(client, found, result, old) if old is not None else None,
        server_url=client.settings.server_url,
        has_console=bool(client.is_hhweb),
    )


def _compared(
    client: "Client", run: "ExperimentRun", result: "ExperimentResultSummary", old: "ExperimentRun"
) -> Comparison:
    from experiments.sdk.results import compare_runs, get_run_result
    from experiments.sdk.transport.client import segment

    shown = _ShownInputs(client, result)
    if client.is_hhweb:
        path = f"/api/v1/runs/{segment(run.run_id)}/compare/{segment(old.run_id)}"
        answer = client.request("GET", path)
        metrics = [_of_statistics(entry, shown) for entry in answer["metrics"]]
        only = [(entry["metric_name"], entry["presence"]) for entry in answer["only_in_one"]]
        common, warnings, rates = answer["common_datapoints"], list(answer["warnings"]), answer["pass_rates"]
        level = answer["confidence"]
    else:
        plainly = compare_runs(client, run.run_id, old.run_id)
        ids = _common_ids(plainly)
        both = [each for each in plainly.metrics if each.old_aggregate is not None and each.new_aggregate is not None]
        metrics = [_of_protocol(each, ids, shown) for each in both]
        only = [
            (each.metric_name, "old" if each.new_aggregate is None else "new")
            for each in plainly.metrics
            if each not in both
        ]
        common, warnings, rates, level = plainly.common_datapoints, [], None, None
    baseline_result = get_run_result(client, old.run_id)
    return Comparison(old, baseline_result, common, metrics, only, warnings, rates, level)


def _of_statistics(entry: Mapping[str, Any], shown: "_ShownInputs") -> ComparedMetric:
    improved, degraded = (
        [Mover(m["datapoint_id"], m["old"], m["new"], shown.of(m["datapoint_id"])) for m in entry[name][:MAX_MOVERS]]
        for name in ("improved_most", "degraded_most")
    )
    return ComparedMetric(
        figures=Figures.of_statistics(entry),
        event=entry["event_name"],
        improved=entry["improved_count"],
        degraded=entry["degraded_count"],
        same=entry["same_count"],
        improved_most=improved,
        degraded_most=degraded,
    )


def _common_ids(plainly: "RunComparisonResult") -> list[str]:
    said = (plainly.model_extra or {}).get("commonDatapoints")
    return [each for each in said if isinstance(each, str)] if isinstance(said, list) else []


def _of_protocol(metric: "MetricComparison", common: list[str], shown: "_ShownInputs") -> ComparedMetric:
    # Values come in the order of the common datapoints that have the metric; the three lists say which those are.
    known = {*metric.improved, *metric.degraded, *metric.same}
    ids = [each for each in common if each in known]
    pairs = list(zip(ids, metric.old_values, metric.new_values, strict=False))
    if len(ids) != len(metric.old_values) or len(ids) != len(metric.new_values):
        pairs = []
    pairs.sort(key=lambda pair: (-abs(pair[2] - pair[1]), pair[0]))
    improved, degraded = (
        [Mover(key, old, new, shown.of(key)) for key, old, new in [p for p in pairs if p[0] in wanted][:MAX_MOVERS]]
        for wanted in (set(metric.improved), set(metric.degraded))
    )
    return ComparedMetric(
        figures=Figures.of_protocol(metric),
        event=metric.event_name or "",
        improved=metric.improved_count,
        degraded=metric.degraded_count,
        same=metric.same_count,
        improved_most=improved,
        degraded_most=degraded,
    )


class _ShownInputs:
    """Inputs of datapoints in the new run, asked for once each, for so many at most."""

    def __init__(self, client: "Client", result: "ExperimentResultSummary") -> None:
        self._client = client
        self._sessions = {row.datapoint_id: row.session_id for row in result.datapoints if row.datapoint_id}
        self._known: dict[str, Any] = {}

    def of(self, datapoint_id: str) -> Any:
        """The inputs, None when there are none or enough were asked for."""
        if datapoint_id not in self._known and len(self._known) < MAX_MOVED_SESSIONS:
            self._known[datapoint_id] = _content(self._client, self._sessions.get(datapoint_id)).inputs
        return self._known.get(datapoint_id)


def _content(client: "Client", session_id: str | None) -> Content:
    if session_id is None:
        return Content()
    try:
        events = list(_events(client, session_id))
    except NotFound:
        return Content()
    session = next((each for each in events if each.get("event_type") == "session"), events[0] if events else {})
    feedback = _object(session.get("feedback"))
    explanations: Json = {}
    for event in events:
        metrics = _object(event.get("metrics"))
        explanations |= {name: said for name, said in metrics.items() if isinstance(said, str)}
    errors = (each.get("error") for each in [session, *events])
    return Content(
        inputs=session.get("inputs"),
        outputs=session.get("outputs"),
        ground_truth=feedback.get("ground_truth"),
        error=next((str(error) for error in errors if error), None),
        explanations=explanations,
    )


def _events(client: "Client", session_id: str) -> Iterator[Json]:
    condition = {"field": "session_id", "operator": "is", "value": session_id, "type": "string"}
    for number, event in enumerate(client.events([condition])):
        if number == MAX_EVENTS:
            return
        yield event


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
