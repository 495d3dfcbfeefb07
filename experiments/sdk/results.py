"""Results of runs from the server's own answers, typed. Nothing is computed here.

Older servers leave fields out, key metrics by name or put null where a list belongs: such a field reads as absent, and
everything else is kept. Unknown keys are kept, too.
"""

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import Field, ValidationError

from experiments.sdk.configuration import Settings
from experiments.sdk.errors import ConfigurationError
from experiments.sdk.models import (
    DatapointMetric,
    DatapointResult,
    ExperimentResultSummary,
    ExperimentRun,
    Json,
    MetricComparison,
    MetricDetail,
    Metrics,
    RunComparisonResult,
    Wire,
)
from experiments.sdk.transport.client import Client

Shape = TypeVar("Shape", bound=Wire)

_OF_THE_CLIENT = ("outcomes", "notices", "spool_path")  # fields that no server fills
_NUMBER_LISTS = ("values", "old_values", "new_values")


class EventMetrics(Wire):
    """Raw metrics of one event."""

    event_name: str | None = None
    event_type: str | None = None
    session_id: str | None = None
    metadata: Json = Field(default_factory=dict)  # datapoint_id
    metrics: Json = Field(default_factory=dict)


class RunMetrics(Wire):
    """Raw metrics of a run's events in the order of their start; also readable like the wire's dict."""

    events: list[EventMetrics] = Field(default_factory=list)
    total_events: int | None = Field(default=None, alias="totalEvents")

    def __getitem__(self, key: str) -> Any:
        return self.model_dump(by_alias=True)[key]


def get_run_result(
    client: Client | Settings | None,
    run_id: str,
    project_id: str | None = None,
    aggregate_function: str = "average",
) -> ExperimentResultSummary:
    """The result of a run as the server computes it.

    `client` None finds the server like evaluate() does. `aggregate_function` is average, sum, min, max, median, p90,
    p95, p99 or count. `project_id` is ignored: the key decides. Raises the errors of experiments.sdk.errors.
    """
    warn_of_project(project_id)
    with opened_client(client) as opened:
        body = opened.result(run_id, aggregate_function=aggregate_function)
        return result_from_wire(body, run_id=run_id, server_url=opened.settings.server_url)


def get_run_metrics(client: Client | Settings | None, run_id: str, project_id: str | None = None) -> RunMetrics:
    """Raw metrics of a run's events, nothing aggregated. Arguments and errors as with get_run_result."""
    warn_of_project(project_id)
    with opened_client(client) as opened:
        return metrics_from_wire(opened.metrics(run_id))


def compare_runs(
    client: Client | Settings | None,
    new_run_id: str,
    old_run_id: str,
    project_id: str | None = None,
    aggregate_function: str = "average",
) -> RunComparisonResult:
    """Two runs compared by the server over their common datapoints. Arguments and errors as with get_run_result."""
    warn_of_project(project_id)
    with opened_client(client) as opened:
        body = opened.compare(new_run_id, old_run_id, aggregate_function=aggregate_function)
        return comparison_from_wire(body, new_run_id, old_run_id)


def result_from_wire(body: Mapping[str, Any], *, run_id: str, server_url: str | None) -> ExperimentResultSummary:
    """An answer of `GET /v1/runs/{run_id}/result` as a typed object."""
    said = {key: value for key, value in body.items() if key not in _OF_THE_CLIENT}
    run = _run(said.get("run_object"), run_id)
    said |= {"run_id": run_id, "server_url": server_url, "run_object": run, "status": said.get("status") or "unknown"}
    said.setdefault("name", run.name if run else None)
    with contextlib.suppress(ValidationError):
        return ExperimentResultSummary.model_validate(said)
    said["metrics"] = _metrics(said.get("metrics"))
    said["datapoints"] = [
        _tolerant(DatapointResult, {**item, "metrics": _each(DatapointMetric, item.get("metrics"), "name")})
        for item in _dicts(said.get("datapoints"))
    ]
    said["event_details"] = _dicts(said.get("event_details"))
    for name in ("passed", "failed"):
        said[name] = _texts(said.get(name))
    return _tolerant(ExperimentResultSummary, said)


def metrics_from_wire(body: Mapping[str, Any]) -> RunMetrics:
    """An answer of `GET /v1/runs/{run_id}/metrics` as a typed object."""
    with contextlib.suppress(ValidationError):
        return RunMetrics.model_validate(body)
    return _tolerant(
        RunMetrics, {**body, "events": [_tolerant(EventMetrics, item) for item in _dicts(body.get("events"))]}
    )


def comparison_from_wire(body: Mapping[str, Any], new_run_id: str, old_run_id: str) -> RunComparisonResult:
    """An answer of `GET /v1/runs/{new}/compare-with/{old}` as a typed object.

    `metric_deltas` has one entry per metric name, of several events the last one, as in the official object; `metrics`
    has them all.
    """
    metrics = _each(MetricComparison, body.get("metrics"), "metric_name")
    said = dict(body)
    said |= {
        "new_run_id": new_run_id,
        "old_run_id": old_run_id,
        "new_run": _run(body.get("new_run"), new_run_id),
        "old_run": _run(body.get("old_run"), old_run_id),
        "common_datapoints": _count(body.get("commonDatapoints", body.get("common_datapoints"))),
        "new_only_datapoints": _count(body.get("new_only_datapoints")),
        "old_only_datapoints": _count(body.get("old_only_datapoints")),
        "metrics": metrics,
        "metric_deltas": {metric.metric_name: _delta(metric) for metric in metrics},
    }
    return RunComparisonResult.model_validate(said)


def _delta(metric: MetricComparison) -> Json:
    """The figures of one metric under the names that the official object uses, and what the server says besides."""
    figures = metric.model_dump(exclude={"metric_name"})
    figures["found_count"] = figures["found_count"] or 0
    return figures


@contextlib.contextmanager
def opened_client(client: Any) -> Iterator[Client]:
    """The caller's client, left open, or one of our own for this call."""
    if isinstance(client, Client):
        yield client
    elif client is None or isinstance(client, Settings):
        with Client(client) as own:
            yield own
    else:
        raise ConfigurationError(
            f"client is a {type(client).__module__}.{type(client).__name__}; give experiments.Client(server_url=…, "
            "api_key=…), or None to find the server by the environment."
        )


def warn_of_project(project_id: str | None) -> None:
    if project_id is not None:
        warnings.warn(
            f"project_id={project_id!r} is ignored: the API key decides the project. Leave it out.",
            DeprecationWarning,
            stacklevel=3,
        )


# --- what servers of all ages send


def _tolerant(shape: type[Shape], said: Mapping[str, Any]) -> Shape:
    """The typed object without those optional fields that do not fit."""
    kept = dict(said)
    while True:
        try:
            return shape.model_validate(kept)
        except ValidationError as error:
            wrong = {str(problem["loc"][0]) for problem in error.errors() if problem["loc"]} & set(kept)
            if not wrong:
                raise
            for name in wrong:
                del kept[name]


def _each(shape: type[Shape], said: Any, key: str) -> list[Shape]:
    """Typed objects of a list, or of a dict keyed by name; what has no name is left out."""
    if isinstance(said, Mapping):
        said = [{key: name, **item} for name, item in said.items() if isinstance(item, Mapping)]
    found = []
    for item in _dicts(said):
        if isinstance(item.get(key), str):
            lists: Json = {name: _numbers(item[name]) for name in _NUMBER_LISTS if name in item}
            found.append(_tolerant(shape, {**item, **lists}))
    return found


def _metrics(said: Any) -> Metrics:
    if not isinstance(said, Mapping):
        return Metrics()
    return _tolerant(Metrics, {**said, "details": _each(MetricDetail, said.get("details"), "metric_name")})


def _run(said: Any, run_id: str) -> ExperimentRun | None:
    if not isinstance(said, Mapping):
        return None
    return _tolerant(ExperimentRun, {**said, "run_id": run_id})


def _dicts(said: Any) -> list[Json]:
    return [item for item in said if isinstance(item, dict)] if isinstance(said, list) else []


def _texts(said: Any) -> list[str]:
    return [str(item) for item in said if item is not None] if isinstance(said, list) else []


def _numbers(said: Any) -> list[bool | int | float]:
    return [item for item in said if isinstance(item, bool | int | float)] if isinstance(said, list) else []


def _count(said: Any) -> int:
    if isinstance(said, list):
        return len(said)
    return said if isinstance(said, int) else 0
