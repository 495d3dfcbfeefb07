"""Reads of the audit trail: always of the caller's own chain."""

from django.db import connection
from django.db.models import QuerySet

from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.errors import NotFound
from governance.models import AuditEntry, AuditVerification


def audit_entries(*, caller: Caller) -> QuerySet[AuditEntry]:
    """Entries of the caller's chain, newest first."""
    caller.require(Action.AUDIT_READ)
    return AuditEntry.objects.filter(chain=caller.project_public_id).order_by("-sequence")


def verifications(*, caller: Caller) -> QuerySet[AuditVerification]:
    """Verifications of the caller's chain, newest first."""
    caller.require(Action.AUDIT_READ)
    return AuditVerification.objects.filter(chain=caller.project_public_id).order_by("-id")


def verification(*, caller: Caller, public_id: str) -> AuditVerification:
    """One verification of the caller's chain."""
    job = verifications(caller=caller).filter(public_id=public_id).first()
    if job is None:
        raise NotFound(f"Verification {public_id!r} does not exist in this project.", field="verification_id")
    return job


def missing_triggers() -> list[str]:
    """Names of the triggers that guard the audit table and are gone or switched off."""
    table = AuditEntry._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            wanted = {f"{table}_no_change", f"{table}_no_truncate"}
            cursor.execute(
                "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND tgenabled IN ('O', 'A')", [table]
            )
        else:
            wanted = {f"{table}_no_update", f"{table}_no_delete"}
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s", [table])
        return sorted(wanted - {name for (name,) in cursor.fetchall()})
