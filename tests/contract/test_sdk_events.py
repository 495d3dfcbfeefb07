"""The official client's event and session calls, unmodified, against a live server of the test process."""

import uuid

import pytest

honeyhive = pytest.importorskip("honeyhive")

from honeyhive import HoneyHive  # noqa: E402
from honeyhive._generated import models  # noqa: E402
from honeyhive._generated.api_config import APIConfig  # noqa: E402
from honeyhive._generated.services import Events_service as events  # noqa: E402
from honeyhive._generated.services import Sessions_service as sessions  # noqa: E402
from honeyhive.models import (  # noqa: E402
    EventFilter,
    PostEventBatchRequest,
    PostEventRequest,
    StartSessionRequest,
    UpdateEventRequest,
)

from experiments.models import Run  # noqa: E402

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def client(live_server, api_key, monkeypatch) -> HoneyHive:
    monkeypatch.setenv("HH_API_TIMEOUT", "30")
    return HoneyHive(api_key=api_key, base_url=live_server.url)


def shown(response) -> list[dict]:
    """The events of an answer, as the client's own models hold them."""
    return [event.model_dump(exclude_unset=True) for event in response.events]


def start(client: HoneyHive, **session) -> str:
    given = {"session_name": "a session", "source": "evaluation", **session}
    return client.sessions.start(StartSessionRequest(session=given)).session_id


def create(client: HoneyHive, **event) -> str:
    given = {"event_type": "tool", "event_name": "step", "inputs": {"q": 1}, **event}
    answer = client.events.create(PostEventRequest(event=given))
    assert answer.success is True
    return answer.event_id


def test_a_session_starts_and_starts_again(client) -> None:
    key = str(uuid.uuid4())
    metadata = {"run_id": "run-1", "dataset_id": "EXT-d", "datapoint_id": "EXT-1"}

    first = client.sessions.start({"session": {"session_id": key, "session_name": "s", "metadata": metadata}})
    again = client.sessions.create_session(StartSessionRequest(session={"session_id": key, "session_name": "s"}))

    assert (first.event_id, first.session_id) == (again.event_id, again.session_id) == (key, key)
    assert all([first.org_id, first.workspace_id, first.project_id])
    assert again.event_type == "session"
    assert again.metadata["run_id"] == "run-1"
    exported = client.events.export(filters=[EventFilter(field="session_id", operator="is", value=key, type="string")])
    assert exported.total_events == 1


def test_a_created_event_is_exported_whole(client) -> None:
    session = start(client)
    key = create(
        client,
        session_id=session,
        parent_id=session,
        event_type="model",
        outputs={"content": "é"},
        config={"model": "m"},
        metadata={"test.unique_id": "u-1", "cost": 0.5},
        metrics={"score": 0.25, "ok": True, "label": "good"},
        feedback={"rating": 5},
        user_properties={"id": "u"},
        error="soft",
        start_time=1000.0,
        end_time=1250.5,
        duration=250.5,
        source="tests",
    )

    by_key = EventFilter(field="metadata.test.unique_id", operator="is", value="u-1", type="string")
    (event,) = shown(client.events.export(filters=[by_key]))

    assert event["event_id"] == key
    assert event["session_id"] == event["parent_id"] == session
    assert event["project_id"]
    assert (event["start_time"], event["end_time"], event["duration"]) == (1000.0, 1250.5, 250.5)
    assert event["metrics"] == {"score": 0.25, "ok": True, "label": "good"}
    assert event["outputs"] == {"content": "é"}
    assert (event["event_type"], event["source"], event["error"]) == ("model", "tests", "soft")


def test_updates_accumulate(client) -> None:
    session = start(client, metadata={"a": 1})

    client.events.update(UpdateEventRequest(event_id=session, metadata={"b": 2}, metrics={"m": 1}))
    client.events.update(UpdateEventRequest(event_id=session, metadata={"a": 3}, outputs={"answer": "A"}))
    client.events.update_event({"event_id": session, "feedback": {"ground_truth": {"answer": "A"}}})

    (event,) = shown(client.events.get_by_session_id(session))
    assert (event["metadata"]["a"], event["metadata"]["b"], event["metadata"]["source"]) == (3, 2, "evaluation")
    assert event["metrics"] == {"m": 1}
    assert event["outputs"] == {"answer": "A"}
    assert event["feedback"] == {"ground_truth": {"answer": "A"}}


def test_an_update_before_its_event_is_kept(client) -> None:
    key, session = str(uuid.uuid4()), start(client)

    client.events.update(UpdateEventRequest(event_id=key, feedback={"rating": 5}))
    create(client, event_id=key, session_id=session, event_name="late")

    by_key = EventFilter(field="event_id", operator="is", value=key, type="string")
    (event,) = shown(client.events.list_events(filters=[by_key]))
    assert event["feedback"] == {"rating": 5}
    assert event["event_name"] == "late"
    assert event["session_id"] == session
    assert event["event_type"] == "tool"


def test_a_batch_of_one_session(client) -> None:
    events = [{"event_type": "tool", "event_name": f"e{n}", "inputs": {}, "start_time": 1000.0 + n} for n in range(3)]

    answer = client.events.create_batch(
        PostEventBatchRequest(events=events, is_single_session=True, session_properties={"session_name": "batch"})
    )

    assert answer.success is True
    assert len(set(answer.event_ids)) == 3
    found = shown(client.events.get_by_session_id(answer.session_id))
    assert {event["event_name"] for event in found} == {"batch", "e0", "e1", "e2"}
    assert [event["event_name"] for event in found if event["event_type"] == "tool"] == ["e0", "e1", "e2"]


def test_pages_count_all_matches_and_projections_are_honoured(client) -> None:
    session = start(client)
    for n in range(5):
        create(client, session_id=session, event_name=f"e{n}", start_time=1000.0 + n)
    filters = [
        {"field": "session_id", "operator": "is", "value": session, "type": "string"},
        {"field": "event_type", "operator": "is", "value": "tool", "type": "string"},
    ]

    page = client.events.export(filters=filters, limit=2, page=2, projections=["event_name", "inputs.q"])
    legacy = client.events.list({"filters": filters, "limit": 3})

    assert page.total_events == 5
    assert shown(page) == [{"event_name": "e2", "inputs": {"q": 1}}, {"event_name": "e3", "inputs": {"q": 1}}]
    assert legacy.totalEvents == 5
    assert [event["event_name"] for event in shown(legacy)] == ["e0", "e1", "e2"]


def test_ranges_of_time_and_numbers(client) -> None:
    for n in range(4):
        create(client, event_name=f"e{n}", start_time=86_400_000.0 * n, metrics={"score": n / 4})
    score = EventFilter(field="metrics.score", operator="greater than", value="0.25", type="number")

    found = client.events.get_events(
        filters=[score], date_range={"$gte": "1970-01-01T00:00:00Z", "$lte": "1970-01-03T00:00:00Z"}
    )

    assert [event["event_name"] for event in shown(found)] == ["e2"]


def test_the_schema_names_what_was_seen(client) -> None:
    create(client, metrics={"score": 0.5}, metadata={"run_id": "run-1"})

    every = client.experiments.get_schema()
    of_run = client.experiments.get_schema(evaluation_id="another run")

    assert {"name": "metrics.score", "event_type": "tool"} in [field.model_dump() for field in every.fields]
    assert of_run.fields == []


def test_events_of_two_runs_are_compared(client, project) -> None:
    for run in ("new", "old"):
        Run.objects.create(project=project, run_key=run)
        for n in range(3):
            metadata = {"run_id": run, "datapoint_id": f"EXT-{n}" if n else f"EXT-{run}"}
            start(client, metadata=metadata, start_time=1000.0 + n, session_name=run)

    compared = client.experiments.compare_run_events("new", "old", event_type="session", limit=100)

    assert compared.totalEvents == 2
    assert [pair.datapoint_id for pair in compared.events] == ["EXT-1", "EXT-2"]
    for pair in compared.events:
        assert pair.event_1["metadata"]["run_id"] == "new"
        assert pair.event_2["metadata"]["run_id"] == "old"
        assert pair.event_1["metadata"]["datapoint_id"] == pair.datapoint_id


def test_a_refusal_reaches_the_client_with_its_message(client) -> None:
    with pytest.raises(Exception, match="event_type") as refusal:
        create(client, event_type="nonsense")

    assert refusal.value.status_code == 400
    assert refusal.value.error_code == "invalid_input"


@pytest.fixture
def low_level(live_server, api_key) -> APIConfig:
    return APIConfig(base_path=live_server.url, access_token=api_key, timeout=30.0)


def body(name: str, **fields):
    """A request model of the generated client by its name."""
    return getattr(models, name)(**fields)


def test_the_newer_twins_of_the_generated_client(low_level) -> None:
    session = sessions.createSession(low_level, data=body("StartSessionRequest", session_name="s", start_time=1.0))
    key = session.session_id
    event = {"event_type": "tool", "inputs": {"q": 1}, "session_id": key, "start_time": 2.0}
    first = events.createEvent(low_level, data=body("PostEventRequest", **event, event_name="first"))
    batch = events.createEventBatch(low_level, data=body("PostEventBatchRequest", events=[event], single_session=True))
    added = sessions.createSessionEventBatch(
        low_level, session_id=key, data=body("SessionEventBatchRequest", events=[event])
    )
    events.updateEvent(low_level, event_id=first.event_id, data=body("UpdateEventRequest", metrics={"m": 0.5}))
    one = events.getEvent(low_level, event_id=first.event_id)
    by_session = {"field": "session_id", "operator": "is", "value": key}
    found = events.searchEvents(
        low_level,
        data=body(
            "SearchEventsRequest",
            filters=[by_session],
            dateRange={"start_time": "1970-01-01T00:00:00Z", "end_time": "2100-01-01"},
        ),
    )

    assert (batch.session_id, batch.success, added.success) == (key, True, True)
    assert (one.event.event_name, one.event.metrics, one.event.inputs) == ("first", {"m": 0.5}, {"q": 1})
    assert found.count == len(found.events) == 4
    assert [found.events[0].event_id, found.events[1].event_id] == [key, first.event_id]


def test_the_older_paths_of_the_generated_client(low_level) -> None:
    key = str(uuid.uuid4())
    trace = {"event_name": "a log", "session_id": key}
    call = {"event_name": "call", "model": "m", "messages": [{"role": "user", "content": "q"}], "session_id": key}
    added = sessions.addSessionTracesLegacy(
        low_level, session_id=key, data=body("AddSessionTracesRequest", logs=[trace], events=[trace])
    )
    one = events.createModelEventLegacy(low_level, data=body("PostModelEventRequest", model_event=call))
    two = events.createModelEventBatchLegacy(
        low_level, data=body("PostModelEventBatchRequest", model_events=[call] * 2)
    )
    exported = events.exportEventsLegacy(low_level, data=body("LegacyExportEventsRequest", limit=100.0, page=1.0))
    schema = events.getEventsSchemaLegacy(low_level, dateRange={"$gte": "2020-01-01", "$lte": "2100-01-01"})

    assert added.success is True
    assert len({one.event_id, *two.event_ids}) == 3
    assert exported.count == 6
    assert {event.session_id for event in exported.events} == {key}
    assert {"name": "config.model", "event_type": "model"} in [field.model_dump() for field in schema.fields]
