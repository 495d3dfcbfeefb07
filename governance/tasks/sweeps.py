"""Governance's periodic tasks. Every one may run twice at once, late or not at all for a while."""

from celery import shared_task

from governance.services import audit_verification_jobs, idempotency_cleanup, quota_reconciliation


@shared_task(name="governance.tasks.sweeps.sweep_lost_verifications")
def sweep_lost_verifications() -> None:
    """Send again what got lost on its way or died with its worker."""
    audit_verification_jobs.send_lost_verifications()


@shared_task(name="governance.tasks.sweeps.sweep_due_verifications")
def sweep_due_verifications() -> None:
    """Have every audit chain walked about once an hour; forget old clean walks."""
    audit_verification_jobs.request_due_verifications()
    audit_verification_jobs.delete_old_verifications()


@shared_task(name="governance.tasks.sweeps.sweep_event_quotas")
def sweep_event_quotas() -> None:
    """Give back event quota that nobody holds any more."""
    quota_reconciliation.reconcile_all()


@shared_task(name="governance.tasks.sweeps.sweep_idempotent_answers")
def sweep_idempotent_answers() -> None:
    """Delete kept answers that no client asks for any more."""
    idempotency_cleanup.delete_old_answers()
