"""Reads of a project, its members, keys, quotas and use: always of the caller's own project."""

import datetime as dt
from typing import TypedDict

from django.db.models import QuerySet, Sum

from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.models import MONTHLY_RESOURCES, ApiKey, IngestionCount, Member, Project, Quota


class UsageHour(TypedDict):
    """What one key sent in one hour."""

    hour: dt.datetime
    key_label: str
    requests: int
    events: int
    rejected: int


def project_of(*, caller: Caller) -> Project:
    """The caller's project."""
    caller.require(Action.PROJECT_READ)
    return Project.objects.get(pk=caller.project_id)


def api_keys(*, caller: Caller) -> QuerySet[ApiKey]:
    """Keys of the project, revoked ones included, newest first."""
    caller.require(Action.KEYS_READ)
    return ApiKey.objects.filter(project_id=caller.project_id).order_by("-created_at", "-id")


def members(*, caller: Caller) -> QuerySet[Member]:
    """Members with their users, by name."""
    caller.require(Action.PROJECT_READ)
    return Member.objects.filter(project_id=caller.project_id).select_related("user").order_by("user__username")


def quotas(*, caller: Caller) -> QuerySet[Quota]:
    """Quotas of the project by resource."""
    caller.require(Action.PROJECT_READ)
    return Quota.objects.filter(project_id=caller.project_id).order_by("resource")


def used_now(quota: Quota, today: dt.date) -> int:
    """What of a quota is used or reserved; what a monthly one used in a past month (UTC) is not used now."""
    if quota.resource not in MONTHLY_RESOURCES or quota.period_start is None:
        return quota.used
    return 0 if quota.period_start < today.replace(day=1) else quota.used


def usage_by_hour(*, caller: Caller) -> QuerySet[IngestionCount, UsageHour]:
    """What ingestion counted by hour and key, newest hour first; filter it by `hour` before reading."""
    caller.require(Action.PROJECT_READ)
    counts = IngestionCount.objects.filter(project_id=caller.project_id).values("hour", "key_label")
    summed: QuerySet[IngestionCount, UsageHour] = counts.annotate(
        requests=Sum("requests"), events=Sum("events"), rejected=Sum("rejected")
    ).order_by("-hour", "key_label")
    return summed
