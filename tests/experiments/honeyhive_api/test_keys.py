"""The protocol's endpoints that make typed keys, and where such keys are valid."""

import re

import pytest

from governance.domain.actions import KeyKind
from governance.models import ApiKey
from tests.factories import make_client, make_project, make_token

LATER = "2099-01-01T00:00:00Z"


def post(client, project_id, what, body):
    return client.post(f"/v1/projects/{project_id}/{what}", body, content_type="application/json")


def test_an_ingestion_key_is_made_with_every_field_of_the_contract(api, project):
    answer = post(api, project.public_id, "ingestion_api_keys", {"name": "traces", "unknown": 1})
    assert answer.status_code == 200
    data = answer.json()["data"]
    assert answer.json()["success"] is True
    key = ApiKey.objects.get(public_id=data["key_id"])
    assert (key.kind, key.project_id) == ("ingestion", project.pk)
    assert re.fullmatch(r"hh_ingst_[A-Za-z0-9]{24}_[A-Za-z0-9_-]{64}", data.pop("key_value"))
    assert data == {
        "key_id": key.public_id,
        "name": "traces",
        "description": None,
        "root_scope_type": "project",
        "root_scope_id": project.public_id,
    }


def test_a_data_plane_key_is_made_with_its_permissions_and_works_on_its_own_paths_only(api, project):
    body = {"name": "charts", "permissions": ["keys.write", "events.write"], "expires_at": LATER, "description": "d"}
    answer = post(api, project.public_id, "fine_grained_api_keys", body)
    assert answer.status_code == 200
    data = answer.json()["data"]
    assert data["permissions"] == ["events.write", "keys.write"]
    assert data["expires_at"] == "2099-01-01T00:00:00+00:00"
    assert (data["root_scope_type"], data["root_scope_id"]) == ("project", project.public_id)
    client = make_client(data["key_value"])
    body = {"name": "made by it"}
    assert post(client, project.public_id, "ingestion_api_keys", body).status_code == 200
    other = make_project()
    before = ApiKey.objects.count()
    assert post(client, other.public_id, "ingestion_api_keys", body).status_code == 403
    assert client.get("/v1/datasets").status_code == 403
    assert ApiKey.objects.count() == before


@pytest.mark.parametrize("what", ["ingestion_api_keys", "fine_grained_api_keys"])
def test_another_projects_path_is_not_found(api, what):
    other = make_project()
    before = ApiKey.objects.count()
    answer = post(api, other.public_id, what, {"name": "x", "permissions": ["events.write"], "expires_at": LATER})
    assert (answer.status_code, answer.json()["errorCode"]) == (404, "not_found")
    assert ApiKey.objects.count() == before


@pytest.mark.parametrize("what", ["ingestion_api_keys", "fine_grained_api_keys"])
def test_an_ingestion_key_makes_no_keys(project, what):
    client = make_client(make_token(project, kind=KeyKind.INGESTION))
    body = {"name": "x", "permissions": ["events.write"], "expires_at": LATER}
    assert post(client, project.public_id, what, body).status_code == 403
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({"permissions": []}, "permissions"),
        ({"permissions": "x"}, "permissions"),
        ({"permissions": ["members.write"]}, "scopes"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"expires_at": "2026-99-99T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2020-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-12:00"}, "expires_at"),  # a year that no datetime has in UTC
    ],
)
def test_a_bad_request_names_the_field_and_makes_nothing(api, project, change, field):
    before = ApiKey.objects.count()
    body = {"name": "x", "permissions": ["events.write"], "expires_at": LATER, **change}
    answer = post(api, project.public_id, "fine_grained_api_keys", body)
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "invalid_input")
    assert answer.json()["details"]["field"] == field
    assert ApiKey.objects.count() == before
