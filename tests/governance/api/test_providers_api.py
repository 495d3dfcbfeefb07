"""Rules, prices and secrets over the native API: create, list, delete, and query counts that do not grow."""

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from governance.models import Price, ProviderRule, Secret

RULE = {"effect": "allow", "provider": "openai", "base_url": "https://api.example.com/v1*"}
PRICE = {"provider": "openai", "per_million_tokens": "0.02", "valid_from": "2026-01-01T00:00:00Z"}
SECRET = {"name": "openai", "value": "sk-only-the-provider-knows"}
KINDS = {"providers/rules": (ProviderRule, RULE), "prices": (Price, PRICE), "secrets": (Secret, SECRET)}


def post(api, path: str, body: object):
    return api.post(f"/api/v1/{path}", json.dumps(body), content_type="application/json")


@pytest.mark.parametrize("path", KINDS)
def test_create_list_delete(api, path):
    model, body = KINDS[path]
    made = post(api, path, body)
    assert made.status_code == 201, made.content
    (listed,) = api.get(f"/api/v1/{path}").json()["results"]
    assert listed == made.json()
    assert "sk-only" not in json.dumps(listed)
    assert post(api, path, body).status_code == 409
    assert api.delete(f"/api/v1/{path}/{listed['id']}").status_code == 204
    assert api.delete(f"/api/v1/{path}/{listed['id']}").status_code == 404
    assert model.objects.count() == 0


def test_what_is_shown(api):
    rule, price, secret = (post(api, path, body).json() for path, (_, body) in KINDS.items())
    assert {"effect": "allow", "model": "*", "note": "", "base_url": RULE["base_url"]}.items() <= rule.items()
    assert {"per_million_tokens": "0.020000", "currency": "USD", "is_of_installation": False}.items() <= price.items()
    assert set(secret) == {"id", "name", "created_by", "created_at"}


@pytest.mark.parametrize(
    ("path", "over", "field"),
    [
        ("providers/rules", {"effect": "maybe"}, "effect"),
        ("providers/rules", {"base_url": "https://*.example.com"}, "base_url"),
        ("prices", {"per_million_tokens": -1}, "per_million_tokens"),
        ("prices", {"per_million_tokens": "NaN"}, "per_million_tokens"),
        ("prices", {"valid_until": "2025-01-01T00:00:00Z"}, "valid_until"),
        ("prices", {"currency": "E"}, "currency"),
        ("secrets", {"name": "a b"}, "name"),
        ("secrets", {"value": ""}, "value"),
        ("secrets", {"value": "x" * 9_000}, "value"),
    ],
)
def test_bad_input_is_a_400_naming_the_field(api, path, over, field):
    model, body = KINDS[path]
    answer = post(api, path, {**body, **over})
    assert answer.status_code == 400, answer.content
    assert answer.json()["error"]["details"]["field"] == field
    assert model.objects.count() == 0


def test_lists_are_filtered(api):
    post(api, "providers/rules", RULE)
    post(api, "providers/rules", {**RULE, "effect": "deny"})
    post(api, "prices", PRICE)
    assert api.get("/api/v1/providers/rules?effect=deny").json()["pagination"]["total"] == 1
    assert api.get("/api/v1/providers/rules?effect=maybe").status_code == 400
    assert api.get("/api/v1/prices?provider=cohere").json()["results"] == []


@pytest.mark.parametrize("path", KINDS)
def test_queries_do_not_grow_with_rows(api, path):
    _, body = KINDS[path]
    changing = {"providers/rules": "model", "prices": "model", "secrets": "name"}[path]
    counts = []
    for rows in (1, 12):
        for number in range(rows):
            post(api, path, {**body, changing: f"m{rows}-{number}"})
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert len(api.get(f"/api/v1/{path}").json()["results"]) >= rows
        counts.append(len(queries))
    assert counts[0] == counts[1]
