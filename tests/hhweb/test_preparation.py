"""What `hhweb up` does with Django before it serves."""

import json
import stat

import pytest
from django.contrib.auth.models import User

from governance.models import ApiKey, AuditEntry, Member, Project
from governance.services.api_keys import authenticate
from hhweb import health, preparation

URL = "http://127.0.0.1:8000"


@pytest.mark.django_db
def test_first_start_makes_admin_project_and_two_keys(tmp_path):
    file = tmp_path / "credentials.json"
    preparation.first_start(file, URL)
    found = json.loads(file.read_text())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["credentials.json"]
    admin = User.objects.get()
    assert admin.check_password(found["admin_password"])
    assert (found["url"], found["project"], found["admin_user"]) == (URL, "default", "admin")
    assert Member.objects.get(user=admin).role == "owner"
    assert authenticate(token=found["api_key"]).key_kind == "project"
    assert authenticate(token=found["ingestion_api_key"]).key_kind == "ingestion"
    assert list(AuditEntry.objects.order_by("sequence").values_list("action", flat=True)) == [
        "project.create",
        "key.create",
        "key.create",
    ]


@pytest.mark.django_db
def test_second_start_changes_nothing(tmp_path):
    file = tmp_path / "credentials.json"
    preparation.first_start(file, URL)
    before = file.read_text()
    preparation.first_start(file, "http://127.0.0.1:9999")
    assert file.read_text() == before
    assert (Project.objects.count(), ApiKey.objects.count()) == (1, 2)


@pytest.mark.django_db
def test_crash_between_commit_and_rename_is_finished(tmp_path):
    file = tmp_path / "credentials.json"
    preparation.first_start(file, URL)
    draft = tmp_path / "credentials.json.uncommitted"
    file.rename(draft)
    preparation.first_start(file, URL)
    assert not draft.exists()
    assert authenticate(token=json.loads(file.read_text())["api_key"])
    assert ApiKey.objects.count() == 2


@pytest.mark.django_db
def test_crash_before_the_commit_starts_over(tmp_path):
    draft = tmp_path / "credentials.json.uncommitted"
    draft.write_text(json.dumps({"api_key": "hh_never_committed"}))
    preparation.first_start(tmp_path / "credentials.json", URL)
    assert not draft.exists()
    assert authenticate(token=json.loads((tmp_path / "credentials.json").read_text())["api_key"])


@pytest.mark.django_db
def test_credentials_that_the_operator_removed_are_not_made_anew(tmp_path):
    file = tmp_path / "credentials.json"
    preparation.first_start(file, URL)
    file.unlink()
    preparation.first_start(file, URL)
    assert list(tmp_path.iterdir()) == []
    assert ApiKey.objects.count() == 2


@pytest.mark.django_db
def test_applied_migrations_are_not_loaded(monkeypatch):
    called: list[str] = []
    monkeypatch.setattr("django.core.management.call_command", lambda name, **_: called.append(name))
    monkeypatch.setattr(health, "_applied", False)
    preparation.migrate()
    assert called == []

    def missing() -> None:
        raise RuntimeError("1 migration(s) are not applied")

    monkeypatch.setattr(health, "check_migrations", missing)
    preparation.migrate()
    assert called == ["migrate"]


def test_static_files_are_collected_once_per_version(monkeypatch, settings, tmp_path):
    called: list[str] = []
    monkeypatch.setattr("django.core.management.call_command", lambda name, **_: called.append(name))
    settings.STATIC_ROOT = tmp_path / "root"
    settings.STATICFILES_DIRS = [tmp_path / "own"]
    (tmp_path / "root").mkdir()
    (tmp_path / "own").mkdir()
    preparation.collect_static()
    preparation.collect_static()
    assert called == ["collectstatic"]
    (tmp_path / "own" / "new.css").write_text("a{}")
    preparation.collect_static()
    assert called == ["collectstatic", "collectstatic"]
