"""The names of the background jobs of A/B tests, and how they are sent: after commit, forgetting failure.

A message carries an id and may be lost, doubled or late: the row is the job, and a sweep sends again.
"""

from collections.abc import Collection

from embeddings_ab.models import AbTest, Arm, Tuning
from embeddings_ab.models import Collection as VectorCollection
from governance.dispatch import after_commit

ADVANCE_TEST = "embeddings_ab.tasks.ab_tests.advance_test"
PREPARE_ARM = "embeddings_ab.tasks.ab_tests.prepare_arm"
RUN_ARM = "embeddings_ab.tasks.ab_tests.run_arm"
DECIDE_TEST = "embeddings_ab.tasks.ab_tests.decide_test"
RUN_TUNING = "embeddings_ab.tasks.ab_tests.run_tuning"
BUILD_COLLECTION = "embeddings_ab.tasks.collections.build_collection"
DELETE_COLLECTION = "embeddings_ab.tasks.collections.delete_collection"

__all__ = ["send_advance", "send_arms", "send_builds", "send_decide", "send_deletions", "send_tunings"]


def send_advance(test_ids: Collection[int]) -> None:
    """Have tests look at what they wait for."""
    AbTest.note_dispatch(test_ids)
    for pk in test_ids:
        after_commit(ADVANCE_TEST, pk)


def send_arms(task: str, arm_ids: Collection[int]) -> None:
    """Have arms prepared or run."""
    Arm.note_dispatch(arm_ids)
    for pk in arm_ids:
        after_commit(task, pk)


def send_builds(collection_ids: Collection[int]) -> None:
    """Have collections built."""
    VectorCollection.note_dispatch(collection_ids)
    for pk in collection_ids:
        after_commit(BUILD_COLLECTION, pk)


def send_deletions(collection_ids: Collection[int]) -> None:
    """Have the artifacts of collections removed."""
    VectorCollection.note_dispatch(collection_ids)
    for pk in collection_ids:
        after_commit(DELETE_COLLECTION, pk)


def send_decide(test_ids: Collection[int]) -> None:
    """Have latency measured and the statistics computed."""
    AbTest.note_dispatch(test_ids)
    for pk in test_ids:
        after_commit(DECIDE_TEST, pk)


def send_tunings(tuning_ids: Collection[int]) -> None:
    """Have searches run."""
    Tuning.note_dispatch(tuning_ids)
    for pk in tuning_ids:
        after_commit(RUN_TUNING, pk)
