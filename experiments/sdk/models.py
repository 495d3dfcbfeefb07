"""Shapes of the wire as typed objects: requests, runs, results, comparisons. All keep keys they do not know.

The names are those of the specification; `experiments.models` is Django's (docs/decisions).
"""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

Json = dict[str, Any]
Number = bool | int | float


class ExperimentRunStatus(StrEnum):
    """The five states of a run on the server, and the client's own: finished here, waiting in the spool."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PENDING_UPLOAD = "pending_upload"


class Wire(BaseModel):
    """Base of all shapes: unknown keys are kept, so that a newer server loses nothing."""

    # Each shape is built when it is first used: most runs use few of them, and a start should be quick.
    model_config = ConfigDict(extra="allow", populate_by_name=True, defer_build=True)


# --- runs


class ExperimentRun(Wire):
    """A run as the server shows it."""

    run_id: str
    id: str | None = None
    name: str | None = None
    description: str | None = None
    status: str | None = None
    metadata: Json = Field(default_factory=dict)
    results: Json = Field(default_factory=dict)
    configuration: Json = Field(default_factory=dict)
    event_ids: list[str] = Field(default_factory=list)
    dataset_id: str | None = None
    dataset_name: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    is_active: bool | None = None


class CreateRunRequest(Wire):
    """`POST /v1/runs`."""

    run_id: str | None = None
    name: str | None = None
    project: str | None = None
    description: str | None = None
    status: str | None = None
    dataset_id: str | None = None
    metadata: Json | None = None
    results: Json | None = None
    configuration: Json | None = None
    event_ids: list[str] | None = None
    datapoint_ids: list[str] | None = None
    passing_ranges: Json | None = None


class UpdateRunRequest(Wire):
    """`PUT /v1/runs/{run_id}`."""

    name: str | None = None
    description: str | None = None
    status: str | None = None
    metadata: Json | None = None
    results: Json | None = None
    configuration: Json | None = None
    event_ids: list[str] | None = None
    passing_ranges: Json | None = None


class CreateRunResponse(Wire):
    """The stored run, under the wire's older word."""

    run_id: str
    evaluation: ExperimentRun


class UpdateRunResponse(Wire):
    """The run after the update, and what the server could not use."""

    evaluation: ExperimentRun
    warning: str | None = None


class GetRunResponse(Wire):
    """One run."""

    evaluation: ExperimentRun


# --- results


class PassingRange(Wire):
    """Inclusive bounds; None is open."""

    min: float | None = None
    max: float | None = None


class MetricDatapoints(Wire):
    """Ids of the datapoints that passed and failed one metric."""

    passed: list[str] = Field(default_factory=list)
    failed: list[str] = Field(default_factory=list)


class MetricDetail(Wire):
    """One metric of a run, aggregated by the server. `aggregate` None is undefined, never 0."""

    metric_name: str
    metric_type: str | None = None
    event_name: str | None = None
    event_type: str | None = None
    aggregate: float | None = None
    values: list[Number] = Field(default_factory=list)
    passing_range: PassingRange | None = None
    datapoints: MetricDatapoints | None = None


class Metrics(Wire):
    """All metrics of a run; extra keys are allowed, as older servers key metrics by name."""

    aggregation_function: str | None = None
    details: list[MetricDetail] = Field(default_factory=list)

    def get_metric(self, name: str) -> MetricDetail | Any | None:
        """The metric of that name; of several events the last one, which is the one nearest to the session."""
        found = next((detail for detail in reversed(self.details) if detail.metric_name == name), None)
        return found if found is not None else (self.model_extra or {}).get(name)

    def list_metrics(self) -> list[str]:
        """Names, each once, in the server's order."""
        names = [detail.metric_name for detail in self.details]
        return list(dict.fromkeys([*names, *(self.model_extra or {})]))

    def get_all_metrics(self) -> dict[str, Any]:
        """Name -> metric."""
        return {name: self.get_metric(name) for name in self.list_metrics()}


class DatapointMetric(Wire):
    """One metric of one datapoint."""

    name: str
    event_name: str | None = None
    event_type: str | None = None
    value: Number | None = None
    passed: bool | None = None


class DatapointResult(Wire):
    """One session of a run: one execution of the function on one datapoint.

    `crashed` says that the function failed, `missing` names required metrics without a value; only hhweb tells.
    """

    datapoint_id: str | None = None
    session_id: str | None = None
    passed: bool | None = None
    metrics: list[DatapointMetric] = Field(default_factory=list)
    crashed: bool | None = None
    missing: list[str] = Field(default_factory=list)

    @property
    def has_crashed(self) -> bool:
        """Whether the function failed: as the server says, else when the row failed though no metric of it did."""
        if self.crashed is not None or self.missing:
            return bool(self.crashed)
        return self.passed is False and all(metric.passed is not False for metric in self.metrics)


class DatapointOutcome(Wire):
    """What happened here, on the client, to one datapoint; three kinds of failure are kept apart.

    `error` is the function's, `evaluator_errors` are those of evaluators by name, `delivered` says whether the server
    has acknowledged it (None: not yet known). `duration_ms` is the function's alone.
    """

    datapoint_id: str
    session_id: str
    repetition: int = 0
    inputs: Any = None
    ground_truth: Any = None
    outputs: Any = None
    metrics: Json = Field(default_factory=dict)
    error: str | None = None
    error_type: str | None = None
    evaluator_errors: dict[str, str] = Field(default_factory=dict)
    delivered: bool | None = None
    duration_ms: float | None = None
    is_cached: bool = False
    is_resumed: bool = False  # the server had it already: not executed in this call


class ExperimentResultSummary(Wire):
    """A run's result as the server computed it, and what happened on the client, in input order.

    With status `pending_upload` there are no metrics and `spool_path` says where the run waits
    (`hhweb spool replay`). `server_url` and `run_id` lead to the run.
    """

    run_id: str = ""
    name: str | None = None
    status: str
    success: bool = False
    error: str | None = None
    passed: list[str] = Field(default_factory=list)
    failed: list[str] = Field(default_factory=list)
    metrics: Metrics = Field(default_factory=Metrics)
    datapoints: list[DatapointResult] = Field(default_factory=list)
    event_details: list[Json] = Field(default_factory=list)
    run_object: ExperimentRun | None = None
    server_url: str | None = None
    spool_path: str | None = None
    notices: list[str] = Field(default_factory=list)
    outcomes: list[DatapointOutcome] = Field(default_factory=list)

    @property
    def function_failures(self) -> list[DatapointOutcome]:
        """Datapoints on which the function raised."""
        return [outcome for outcome in self.outcomes if outcome.error is not None]

    @property
    def evaluator_failures(self) -> list[DatapointOutcome]:
        """Datapoints on which at least one evaluator raised."""
        return [outcome for outcome in self.outcomes if outcome.evaluator_errors]

    @property
    def delivery_failures(self) -> list[DatapointOutcome]:
        """Datapoints that the server has not acknowledged."""
        return [outcome for outcome in self.outcomes if outcome.delivered is False]

    def print_table(self, run_name: str | None = None, *, file: Any = None) -> None:
        """Print the result as a table (to standard output unless `file` is given)."""
        from experiments.sdk.rendering import print_result

        print_result(self, name=run_name, file=file)

    def to_pandas(self) -> Any:
        """A data frame, one row per execution, in input order where it ran here; needs pandas."""
        from experiments.sdk.rendering import result_frame

        return result_frame(self)

    def _repr_html_(self) -> str:
        from experiments.sdk.rendering import result_html

        return result_html(self)


class MetricComparison(Wire):
    """One metric of two runs over their common datapoints; difference = new − old."""

    metric_name: str
    metric_type: str | None = None
    event_name: str | None = None
    event_type: str | None = None
    direction: str | None = None
    old_aggregate: float | None = None
    new_aggregate: float | None = None
    difference: float | None = None
    percentage_change: float | None = None
    found_count: int | None = None
    improved_count: int = 0
    degraded_count: int = 0
    same_count: int = 0
    improved: list[str] = Field(default_factory=list)
    degraded: list[str] = Field(default_factory=list)
    same: list[str] = Field(default_factory=list)
    old_values: list[Number] = Field(default_factory=list)
    new_values: list[Number] = Field(default_factory=list)


class ExperimentComparisonResponse(Wire):
    """`GET /v1/runs/{new}/compare-with/{old}` as it comes."""

    metrics: list[MetricComparison] = Field(default_factory=list)
    common_datapoints: list[str] = Field(default_factory=list, alias="commonDatapoints")
    event_details: list[Json] = Field(default_factory=list)
    old_run: ExperimentRun | None = None
    new_run: ExperimentRun | None = None


class RunComparisonResult(Wire):
    """Two runs compared by the server. `metric_deltas` is keyed by metric name."""

    new_run_id: str
    old_run_id: str
    common_datapoints: int = 0
    new_only_datapoints: int = 0
    old_only_datapoints: int = 0
    metric_deltas: dict[str, Any] = Field(default_factory=dict)
    metrics: list[MetricComparison] = Field(default_factory=list)
    old_run: ExperimentRun | None = None
    new_run: ExperimentRun | None = None

    def get_metric_delta(self, metric_name: str) -> Json | None:
        """The figures of one metric, or None."""
        return self.metric_deltas.get(metric_name)

    def list_improved_metrics(self) -> list[str]:
        """Metrics better on at least one common datapoint."""
        return [name for name, delta in self.metric_deltas.items() if (delta.get("improved_count") or 0) > 0]

    def list_degraded_metrics(self) -> list[str]:
        """Metrics worse on at least one common datapoint."""
        return [name for name, delta in self.metric_deltas.items() if (delta.get("degraded_count") or 0) > 0]

    def print_table(self, *, file: Any = None) -> None:
        """Print the comparison as a table."""
        from experiments.sdk.rendering import print_comparison

        print_comparison(self, file=file)

    def to_pandas(self) -> Any:
        """A data frame, one row per metric; needs pandas."""
        from experiments.sdk.rendering import comparison_frame

        return comparison_frame(self)

    def _repr_html_(self) -> str:
        from experiments.sdk.rendering import comparison_html

        return comparison_html(self)


# The specification's other names for the same shapes.
ExperimentResultResponse = ExperimentResultSummary
ExperimentResult = ExperimentResultSummary
AggregatedMetrics = Metrics
Detail = MetricDetail
Datapoint1 = DatapointResult
EvaluationRun = ExperimentRun
