"""Finds event quota that nobody holds any more: blocks of killed processes and events that were never stored."""

import datetime as dt

import structlog
from django.db import transaction
from django.db.models import Sum

from governance.models import IngestionCount, Quota, QuotaBlock, Resource
from governance.models.clock import from_now
from governance.services.ingestion_quota import current_month

log = structlog.get_logger(__name__)


def reconcile_all() -> int:
    """Reconcile every project that has used events; returns how many events were given back in all."""
    projects = (
        Quota.objects.filter(resource=Resource.EVENTS, used__gt=0).order_by().values_list("project_id", flat=True)
    )
    return sum(reconcile_project(project_id=project_id) for project_id in list(projects))


@transaction.atomic
def reconcile_project(*, project_id: int) -> int:
    """Lower `used` to what is counted this month plus what is under lease; returns by how much.

    It never raises `used`: a block under lease counts whole here, although some of it may be counted already.
    """
    quota = Quota.objects.select_for_update().filter(project_id=project_id, resource=Resource.EVENTS).first()
    if quota is None:
        return 0
    month = current_month()
    blocks = QuotaBlock.objects.filter(project_id=project_id)
    blocks.filter(leased_until__lte=from_now(dt.timedelta())).delete()
    if quota.period_start != month:
        return 0  # the first reservation of the new month starts the count anew
    # Blocks before counts: an event that is stored in between is then covered twice, never not at all.
    held = blocks.filter(period_start=month).aggregate(events=Sum("size"))["events"] or 0
    counted = _counted(project_id, month)
    surplus = max(0, quota.used - held - counted)
    if surplus:
        Quota.objects.filter(pk=quota.pk).update(used=quota.used - surplus)
        log.info("event_quota_reconciled", project_id=project_id, given_back=surplus, held=held, counted=counted)
    return surplus


def _counted(project_id: int, month: dt.date) -> int:
    start = dt.datetime.combine(month, dt.time(), tzinfo=dt.UTC)
    following = (month + dt.timedelta(days=32)).replace(day=1)
    end = dt.datetime.combine(following, dt.time(), tzinfo=dt.UTC)
    rows = IngestionCount.objects.filter(project_id=project_id, hour__gte=start, hour__lt=end)
    return int(rows.aggregate(events=Sum("events"))["events"] or 0)
