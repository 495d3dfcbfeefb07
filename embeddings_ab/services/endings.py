"""How the work of arms and collections ends when it does not succeed: tried again only for what can heal."""

import datetime as dt
import random
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.db import OperationalError, transaction

from embeddings_ab import telemetry
from embeddings_ab.domain.statuses import ArmStatus, CollectionStatus
from embeddings_ab.models import Arm, Collection
from embeddings_ab.services.collections import give_back_reservations
from governance.domain.errors import DomainError
from governance.models.clock import from_now
from governance.models.leased_work import LeasedWork, LeaseLost
from governance.outbound.retries import delay_before

MOST_ATTEMPTS = 8  # without progress in between
MOST_CLAIMS = 25  # the same for workers that died, which may be nobody's fault
log = structlog.get_logger(__name__)


class OutOfTurn(Exception):
    """The worker has had its share of a long build; the rest is for the next turn."""


def next_attempt(work: LeasedWork, error: BaseException) -> dt.timedelta | None:
    """When to try again; None when it cannot heal or was tried often enough."""
    if isinstance(error, SoftTimeLimitExceeded):
        return dt.timedelta(0) if work.attempts < MOST_ATTEMPTS else None
    transient = bool(getattr(error, "is_transient", isinstance(error, OperationalError)))
    if not transient or work.attempts >= MOST_ATTEMPTS:
        return None
    after: float | None = getattr(error, "retry_after_seconds", None)
    return dt.timedelta(seconds=delay_before(work.attempts, retry_after=after, seed=random.randrange(2**31)))  # noqa: S311


class GaveUp(DomainError):
    """Work that killed its worker again and again is not taken up for ever."""

    code = "gave_up"
    status = 500


def require_hope(work: LeasedWork) -> None:
    """Raise `GaveUp` for work that was claimed many times without any progress in between."""
    if work.attempts > MOST_CLAIMS:
        raise GaveUp(
            f"Given up after {MOST_CLAIMS} attempts without progress; the workers' logs say what stopped them. "
            "Start the test again to try anew."
        )


def code_of(error: BaseException) -> str:
    """The stable code shown with a failure."""
    cause = getattr(error, "cause", None)
    return str(cause or getattr(error, "code", "internal_error"))[:64]


def message_of(error: BaseException) -> str:
    """What people read. A mistake of ours shows its kind; the log has the rest."""
    if isinstance(error, DomainError):
        return error.message
    return f"{type(error).__name__}: an error of the platform; its log has the details. Try again, then report it."


@contextmanager
def of_arm(arm: Arm, *, back_to: ArmStatus) -> Iterator[None]:
    """Move the arm back for another attempt, or to failed with a reason. `LeaseLost` passes."""
    try:
        yield
    except LeaseLost:
        raise
    except Exception as error:
        wait = next_attempt(arm, error)
        if wait is not None:
            arm.leave(
                back_to,
                dispatched_at=None,
                next_attempt_at=from_now(wait),
                error_code=code_of(error),
                error_message=message_of(error),
            )
            log.warning("arm_postponed", arm=arm.name, cause=code_of(error), seconds=wait.total_seconds())
            return
        if not isinstance(error, DomainError):
            log.exception("arm_broke", arm=arm.name)
        arm.leave(
            ArmStatus.FAILED,
            error_code=code_of(error),
            error_message=message_of(error),
            finished_at=from_now(dt.timedelta()),
        )
        log.warning("arm_failed", arm=arm.name, cause=code_of(error))


@contextmanager
def of_collection(work: Collection) -> Iterator[None]:
    """The same for a build; what was reserved and not spent goes back to the quotas."""
    try:
        yield
    except (LeaseLost, OutOfTurn):
        raise
    except Exception as error:
        wait = next_attempt(work, error)
        changes = {"error_code": code_of(error), "error_message": message_of(error)}
        if wait is not None:
            work.leave(CollectionStatus.PENDING, dispatched_at=None, next_attempt_at=from_now(wait), **changes)
            telemetry.count_build("postponed", cause=code_of(error))
            log.warning(
                "collection_postponed", collection=work.public_id, cause=code_of(error), seconds=wait.total_seconds()
            )
            return
        if not isinstance(error, DomainError):
            log.exception("collection_broke", collection=work.public_id)
        with transaction.atomic():
            work.leave(CollectionStatus.FAILED, **changes)
            give_back_reservations(work.pk)
        telemetry.count_build("failed", cause=code_of(error))
        log.warning("collection_failed", collection=work.public_id, cause=code_of(error))
