"""`/v1/datapoints…`: every method, links to datasets, datapoints out of events."""

import json
import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from experiments.models import Datapoint, Dataset, Event
from governance.models import AuditEntry, Quota
from tests.factories import make_client, make_project, make_token


def post(api, path, body):
    return api.post(path, body, content_type="application/json")


def put(api, path, body):
    return api.put(path, body, content_type="application/json")


def make_dataset(api, name):
    return post(api, "/v1/datasets", {"name": name}).json()["result"]["insertedId"]


def make(api, **body):
    return post(api, "/v1/datapoints", body).json()["result"]["insertedIds"][0]


def show(api, datapoint_id):
    (found,) = api.get(f"/v1/datapoints/{datapoint_id}").json()["datapoint"]
    return found


def members(api, dataset_id):
    return api.get(f"/v1/datasets/{dataset_id}").json()["datasets"][0]["datapoints"]


def make_event(project, **fields):
    key = uuid.uuid4()
    values = {"event_type": "model", "event_name": "call", "source": "test", "start_time": 1.0, "end_time": 2.0}
    return Event.objects.create(
        **{"project": project, "event_key": key, "session_key": key, "duration": 1.0, **values, **fields}
    )


def test_a_datapoint_shows_every_required_key(api):
    found = show(api, make(api))
    assert found.pop("id")
    assert found.pop("created_at")
    assert found.pop("updated_at")
    assert found == {
        "inputs": {},
        "history": [],
        "ground_truth": None,
        "metadata": None,
        "linked_event": None,
        "linked_datasets": [],
    }


def test_linked_datasets_get_the_datapoint_at_their_end(api):
    first, second = make_dataset(api, "one"), make_dataset(api, "two")
    a = make(api, inputs={"q": 1}, linked_datasets=[first])
    b = make(api, inputs={"q": 2}, linked_datasets=[second, first])
    assert members(api, first) == [a, b]
    assert members(api, second) == [b]
    assert show(api, b)["linked_datasets"] == [first, second]
    assert list(Dataset.objects.order_by("pk").values_list("revision", flat=True)) == [3, 2]


def test_an_update_replaces_each_given_field_whole(api):
    first, second = make_dataset(api, "one"), make_dataset(api, "two")
    a = make(api, inputs={"q": 1, "r": 2}, ground_truth={"a": 1}, linked_datasets=[first])
    answer = put(api, f"/v1/datapoints/{a}", {"inputs": {"q": 3}, "linked_datasets": [second]})
    assert answer.json() == {"updated": True, "result": {"modifiedCount": 1}}
    found = show(api, a)
    assert (found["inputs"], found["ground_truth"], found["linked_datasets"]) == ({"q": 3}, {"a": 1}, [second])
    assert members(api, first) == []
    entry = AuditEntry.objects.filter(action="datapoint.update").first()
    assert entry.before == {"inputs": '{"q": 1, "r": 2}', "linked_datasets": [first]}
    assert entry.after == {"inputs": '{"q": 3}', "linked_datasets": [second]}
    assert list(Dataset.objects.order_by("pk").values_list("revision", flat=True)) == [3, 2]


def test_an_update_without_links_keeps_them_and_long_values_are_hashed_in_the_audit(api):
    first = make_dataset(api, "one")
    a = make(api, inputs={"q": "x" * 3000}, linked_datasets=[first])
    put(api, f"/v1/datapoints/{a}", {"inputs": {}, "ground_truth": {"n": 1e22}})
    assert members(api, first) == [a]
    assert show(api, a)["ground_truth"] == {"n": 1e22}
    assert AuditEntry.objects.filter(action="datapoint.update").first().before["inputs"]["characters"] == 3009


def test_a_deleted_datapoint_leaves_every_dataset(api, project):
    first = make_dataset(api, "one")
    a, b = make(api, linked_datasets=[first]), make(api, linked_datasets=[first])
    assert api.delete(f"/v1/datapoints/{a}").json() == {"deleted": True}
    assert members(api, first) == [b]
    assert Quota.objects.get(project=project, resource="datapoints").used == 1
    assert Dataset.objects.get().revision == 4
    assert api.delete(f"/v1/datapoints/{a}").status_code == 404
    assert api.get(f"/v1/datapoints/{a}").status_code == 404


def test_lists_by_ids_by_dataset_name_and_of_everything(api):
    first = make_dataset(api, "one")
    a, b, c = make(api), make(api, linked_datasets=[first]), make(api, linked_datasets=[first])

    def listed(**query):
        answer = api.get("/v1/datapoints", query)
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        return [each["id"] for each in json.loads(content)["datapoints"]]

    assert listed() == [a, b, c]
    assert listed(dataset_name="one") == [b, c]
    assert listed(dataset_name="none") == []
    assert listed(**{"datapoint_ids[]": [c, a, "nobody"]}) == [c, a]
    assert listed(datapoint_ids=f"{b},{a}") == [b, a]
    assert listed(**{"datapoint_ids[]": [a, b], "dataset_name": "one"}) == [b]
    too_many = api.get("/v1/datapoints", {"datapoint_ids": ",".join(["x"] * 1001)})
    assert too_many.status_code == 400
    assert too_many.json()["details"]["field"] == "datapoint_ids"


def test_listing_by_ids_takes_as_many_queries_for_sixty_as_for_one(api, django_assert_num_queries):
    ids = [make(api) for _ in range(60)]
    with CaptureQueriesContext(connection) as queries:
        api.get("/v1/datapoints", {"datapoint_ids[]": ids[:1]})
        count = len(queries)
    with django_assert_num_queries(count):
        assert len(api.get("/v1/datapoints", {"datapoint_ids[]": ids}).json()["datapoints"]) == 60
    assert count == 3  # key, datapoints, links


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"inputs": []}, 400, "inputs"),
        ({"inputs": "x"}, 400, "inputs"),
        ({"history": {}}, 400, "history"),
        ({"history": ["x"]}, 400, "history.0"),
        ({"ground_truth": "x"}, 400, "ground_truth"),
        ({"linked_event": 3}, 400, "linked_event"),
        ({"linked_event": "x" * 65}, 400, "linked_event"),
        ({"linked_datasets": "x"}, 400, "linked_datasets"),
        ({"linked_datasets": ["nobody"]}, 404, "linked_datasets"),
        ({"inputs": {"deep": [[[]]]} | {"d": eval("[" * 70 + "]" * 70)}}, 400, "inputs"),
    ],
)
def test_refused_bodies_name_the_field_and_change_nothing(api, body, status, field):
    a = make(api, inputs={"q": 1})
    for answer in (post(api, "/v1/datapoints", body), put(api, f"/v1/datapoints/{a}", body)):
        assert answer.status_code == status
        assert answer.json()["details"]["field"] == field
    assert Datapoint.objects.count() == 1
    assert show(api, a)["inputs"] == {"q": 1}


def test_another_projects_datapoint_does_not_exist(api):
    a = make(api, inputs={"q": 1})
    dataset_id = make_dataset(api, "one")
    other = make_client(make_token(make_project()))
    assert other.get(f"/v1/datapoints/{a}").status_code == 404
    assert put(other, f"/v1/datapoints/{a}", {"inputs": {}}).status_code == 404
    assert other.delete(f"/v1/datapoints/{a}").status_code == 404
    assert post(other, "/v1/datapoints", {"linked_datasets": [dataset_id]}).status_code == 404
    assert other.get("/v1/datapoints", {"datapoint_ids[]": [a]}).json() == {"datapoints": []}
    assert show(api, a)["inputs"] == {"q": 1}
    assert Datapoint.objects.count() == 1


def test_events_become_datapoints_in_the_order_listed(api, project):
    dataset_id = make_dataset(api, "one")
    turns = [{"role": "user", "content": "hi"}]
    first = make_event(project, inputs={"q": 1}, outputs={"a": 1})
    second = make_event(project, inputs={"q": 2, "chat_history": turns}, feedback={"ground_truth": "yes"})
    body = {"events": [str(second.event_key), str(first.event_key)], "dataset_id": dataset_id}
    answer = post(api, "/v1/datapoints/batch", body).json()
    assert answer["inserted"] is True
    assert members(api, dataset_id) == answer["insertedIds"]
    b, a = (show(api, each) for each in answer["insertedIds"])
    assert (b["inputs"], b["history"], b["ground_truth"]) == ({"q": 2}, turns, {"ground_truth": "yes"})
    assert (a["inputs"], a["history"], a["ground_truth"]) == ({"q": 1}, [], {"a": 1})
    assert a["linked_event"] == str(first.event_key)


def test_a_mapping_chooses_by_path_and_select_all_by_filter(api, project):
    make_event(project, event_name="keep", inputs={"q": 1, "deep": {"er": 2}}, outputs={"text": "A"}, start_time=5.0)
    make_event(project, event_name="keep", start_time=50.0)
    out = make_event(project, event_name="keep", start_time=5.0)
    make_event(project, event_name="drop", start_time=5.0)
    body = {
        "selectAll": True,
        "checkState": {str(out.event_key): False},
        "filters": [{"field": "event_name", "operator": "is", "value": "keep", "type": "string"}],
        "dateRange": {"$gte": 0, "$lte": "1970-01-01T00:00:00.010Z"},
        "mapping": {"inputs": ["q", "inputs.deep.er", "nowhere"], "ground_truth": ["outputs.text"]},
    }
    (found,) = (show(api, each) for each in post(api, "/v1/datapoints/batch", body).json()["insertedIds"])
    assert (found["inputs"], found["ground_truth"]) == ({"q": 1, "er": 2}, {"text": "A"})


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, "events"),
        ({"events": ["x"]}, 400, "events"),
        ({"events": [str(uuid.UUID(int=1))]}, 404, "events"),
        ({"selectAll": True, "filters": "x"}, 400, "filters.dict[str,any]"),
        ({"selectAll": True, "filters": [{"field": "x"}]}, 400, "filters.0.field"),
        ({"selectAll": True, "checkState": {"x": False}}, 400, "checkState"),
    ],
)
def test_refused_batches_name_the_field_and_store_nothing(api, project, body, status, field):
    make_event(project)
    answer = post(api, "/v1/datapoints/batch", body)
    assert answer.status_code == status
    assert answer.json()["details"]["field"] == field
    assert Datapoint.objects.count() == 0


def test_a_nul_in_the_address_is_refused_by_name(api):
    for path in ("/v1/datapoints/%00", "/v1/datasets?name=%00"):
        answer = api.get(path)
        assert answer.status_code == 400
        assert answer.json()["details"] == {"field": "url"}


def test_numbers_beyond_64_bits_come_out_of_events_as_they_were_sent(api, project):
    event = post(api, "/events", {"event": {"event_type": "tool", "inputs": {"x": 1e22, "y": [-1e22, True]}}}).json()
    made = post(api, "/v1/datapoints/batch", {"events": [event["event_id"]]})
    assert made.status_code == 200
    (found,) = api.get(f"/v1/datapoints/{made.json()['insertedIds'][0]}").json()["datapoint"]
    assert found["inputs"] == {"x": 1e22, "y": [-1e22, True]}


def test_a_selection_leaves_out_as_many_events_as_it_may_and_no_more(api, project):
    states = {str(uuid.UUID(int=number)): False for number in range(10_001)}
    answer = post(api, "/v1/datapoints/batch", {"selectAll": True, "checkState": states})
    assert (answer.status_code, answer.json()["details"]["field"]) == (400, "checkState")
