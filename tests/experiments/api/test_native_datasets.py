"""`/api/v1/datasets…`: pages, filters, constant queries, idempotent creates."""

import threading

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from experiments.domain.wire_datasets import DatapointContent
from experiments.models import Dataset
from experiments.services.datasets import add_rows, create_dataset
from governance.models import AuditEntry, IdempotentAnswer, Quota
from tests.factories import make_client, make_project, make_token


def fill(caller, name, rows=2):
    dataset = create_dataset(caller=caller, name=name)
    add_rows(
        caller=caller, dataset_id=dataset.public_id, contents=[DatapointContent(inputs={"q": n}) for n in range(rows)]
    )
    return dataset.public_id


def post(api, body, key=None):
    headers = {"Idempotency-Key": key} if key is not None else {}
    return api.post("/api/v1/datasets", body, content_type="application/json", headers=headers)


def test_datasets_are_listed_in_pages_with_counts(api, caller):
    ids = [fill(caller, f"cases {n}", rows=n) for n in range(3)]
    answer = api.get("/api/v1/datasets", {"limit": 2}).json()
    assert [each["id"] for each in answer["results"]] == [ids[2], ids[1]]
    assert [each["datapoint_count"] for each in answer["results"]] == [2, 1]
    assert answer["pagination"] == {
        "page": 1,
        "limit": 2,
        "total": 3,
        "total_pages": 2,
        "has_next": True,
        "has_prev": False,
    }
    second = api.get("/api/v1/datasets", {"limit": 2, "page": 2}).json()
    assert [each["id"] for each in second["results"]] == [ids[0]]
    assert second["results"][0]["datapoint_count"] == 0
    assert api.get("/api/v1/datasets", {"page": 9}).json()["results"] == []


@pytest.mark.parametrize(("query", "found"), [({"name": "b"}, ["b"]), ({"name_prefix": "a"}, ["ab", "aa"])])
def test_datasets_are_found_by_name_and_by_its_beginning(api, caller, query, found):
    for name in ("aa", "ab", "b"):
        create_dataset(caller=caller, name=name)
    assert [each["name"] for each in api.get("/api/v1/datasets", query).json()["results"]] == found


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": 501}, "limit"),
        ({"limit": 0}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"page": 0}, "page"),
        ({"page": "²"}, "page"),
        ({"nme": "x"}, "nme"),
        ({"name": "\x00"}, "name"),
    ],
)
def test_wrong_parameters_are_refused_by_name(api, query, field):
    answer = api.get("/api/v1/datasets", query)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "invalid_input"
    assert error["details"]["field"] == field
    assert error["details"]["request_id"]


def test_lists_take_as_many_queries_for_sixty_rows_as_for_one(api, caller):
    counts = {}
    dataset_id = fill(caller, "first", rows=1)
    paths = ("/api/v1/datasets", f"/api/v1/datasets/{dataset_id}/datapoints")
    api.get(paths[0])
    for path in paths:
        with CaptureQueriesContext(connection) as queries:
            assert api.get(path).status_code == 200
            counts[path] = len(queries)
    for n in range(60):
        create_dataset(caller=caller, name=f"cases {n}")
    add_rows(caller=caller, dataset_id=dataset_id, contents=[DatapointContent() for _ in range(60)])
    for path in paths:
        with CaptureQueriesContext(connection) as queries:
            assert len(api.get(path).json()["results"]) == 50
            assert len(queries) == counts[path]
    assert counts == {paths[0]: 3, paths[1]: 4}


def test_a_dataset_and_its_datapoints_are_shown(api, caller):
    dataset_id = fill(caller, "cases", rows=3)
    shown = api.get(f"/api/v1/datasets/{dataset_id}").json()
    assert (shown["id"], shown["name"], shown["revision"], shown["datapoint_count"]) == (dataset_id, "cases", 2, 3)
    answer = api.get(f"/api/v1/datasets/{dataset_id}/datapoints").json()
    assert [(each["position"], each["inputs"]) for each in answer["results"]] == [(n, {"q": n}) for n in range(3)]
    for path in ("", "/datapoints", "/export"):
        refused = api.get(f"/api/v1/datasets/nobody{path}")
        assert refused.status_code == 404
        assert refused.json()["error"]["details"]["value"] == "nobody"


def test_a_create_answers_201_with_its_address(api):
    answer = post(api, {"name": "cases", "description": "d"})
    assert answer.status_code == 201
    body = answer.json()
    assert (body["name"], body["description"], body["datapoint_count"], body["revision"]) == ("cases", "d", 0, 1)
    assert answer["Location"] == f"/api/v1/datasets/{body['id']}"
    assert api.get(answer["Location"]).json() == body


def test_a_repeated_create_returns_the_first_answer(api, project):
    first = post(api, {"name": "cases"}, key="k1")
    again = post(api, {"name": "cases"}, key="k1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert "Idempotency-Replayed" not in first
    assert again["Idempotency-Replayed"] == "true"
    assert Dataset.objects.count() == 1
    assert AuditEntry.objects.filter(action="dataset.create").count() == 1
    assert Quota.objects.get(project=project, resource="datasets").used == 1


def test_a_key_with_another_body_is_a_conflict_and_keys_are_per_project(api):
    post(api, {"name": "cases"}, key="k1")
    answer = post(api, {"name": "others"}, key="k1")
    assert answer.status_code == 409
    assert answer.json()["error"]["details"]["field"] == "Idempotency-Key"
    assert Dataset.objects.count() == 1
    other = make_client(make_token(make_project()))
    assert post(other, {"name": "others"}, key="k1").status_code == 201


def test_a_refused_create_leaves_its_key_free(api):
    create = post(api, {"name": "cases"})
    assert create.status_code == 201
    assert post(api, {"name": "cases"}, key="k1").status_code == 409
    assert IdempotentAnswer.objects.count() == 0
    assert post(api, {"name": "others"}, key="k1").status_code == 201


@pytest.mark.parametrize("key", ["", " ", "x" * 256])
def test_unusable_keys_are_refused(api, key):
    answer = post(api, {"name": "cases"}, key=key)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == "Idempotency-Key"
    assert Dataset.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_concurrent_doubles_make_one_dataset(api, api_key):
    answers = []
    start = threading.Barrier(6)

    def create():
        try:
            start.wait()
            answers.append(post(make_client(api_key), {"name": "cases"}, key="same"))
        finally:
            connection.close()

    threads = [threading.Thread(target=create) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [201] * 6
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("Idempotency-Replayed" in answer for answer in answers) == 5
    assert Dataset.objects.count() == 1
