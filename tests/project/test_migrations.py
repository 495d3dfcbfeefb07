"""Migrations run forward on empty and on populated databases of both vendors, and say all that the models say."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.db import connection

ROOT = Path(__file__).parents[2]


@pytest.fixture
def empty_database(tmp_path: Path, db: None) -> Iterator[str]:
    """The address of a new database of the vendor under test."""
    if connection.vendor == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.sqlite3'}"
        return
    server = os.environ["HHWEB_DATABASE_URL"]
    name = f"scratch_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
        base, _, query = server.partition("?")
        yield f"{base.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def run(database: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HHWEB_DATABASE_URL": database, "DJANGO_SETTINGS_MODULE": "hhweb.settings.test"}
    environment["PYTHONPATH"] = str(ROOT)
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )


def test_forward_on_an_empty_database(empty_database: str) -> None:
    migrated = run(empty_database, "manage.py", "migrate", "--no-input", "-v0")
    again = run(empty_database, "manage.py", "migrate", "--check")

    assert (migrated.returncode, migrated.stderr) == (0, "")
    assert again.returncode == 0


def test_forward_on_a_populated_database(empty_database: str) -> None:
    done = run(empty_database, "tests/project/populated_upgrade.py")

    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 20


def test_migrations_say_all_that_the_models_say(empty_database: str) -> None:
    done = run(empty_database, "manage.py", "makemigrations", "--check", "--dry-run")

    assert done.returncode == 0, done.stdout


def test_migrations_are_named_by_intent() -> None:
    names = [p.stem for p in ROOT.glob("*/migrations/[0-9]*.py")]

    assert names
    assert [name for name in names if "_auto_" in name] == []
