"""`/v1/datasets…`: every method and twin, refusals without side effects, constant statements."""

import threading

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from experiments.models import Datapoint, Dataset, DatasetMembership
from governance.models import AuditEntry, Quota
from tests.factories import make_client, make_project, make_token


def create(api, **body):
    return api.post("/v1/datasets", body, content_type="application/json").json()["result"]["insertedId"]


def add(api, dataset_id, rows, **mapping):
    body = {"data": rows, "mapping": mapping or {"inputs": ["q"]}}
    return api.post(f"/v1/datasets/{dataset_id}/datapoints", body, content_type="application/json")


def get(api, dataset_id):
    return api.get("/v1/datasets", {"dataset_id": dataset_id}).json()["datasets"][0]


def used(project, resource):
    return Quota.objects.get(project=project, resource=resource).used


def test_a_dataset_is_created_listed_found_and_audited(api, project):
    dataset_id = create(api, name="cases", description="first")
    create(api, name="others")
    assert [each["name"] for each in api.get("/v1/datasets").json()["datasets"]] == ["others", "cases"]
    (found,) = api.get("/v1/datasets", {"name": "cases"}).json()["datasets"]
    assert found["id"] == dataset_id
    assert found["datapoints"] == []
    assert found["description"] == "first"
    assert api.get(f"/v1/datasets/{dataset_id}").json() == {"datasets": [found]}
    assert api.get("/v1/datasets", {"dataset_id": "unknown"}).json() == {"datasets": []}
    assert used(project, "datasets") == 2
    entry = AuditEntry.objects.filter(action="dataset.create").last()
    assert entry.target_id == dataset_id
    assert entry.after == {"name": "cases", "description": "first", "datapoints": 0, "revision": 1}


def test_a_dataset_without_a_name_gets_one(api):
    dataset_id = create(api)
    assert get(api, dataset_id)["name"] == f"Dataset {dataset_id}"


def test_the_unversioned_alias_answers_the_same(api):
    create(api, name="cases")
    assert api.get("/datasets").json() == api.get("/v1/datasets").json()


def test_rows_keep_their_order_and_are_sorted_by_the_mapping(api, project):
    dataset_id = create(api, name="cases")
    turn = {"role": "user", "content": "hi"}
    rows = [{"q": "a", "chat": turn, "answer": "A", "note": 1}, {"q": "b", "chat": [turn, turn]}]
    answer = add(api, dataset_id, rows, inputs=["q"], history=["chat"], ground_truth=["answer"]).json()
    assert answer["inserted"] is True
    assert get(api, dataset_id)["datapoints"] == answer["datapoint_ids"]
    first, second = api.get("/v1/datapoints", {"datapoint_ids[]": answer["datapoint_ids"]}).json()["datapoints"]
    assert (first["inputs"], first["history"], first["ground_truth"], first["metadata"]) == (
        {"q": "a"},
        [turn],
        {"answer": "A"},
        {"note": 1},
    )
    assert (second["inputs"], second["history"], second["ground_truth"], second["metadata"]) == (
        {"q": "b"},
        [turn, turn],
        None,
        None,
    )
    assert second["linked_datasets"] == [dataset_id]
    assert used(project, "datapoints") == 2
    assert Dataset.objects.get().revision == 2


def test_put_replaces_name_description_and_order(api):
    dataset_id = create(api, name="cases")
    a, b, c = add(api, dataset_id, [{"q": n} for n in range(3)]).json()["datapoint_ids"]
    answer = api.put(
        "/v1/datasets",
        {"dataset_id": dataset_id, "name": "renamed", "description": "d", "datapoints": [c, a]},
        content_type="application/json",
    )
    assert answer.status_code == 200
    assert answer.json()["result"]["datapoints"] == [c, a]
    assert answer.json()["result"]["name"] == "renamed"
    twin = api.put(f"/v1/datasets/{dataset_id}", {"datapoints": [b, c, a]}, content_type="application/json")
    assert twin.json()["result"]["datapoints"] == [b, c, a]
    assert twin.json()["result"]["name"] == "renamed"
    entry = AuditEntry.objects.filter(action="dataset.update").first()
    assert entry.before == {"revision": 3, "datapoints": 2}
    assert entry.after == {"revision": 4, "datapoints": 3}


def test_deletion_keeps_the_datapoints_and_gives_the_quota_back(api, project):
    first, second = create(api, name="one"), create(api, name="two")
    add(api, first, [{"q": 1}])
    assert api.delete(f"/v1/datasets?dataset_id={first}").json() == {"result": {"id": first}}
    assert api.delete(f"/v1/datasets/{second}").json() == {"result": {"id": second}}
    assert Dataset.objects.count() == 0
    assert Datapoint.objects.count() == 1
    assert used(project, "datasets") == 0
    assert api.delete(f"/v1/datasets/{second}").status_code == 404
    missing = api.delete("/v1/datasets")
    assert missing.status_code == 400
    assert missing.json()["details"]["field"] == "dataset_id"


@pytest.mark.parametrize("form", ["/v1/datasets/{}/{}", "/v1/datasets/{}/datapoints/{}", "/datasets/{}/{}"])
def test_a_datapoint_leaves_a_dataset_and_stays_by_itself(api, form):
    dataset_id = create(api, name="cases")
    a, b = add(api, dataset_id, [{"q": 1}, {"q": 2}]).json()["datapoint_ids"]
    answer = api.delete(form.format(dataset_id, a))
    assert answer.status_code == 200
    assert answer.json()["dereferenced"] is True
    assert get(api, dataset_id)["datapoints"] == [b]
    assert Datapoint.objects.count() == 2
    assert api.delete(form.format(dataset_id, a)).status_code == 404
    c = add(api, dataset_id, [{"q": 3}]).json()["datapoint_ids"][0]
    assert get(api, dataset_id)["datapoints"] == [b, c]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"name": ""}, 400, "name"),
        ({"name": "x" * 256}, 400, "name"),
        ({"name": 7}, 400, "name"),
        ({"name": "taken"}, 409, "name"),
        ({"description": []}, 400, "description"),
        ({"datapoints": "abc"}, 400, "datapoints"),
        ({"datapoints": [1]}, 400, "datapoints.0"),
        ({"datapoints": ["nobody"]}, 404, "datapoints.0"),
        ([], 400, "body"),
    ],
)
def test_refused_creates_name_the_field_and_change_nothing(api, project, body, status, field):
    create(api, name="taken")
    answer = api.post("/v1/datasets", body, content_type="application/json")
    assert answer.status_code == status
    assert answer.json()["details"]["field"] == field
    assert Dataset.objects.count() == 1
    assert used(project, "datasets") == 1
    assert AuditEntry.objects.filter(action="dataset.create").count() == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"data": [], "mapping": {}}, "data"),
        ({"data": [{"q": 1}]}, "mapping"),
        ({"data": ["q"], "mapping": {}}, "data.0"),
        ({"data": [{"q": 1}], "mapping": {"inputs": "q"}}, "mapping.inputs"),
        ({"data": [{"q": 1}, {"h": "text"}], "mapping": {"history": ["h"]}}, "data.1.h"),
    ],
)
def test_refused_rows_name_the_field_and_store_nothing(api, body, field):
    dataset_id = create(api, name="cases")
    answer = api.post(f"/v1/datasets/{dataset_id}/datapoints", body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["details"]["field"] == field
    assert Datapoint.objects.count() == 0


def test_a_datapoint_twice_in_a_list_is_refused(api):
    dataset_id = create(api, name="cases")
    (a,) = add(api, dataset_id, [{"q": 1}]).json()["datapoint_ids"]
    answer = api.put(f"/v1/datasets/{dataset_id}", {"datapoints": [a, a]}, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["details"]["field"] == "datapoints.1"


def test_renaming_to_a_taken_name_is_a_conflict(api):
    create(api, name="taken")
    dataset_id = create(api, name="cases")
    answer = api.put(f"/v1/datasets/{dataset_id}", {"name": "taken"}, content_type="application/json")
    assert answer.status_code == 409
    assert get(api, dataset_id)["name"] == "cases"


def test_rows_over_the_quota_store_nothing(api, project):
    dataset_id = create(api, name="cases")
    Quota.objects.filter(project=project, resource="datapoints").update(ceiling=2)
    answer = add(api, dataset_id, [{"q": n} for n in range(3)])
    assert answer.status_code == 429
    assert answer.json()["errorCode"] == "quota_exceeded"
    assert Datapoint.objects.count() == 0
    assert used(project, "datapoints") == 0


def test_another_projects_dataset_does_not_exist(api):
    dataset_id = create(api, name="cases")
    (datapoint_id,) = add(api, dataset_id, [{"q": 1}]).json()["datapoint_ids"]
    other = make_client(make_token(make_project()))
    own_id = create(other, name="cases")  # names are unique per project only
    assert other.get("/v1/datasets", {"dataset_id": dataset_id}).json() == {"datasets": []}
    for answer in (
        other.put(f"/v1/datasets/{dataset_id}", {"name": "x"}, content_type="application/json"),
        other.delete(f"/v1/datasets/{dataset_id}"),
        add(other, dataset_id, [{"q": 1}]),
        other.delete(f"/v1/datasets/{dataset_id}/{datapoint_id}"),
        other.put(f"/v1/datasets/{own_id}", {"datapoints": [datapoint_id]}, content_type="application/json"),
    ):
        assert answer.status_code == 404
    assert get(api, dataset_id)["datapoints"] == [datapoint_id]


def test_ten_thousand_rows_take_as_many_statements_as_two(api):
    counts = []
    for name, rows in (("few", 2), ("many", 10_000)):
        dataset_id = create(api, name=name)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            answer = add(api, dataset_id, [{"q": n, "text": "x" * 50} for n in range(rows)])
        assert len(answer.json()["datapoint_ids"]) == rows
        counts.append(len(queries))
        ids = get(api, dataset_id)["datapoints"]
        assert ids == answer.json()["datapoint_ids"]
        with CaptureQueriesContext(connection) as queries:
            body = {"datapoints": ids[::-1]}
            replaced = api.put(f"/v1/datasets/{dataset_id}", body, content_type="application/json")
        assert replaced.json()["result"]["datapoints"] == ids[::-1]
        counts.append(len(queries))
    assert counts[:2] == counts[2:]


def test_listing_takes_as_many_queries_for_sixty_datasets_as_for_one(api, django_assert_num_queries):
    add(api, create(api, name="first"), [{"q": 1}])
    with CaptureQueriesContext(connection) as queries:
        api.get("/v1/datasets")
        count = len(queries)
    for n in range(60):
        create(api, name=f"cases {n}")
    with django_assert_num_queries(count):
        assert len(api.get("/v1/datasets").json()["datasets"]) == 61
    assert count == 3  # key, datasets, members


@pytest.mark.django_db(transaction=True)
def test_concurrent_appends_get_positions_of_their_own(api, api_key):
    dataset_id = create(api, name="cases")
    statuses = []

    def append(number):
        try:
            statuses.append(
                add(make_client(api_key), dataset_id, [{"q": f"{number}-{n}"} for n in range(5)]).status_code
            )
        finally:
            connection.close()

    threads = [threading.Thread(target=append, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 6
    positions = DatasetMembership.objects.order_by("position").values_list("position", flat=True)
    assert list(positions) == list(range(30))
    assert Dataset.objects.get().revision == 7
