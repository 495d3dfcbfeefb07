"""`/api/v1/ab/tests/{id}/tunings`: searches are created once, listed without results, shown with them, and private."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from embeddings_ab.models import Arm, Tuning
from tests.embeddings_ab.finished import make_finished_test
from tests.factories import make_client, make_project, make_token

pytestmark = pytest.mark.django_db
HYBRID = {"retrieval": "hybrid", "provider": "synthetic", "fusion": {"method": "convex", "alpha": 0.5}}


@pytest.fixture
def base(caller):
    test = make_finished_test(caller)
    Arm.objects.filter(test=test).update(status="completed", spec=HYBRID)
    return f"/api/v1/ab/tests/{test.public_id}/tunings"


def post(api, url, body, **more):
    return api.post(url, body, content_type="application/json", **more)


def test_a_search_is_created_listed_and_shown(api, base):
    made = post(api, base, {"arm": "minilm", "grid": {"alpha": [0, 0.5]}, "folds": 2})
    assert made.status_code == 201, made.content
    tuning = made.json()
    assert made["Location"] == f"{base}/{tuning['id']}"
    assert (tuning["status"], tuning["result"], tuning["error"]) == ("pending", None, None)
    assert tuning["spec"]["measure"] == "nDCG@10"
    Tuning.objects.update(status="completed", result={"chosen": "alpha 0.5"})

    (listed,) = api.get(base).json()["results"]
    assert listed["id"] == tuning["id"]
    assert "result" not in listed
    assert api.get(f"{base}/{tuning['id']}").json()["result"] == {"chosen": "alpha 0.5"}


def test_a_failed_search_says_why(api, base):
    tuning = post(api, base, {"arm": "minilm", "grid": {"alpha": [0]}, "folds": 2}).json()
    Tuning.objects.update(status="failed", error_code="invalid_input", error_message="Field 'x'.")
    assert api.get(f"{base}/{tuning['id']}").json()["error"] == {"code": "invalid_input", "message": "Field 'x'."}


def test_a_repeated_create_makes_one_search(api, base):
    body = {"arm": "minilm", "grid": {"alpha": [0, 1]}, "folds": 2}
    first, second = (post(api, base, body, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json() == second.json()
    assert Tuning.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "arm"),
        ({"arm": "minilm"}, "grid"),
        ({"arm": "nobody", "grid": {"alpha": [0]}, "folds": 2}, "arm"),
        ({"arm": "minilm", "grid": {"alpha": [2]}, "folds": 2}, "grid"),
        ({"arm": "minilm", "grid": {"alpha": "x"}}, "grid.alpha"),
        ({"arm": "minilm", "grid": {"beta": [1]}}, "grid.beta"),
        ({"arm": "minilm", "grid": {"alpha": [0]}, "folds": 0}, "folds"),
        ({"arm": "minilm", "compare_arms": ["nobody"], "folds": 2}, "compare_arms"),
        ({"arm": "minilm", "grid": {"alpha": [0]}, "folds": 3}, "folds"),
        ([], "body"),
    ],
)
def test_bad_searches_are_refused_naming_the_field(api, base, body, field):
    answer = post(api, base, body)
    assert answer.status_code == 400, answer.content
    error = answer.json()["error"]
    assert error["details"]["field"] == field
    assert field in error["message"]
    assert not Tuning.objects.exists()


def test_another_project_sees_nothing(api, base):
    tuning = post(api, base, {"arm": "minilm", "grid": {"alpha": [0]}, "folds": 2}).json()
    stranger = make_client(make_token(make_project()))
    assert stranger.get(base).status_code == 404
    assert stranger.get(f"{base}/{tuning['id']}").status_code == 404
    assert post(stranger, base, {"arm": "minilm", "grid": {"alpha": [0]}, "folds": 2}).status_code == 404
    assert api.get(f"{base}/nobody").status_code == 404
    assert Tuning.objects.count() == 1


def test_a_page_costs_the_same_queries_whatever_its_size(api, base):
    for _ in range(3):
        post(api, base, {"arm": "minilm", "grid": {"alpha": [0]}, "folds": 2})
    api.get(base)
    with CaptureQueriesContext(connection) as one:
        api.get(base, {"limit": 1})
    with CaptureQueriesContext(connection) as three:
        api.get(base, {"limit": 3})
    assert len(one) == len(three)
