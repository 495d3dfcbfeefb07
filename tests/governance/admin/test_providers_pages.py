"""The console's page of providers and its forms: what owners change, what viewers see, what no page shows."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from governance.models import Member, Price, ProviderRule, Secret
from governance.services import secrets
from governance.services.projects import create_project, system_caller

HOME = "/console/providers/"
RULE = {"effect": "allow", "provider": "openai", "model": "", "base_url": "https://api.example.com*", "note": "agreed"}
PRICE = {"provider": "openai", "model": "", "per_million_tokens": "0.02", "currency": "USD", "valid_from": "2026-01-01"}
SECRET = {"name": "openai", "value": "sk-only-the-provider-knows"}


def visitor(project, role: str) -> Client:
    user = User.objects.create_user(f"the {role}", is_staff=True)
    Member.objects.create(project=project, user=user, role=role)
    client = Client()
    client.force_login(user)
    return client


def test_a_maintainer_adds_and_deletes_all_three(project):
    client = visitor(project, "maintainer")
    for path, form, model in (
        ("rules", RULE, ProviderRule),
        ("prices", PRICE, Price),
        ("secrets", SECRET, Secret),
    ):
        assert client.get(f"{HOME}{path}/new/").status_code == 200
        assert client.post(f"{HOME}{path}/new/", form)["Location"] == HOME
        made = model.objects.get()
        page = client.get(HOME).content.decode()
        delete = f"{HOME}{path}/{made.public_id}/delete/"
        assert delete in page
        assert SECRET["value"] not in page
        asked = client.get(delete).content.decode()
        assert "Keep" in asked
        assert f'href="{HOME}"' in asked
        assert model.objects.count() == 1
        assert client.post(delete)["Location"] == HOME
        assert model.objects.count() == 0
        assert client.get(delete).status_code == 404
    assert ProviderRule.objects.count() == 0


def test_the_page_shows_what_holds(project):
    client = visitor(project, "owner")
    assert "Only local providers may be called" in client.get(HOME).content.decode()
    client.post(f"{HOME}rules/new/", RULE)
    client.post(f"{HOME}rules/new/", {**RULE, "effect": "deny", "model": "old*"})
    for model, start, end in (("a", "2999-01-01", ""), ("b", "2020-01-01", "2020-02-01"), ("c", "2020-01-01", "")):
        client.post(f"{HOME}prices/new/", {**PRICE, "model": model, "valid_from": start, "valid_until": end})
    page = client.get(HOME).content.decode()
    assert "1 rule allows providers, 1 denies" in page
    assert all(f"<td>{state}</td>" in page for state in ("planned", "ended", "active"))
    assert "https://api.example.com*" in page


@pytest.mark.parametrize(
    ("path", "form", "told"),
    [
        ("rules", {**RULE, "provider": ""}, "provider"),
        ("rules", {**RULE, "effect": "maybe"}, "allow or deny"),
        ("rules", {**RULE, "base_url": "https://*"}, "scheme and host in full"),
        ("prices", {**PRICE, "per_million_tokens": "cheap"}, "for example 0.02"),
        ("prices", {**PRICE, "valid_from": "soon"}, "2026-11-21"),
        ("prices", {**PRICE, "valid_until": "2025-01-01"}, "must lie after"),
        ("secrets", {**SECRET, "name": "a b"}, "letters, digits"),
    ],
)
def test_bad_forms_say_why_and_change_nothing(project, path, form, told):
    answer = visitor(project, "owner").post(f"{HOME}{path}/new/", form)
    assert answer.status_code == 400
    page = answer.content.decode()
    assert told in page
    assert SECRET["value"] not in page
    assert (ProviderRule.objects.count(), Price.objects.count(), Secret.objects.count()) == (0, 0, 0)


def test_viewers_read_and_change_nothing(project):
    secret = secrets.create_secret(caller=system_caller(project), name="mine", value="v")
    client = visitor(project, "viewer")
    page = client.get(HOME).content.decode()
    assert "mine" in page
    assert "New rule" not in page
    assert "/delete/" not in page
    for path in ("rules/new/", "prices/new/", "secrets/new/", f"secrets/{secret.public_id}/delete/"):
        assert client.get(HOME + path).status_code == 403
        assert client.post(HOME + path, SECRET).status_code == 403
    assert Secret.objects.count() == 1


def test_what_another_project_has_is_not_found(project):
    secret = secrets.create_secret(caller=system_caller(project), name="victims", value="v")
    client = visitor(create_project(name="other"), "owner")
    assert "victims" not in client.get(HOME).content.decode()
    assert client.post(f"{HOME}secrets/{secret.public_id}/delete/").status_code == 404
    for path in ("rules", "prices"):
        assert client.get(f"{HOME}{path}/nobody/delete/").status_code == 404
    assert Secret.objects.count() == 1
