"""`hhweb manage clean_up_ab [--dry-run]`: what the sweeper does on its schedule, now; or what it would do."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from embeddings_ab.services import cleanup


class Command(BaseCommand):
    """Prints what was, or would be, let go: tests, collections, and vectors by space."""

    help = "Let expired A/B tests go and delete collections that nobody holds: one small batch, as the schedule does."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would go, and leave it")

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(json.dumps(cleanup.sweep(dry_run=options["dry_run"]), indent=2))
