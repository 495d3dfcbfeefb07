"""`manage.py check_plan`: the guard of IMPLEMENTATION_PLAN.md."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hhweb import plan_guard


class Command(BaseCommand):
    help = "Fail when IMPLEMENTATION_PLAN.md is missing, unparseable, contradictory or stale."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--max-age-days", type=int, default=plan_guard.DEFAULT_MAX_AGE_DAYS)
        parser.add_argument("--root", type=Path, default=Path.cwd())

    def handle(self, *args: Any, **options: Any) -> None:
        code, message = plan_guard.run(root=options["root"], max_age_days=options["max_age_days"])
        if code:
            raise CommandError(message)
        self.stdout.write(message)
