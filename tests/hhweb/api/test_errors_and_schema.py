"""The native API's one error shape, its pages' guard, and the committed OpenAPI file."""

from pathlib import Path

import pytest
import yaml
from django.core.management import call_command
from django.test import override_settings
from rest_framework import exceptions
from rest_framework.test import APIRequestFactory

from experiments.models import Run
from governance.models import Member
from hhweb.api import errors
from hhweb.api.pagination import Pages
from tests.factories import make_client, make_project

ROOT = Path(__file__).resolve().parents[3]


def test_no_key_is_401_in_our_shape(client, db):
    answer = client.get("/api/v1/datasets")
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"code", "message", "details"}
    assert answer.json()["error"]["code"] == "unauthenticated"


def test_unknown_addresses_and_methods_answer_in_our_shape(api):
    missing = api.get("/api/v1/nothing")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    wrong = api.put("/api/v1/datasets", {}, content_type="application/json")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    assert wrong["Allow"] == "GET, POST, HEAD, OPTIONS"
    form = api.post("/api/v1/datasets", {"name": "x"})
    assert (form.status_code, form.json()["error"]["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("{", "body"),
        ('{"name": NaN}', "body"),
        ('{"name": "\\ud800"}', "body"),
        ("[]", "body"),
        ('{"name": 7}', "name"),
    ],
)
def test_bodies_that_cannot_be_read_name_the_field(api, body, field):
    answer = api.post("/api/v1/datasets", body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == field


@override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=100)
def test_a_body_over_the_limit_is_413(api):
    answer = api.post("/api/v1/datasets", {"name": "x" * 200}, content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "payload_too_large")


def test_unforeseen_errors_are_500_without_their_insides(db):
    answer = errors.handle(ZeroDivisionError("secret"), {})
    assert answer.status_code == 500
    assert answer.data["error"]["code"] == "internal_error"
    assert "secret" not in str(answer.data)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (exceptions.PermissionDenied(), 403, "forbidden"),
        (exceptions.Throttled(), 429, "throttled"),
        (exceptions.ValidationError({"a": [{}, {"b": ["wrong"]}]}), 400, "invalid_input"),
    ],
)
def test_framework_errors_get_our_shape(db, error, status, code):
    answer = errors.handle(error, {})
    assert (answer.status_code, answer.data["error"]["code"]) == (status, code)
    if status == 400:
        assert answer.data["error"]["message"] == "Field 'a.1.b': wrong"


def test_unordered_querysets_are_refused(db):
    with pytest.raises(RuntimeError, match="without an order"):
        Pages().paginate_queryset(Run.objects.order_by(), APIRequestFactory().get("/"))


def test_a_signed_in_user_names_the_project(client, project, django_user_model):
    user = django_user_model.objects.create_user("ann", password="x")
    client.force_login(user)
    assert client.get("/api/v1/datasets").json()["error"]["details"]["field"] == "project"
    assert client.get("/api/v1/datasets", {"project": project.public_id}).status_code == 404
    assert client.get("/api/v1/datasets", {"project": "\x00"}).status_code == 404
    Member.objects.create(project=project, user=user, role="viewer")
    query = f"/api/v1/datasets?project={project.public_id}"
    assert client.get(query).status_code == 200
    assert client.post(query, {"name": "x"}, content_type="application/json").status_code == 403


def test_a_session_without_csrf_token_changes_nothing(project, django_user_model):
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    client.force_login(django_user_model.objects.create_superuser("root", password="x"))
    query = f"/api/v1/datasets?project={project.public_id}"
    assert client.get(query).status_code == 200
    answer = client.post(query, {"name": "x"}, content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    assert project.datasets.count() == 0


def test_a_foreign_key_sees_nothing(api):
    other = make_project()
    assert make_client("wrong").get("/api/v1/datasets").status_code == 401
    assert api.get("/api/v1/datasets", {"project": other.public_id}).json()["results"] == []


def test_the_committed_schema_is_what_the_code_says(tmp_path):
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "now.yaml"))
    now = (tmp_path / "now.yaml").read_text()
    assert (ROOT / "docs" / "openapi.yaml").read_text() == now, "docs/openapi.yaml is old: run `make schema`"
    described = yaml.safe_load(now)
    assert described["openapi"].startswith("3.")
    for operations in described["paths"].values():
        for operation in operations.values():
            assert operation["responses"]["4XX"]["content"]["application/json"]["schema"]["$ref"].endswith("/Error")


def test_the_schema_is_served(client, db):
    answer = client.get("/api/v1/schema?format=json")
    assert answer.status_code == 200
    assert "/api/v1/datasets" in answer.json()["paths"]
