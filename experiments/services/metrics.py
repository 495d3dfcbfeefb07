"""Use cases that write project metrics and their versions.

What is deployed is what the metric says: every change is kept as a version, and deploying one writes its
content back. Each change bumps the project's `metrics_revision`, on which kept results depend.
"""

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from experiments.domain.wire_metrics import MetricBody, MetricChanges, check_consistency, content_hash, content_of
from experiments.models import Metric, MetricVersion
from experiments.selectors.metrics import metric_not_found
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.errors import Conflict, InvalidInput, NotFound
from governance.models import Project
from governance.services import audit


def _locked(caller: Caller, public_id: str) -> Metric:
    found = Metric.objects.select_for_update().filter(project_id=caller.project_id, public_id=public_id).first()
    if found is None:
        raise metric_not_found(public_id)
    return found


def _bump(caller: Caller) -> None:
    Project.objects.filter(pk=caller.project_id).update(metrics_revision=F("metrics_revision") + 1)


def _record(caller: Caller, verb: str, metric: Metric, **sides: dict[str, Any] | None) -> None:
    audit.record(
        caller=caller,
        action=f"metric.{verb}",
        target_kind="metric",
        target_id=metric.public_id,
        target_label=metric.name,
        **sides,
    )


def _check(caller: Caller, metric: Metric) -> dict[str, Any]:
    """The metric's content, refused when it cannot work: composites are not made of texts or of composites."""
    content = content_of(metric)
    check_consistency(content)
    if metric.type == "COMPOSITE":
        names = [child["name"] for child in metric.child_metrics or []]
        if metric.name in names:
            raise InvalidInput("Field 'child_metrics' contains the composite itself; remove it.", field="child_metrics")
        unfit = Metric.objects.filter(project_id=caller.project_id, name__in=names)
        for name, kind, return_type in unfit.values_list("name", "type", "return_type"):
            if kind == "COMPOSITE" or return_type == "string":
                raise InvalidInput(
                    f"Field 'child_metrics': {name!r} is a {'composite' if kind == 'COMPOSITE' else 'text'} metric; "
                    "use numeric, boolean or categorical ones.",
                    field="child_metrics",
                    value=name,
                )
    return content


def _save(metric: Metric) -> None:
    try:
        with transaction.atomic():
            metric.save()
    except IntegrityError:
        raise Conflict(
            f"Field 'name': a metric named {metric.name!r} exists already. Choose another name, or update that metric.",
            field="name",
            value=metric.name,
        ) from None


def _add_version(metric: Metric, *, message: str, content: dict[str, Any], deployed: bool) -> MetricVersion:
    """The next version of a locked metric. Its number is never given twice: versions are not deleted."""
    if deployed:
        metric.versions.filter(deployed=True).update(deployed=False)
    return MetricVersion.objects.create(
        metric=metric,
        name=f"v{metric.versions.count() + 1}",
        full_sha=content_hash(content),
        message=message,
        content=content,
        deployed=deployed,
    )


@transaction.atomic
def create_metric(*, caller: Caller, body: MetricBody) -> Metric:
    """A metric with its first, deployed version."""
    caller.require(Action.METRICS_WRITE)
    metric = Metric(project_id=caller.project_id, **body.changes())
    content = _check(caller, metric)
    _save(metric)
    _add_version(metric, message="Created", content=content, deployed=True)
    _bump(caller)
    _record(caller, "create", metric, after=content)
    return metric


@transaction.atomic
def update_metric(*, caller: Caller, public_id: str, body: MetricChanges) -> Metric:
    """Change what is given; the result becomes the deployed version."""
    caller.require(Action.METRICS_WRITE)
    metric = _locked(caller, public_id)
    before = content_of(metric)
    for name, value in body.changes().items():
        setattr(metric, name, value)
    content = _check(caller, metric)
    if content != before:
        _save(metric)
        _add_version(metric, message="Updated", content=content, deployed=True)
        _bump(caller)
        changed = [name for name in content if content[name] != before[name]]
        sides = [{name: side[name] for name in changed} for side in (before, content)]
        _record(caller, "update", metric, before=sides[0], after=sides[1])
    return metric


@transaction.atomic
def delete_metric(*, caller: Caller, public_id: str) -> None:
    """Delete a metric with its versions. Values measured under its name stay and count as client-side."""
    caller.require(Action.METRICS_WRITE)
    metric = _locked(caller, public_id)
    before = content_of(metric)
    Metric.objects.filter(pk=metric.pk).delete()
    _bump(caller)
    _record(caller, "delete", metric, before=before)


@transaction.atomic
def create_version(
    *, caller: Caller, public_id: str, message: str, content: MetricBody, deploy: bool = False
) -> MetricVersion:
    """Keep a wording of a metric; with `deploy` it becomes what the metric says."""
    caller.require(Action.METRICS_WRITE)
    metric = _locked(caller, public_id)
    worded = Metric(project_id=caller.project_id, **content.changes())
    full = _check(caller, worded)
    version = _add_version(metric, message=message, content=full, deployed=False)
    if deploy:
        _deploy(caller, metric, version)
    _record(caller, "version", metric, after={"version": version.name, "deployed": version.deployed})
    return version


@transaction.atomic
def deploy_version(*, caller: Caller, public_id: str, name: str) -> MetricVersion:
    """Make a kept version what the metric says; deploying the deployed one changes nothing."""
    caller.require(Action.METRICS_WRITE)
    metric = _locked(caller, public_id)
    version = metric.versions.filter(name=name).first()
    if version is None:
        raise NotFound(f"Version {name[:64]!r} of metric {public_id!r} does not exist.", field="version_name")
    if not version.deployed:
        before = metric.versions.filter(deployed=True).values_list("name", flat=True).first()
        _deploy(caller, metric, version)
        _record(caller, "deploy", metric, before={"version": before}, after={"version": version.name})
    return version


def _deploy(caller: Caller, metric: Metric, version: MetricVersion) -> None:
    for name, value in version.content.items():
        setattr(metric, name, value)
    _check(caller, metric)
    _save(metric)
    metric.versions.filter(deployed=True).update(deployed=False)
    MetricVersion.objects.filter(pk=version.pk).update(deployed=True)
    version.deployed = True
    Metric.objects.filter(pk=metric.pk).update(updated_at=timezone.now())
    _bump(caller)
