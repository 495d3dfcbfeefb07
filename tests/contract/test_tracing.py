"""The client's tracer against the real server: every transport gives the same events."""

import uuid

import pytest

pytestmark = pytest.mark.process

TRANSPORTS = {
    "json-batch": ("batch", {"HH_OTLP_PROTOCOL": "http/json"}),
    "json-single": ("single", {"HH_OTLP_PROTOCOL": "http/json"}),
    "protobuf-gzip-batch": (
        "batch",
        {"HH_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"},
    ),
    "protobuf-gzip-single": (
        "single",
        {"HH_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"},
    ),
}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_tracer_stores_nested_spans_and_enrichments(run_scenario, transport):
    mode, environment = TRANSPORTS[transport]
    answer = run_scenario("tracing", mode, **environment)
    session_id = answer["session_id"]
    events = {event["event_name"]: event for event in answer["events"]}

    assert answer["second_session_id"] == session_id
    assert {name: event["event_type"] for name, event in events.items()} == {
        "a conversation": "session",
        "conversation": "chain",
        "lookup": "tool",
        "answer": "model",
        "failing": "tool",
        "failing_error": "tool",
        "second_tracer": "tool",
    }
    assert len(answer["events"]) == 7
    assert {event["source"] for event in answer["events"]} == {"contract"}
    assert {event["session_id"] for event in answer["events"]} == {session_id}
    assert len({event["project_id"] for event in answer["events"]} - {None}) == 1
    for event in answer["events"]:
        uuid.UUID(event["event_id"])
        assert isinstance(event["start_time"], float | int)
        assert event["end_time"] >= event["start_time"]

    parents = {name: event["parent_id"] for name, event in events.items() if name != "a conversation"}
    chain = events["conversation"]["event_id"]
    assert parents == {
        "conversation": session_id,
        "lookup": chain,
        "answer": chain,
        "failing": session_id,
        "failing_error": session_id,
        "second_tracer": session_id,
    }

    session = events["a conversation"]
    assert session["event_id"] == session_id
    assert session["metrics"] == {"score": 0.25}
    assert session["feedback"] == {"rating": 3}
    assert session["outputs"] == {"said": "bye"}
    assert session["user_properties"] == {"plan": "free"}
    assert {key: session["metadata"][key] for key in ("one", "two", "inputs")} == {
        "one": 1,
        "two": 2,
        "inputs": {"topic": "tests"},
    }

    model = events["answer"]
    assert model["inputs"] == {"question": "why?", "options": {"short": True, "tags": ["a", "b"]}}
    assert model["outputs"] == {"result": {"role": "assistant", "parts": [1, {"q": 3}]}}
    assert model["metrics"] == {"quality": 0.5, "ok": True, "tokens": 12, "grade": "good"}
    assert model["metrics"]["ok"] is True
    assert model["feedback"] == {"rating": 5}
    assert model["config"] == {"model": "none", "temperature": 0.5}
    assert model["user_properties"] == {"uid": "u1"}
    assert model["metadata"]["a"] == {"b": [1, 2]}
    assert model["metadata"]["label"] == "x"
    assert model["error"] is None

    tool = events["lookup"]
    assert tool["event_id"] == answer["chosen_event_id"]
    assert tool["inputs"] == {"key": "present"}
    assert tool["outputs"] == {"result": ["present", 1.5, True]}
    assert tool["metrics"] == {"later": 7}

    assert events["conversation"]["outputs"] == {"result": "done"}
    assert events["failing"]["error"] == "KeyError: 'absent'"
    assert events["failing_error"]["error"] == "'absent'"
    assert events["second_tracer"]["outputs"] == {"result": "joined"}
