"""Worker's edge of audit verification."""

from celery import shared_task

from governance import dispatch
from governance.services import audit_verification_jobs


@shared_task(name=dispatch.VERIFY_AUDIT_CHAIN)
def verify_audit_chain(job_id: int) -> None:
    """Walk the chain of one verification; doing it twice or too late changes nothing."""
    audit_verification_jobs.run_verification(job_id=job_id)
