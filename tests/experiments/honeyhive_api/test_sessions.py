"""Sessions over the wire: start, start again, tree, deletion, events of a session."""

import uuid

import orjson
import pytest

from experiments.models import Event, Measurement
from governance.domain.actions import KeyKind
from governance.models import AuditEntry
from tests.experiments.honeyhive_api.test_events import create, export, only, revision, send
from tests.factories import make_client, make_project, make_token

pytestmark = pytest.mark.django_db


def start(client, **session):
    status, body = send(client, "POST", "/session/start", {"session": session})
    assert status == 200, body
    return body


def test_a_new_session_answers_with_every_key_the_client_needs(api, project) -> None:
    body = start(
        api,
        session_name="s",
        source="evaluation",
        inputs={"q": "a"},
        metadata={"run_id": "r", "dataset_id": "EXT-d", "datapoint_id": "EXT-1"},
        project="ignored",
        start_time=1000.5,
    )

    assert uuid.UUID(body["session_id"]).version == 4
    assert body["event_id"] == body["session_id"]
    assert body["parent_id"] is None
    assert body["project_id"] == project.public_id
    assert body["org_id"] == body["workspace_id"] == "hhweb"
    assert (body["event_type"], body["event_name"], body["source"]) == ("session", "s", "evaluation")
    assert body["metadata"] == {
        "source": "evaluation",
        "run_id": "r",
        "dataset_id": "EXT-d",
        "datapoint_id": "EXT-1",
    }
    assert (body["inputs"], body["start_time"]) == ({"q": "a"}, 1000.5)
    event = Event.objects.get()
    assert (event.run_key, event.dataset_key, event.datapoint_key) == ("r", "EXT-d", "EXT-1")
    source = {"field": "metadata.source", "operator": "is", "value": "evaluation", "type": "string"}
    assert export(api, source)["totalEvents"] == 1


@pytest.mark.parametrize("form", ["object", "text", "bare", "wrapped twin"])
def test_every_form_of_a_start(api, form) -> None:
    key = str(uuid.uuid4())
    session = {"session_id": key.upper(), "session_name": "s", "anything": 1}
    body = {"object": {"session": session}, "text": {"session": orjson.dumps(session).decode()}}.get(form)
    path = "/session/start" if body else "/v1/sessions"

    status, answer = send(api, "POST", path, body or ({"session": session} if "wrapped" in form else session))

    assert (status, answer["session_id"], answer["event_name"]) == (200, key, "s")


def test_starting_again_adds_what_is_missing_and_undoes_nothing(api) -> None:
    key = start(api, session_name="s", metadata={"a": 1})["session_id"]
    send(api, "PUT", "/events", {"event_id": key, "metadata": {"b": 2}, "outputs": {"o": 1}})

    body = start(api, session_id=key, session_name="other", metadata={"a": 9, "c": 3}, inputs={"i": 1})

    assert (body["event_name"], body["inputs"], body["outputs"]) == ("s", {"i": 1}, {"o": 1})
    assert body["metadata"] == {"a": 1, "b": 2, "c": 3}
    assert Event.objects.count() == 1


def test_a_session_seen_first_through_its_events_takes_its_start(api) -> None:
    key = str(uuid.uuid4())
    child = create(api, session_id=key, start_time=2000)

    start(api, session_id=key, session_name="s", source="evaluation", metadata={"run_id": "r"}, start_time=1000)

    event = only(api, key)
    assert (event["event_name"], event["source"], event["start_time"]) == ("s", "evaluation", 1000.0)
    assert only(api, child)["metadata"]["run_id"] == "r"


def test_a_session_shows_what_its_events_add_up_to(api) -> None:
    key = start(api, session_name="s", start_time=1000)["session_id"]
    for n in range(3):
        create(
            api,
            session_id=key,
            event_type="model" if n else "tool",
            start_time=1000 + n,
            end_time=1100 + n,
            metadata={"total_tokens": 10, "input_tokens": 4, "completion_tokens": "text"} if n else {},
            metrics={"cost": 0.25} if n else {},
            feedback={"rating": 1} if n else {},
        )

    event = only(api, key)

    assert event["metadata"] == {
        "source": "unknown",
        "num_events": 3,
        "num_model_events": 2,
        "has_feedback": True,
        "cost": 0.5,
        "total_tokens": 20,
        "prompt_tokens": 8,
    }
    assert (event["end_time"], event["duration"]) == (1102.0, 102.0)


def test_a_session_without_events_has_no_sums(api) -> None:
    key = start(api, metadata={"num_events": "said by the client"})["session_id"]

    metadata = only(api, key)["metadata"]
    assert metadata == {
        "source": "unknown",
        "num_events": "said by the client",
        "num_model_events": 0,
        "has_feedback": False,
    }


def test_the_tree_of_a_session(api) -> None:
    key = start(api, session_name="s", start_time=1)["session_id"]
    chain = create(api, session_id=key, event_type="chain", event_name="chain", start_time=2)
    tool = create(api, session_id=key, event_name="tool", parent_id=chain, start_time=3)
    late = create(api, session_id=key, event_name="late", parent_id=str(uuid.uuid4()), start_time=4)

    status, tree = send(api, "GET", f"/v1/sessions/{key}")

    assert status == 200
    assert (tree["event_id"], tree["metadata"]["num_events"]) == (key, 3)
    assert [child["event_id"] for child in tree["children"]] == [chain, late]
    assert [child["event_id"] for child in tree["children"][0]["children"]] == [tool]


@pytest.mark.parametrize("path", ["/session/{}/traces", "/v1/sessions/{}/events/batch"])
def test_events_are_added_to_a_session(api, path) -> None:
    key = str(uuid.uuid4())
    event = {"event_type": "tool", "inputs": {}, "event_name": "e", "session_id": str(uuid.uuid4())}

    assert send(api, "POST", path.format(key), {"events": [event]}) == (200, {"success": True})

    assert {(str(e.session_key), e.event_type) for e in Event.objects.all()} == {(key, "session"), (key, "tool")}


def test_logs_are_events_too(api) -> None:
    key = start(api)["session_id"]

    assert send(api, "POST", f"/session/{key}/traces", {"logs": [{"event_name": "l"}]}) == (200, {"success": True})
    assert send(api, "POST", f"/session/{key}/traces", {}) == (200, {"success": True})

    assert Event.objects.filter(event_name="l", session_key=key).count() == 1


def test_a_deleted_session_is_gone_with_its_events(api) -> None:
    keys = [start(api, metadata={"run_id": "r"}, metrics={"m": 1})["session_id"] for _ in range(2)]
    for key in keys:
        create(api, session_id=key, metrics={"m": 1})
    before = revision("r")

    status, body = send(api, "DELETE", f"/v1/sessions/{keys[0]}")

    assert (status, body) == (200, {"success": True, "deleted": keys[0], "deleted_events": 2})
    assert set(Event.objects.values_list("session_key", flat=True)) == {uuid.UUID(keys[1])}
    assert Measurement.objects.count() == 2
    assert revision("r") == before + 1
    entry = AuditEntry.objects.latest("id")
    assert (entry.action, entry.target_id, entry.before) == ("session.delete", keys[0], {"events": 2, "runs": ["r"]})
    assert send(api, "DELETE", f"/v1/sessions/{keys[0]}")[0] == 404


def test_another_projects_session_is_not_found(api) -> None:
    key = start(api)["session_id"]
    stranger = make_client(make_token(make_project()))

    assert send(stranger, "GET", f"/v1/sessions/{key}")[0] == 404
    assert send(stranger, "DELETE", f"/v1/sessions/{key}")[0] == 404
    assert start(stranger, session_id=key, session_name="theirs")["event_name"] == "theirs"

    assert Event.objects.filter(event_key=key).count() == 2


def test_an_ingestion_key_writes_but_neither_reads_nor_deletes(project) -> None:
    client = make_client(make_token(project, kind=KeyKind.INGESTION))
    key = start(client)["session_id"]
    assert create(client, session_id=key)
    assert send(client, "PUT", "/events", {"event_id": key, "metadata": {"a": 1}})[0] == 200

    assert send(client, "GET", f"/v1/sessions/{key}")[0] == 403
    assert send(client, "DELETE", f"/v1/sessions/{key}")[0] == 403
    assert send(client, "POST", "/v1/events/export", {"filters": []})[0] == 403
    assert Event.objects.count() == 2


def test_a_reading_key_does_not_write(project) -> None:
    client = make_client(make_token(project, scopes=["events.read"]))

    assert send(client, "POST", "/session/start", {"session": {}})[0] == 403
    assert send(client, "PUT", "/events", {"event_id": str(uuid.uuid4())})[0] == 403
    assert Event.objects.count() == 0
