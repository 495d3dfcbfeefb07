"""API keys: shapes of the wire contract, rights, expiry, revocation, and nothing that leaks."""

import datetime as dt
import logging
import re
from dataclasses import replace

import pytest
import time_machine
from django.utils import timezone

from governance.domain.actions import ALLOWED_BY_KEY_KIND, ALLOWED_BY_ROLE, Action, KeyKind, Role
from governance.domain.errors import Forbidden, InvalidInput, NotFound, QuotaExceeded, Unauthenticated
from governance.models import ApiKey, AuditEntry, Project, ProjectStatus, Quota, Resource
from governance.services import api_keys, projects
from tests.factories import make_project
from tests.governance.threads import at_once

SHAPES = {
    KeyKind.PROJECT: r"hh_[A-Za-z0-9]{24}_[A-Za-z0-9_-]{64}",
    KeyKind.INGESTION: r"hh_ingst_[A-Za-z0-9]{24}_[A-Za-z0-9_-]{64}",
    KeyKind.DATA_PLANE: r"hh_fgdp_[A-Za-z0-9]{24}_[A-Za-z0-9_-]{64}",
}


def issue(caller, kind=KeyKind.PROJECT, name="ci", **fields):
    return api_keys.issue_key(caller=caller, kind=kind, name=name, **fields)


def keys_used(project) -> int:
    return Quota.objects.get(project=project, resource=Resource.API_KEYS).used


@pytest.mark.parametrize("kind", KeyKind)
def test_keys_have_the_shapes_of_the_contract(caller, kind):
    key, token = issue(caller, kind)
    assert re.fullmatch(SHAPES[kind], token)
    assert token.startswith(key.prefix)
    assert len(key.prefix) == 20


@pytest.mark.parametrize("kind", KeyKind)
def test_a_key_may_do_what_its_kind_may(caller, project, kind):
    key, token = issue(caller, kind)
    known = api_keys.authenticate(token=token, request_id="r", address="a")
    assert known.allowed == ALLOWED_BY_KEY_KIND[kind]
    assert (known.project_id, known.key_id, known.key_kind, known.actor_id) == (project.pk, key.pk, kind, key.public_id)
    assert (known.request_id, known.address, known.actor_kind) == ("r", "a", "api_key")


def test_scopes_narrow_a_key(caller):
    _, token = issue(caller, scopes=["runs.read", "events.read"])
    known = api_keys.authenticate(token=token)
    assert known.allowed == {Action.RUNS_READ, Action.EVENTS_READ}
    with pytest.raises(Forbidden, match=r"runs\.write"):
        known.require(Action.RUNS_WRITE)


@pytest.mark.parametrize(
    ("kind", "scope"), [(KeyKind.INGESTION, "runs.read"), (KeyKind.PROJECT, "members.write"), (KeyKind.PROJECT, "fly")]
)
def test_a_scope_beyond_the_kind_is_refused(caller, project, kind, scope):
    with pytest.raises(InvalidInput, match=re.escape(repr(scope))):
        issue(caller, kind, scopes=[scope])
    assert (ApiKey.objects.count(), keys_used(project)) == (0, 0)


def test_nobody_gives_a_key_more_rights_than_his_own(caller, project):
    narrow = replace(caller, allowed=frozenset({Action.KEYS_WRITE, Action.RUNS_READ}))
    with pytest.raises(Forbidden, match="more rights than its creator"):
        issue(narrow)
    issue(narrow, scopes=["runs.read"])
    assert keys_used(project) == 1


def test_a_caller_without_the_right_makes_and_revokes_none(caller, project):
    key, _ = issue(caller)
    viewer = replace(caller, allowed=ALLOWED_BY_ROLE[Role.VIEWER])
    with pytest.raises(Forbidden):
        issue(viewer)
    with pytest.raises(Forbidden):
        api_keys.revoke_key(caller=viewer, public_id=key.public_id)
    key.refresh_from_db()
    assert key.revoked_at is None
    assert keys_used(project) == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "  "}, "name"),
        ({"name": "n" * 201}, "name"),
        ({"expires_at": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)}, "expires_at"),
    ],
)
def test_bad_input_names_the_field_and_stores_nothing(caller, project, fields, field):
    with pytest.raises(InvalidInput) as refusal:
        issue(caller, **fields)
    assert refusal.value.details["field"] == field
    assert (ApiKey.objects.count(), keys_used(project)) == (0, 0)
    assert not AuditEntry.objects.filter(action="key.create").exists()


def test_an_expired_key_is_refused_with_the_words_of_an_unknown_one(caller):
    _, token = issue(caller, expires_at=timezone.now() + dt.timedelta(hours=1))
    api_keys.authenticate(token=token)
    with time_machine.travel(timezone.now() + dt.timedelta(hours=2)), pytest.raises(Unauthenticated) as expired:
        api_keys.authenticate(token=token)
    with pytest.raises(Unauthenticated) as unknown:
        api_keys.authenticate(token="hh_" + "a" * 24 + "_" + "b" * 64)
    with pytest.raises(Unauthenticated) as absent:
        api_keys.authenticate(token="")
    assert expired.value.message == unknown.value.message == absent.value.message


def test_a_revoked_key_is_refused_at_once_and_frees_its_quota(caller, project):
    key, token = issue(caller)
    api_keys.revoke_key(caller=caller, public_id=key.public_id)
    with pytest.raises(Unauthenticated):
        api_keys.authenticate(token=token)
    api_keys.revoke_key(caller=caller, public_id=key.public_id)
    assert keys_used(project) == 0
    assert AuditEntry.objects.filter(action="key.revoke", target_id=key.public_id).count() == 1


def test_another_projects_key_is_not_there(caller):
    key, token = issue(projects.system_caller(make_project()))
    with pytest.raises(NotFound):
        api_keys.revoke_key(caller=caller, public_id=key.public_id)
    assert api_keys.authenticate(token=token).key_id == key.pk


def test_keys_of_a_suspended_project_are_forbidden(caller, project):
    _, token = issue(caller)
    projects.set_status(caller=caller, status=ProjectStatus.SUSPENDED)
    with pytest.raises(Forbidden, match="suspended"):
        api_keys.authenticate(token=token)
    projects.set_status(caller=caller, status=ProjectStatus.ACTIVE)
    assert api_keys.authenticate(token=token).project_id == project.pk


def test_neither_token_nor_hash_is_stored_logged_or_audited(caller, caplog):
    with caplog.at_level(logging.DEBUG):
        key, token = issue(caller)
        api_keys.authenticate(token=token)
    stored = {name: str(value) for name, value in vars(ApiKey.objects.get(pk=key.pk)).items()}
    assert token not in stored.values()
    assert stored["token_hash"] == api_keys.token_hash(token) != token
    entries = str(list(AuditEntry.objects.filter(chain=caller.project_public_id).values()))
    for secret in (token, key.token_hash, token[21:]):
        assert secret not in entries
        assert secret not in caplog.text
        assert secret not in str(key)


def test_a_hash_depends_on_the_installations_pepper(settings):
    first = api_keys.token_hash("token")
    settings.KEY_PEPPER = "another"
    assert api_keys.token_hash("token") != first


def test_authentication_is_one_query_and_notes_use_at_most_once_a_minute(caller, django_assert_num_queries):
    key, token = issue(caller)
    start = timezone.now()
    with time_machine.travel(start, tick=False), django_assert_num_queries(2):
        api_keys.authenticate(token=token)
    with time_machine.travel(start + dt.timedelta(seconds=59), tick=False), django_assert_num_queries(1):
        api_keys.authenticate(token=token)
    key.refresh_from_db()
    assert key.last_used_at == start
    later = start + dt.timedelta(seconds=61)
    with time_machine.travel(later, tick=False), django_assert_num_queries(2):
        api_keys.authenticate(token=token)
    key.refresh_from_db()
    assert key.last_used_at == later


def test_creation_is_audited_without_the_secret(caller):
    key, _ = issue(caller, scopes=["runs.read"])
    entry = AuditEntry.objects.get(action="key.create")
    assert (entry.target_id, entry.target_label, entry.actor_label) == (key.public_id, "ci", "system")
    assert entry.after == {"kind": "project", "prefix": key.prefix, "scopes": ["runs.read"]}


@pytest.mark.django_db(transaction=True)
def test_forty_threads_against_a_ceiling_of_ten_make_exactly_ten_keys(caller, project):
    Quota.objects.filter(project=project, resource=Resource.API_KEYS).update(ceiling=10)
    results = at_once(40, lambda number: issue(caller, name=f"key {number}")[0].pk)
    assert sum(isinstance(result, int) for result in results) == 10
    assert sum(isinstance(result, QuotaExceeded) for result in results) == 30
    assert ApiKey.objects.count() == 10
    assert keys_used(project) == 10
    assert AuditEntry.objects.filter(action="key.create").count() == 10


@pytest.mark.django_db(transaction=True)
def test_a_key_is_revoked_once_by_many(caller, project):
    keys = [issue(caller, name=str(number))[0] for number in range(3)]
    results = at_once(10, lambda _: api_keys.revoke_key(caller=caller, public_id=keys[0].public_id).pk)
    assert results == [keys[0].pk] * 10
    assert keys_used(project) == 2
    assert AuditEntry.objects.filter(action="key.revoke").count() == 1


def test_a_project_cannot_be_seen_by_its_keys_elsewhere(caller):
    _, token = issue(caller)
    other = make_project()
    assert api_keys.authenticate(token=token).project_id != other.pk
    assert Project.objects.count() == 2
