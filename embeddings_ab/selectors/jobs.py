"""The tables of A/B jobs, for telemetry."""

from embeddings_ab.domain.statuses import ArmStatus, CollectionStatus, TestStatus, TuningStatus
from embeddings_ab.models import AbTest, Arm, Collection, Tuning
from governance.selectors.jobs import JobKind

KINDS = (
    JobKind(
        "collection_build", Collection, [s.value for s in CollectionStatus], CollectionStatus.PENDING, "created_at"
    ),
    JobKind("ab_arm", Arm, [s.value for s in ArmStatus], ArmStatus.READY, "test__started_at"),
    JobKind("ab_test", AbTest, [s.value for s in TestStatus], TestStatus.QUEUED, "created_at"),
    JobKind("tuning", Tuning, [s.value for s in TuningStatus], TuningStatus.PENDING, "created_at"),
)
