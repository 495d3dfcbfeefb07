"""Jobs of the whole installation by state, for telemetry. Counts only, so no project's rows are shown."""

from dataclasses import dataclass

from django.db.models import Count, Min
from django.utils import timezone

from governance.models import AuditVerification, VerificationStatus


@dataclass(frozen=True, slots=True)
class JobCount:
    """So many jobs of a kind are in a state."""

    kind: str
    state: str
    jobs: int


def counts() -> list[JobCount]:
    """One entry for every kind and state, zeros included, by one statement a kind."""
    found = dict(AuditVerification.objects.order_by().values_list("status").annotate(jobs=Count("id")))
    return [JobCount("audit_verification", str(state), found.get(str(state), 0)) for state in VerificationStatus.values]


def oldest_waiting_seconds() -> dict[str, float]:
    """Age in seconds of the oldest job of each kind that waits; 0 when none does."""
    oldest = AuditVerification.objects.filter(status=VerificationStatus.PENDING).aggregate(at=Min("created_at"))["at"]
    return {"audit_verification": max(0.0, (timezone.now() - oldest).total_seconds()) if oldest else 0.0}
