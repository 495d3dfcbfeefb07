"""The names of governance's background jobs, and the one way to send one: after commit, forgetting failure.

A message carries an id and may be lost, doubled or late: the row is the job, and a sweep sends again.
"""

import structlog
from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

VERIFY_AUDIT_CHAIN = "governance.tasks.audit.verify_audit_chain"

log = structlog.get_logger(__name__)


def after_commit(task: str, row_id: int, *, delay_seconds: float = 0.0) -> None:
    """Send `task` for a row once the present transaction is committed; at once when there is none.

    A worker takes it up no sooner than `delay_seconds` after that.
    """
    transaction.on_commit(lambda: _send(task, row_id, delay_seconds))


def _send(task: str, row_id: int, delay_seconds: float) -> None:
    try:
        current_app.send_task(task, args=[row_id], retry=False, countdown=delay_seconds or None)
    except (OperationalError, OSError) as error:
        log.warning("job_not_sent", task=task, row_id=row_id, error=str(error))
