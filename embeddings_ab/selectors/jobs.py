"""Jobs of A/B tests by state over the whole installation, for telemetry: counts only, nobody's rows."""

from typing import Any

from django.db.models import Count, Min
from django.utils import timezone

from embeddings_ab.domain.statuses import ArmStatus, CollectionStatus, TestStatus, TuningStatus
from embeddings_ab.models import AbTest, Arm, Collection, Tuning
from governance.selectors.jobs import JobCount

_KINDS: tuple[tuple[str, Any, Any, str, str], ...] = (
    ("collection_build", Collection, CollectionStatus, CollectionStatus.PENDING, "created_at"),
    ("ab_arm", Arm, ArmStatus, ArmStatus.READY, "test__started_at"),
    ("ab_test", AbTest, TestStatus, TestStatus.QUEUED, "created_at"),
    ("tuning", Tuning, TuningStatus, TuningStatus.PENDING, "created_at"),
)


def counts() -> list[JobCount]:
    """One entry for every kind and state, zeros included, by one statement a kind."""
    found = []
    for kind, model, statuses, _, _ in _KINDS:
        rows = dict(model.objects.order_by().values_list("status").annotate(jobs=Count("id")))
        found += [JobCount(kind, status.value, rows.get(status.value, 0)) for status in statuses]
    return found


def oldest_waiting_seconds() -> dict[str, float]:
    """Age in seconds of the oldest job of each kind that waits; 0 when none does."""
    ages = {}
    for kind, model, _, waiting, since in _KINDS:
        oldest = model.objects.filter(status=waiting).aggregate(at=Min(since))["at"]
        ages[kind] = max(0.0, (timezone.now() - oldest).total_seconds()) if oldest else 0.0
    return ages
