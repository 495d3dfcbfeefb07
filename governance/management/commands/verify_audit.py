"""`manage.py verify_audit`: walk audit chains and name the first bad entry of each."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from governance.models import AuditChain, AuditEntry
from governance.selectors.audit import missing_triggers
from governance.services.audit_verification import verify_chain


class Command(BaseCommand):
    help = "Verify audit chains; exits with 1 and names the first bad entry of each broken one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("chains", nargs="*", help="public ids of projects or 'installation'; default: all")

    def handle(self, *args: Any, **options: Any) -> None:
        known = {
            *AuditChain.objects.values_list("name", flat=True),
            *AuditEntry.objects.order_by().values_list("chain", flat=True).distinct(),
        }
        chosen = options["chains"] or sorted(known)
        if unknown := sorted(set(chosen) - known):
            raise CommandError(f"There is no audit chain {', '.join(unknown)}.")
        faults = [
            f"Trigger {name} is missing: run migrations, then find out who removed it." for name in missing_triggers()
        ]
        for chain in chosen:
            verdict = verify_chain(chain=chain)
            if verdict.holds:
                self.stdout.write(f"{chain}: {verdict.message}")
            else:
                faults.append(f"first bad entry {verdict.first_bad_sequence}: {verdict.message}")
        if faults:
            raise CommandError("\n".join(faults))
