"""Jobs of the whole installation by state, for telemetry. Counts only, so no project's rows are shown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Min
from django.utils import timezone

from governance.models import AuditVerification, VerificationStatus


@dataclass(frozen=True, slots=True)
class JobCount:
    """So many jobs of a kind are in a state."""

    kind: str
    state: str
    jobs: int


@dataclass(frozen=True, slots=True)
class JobKind:
    """A table of jobs: its states, the one in which jobs wait, and the column (or path) that says since when."""

    name: str
    model: Any
    states: Sequence[str]
    waiting: str
    since: str


KINDS = (
    JobKind(
        "audit_verification",
        AuditVerification,
        [str(state) for state in VerificationStatus.values],
        VerificationStatus.PENDING,
        "created_at",
    ),
)


def counts(kinds: Iterable[JobKind] = KINDS) -> list[JobCount]:
    """One entry for every kind and state, zeros included, by one statement a kind."""
    found = []
    for kind in kinds:
        rows = kind.model.objects.filter(status__in=kind.states).order_by().values_list("status")
        jobs = dict(rows.annotate(jobs=Count("id")))
        found += [JobCount(kind.name, str(state), jobs.get(str(state), 0)) for state in kind.states]
    return found


def oldest_waiting_seconds(kinds: Iterable[JobKind] = KINDS) -> dict[str, float]:
    """Age in seconds of the oldest job of each kind that waits; 0 when none does."""
    ages = {}
    for kind in kinds:
        oldest = kind.model.objects.filter(status=kind.waiting).aggregate(at=Min(kind.since))["at"]
        ages[kind.name] = max(0.0, (timezone.now() - oldest).total_seconds()) if oldest else 0.0
    return ages
