"""Governance's native endpoints: rights, isolation, shapes, pages, and queries that do not grow with rows."""

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from governance.domain.actions import KeyKind, Role
from governance.models import ApiKey, AuditEntry, AuditVerification, IngestionCount, Member, Quota, Resource
from governance.services import members, projects
from tests.factories import make_client, make_project, make_token

PATHS = ("project", "keys", "members", "quotas", "audit", "audit/verifications", "usage")


@pytest.fixture
def owner(project) -> Client:
    """A signed-in owner's browser."""
    user = User.objects.create_user("ada")
    Member.objects.create(project=project, user=user, role=Role.OWNER.value)
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def send(client, method, path, body=None, **query):
    query_string = "&".join(f"{name}={value}" for name, value in query.items())
    return getattr(client, method)(f"/api/v1/{path}?{query_string}", body, content_type="application/json")


def get(client, path, **query):
    return client.get(f"/api/v1/{path}", query)


def code(response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_the_project_of_the_key_is_shown(api, project):
    answer = get(api, "project")
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["id"], shown["name"], shown["status"]) == (project.public_id, project.name, "active")
    assert set(shown) == {"id", "name", "description", "status", "created_at", "updated_at"}


@pytest.mark.parametrize("path", PATHS)
def test_without_a_valid_key_nothing_is_shown(db, path):
    assert code(get(Client(), path)) == (401, "unauthenticated")
    for header in ("Bearer nobody", "Basic abc", "Bearer"):
        assert code(get(Client(headers={"authorization": header}), path)) == (401, "unauthenticated")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", [KeyKind.INGESTION, KeyKind.DATA_PLANE])
def test_typed_keys_are_for_other_doors(project, path, kind):
    assert code(get(make_client(make_token(project, kind=kind)), path)) == (403, "forbidden")


@pytest.mark.parametrize("path", PATHS)
def test_a_key_without_the_scope_is_refused(project, path):
    assert code(get(make_client(make_token(project, scopes=["events.write"])), path)) == (403, "forbidden")


def test_a_key_is_made_used_listed_and_revoked(api, project):
    made = send(api, "post", "keys", {"name": "ci", "scopes": ["project.read"], "description": "d"})
    assert made.status_code == 201
    key, token = made.json()["key"], made.json()["token"]
    assert get(make_client(token), "project").status_code == 200
    listed = get(api, "keys", name="ci").json()
    assert [row["id"] for row in listed["results"]] == [key["id"]]
    assert token not in str(listed)
    assert "hash" not in str(listed)
    gone = send(api, "delete", f"keys/{key['id']}")
    assert (gone.status_code, gone.json()["revoked_at"] is not None) == (200, True)
    assert code(get(make_client(token), "project")) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "x", "kind": "gold"}, "kind"),
        ({"name": "x", "scopes": ["fly"]}, "scopes.0"),
        ({"name": "x", "scopes": "runs.read"}, "scopes"),
        ({"name": "x", "scopes": ["members.write"]}, "scopes"),
        ({"name": "x", "expires_at": "soon"}, "expires_at"),
        ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ([], "body"),
    ],
)
def test_a_bad_key_request_names_the_field_and_makes_nothing(api, body, field):
    before = ApiKey.objects.count()
    answer = send(api, "post", "keys", body)
    assert code(answer) == (400, "invalid_input")
    assert answer.json()["error"]["details"]["field"].startswith(field)
    assert ApiKey.objects.count() == before


def test_foreign_ids_are_not_found_and_nothing_changes(api):
    other = make_project()
    token = make_token(other)
    key = ApiKey.objects.get(project=other)
    job = AuditVerification.objects.create(chain=other.public_id)
    assert code(send(api, "delete", f"keys/{key.public_id}")) == (404, "not_found")
    assert code(get(api, f"audit/verifications/{job.public_id}")) == (404, "not_found")
    assert get(make_client(token), "project").status_code == 200


def test_lists_show_the_own_project_only(api, project):
    other = make_project()
    make_token(other)
    Member.objects.create(project=other, user=User.objects.create_user("eve"), role="owner")
    AuditVerification.objects.create(chain=other.public_id)
    IngestionCount.objects.create(project=other, key_label="k", hour=timezone.now(), events=5)
    assert get(api, "keys").json()["pagination"]["total"] == 1
    for path in ("members", "usage", "audit/verifications"):
        assert get(api, path).json()["results"] == []
    assert other.public_id not in get(api, "audit").content.decode()


def test_a_session_names_its_project_and_needs_membership(owner, project):
    assert get(owner, "project", project=project.public_id).json()["id"] == project.public_id
    assert code(get(owner, "project")) == (400, "invalid_input")
    assert code(get(owner, "project", project=make_project().public_id)) == (404, "not_found")
    assert code(get(owner, "project", project="nothing")) == (404, "not_found")


def test_a_session_needs_the_forms_token_to_write(project, owner):
    strict = Client(enforce_csrf_checks=True, raise_request_exception=False)
    strict.force_login(User.objects.get(username="ada"))
    answer = send(strict, "patch", "project", {"status": "suspended"}, project=project.public_id)
    assert code(answer) == (403, "forbidden")
    project.refresh_from_db()
    assert project.status == "active"


def test_an_owner_suspends_and_resumes(owner, api, project):
    assert send(owner, "patch", "project", {"status": "suspended"}, project=project.public_id).status_code == 200
    assert code(get(api, "project")) == (403, "forbidden")
    resumed = send(owner, "patch", "project", {"status": "active"}, project=project.public_id)
    assert resumed.json()["status"] == "active"
    assert get(api, "project").status_code == 200
    assert code(send(owner, "patch", "project", {"status": "x"}, project=project.public_id)) == (400, "invalid_input")


def test_no_key_suspends_its_project_or_changes_members(api, owner):
    assert code(send(api, "patch", "project", {"status": "suspended"})) == (403, "forbidden")
    assert code(send(api, "post", "members", {"username": "ada", "role": "viewer"})) == (403, "forbidden")
    assert code(send(api, "delete", "members/ada")) == (403, "forbidden")
    assert code(send(api, "patch", "members/ada", {"role": "viewer"})) == (403, "forbidden")
    assert Member.objects.get().role == "owner"


def test_an_owner_manages_members(owner, project):
    User.objects.create_user("bob@example.org")
    place = {"project": project.public_id}
    added = send(owner, "post", "members", {"username": "bob@example.org", "role": "viewer"}, **place)
    assert (added.status_code, added.json()["username"], added.json()["role"]) == (201, "bob@example.org", "viewer")
    changed = send(owner, "patch", "members/bob@example.org", {"role": "auditor"}, **place)
    assert changed.json()["role"] == "auditor"
    shown = get(owner, "members", **place).json()["results"]
    assert [(row["username"], row["role"]) for row in shown] == [("ada", "owner"), ("bob@example.org", "auditor")]
    assert get(owner, "members", role="owner", **place).json()["pagination"]["total"] == 1
    assert code(send(owner, "delete", "members/ada", **place)) == (409, "conflict")
    assert send(owner, "delete", "members/bob@example.org", **place).status_code == 204
    assert Member.objects.count() == 1
    assert code(send(owner, "post", "members", {"username": "x", "role": "king"}, **place)) == (400, "invalid_input")


def test_quotas_are_shown_and_ceilings_changed(api, project):
    Quota.objects.filter(project=project, resource=Resource.EVENTS).update(used=7, period_start=dt.date(2020, 1, 1))
    shown = {row["resource"]: row for row in get(api, "quotas").json()["results"]}
    assert shown["events"]["used"] == 0  # of a month long past
    assert shown["api_keys"]["used"] == 1
    assert send(api, "patch", "quotas/runs", {"ceiling": 12}).json()["ceiling"] == 12
    assert code(send(api, "patch", "quotas/api_keys", {"ceiling": 0})) == (409, "conflict")
    assert code(send(api, "patch", "quotas/gold", {"ceiling": 0})) == (404, "not_found")
    for body in ({}, {"ceiling": -1}, {"ceiling": "many"}, {"ceiling": 10**30}):
        answer = send(api, "patch", "quotas/runs", body)
        assert code(answer) == (400, "invalid_input")
        assert answer.json()["error"]["details"]["field"] == "ceiling"
    assert Quota.objects.get(project=project, resource="runs").ceiling == 12


def test_audit_pages_by_key_set_and_counts_the_trail(api, project):
    for _ in range(4):
        make_token(project, scopes=["runs.read"])
    first = get(api, "audit", limit=2).json()
    assert [row["sequence"] for row in first["results"]] == [6, 5]
    assert first["pagination"] == {"next_before": 5, "total": 6}
    make_token(project)
    second = get(api, "audit", limit=2, before=5).json()
    assert [row["sequence"] for row in second["results"]] == [4, 3]
    last = get(api, "audit", limit=2, before=3).json()
    assert [row["sequence"] for row in last["results"]] == [2, 1]
    assert last["pagination"] == {"next_before": None, "total": 7}


def test_audit_filters(api, project):
    send(api, "patch", "quotas/runs", {"ceiling": 12})
    key = ApiKey.objects.get(project=project)

    def found(**query) -> list[str]:
        return [row["action"] for row in get(api, "audit", **query).json()["results"]]

    assert found(action="quota.set_ceiling") == ["quota.set_ceiling"]
    assert found(actor=key.public_id) == ["quota.set_ceiling"]
    assert found(target=key.public_id) == ["key.create"]
    assert found(target_kind="project") == ["project.create"]
    request_id = AuditEntry.objects.get(action="quota.set_ceiling").request_id
    assert request_id
    assert found(request_id=request_id) == ["quota.set_ceiling"]
    assert found(since="2100-01-01T00:00:00Z") == []
    assert found(until="2100-01-01T00:00:00Z") == ["quota.set_ceiling", "key.create", "project.create"]
    assert code(get(api, "audit", since="yesterday")) == (400, "invalid_input")


@pytest.mark.parametrize("query", [{"limit": 501}, {"limit": 0}, {"limit": "x"}, {"before": 0}, {"before": "9" * 30}])
def test_a_bad_page_names_the_parameter(api, query):
    answer = get(api, "audit", **query)
    assert code(answer) == (400, "invalid_input")
    assert answer.json()["error"]["details"]["field"] == next(iter(query))


def test_a_verification_is_asked_for_and_read(api, project):
    made = send(api, "post", "audit/verifications")
    assert (made.status_code, made.json()["status"]) == (202, "pending")
    again = send(api, "post", "audit/verifications")
    assert again.json()["id"] == made.json()["id"]
    assert get(api, f"audit/verifications/{made.json()['id']}").json()["status"] == "pending"
    assert get(api, "audit/verifications", status="pending").json()["pagination"]["total"] == 1
    assert get(api, "audit/verifications", status="broken").json()["results"] == []


def test_usage_sums_by_hour_and_key(api, project):
    hour = dt.datetime(2026, 11, 21, 4, tzinfo=dt.UTC)
    for slot, events in enumerate((5, 7)):
        IngestionCount.objects.create(
            project=project, key_label="ci", hour=hour, slot=slot, events=events, requests=1, rejected=slot
        )
    IngestionCount.objects.create(project=project, key_label="old", hour=hour - dt.timedelta(hours=9), events=1)
    shown = get(api, "usage").json()
    assert shown["pagination"]["total"] == 2
    assert shown["results"][0] == {
        "hour": "2026-11-21T04:00:00Z",
        "key_label": "ci",
        "requests": 2,
        "events": 12,
        "rejected": 1,
    }
    assert len(get(api, "usage", since="2026-11-21T00:00:00Z").json()["results"]) == 1
    assert len(get(api, "usage", until="2026-11-21T00:00:00Z").json()["results"]) == 1
    assert len(get(api, "usage", key_label="ci").json()["results"]) == 1


def fill(project, count: int) -> None:
    """`count` more rows in every list."""
    start = IngestionCount.objects.count()
    for number in range(start, start + count):
        make_token(project)
        members.add_member(
            caller=projects.system_caller(project),
            username=User.objects.create_user(f"u{number}").username,
            role=Role.VIEWER,
        )
        AuditVerification.objects.create(chain=project.public_id)
        IngestionCount.objects.create(project=project, key_label=f"k{number}", hour=timezone.now(), events=1)


@pytest.mark.parametrize("path", ["keys", "members", "quotas", "audit", "audit/verifications", "usage"])
def test_queries_do_not_grow_with_rows(api, project, path):
    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert get(api, path).status_code == 200
        return len(seen)

    fill(project, 2)
    queries()  # notes the first use of the key
    few = queries()
    fill(project, 12)
    assert queries() == few <= 4
