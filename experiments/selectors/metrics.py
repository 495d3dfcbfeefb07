"""Reads of project metrics and their versions."""

from experiments.models import Metric, MetricVersion
from governance.domain.caller import Caller
from governance.domain.errors import NotFound


def metric_not_found(public_id: str) -> NotFound:
    """The one answer for metrics that do not exist and for other projects' metrics."""
    return NotFound(
        f"Metric {public_id[:100]!r} does not exist in this project.", field="metric_id", value=public_id[:100]
    )


def list_metrics(*, caller: Caller, type: str | None = None, public_id: str | None = None) -> list[Metric]:
    """Metrics of the caller's project by name. One query; a project has few."""
    found = Metric.objects.filter(project_id=caller.project_id).order_by("name")
    if type is not None:
        found = found.filter(type=type)
    if public_id is not None:
        found = found.filter(public_id=public_id)
    return list(found)


def get_metric(*, caller: Caller, public_id: str) -> Metric:
    """One metric of the caller's project."""
    metric = Metric.objects.filter(project_id=caller.project_id, public_id=public_id).first()
    if metric is None:
        raise metric_not_found(public_id)
    return metric


def list_versions(*, caller: Caller, public_id: str) -> list[MetricVersion]:
    """Versions of one metric, oldest first."""
    return list(get_metric(caller=caller, public_id=public_id).versions.order_by("id"))
