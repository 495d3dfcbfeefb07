"""Marks and words of the console's A/B pages: statuses, verdicts, stages and causes, each in one place."""

from embeddings_ab.domain.explanation import Stage
from embeddings_ab.domain.statuses import ArmStatus, CollectionStatus, TestStatus

# Kind of chip (its mark and colour) by status; the word on the chip is the status itself.
STATUS_KIND: dict[str, str] = {
    TestStatus.CREATED: "pending",
    TestStatus.QUEUED: "pending",
    TestStatus.RUNNING: "running",
    TestStatus.SCORED: "running",
    TestStatus.DECIDING: "running",
    TestStatus.COMPLETED: "completed",
    TestStatus.INCOMPLETE: "warning",
    TestStatus.FAILED: "failed",
    TestStatus.CANCELLED: "cancelled",
    ArmStatus.PENDING: "pending",
    ArmStatus.PREPARING: "running",
    ArmStatus.BUILDING: "running",
    ArmStatus.READY: "completed",
    CollectionStatus.DELETING: "cancelled",
    CollectionStatus.DELETED: "cancelled",
}
STATUS_WORDS: dict[str, str] = {
    TestStatus.CREATED: "not started",
    TestStatus.SCORED: "running",
    TestStatus.DECIDING: "running",
}

# Where a relevant document was lost, in order of the pipeline: words, and the class of its colour.
STAGES: dict[str, tuple[str, str]] = {
    Stage.NOT_CHUNKED: ("not in any chunk", "stage-1"),
    Stage.NOT_IN_CANDIDATES: ("not in candidates", "stage-2"),
    Stage.RANKED_LOW: ("ranked low", "stage-3"),
    Stage.FUSED_OUT: ("fused out", "stage-4"),
    Stage.RERANKED_DOWN: ("reranked down", "stage-5"),
}

REMEDIES = {
    "unauthorised": "The provider refused the key. Replace the project secret, then resume the test.",
    "rate_limited": "The provider asks for fewer requests. Resume the test later; what is paid for is kept.",
    "timeout": "The provider did not answer in time. Resume the test; finished batches are kept.",
    "connection": "The provider could not be reached. Check its address and the network, then resume the test.",
    "server_error": "The provider failed. Resume the test later; finished batches are kept.",
    "bad_answer": "The provider's answer was not usable. Check model, dimensions and endpoint of the arm.",
    "refused": "The address is not allowed from here. Ask an operator to allow it, or use another endpoint.",
    "input_rejected": "The provider rejected a text. A smaller chunk size often helps.",
    "not_installed": "The provider's package is not installed on the workers. Install it, then resume the test.",
    "provider_not_allowed": "The project's rules do not allow this provider. Ask a maintainer, then resume the test.",
    "quota_exceeded": "A quota is used up. Raise it or delete what is not needed, then resume the test.",
    "out_of_time": "Raise limits.timeout_seconds in a new test, or resume this one.",
}


def status_kind(status: str) -> str:
    """The kind of chip of a status of a test, an arm or a collection."""
    return STATUS_KIND.get(status, status)


def status_words(status: str) -> str:
    """The word on that chip."""
    return STATUS_WORDS.get(status, status)


def remedy(code: str) -> str:
    """What to do about a cause; a general sentence for causes of no special kind."""
    if not code:
        return ""
    return REMEDIES.get(code, "What was finished is kept. Resume the test to try again what failed.")
