"""Statuses of collections, tests, arms and tunings, and which moves are allowed: each move is one SQL statement."""

from collections.abc import Mapping
from enum import StrEnum


class CollectionStatus(StrEnum):
    PENDING = "pending"
    BUILDING = "building"
    READY = "ready"
    FAILED = "failed"
    DELETING = "deleting"
    DELETED = "deleted"


COLLECTION_PREDECESSORS: Mapping[CollectionStatus, frozenset[CollectionStatus]] = {
    # building → pending: a transient fault, tried again later; failed → pending: revived by a start or a resume.
    CollectionStatus.PENDING: frozenset({CollectionStatus.BUILDING, CollectionStatus.FAILED}),
    CollectionStatus.BUILDING: frozenset({CollectionStatus.PENDING, CollectionStatus.BUILDING}),
    CollectionStatus.READY: frozenset({CollectionStatus.BUILDING}),
    CollectionStatus.FAILED: frozenset({CollectionStatus.PENDING, CollectionStatus.BUILDING}),
    CollectionStatus.DELETING: frozenset({CollectionStatus.READY, CollectionStatus.FAILED}),
    CollectionStatus.DELETED: frozenset({CollectionStatus.DELETING}),
}
COLLECTION_LIVE = frozenset(CollectionStatus) - {CollectionStatus.DELETING, CollectionStatus.DELETED}


class TestStatus(StrEnum):
    """`scored`: every arm has its results; `deciding`: a worker measures latency and computes the statistics."""

    __test__ = False  # not a test class, whatever its name looks like

    CREATED = "created"
    QUEUED = "queued"
    RUNNING = "running"
    SCORED = "scored"
    DECIDING = "deciding"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELLED = "cancelled"


TEST_UNDER_WAY = frozenset({TestStatus.QUEUED, TestStatus.RUNNING, TestStatus.SCORED, TestStatus.DECIDING})
TEST_ENDED = frozenset({TestStatus.COMPLETED, TestStatus.INCOMPLETE, TestStatus.FAILED, TestStatus.CANCELLED})
TEST_PREDECESSORS: Mapping[TestStatus, frozenset[TestStatus]] = {
    TestStatus.CREATED: frozenset(),
    TestStatus.QUEUED: frozenset({TestStatus.CREATED, TestStatus.INCOMPLETE, TestStatus.FAILED, TestStatus.CANCELLED}),
    TestStatus.RUNNING: frozenset({TestStatus.QUEUED}),
    # A decider that lost its turn goes back by its lease, not by this table: nobody else may throw it out.
    TestStatus.SCORED: frozenset({TestStatus.RUNNING}),
    TestStatus.DECIDING: frozenset({TestStatus.SCORED, TestStatus.DECIDING}),
    TestStatus.COMPLETED: frozenset({TestStatus.DECIDING}),
    TestStatus.INCOMPLETE: frozenset({TestStatus.DECIDING}),
    TestStatus.FAILED: TEST_UNDER_WAY,
    TestStatus.CANCELLED: TEST_UNDER_WAY | {TestStatus.CREATED},
}


class ArmStatus(StrEnum):
    """`preparing`: a worker asks the provider for its revision; `building`: waits for its collections."""

    PENDING = "pending"
    PREPARING = "preparing"
    BUILDING = "building"
    READY = "ready"
    RUNNING = "running"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELLED = "cancelled"


ARM_ENDED = frozenset({ArmStatus.COMPLETED, ArmStatus.INCOMPLETE, ArmStatus.FAILED, ArmStatus.CANCELLED})
ARM_UNDER_WAY = frozenset(ArmStatus) - ARM_ENDED
ARM_PREDECESSORS: Mapping[ArmStatus, frozenset[ArmStatus]] = {
    ArmStatus.PENDING: frozenset({ArmStatus.PREPARING, ArmStatus.INCOMPLETE, ArmStatus.FAILED, ArmStatus.CANCELLED}),
    ArmStatus.PREPARING: frozenset({ArmStatus.PENDING, ArmStatus.PREPARING}),
    ArmStatus.BUILDING: frozenset({ArmStatus.PREPARING}),
    ArmStatus.READY: frozenset({ArmStatus.BUILDING}),
    ArmStatus.RUNNING: frozenset({ArmStatus.READY, ArmStatus.RUNNING}),
    ArmStatus.COMPLETED: frozenset({ArmStatus.RUNNING}),
    ArmStatus.INCOMPLETE: frozenset({ArmStatus.RUNNING}),
    ArmStatus.FAILED: ARM_UNDER_WAY,
    ArmStatus.CANCELLED: ARM_UNDER_WAY,
}


class TuningStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
