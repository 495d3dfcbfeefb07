"""A result and a comparison as tests show them: a metric of every kind, failures of every kind."""

from typing import Any

from experiments.sdk.models import (
    DatapointMetric,
    DatapointOutcome,
    DatapointResult,
    ExperimentResultSummary,
    ExperimentRun,
    MetricComparison,
    MetricDatapoints,
    MetricDetail,
    Metrics,
    PassingRange,
    RunComparisonResult,
)

RUN = "7c0f5ac1-6a6f-4b41-8f0e-2a4c8f5b9d11"
LONG_NAME = "answer_relevancy_with_a_rather_long_name_that_nobody_reads_to_its_end"


def detail(name: str, aggregate: float | None, values: list[Any], **more: Any) -> MetricDetail:
    return MetricDetail(
        metric_name=name, event_name=more.pop("event", "answer"), aggregate=aggregate, values=values, **more
    )


def row(number: int, *, accuracy: float = 0.9, passed: bool = True) -> DatapointResult:
    metric = DatapointMetric(name="accuracy", event_name="answer", value=accuracy, passed=passed)
    return DatapointResult(datapoint_id=f"EXT-{number:016x}", session_id=f"s{number}", passed=passed, metrics=[metric])


def outcome(number: int, **more: Any) -> DatapointOutcome:
    said = {"inputs": {"q": f"question {number}"}, "delivered": True, **more}
    return DatapointOutcome(datapoint_id=f"EXT-{number:016x}", session_id=f"s{number}", **said)


def completed(**more: Any) -> ExperimentResultSummary:
    """Fifteen datapoints of which three failed, with a metric of every kind."""
    rows = [row(number, accuracy=0.2 if number < 3 else 0.9, passed=number >= 3) for number in range(15)]
    passed, failed = ([each.datapoint_id or "" for each in rows if each.passed is verdict] for verdict in (True, False))
    said: dict[str, Any] = {
        "run_id": RUN,
        "name": "prompt 3",
        "status": "completed",
        "passed": passed,
        "failed": failed,
        "server_url": "http://127.0.0.1:8000/",
        "metrics": Metrics(
            aggregation_function="average",
            details=[
                detail(
                    "accuracy",
                    0.76,
                    [each.metrics[0].value for each in rows],
                    passing_range=PassingRange(min=0.5),
                    datapoints=MetricDatapoints(passed=passed, failed=failed),
                ),
                detail(LONG_NAME, 1240.5, [1240.5] * 15, passing_range=PassingRange(min=0, max=2000)),
                detail("undefined", None, []),
            ],
        ),
        "datapoints": rows,
        **more,
    }
    return ExperimentResultSummary(**said)


def compared(**more: Any) -> RunComparisonResult:
    ids = [f"EXT-{number:016x}" for number in range(14)]
    said: dict[str, Any] = {
        "new_run_id": RUN,
        "old_run_id": "old",
        "common_datapoints": 40,
        "new_run": ExperimentRun(run_id=RUN, name="prompt 3"),
        "metrics": [
            MetricComparison(
                metric_name="accuracy", direction="higher", old_aggregate=0.66, new_aggregate=0.71, difference=0.05,
                percentage_change=7.58, found_count=40, improved_count=3, degraded_count=2, same_count=35,
                improved=ids[11:], degraded=[ids[13], ids[0]],
            ),
            MetricComparison(
                metric_name="latency", direction="lower", old_aggregate=812.2, new_aggregate=1240.5, difference=428.3,
                percentage_change=52.73, found_count=40, degraded_count=12, same_count=28, degraded=ids[:12],
            ),
            MetricComparison(metric_name="only new", new_aggregate=0.5, found_count=0),
        ],
        **more,
    }  # fmt: skip
    return RunComparisonResult(**said)
