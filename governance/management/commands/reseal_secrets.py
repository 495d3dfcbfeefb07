"""`manage.py reseal_secrets`: after a change of the signing key, seal stored secrets with the new one."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from governance.services import secrets


class Command(BaseCommand):
    help = "Seal secrets of providers with the present HHWEB_SECRET_KEY; HHWEB_OLD_SECRET_KEYS must hold the old one."

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit 1 when some do not open with any key given."""
        done, failed = secrets.reseal_all()
        self.stdout.write(f"{done} secrets sealed anew.")
        if failed:
            raise CommandError(f"{failed} secrets do not open with the keys given; the log names them.")
