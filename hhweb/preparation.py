"""What `hhweb up` does with Django before it starts the web: migrate, first project, static files.

Runs as `python -m hhweb.preparation`, in a process that then ends, so that nobody keeps its memory.
"""

import argparse
import hashlib
import json
import os
import secrets
from pathlib import Path

import django
from django.conf import settings


def migrate() -> None:
    """Apply what is missing. The usual start, with nothing missing, does not even load the migrations."""
    from django.core.management import call_command
    from django.db import DatabaseError

    from hhweb import health

    try:
        health.check_migrations()
    except (RuntimeError, DatabaseError):
        call_command("migrate", interactive=False, verbosity=1)


def first_start(credentials: Path, url: str) -> None:
    """Make admin, project and keys unless they exist, and keep what a script needs in `credentials`.

    The file is written as a draft before the commit and renamed after it: whatever instant a crash hits, the
    next start finds either both or, as a draft whose key does not work, neither.
    """
    from django.contrib.auth.models import User
    from django.db import transaction

    from governance.domain.actions import KeyKind
    from governance.services.api_keys import issue_key
    from governance.services.projects import create_project, system_caller
    from hhweb.embedded.installation import write_private

    draft = credentials.with_name("credentials.json.uncommitted")
    if credentials.exists():
        return
    if _works(draft):
        draft.rename(credentials)
        return
    if User.objects.filter(is_superuser=True).exists():
        return  # the operator removed the file: nothing is made anew behind his back
    password = secrets.token_urlsafe(15)
    with transaction.atomic():
        admin = User.objects.create_superuser("admin", password=password)
        project = create_project(name="default", owner=admin, description="Made by the first start.")
        caller = system_caller(project, label="hhweb up")
        _, api_key = issue_key(caller=caller, kind=KeyKind.PROJECT, name="first project key")
        _, ingestion_key = issue_key(caller=caller, kind=KeyKind.INGESTION, name="first ingestion key")
        write_private(
            draft,
            {
                "url": url,
                "project": project.name,
                "api_key": api_key,
                "ingestion_api_key": ingestion_key,
                "admin_user": admin.get_username(),
                "admin_password": password,
            },
        )
    draft.rename(credentials)


def _works(draft: Path) -> bool:
    from governance.domain.errors import DomainError
    from governance.services.api_keys import authenticate
    from hhweb.embedded.installation import read_json

    try:
        authenticate(token=str(read_json(draft).get("api_key", "")))
    except DomainError:
        return False
    return True


def _static_fingerprint() -> str:
    """Changes with the version of ours and of the theme, and in a checkout with any file of ours."""
    from importlib.metadata import version

    from hhweb import __version__

    seen = [__version__, version("django"), version("django-unfold")]
    for folder in settings.STATICFILES_DIRS:
        for path in sorted(Path(folder).rglob("*")):
            stat = path.stat()
            seen.append(f"{path}:{stat.st_size}:{stat.st_mtime_ns}")
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


def collect_static() -> None:
    """Collect and compress static files, once per version."""
    from django.core.management import call_command

    stamp = Path(settings.STATIC_ROOT) / ".collected"
    fingerprint = _static_fingerprint()
    if not stamp.exists() or stamp.read_text() != fingerprint:
        call_command("collectstatic", interactive=False, verbosity=0)
        stamp.write_text(fingerprint)


def main() -> None:
    """Entry of `python -m hhweb.preparation`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--credentials", type=Path, required=True)
    parser.add_argument("--url", required=True)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hhweb.settings.development")
    django.setup()
    migrate()
    first_start(options.credentials, options.url)
    collect_static()


if __name__ == "__main__":
    main()
