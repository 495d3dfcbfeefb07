"""`/api/v1/ab/judging-pools…`: from pool to published judgments; refusals; foreign projects; queries per page."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from embeddings_ab.models import JudgingPool, Label
from tests.embeddings_ab.judging import make_judge, make_pool, make_pooled_test
from tests.factories import make_client, make_project, make_token

BASE = "/api/v1/ab/judging-pools"
pytestmark = pytest.mark.django_db


def post(api, url, body, **more):
    return api.post(url, body, content_type="application/json", **more)


def refused(answer, field, status=400):
    assert answer.status_code == status, answer.content
    error = answer.json()["error"]
    assert error["details"]["field"] == field
    return error["message"]


def test_from_pool_to_the_next_version(api, caller):
    test = make_pooled_test(caller)
    made = post(api, BASE, {"test_id": test.public_id, "name": "to judge", "depth": 2, "guidelines": "Read it all."})
    assert made.status_code == 201, made.content
    pool = made.json()
    assert made["Location"] == f"{BASE}/{pool['id']}"
    assert (pool["test_id"], pool["query_set_name"], pool["guidelines"]) == (test.public_id, "asked", "Read it all.")
    assert pool["progress"] == {"items": 4, "done": 0, "labelled": {"human": 0, "llm": 0}, "labellers": []}

    items = api.get(f"{BASE}/{pool['id']}/items", {"limit": 3, "texts": "true"}).json()
    assert items["pagination"]["total"] == 4
    assert [(row["query_id"], row["document_id"]) for row in items["results"]] == [
        ("q1", "d2"),
        ("q1", "d3"),
        ("q2", "d4"),
    ]
    assert items["results"][0]["text"] == "text of document 2"
    assert items["results"][0]["query"] == "first question"
    assert items["results"][1]["found_by"] == {"new": 1, "old": 3}

    labels = [
        {"query_id": row["query_id"], "document_id": row["document_id"], "grade": 2, "labeller": "judge-1"}
        for row in items["results"]
    ]
    answer = post(api, f"{BASE}/{pool['id']}/labels", {"labels": labels})
    assert answer.json() == {"labels": 3, "new": 3, "changed": 0}
    shown = api.get(f"{BASE}/{pool['id']}/items").json()["results"][0]
    assert [(row["source"], row["labeller"], row["grade"]) for row in shown["labels"]] == [("llm", "judge-1", 2)]
    assert "text" not in shown

    agreement = api.get(f"{BASE}/{pool['id']}/agreement").json()
    assert agreement["groups"]["llm"]["labels"] == 3
    assert agreement["groups"]["llm"]["ordinal"] is None
    assert agreement["sources"] == []

    preview = post(api, f"{BASE}/{pool['id']}/publish", {"source": "llm", "dry_run": True}).json()
    assert (preview["query_set"], preview["new"], preview["base"]) == (None, 3, "asked@1")
    published = post(api, f"{BASE}/{pool['id']}/publish", {"source": "llm"}).json()
    assert (published["version"], published["is_new"], published["judgments"]) == (2, True, 5)
    assert api.get(f"/api/v1/ab/query-sets/{published['query_set']}").json()["judgment_count"] == 5

    assert [row["id"] for row in api.get(BASE).json()["results"]] == [pool["id"]]
    assert api.get(f"{BASE}/{pool['id']}").json()["progress"]["labelled"] == {"human": 0, "llm": 3}
    assert api.delete(f"{BASE}/{pool['id']}").status_code == 204
    assert api.get(f"{BASE}/{pool['id']}").status_code == 404


def test_a_repeated_create_makes_one_pool(api, caller):
    test = make_pooled_test(caller)
    body = {"test_id": test.public_id, "name": "once", "depth": 2}
    first, second = (post(api, BASE, body, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json() == second.json()
    assert second["Idempotency-Replayed"] == "true"
    assert JudgingPool.objects.count() == 1
    refused(post(api, BASE, body), "name", 409)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "test_id"),
        ({"name": "x"}, "test_id"),
        ({"name": "x", "test_id": 1}, "test_id"),
        ({"depth": "2"}, "depth"),
        ({"depth": True}, "depth"),
        ({"depth": 0}, "depth"),
        ({"scale": [1, 2]}, "scale.0"),
        ({"scale": {}}, "scale"),
        ({"scale": [{"grade": 0, "label": "no", "colour": "red"}]}, "scale.0.colour"),
        ({"only_unjudged": "no"}, "only_unjudged"),
        ({"labels_per_item": 0}, "labels_per_item"),
        ({"mystery": 1}, "mystery"),
    ],
)
def test_bad_pools_are_refused_naming_the_field(api, caller, body, field):
    good = {"test_id": make_pooled_test(caller).public_id, "name": "a name"} if body and "name" not in body else {}
    assert field in refused(post(api, BASE, {**good, **body}), field)
    assert not JudgingPool.objects.exists()


@pytest.mark.parametrize("path", ["labels", "assignment", "publish"])
@pytest.mark.parametrize("body", ["[]", "1", '"x"', "{", '{"labels": 1, "users": 1, "source": 1}', '{"a": "b"}'])
def test_malformed_bodies_are_refused(api, caller, path, body):
    answer = post(api, f"{BASE}/{make_pool(caller).public_id}/{path}", body)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"]
    assert not Label.objects.exists()


def test_bad_labels_name_their_row(api, caller):
    url = f"{BASE}/{make_pool(caller).public_id}/labels"
    good = {"query_id": "q1", "document_id": "d2", "grade": 1, "labeller": "m"}
    for change, field in (
        ({"grade": 1.5}, "labels.1.grade"),
        ({"grade": 9}, "labels.1.grade"),
        ({"document_id": "d99"}, "labels.1.document_id"),
        ({"source": "human"}, "labels.1.source"),
        ({"source": "imported"}, "labels.1.source"),
        ({"labeller": ""}, "labels.1.labeller"),
    ):
        refused(post(api, url, {"labels": [good, {**good, "document_id": "d3", **change}]}), field)
    assert not Label.objects.exists()


def test_a_signed_in_person_labels_in_their_own_name(caller):
    pool = make_pool(caller)
    judge = make_judge(caller, "ada")
    client = Client()
    client.force_login(_user("ada"))
    url = f"{BASE}/{pool.public_id}/labels?project={judge.project_public_id}"
    answer = post(client, url, {"labels": [{"query_id": "q1", "document_id": "d2", "grade": 1, "source": "human"}]})
    assert answer.status_code == 200, answer.content
    assert list(Label.objects.values_list("source", "labeller")) == [("human", "ada")]


def _user(name):
    from django.contrib.auth.models import User

    return User.objects.get(username=name)


def test_viewers_read_and_write_nothing(caller):
    pool = make_pool(caller)
    judge = make_judge(caller, "vera", role="viewer")
    client = Client()
    client.force_login(_user("vera"))
    project = f"?project={judge.project_public_id}"
    for path in ("", "/items", "/agreement"):
        assert client.get(f"{BASE}/{pool.public_id}{path}{project}").status_code == 200
    assert client.delete(f"{BASE}/{pool.public_id}{project}").status_code == 403
    for path, body in (("labels", {"labels": []}), ("assignment", {"users": []}), ("publish", {"source": "llm"})):
        assert post(client, f"{BASE}/{pool.public_id}/{path}{project}", body).status_code == 403


def test_another_project_sees_nothing(caller):
    pool = make_pool(caller)
    test = pool.test
    stranger = make_client(make_token(make_project()))
    assert stranger.get(BASE).json()["results"] == []
    for path in ("", "/items", "/agreement"):
        assert stranger.get(f"{BASE}/{pool.public_id}{path}").status_code == 404
    assert stranger.delete(f"{BASE}/{pool.public_id}").status_code == 404
    label = {"query_id": "q1", "document_id": "d2", "grade": 1, "labeller": "m"}
    for path, body in (("labels", {"labels": [label]}), ("assignment", {"users": []}), ("publish", {"source": "llm"})):
        assert post(stranger, f"{BASE}/{pool.public_id}/{path}", body).status_code == 404
    assert post(stranger, BASE, {"test_id": test.public_id, "name": "mine"}).status_code == 404
    assert JudgingPool.objects.count() == 1


def test_members_are_dealt_documents(api, caller):
    pool = make_pool(caller)
    make_judge(caller, "ada")
    url = f"{BASE}/{pool.public_id}/assignment"
    assert post(api, url, {"users": ["ada"]}).json() == {"items": 4}
    assert {row["assigned_to"] for row in api.get(f"{BASE}/{pool.public_id}/items").json()["results"]} == {"ada"}
    refused(post(api, url, {"users": ["nobody"]}), "users")


def test_unknown_parameters_are_refused(api, caller):
    url = f"{BASE}/{make_pool(caller).public_id}/items"
    refused(api.get(url, {"text": "true"}), "text")
    refused(api.get(url, {"limit": "501"}), "limit")


def test_pages_cost_the_same_queries_whatever_their_size(api, caller):
    pool = make_pool(caller)
    url = f"{BASE}/{pool.public_id}/items"

    def cost(limit):
        with CaptureQueriesContext(
            connection,
        ) as seen:
            assert api.get(url, {"limit": limit, "texts": "true"}).status_code == 200
        return len(seen)

    cost(1)  # warms what is remembered of key and quotas
    assert cost(1) == cost(4)
    for name in ("b", "c"):
        make_pool(caller, test=pool.test, name=name)
    with CaptureQueriesContext(connection) as one:
        api.get(BASE, {"limit": 1})
    with CaptureQueriesContext(connection) as three:
        api.get(BASE, {"limit": 3})
    assert len(one) == len(three)
