"""Project metrics of the HoneyHive protocol, their versions, and trying one out on an event."""

from typing import Any

from django.urls import URLPattern, path

from experiments.domain.metric_trial import try_metric
from experiments.domain.wire_metrics import (
    MetricBody,
    MetricChanges,
    MetricChangesWithId,
    TrialBody,
    VersionBody,
    wire_metric,
    wire_version,
)
from experiments.honeyhive_api.door import Call, endpoint, resource
from experiments.models import MetricType
from experiments.selectors import metrics as selectors
from experiments.services import metrics as services
from governance.domain.actions import Action
from governance.domain.errors import InvalidInput


@endpoint(Action.METRICS_READ)
def list_metrics(call: Call) -> dict[str, Any]:
    kind = call.query.get("type") or None
    if kind is not None and kind not in MetricType.values:
        raise InvalidInput(
            f"Field 'type': {kind[:100]!r} is unknown; use one of {', '.join(MetricType.values)}.",
            field="type",
            value=kind[:100],
        )
    found = selectors.list_metrics(caller=call.caller, type=kind, public_id=call.query.get("id") or None)
    return {"metrics": [wire_metric(metric) for metric in found]}


@endpoint(Action.METRICS_WRITE)
def create_metric(call: Call) -> dict[str, Any]:
    metric = services.create_metric(caller=call.caller, body=call.parse(MetricBody))
    return {"inserted": True, "metric_id": metric.public_id}


@endpoint(Action.METRICS_WRITE)
def update_metric(call: Call) -> dict[str, Any]:
    body = call.parse(MetricChangesWithId)
    services.update_metric(caller=call.caller, public_id=body.id, body=body)
    return {"updated": True}


@endpoint(Action.METRICS_WRITE)
def update_metric_by_id(call: Call, metric_id: str) -> dict[str, Any]:
    services.update_metric(caller=call.caller, public_id=metric_id, body=call.parse(MetricChanges))
    return {"updated": True}


@endpoint(Action.METRICS_WRITE, json_body=False)
def delete_metric(call: Call) -> dict[str, Any]:
    metric_id = call.query.get("metric_id")
    if not metric_id:
        raise InvalidInput("Field 'metric_id' is missing; send it as a query parameter.", field="metric_id")
    services.delete_metric(caller=call.caller, public_id=metric_id)
    return {"deleted": True}


@endpoint(Action.METRICS_WRITE, json_body=False)
def delete_metric_by_id(call: Call, metric_id: str) -> dict[str, Any]:
    services.delete_metric(caller=call.caller, public_id=metric_id)
    return {"deleted": True}


@endpoint(Action.METRICS_READ)
def list_versions(call: Call, metric_id: str) -> dict[str, Any]:
    found = selectors.list_versions(caller=call.caller, public_id=metric_id)
    return {"success": True, "data": [wire_version(version) for version in found]}


@endpoint(Action.METRICS_WRITE)
def create_version(call: Call, metric_id: str) -> dict[str, Any]:
    body = call.parse(VersionBody)
    version = services.create_version(
        caller=call.caller,
        public_id=metric_id,
        message=body.message,
        content=body.content,
        deploy=bool(body.deploy_immediately),
    )
    return {"success": True, "data": wire_version(version)}


@endpoint(Action.METRICS_WRITE, json_body=False)
def deploy_version(call: Call, metric_id: str, name: str) -> dict[str, Any]:
    version = services.deploy_version(caller=call.caller, public_id=metric_id, name=name)
    return {"success": True, "data": wire_version(version)}


@endpoint(Action.METRICS_WRITE)
def run_metric(call: Call) -> dict[str, Any]:
    """Judge one event with one of the built-in evaluators; nothing is stored."""
    body = call.parse(TrialBody)
    feedback = body.event.feedback
    trial = try_metric(
        kind=body.metric.type,
        criteria=body.metric.criteria,
        outputs=body.event.outputs,
        ground_truth=feedback.ground_truth if feedback is not None else None,
    )
    return {
        "success": trial.is_success,
        "loading": False,
        "result": trial.result,
        "explanation": trial.explanation,
    }


urlpatterns: list[URLPattern] = [
    path("v1/metrics/run_metric", resource(POST=run_metric)),
    path("v1/metrics/run", resource(POST=run_metric)),
    path("v1/metrics", resource(GET=list_metrics, POST=create_metric, PUT=update_metric, DELETE=delete_metric)),
    path("v1/metrics/<str:metric_id>", resource(PUT=update_metric_by_id, DELETE=delete_metric_by_id)),
    path("v1/metrics/<str:metric_id>/versions", resource(GET=list_versions, POST=create_version)),
    path("v1/metrics/<str:metric_id>/versions/<str:name>/deploy", resource(POST=deploy_version)),
]
