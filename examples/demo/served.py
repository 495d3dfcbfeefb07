"""The server's answers, read through the official SDK and laid out like the figures of `figures.py`."""

from typing import Any

from honeyhive import HoneyHive
from honeyhive.experiments import compare_runs, get_run_result
from honeyhive.models import CreateMetricRequest

from examples.demo.figures import AGGREGATES, RULES


def ensure_metrics(client: HoneyHive) -> None:
    """Create the project's metrics that carry the pass rules, unless an earlier demo did."""
    present = {metric.name for metric in client.metrics.list()}
    for name, rule in RULES.items():
        if name in present:
            continue
        bounds = {"min": rule.minimum, "max": rule.maximum}
        client.metrics.create(
            CreateMetricRequest(
                name=name,
                type="PYTHON",
                criteria="computed by the client, see examples/demo/evaluators.py",
                return_type="float",
                scale=1,
                enabled_in_prod=False,
                threshold={side: bound for side, bound in bounds.items() if bound is not None} or None,
                # An addition of hhweb to the protocol: which way a metric improves.
                direction="lower" if rule.lower_is_better else "higher",
            )
        )


def run_figures(client: HoneyHive, run_id: str) -> dict[str, Any]:
    """The run's result under every aggregate function."""
    results = {function: get_run_result(client, run_id, aggregate_function=function) for function in AGGREGATES}
    first = results["average"]
    metrics = {}
    for detail in first.metrics.details:
        metrics[detail.metric_name] = {
            "values": sorted(detail.values),
            "passed": sorted(detail.datapoints.passed),
            "failed": sorted(detail.datapoints.failed),
            "aggregates": {
                function: result.metrics.get_metric(detail.metric_name).aggregate
                for function, result in results.items()
            },
        }
    return {
        "success": first.success,
        "passed": sorted(first.passed),
        "failed": sorted(first.failed),
        "metrics": metrics,
        "datapoints": {
            row.datapoint_id: {
                "scores": {metric.name: metric.value for metric in row.metrics},
                "passed": row.passed,
            }
            for row in first.datapoints
        },
    }


def comparison_figures(client: HoneyHive, new_run_id: str, old_run_id: str, function: str) -> dict[str, Any]:
    """The comparison under one aggregate function, differences included."""
    deltas = compare_runs(client, new_run_id, old_run_id, aggregate_function=function).metric_deltas
    answer = client.experiments.compare_runs(new_run_id, old_run_id, aggregate_function=function)
    metrics = {}
    for entry in answer["metrics"]:
        delta = deltas[entry["metric_name"]]
        metrics[entry["metric_name"]] = {
            "difference": entry["difference"],
            "percentage_change": entry.get("percentage_change"),
            **{key: delta[key] for key in ("old_aggregate", "new_aggregate", "found_count")},
            **{f"{move}_count": delta[f"{move}_count"] for move in ("improved", "degraded", "same")},
            **{move: sorted(delta[move]) for move in ("improved", "degraded", "same")},
        }
    return {"common": sorted(answer["commonDatapoints"]), "metrics": metrics}


def session_figures(client: HoneyHive, run_id: str) -> dict[str, Any]:
    """Output and ids of each session event of the run, keyed by datapoint."""
    conditions = {"metadata.run_id": run_id, "event_type": "session"}
    filters = [
        {"field": field, "operator": "is", "value": value, "type": "string"} for field, value in conditions.items()
    ]
    events = [event.model_dump() for event in client.events.export(filters=filters, limit=7500).events]
    return {
        event["metadata"]["datapoint_id"]: {
            "outputs": event["outputs"] or None,
            "run_id": event["metadata"]["run_id"],
            "dataset_id": event["metadata"]["dataset_id"],
            "source": event["source"],
            "ground_truth": event["feedback"]["ground_truth"],
        }
        for event in events
    }


def console_links(old_run_id: str, new_run_id: str) -> dict[str, str]:
    """Title and path of the console's pages about the two runs."""
    return {
        "run of variant 1": f"/console/runs/{old_run_id}/",
        "run of variant 2": f"/console/runs/{new_run_id}/",
        "comparison": f"/console/runs/compare/?baseline={old_run_id}&candidate={new_run_id}",
    }
