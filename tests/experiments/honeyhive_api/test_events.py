"""Events over the wire: create, batch, update, read, refuse."""

import uuid

import orjson
import pytest

from experiments.models import Event, Measurement, RunRevision
from tests.factories import make_client, make_project, make_token

pytestmark = pytest.mark.django_db


def send(client, method, path, body=None, **headers):
    answer = client.generic(
        method,
        path,
        data=body if isinstance(body, str | bytes) else dumps(body),
        content_type="application/json",
        headers=headers,
    )
    return answer.status_code, answer.json()


def dumps(body) -> bytes:

    return orjson.dumps(body)


def export(client, *filters, **options):
    status, body = send(client, "POST", "/v1/events/export", {"filters": list(filters), **options})
    assert status == 200, body
    assert body["totalEvents"] == body["count"]
    return body


def only(client, key):
    (event,) = export(client, {"field": "event_id", "operator": "is", "value": key, "type": "string"})["events"]
    return event


def create(client, **event) -> str:
    status, body = send(client, "POST", "/events", {"event": {"event_type": "tool", "inputs": {}, **event}})
    assert status == 200, body
    assert body["success"] is True
    return body["event_id"]


def revision(run_key) -> int:
    return sum(RunRevision.objects.filter(run_key=run_key).values_list("revision", flat=True))


def test_defaults_of_a_created_event(api, project) -> None:
    key = create(api, event_name=None)

    event = only(api, key)
    assert event["parent_id"] == event["session_id"] != key
    assert (event["event_name"], event["source"]) == ("unknown", "unknown")
    assert event["project_id"] == project.public_id
    assert event["outputs"] == event["metadata"] == event["metrics"] == event["config"] == {}
    assert event["children_ids"] == []
    assert event["error"] is None
    assert event["duration"] == event["end_time"] - event["start_time"] == 0
    session = only(api, event["session_id"])
    assert (session["event_type"], session["parent_id"]) == ("session", None)
    assert Event.objects.count() == 2


@pytest.mark.parametrize(
    ("path", "wrap"),
    [("/events", True), ("/v1/events", False), ("/v1/events", True)],
    ids=["legacy", "twin", "wrapped"],
)
def test_both_doors_create_and_a_retry_doubles_nothing(api, path, wrap) -> None:
    key, session = str(uuid.uuid4()), str(uuid.uuid4())
    event = {
        "event_type": "tool",
        "inputs": {"a": 1},
        "event_id": key.upper(),
        "session_id": session,
        "metrics": {"m": 1},
        "start_time": 1000,
        "duration": 5,
    }

    for _ in range(2):
        assert send(api, "POST", path, {"event": event} if wrap else event) == (200, {"success": True, "event_id": key})

    assert Event.objects.filter(event_key=key).count() == 1
    assert Event.objects.count() == 2
    assert Measurement.objects.count() == 1
    event = only(api, key)
    assert (event["session_id"], event["end_time"]) == (session, 1005.0)


def test_a_retry_after_an_update_does_not_undo_it(api) -> None:
    key = str(uuid.uuid4())
    create(api, event_id=key, metadata={"a": 1}, metrics={"m": 1})
    send(api, "PUT", "/events", {"event_id": key, "metadata": {"a": 2}, "metrics": {"m": 2}})

    create(api, event_id=key, metadata={"a": 1}, metrics={"m": 1})

    assert only(api, key)["metadata"] == {"a": 2}
    assert Measurement.objects.get().value == 2


def test_run_ids_of_the_session_are_inherited(api) -> None:
    session = str(uuid.uuid4())
    metadata = {"run_id": "r", "dataset_id": "EXT-d", "datapoint_id": "EXT-1"}
    send(api, "POST", "/session/start", {"session": {"session_id": session, "metadata": metadata}})

    key = create(api, session_id=session, metrics={"m": True})

    assert only(api, key)["metadata"] == metadata
    assert Measurement.objects.get().run_key == "r"


def test_a_session_that_gains_run_ids_hands_them_on(api) -> None:
    session = str(uuid.uuid4())
    key = create(api, session_id=session, metrics={"m": 1}, metadata={"datapoint_id": "own"})
    before = revision("r")

    send(api, "PUT", "/events", {"event_id": session, "metadata": {"run_id": "r", "datapoint_id": "EXT-1"}})

    assert only(api, key)["metadata"] == {"datapoint_id": "own", "run_id": "r"}
    assert Event.objects.get(event_key=key).run_key == "r"
    assert Event.objects.get(event_key=session).datapoint_key == "EXT-1"
    assert Measurement.objects.get().run_key == "r"
    assert revision("r") > before


def test_measurements_follow_updates(api) -> None:
    key = create(api, metadata={"run_id": "r"}, metrics={"a": 1, "b": True, "c": 0.5, "text": "x"})
    assert dict(Measurement.objects.values_list("name", "value")) == {"a": 1.0, "b": 1.0, "c": 0.5}
    before = revision("r")

    status, body = send(api, "PUT", f"/v1/events/{key}", {"metrics": {"a": "now text", "b": 2, "d": False}})

    assert (status, body) == (200, {"success": True, "event_id": key})
    assert {(m.name, m.value, m.is_boolean, m.run_key) for m in Measurement.objects.all()} == {
        ("b", 2.0, False, "r"),
        ("c", 0.5, False, "r"),
        ("d", 0.0, True, "r"),
    }
    assert revision("r") == before + 1


def test_an_update_that_says_nothing_new_changes_no_revision(api) -> None:
    key = create(api, metadata={"run_id": "r"}, metrics={"a": 1})
    before = revision("r")

    assert send(api, "PUT", "/events", {"event_id": key, "metrics": {"a": 1}})[0] == 200
    assert send(api, "PUT", "/events", {"event_id": key})[0] == 200
    assert send(api, "PUT", "/events", {"event_id": key, "metrics": {"a": 1}}, **{"hh-client-timestamp": "5"})[0] == 200

    assert Event.objects.get(event_key=key).client_timestamp == 5
    assert revision("r") == before


def test_moving_an_event_to_another_run_changes_both(api) -> None:
    key = create(api, metadata={"run_id": "r1"}, metrics={"a": 1})
    before = revision("r1"), revision("r2")

    send(api, "PUT", "/events", {"event_id": key, "metadata": {"run_id": "r2"}})

    assert (revision("r1"), revision("r2")) == (before[0] + 1, before[1] + 1)
    assert Measurement.objects.get().run_key == "r2"


def test_scalars_follow_the_clients_clock(api) -> None:
    key = create(api, start_time=1000, end_time=1001)
    send(api, "PUT", "/events", {"event_id": key, "end_time": 1020}, **{"hh-client-timestamp": "20"})
    send(api, "PUT", "/events", {"event_id": key, "end_time": 1010}, **{"hh-client-timestamp": "10"})
    send(api, "PUT", "/events", {"event_id": key, "metadata": {"a": 1}}, **{"hh-client-timestamp": "no number"})

    event = only(api, key)
    assert (event["end_time"], event["duration"], event["metadata"]) == (1020.0, 20.0, {"a": 1})


def test_ground_truth_in_metadata_is_feedback(api) -> None:
    key = create(api)

    send(api, "PUT", "/events", {"event_id": key, "metadata": {"ground_truth": {"a": 1}, "k": 1}})

    event = only(api, key)
    assert (event["metadata"], event["feedback"]) == ({"k": 1}, {"ground_truth": {"a": 1}})


def test_an_update_of_an_unknown_id_makes_a_session_that_its_spans_join(api) -> None:
    session = str(uuid.uuid4())
    assert (
        send(api, "PUT", "/events", {"event_id": session, "metadata": {"run_id": "r"}, "metrics": {"m": 1}})[0] == 200
    )

    key = create(api, session_id=session)

    assert only(api, session)["event_type"] == "session"
    assert only(api, session)["metrics"] == {"m": 1}
    assert only(api, key)["metadata"] == {"run_id": "r"}
    assert Event.objects.count() == 2


def test_a_batch_of_separate_sessions(api) -> None:
    events = [{"event_type": "tool", "inputs": {}, "event_name": f"e{n}"} for n in range(2)]

    status, body = send(api, "POST", "/v1/events/batch", {"events": events})

    assert status == 200
    assert set(body) == {"success", "event_ids"}
    assert [only(api, key)["event_name"] for key in body["event_ids"]] == ["e0", "e1"]
    assert Event.objects.filter(event_type="session").count() == 2


def test_a_batch_of_one_session_takes_its_properties(api) -> None:
    properties = {"session_name": "s", "metadata": {"run_id": "r"}, "user_properties": {"u": 1}, "start_time": 500}
    body = {"events": [{"event_name": "e"}, {"event_type": "model"}], "single_session": True, "session": properties}

    status, answer = send(api, "POST", "/events/batch", body)

    assert status == 200
    session = only(api, answer["session_id"])
    assert (session["event_name"], session["user_properties"], session["start_time"]) == ("s", {"u": 1}, 500.0)
    assert [only(api, key)["metadata"] for key in answer["event_ids"]] == [{"run_id": "r"}] * 2
    assert [only(api, key)["event_type"] for key in answer["event_ids"]] == ["tool", "model"]


def test_an_empty_batch_stores_nothing(api) -> None:
    assert send(api, "POST", "/events/batch", {"events": []}) == (200, {"success": True, "event_ids": []})
    assert Event.objects.count() == 0


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_model_events(api, prefix) -> None:
    call = {
        "event_name": "call",
        "model": "m",
        "messages": [{"role": "user", "content": "q"}],
        "usage": {"total_tokens": 3},
    }

    status, body = send(api, "POST", f"{prefix}/events/model", {"model_event": call})
    many = send(api, "POST", f"{prefix}/events/model/batch", {"model_events": [call], "is_single_session": True})

    assert (status, many[0]) == (200, 200)
    for key in (body["event_id"], many[1]["event_ids"][0]):
        event = only(api, key)
        assert (event["event_type"], event["config"]) == ("model", {"model": "m"})
        assert event["inputs"] == {"chat_history": [{"role": "user", "content": "q"}]}


def test_one_event_by_id(api, project) -> None:
    key = create(api, event_name="it")

    status, body = send(api, "GET", f"/v1/events/{key}")

    assert status == 200
    assert (body["event_id"], body["event"]["event_name"], body["event"]["event_id"]) == (key, "it", key)


@pytest.mark.parametrize("key", ["84ba53c3-c39d-4e52-a76b-98d6eb1148b3", "no-uuid"])
def test_an_unknown_event_is_not_found(api, key) -> None:
    assert send(api, "GET", f"/v1/events/{key}")[0] == 404


def test_another_projects_events_are_neither_seen_nor_changed(api, project) -> None:
    key = create(api, event_name="mine", metadata={"a": 1})
    stranger = make_client(make_token(make_project()))

    assert send(stranger, "GET", f"/v1/events/{key}")[0] == 404
    assert export(stranger)["events"] == []
    assert send(stranger, "PUT", "/events", {"event_id": key, "metadata": {"a": 2}})[0] == 200
    assert create(stranger, event_id=key, event_name="theirs") == key

    assert only(api, key)["event_name"] == "mine"
    assert only(api, key)["metadata"] == {"a": 1}
    assert only(stranger, key)["metadata"] == {"a": 2}
    assert Event.objects.filter(event_key=key).count() == 2
