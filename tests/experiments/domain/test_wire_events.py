"""Shapes of events on the wire."""

import orjson
import pytest

from experiments.domain.wire_events import EventBody, ModelEventBody, project_fields


def test_a_model_event_becomes_an_ordinary_event() -> None:
    body = ModelEventBody.model_validate(
        {
            "event_name": "call",
            "model": "m-1",
            "provider": "p",
            "messages": [{"role": "user", "content": "hi"}],
            "response": {"content": "ho"},
            "usage": {"total_tokens": 5},
            "cost": 0.25,
            "hyperparameters": {"temperature": 0},
            "config": {"model": "wins"},
            "metrics": {"m": 1},
            "metadata": {"a": 1},
        }
    )

    event = body.as_event()

    assert event.event_type == "model"
    assert event.event_name == "call"
    assert event.config == {"model": "wins", "provider": "p", "hyperparameters": {"temperature": 0}}
    assert event.inputs == {"chat_history": [{"role": "user", "content": "hi"}]}
    assert event.outputs == {"content": "ho"}
    assert event.metadata == {"total_tokens": 5, "a": 1}
    assert event.metrics == {"cost": 0.25, "m": 1}


@pytest.mark.parametrize(("response", "outputs"), [("text", {"content": "text"}), (None, {}), ([1], {"content": [1]})])
def test_a_models_response_is_always_an_object(response, outputs) -> None:
    assert ModelEventBody(response=response, cost=True).as_event().outputs == outputs


def test_null_is_absent_and_unknown_keys_are_ignored() -> None:
    body = EventBody.model_validate({"event_type": "tool", "inputs": {}, "event_name": None, "anything": {"x": 1}})

    assert body.model_fields_set == {"event_type", "inputs"}


def test_projections_keep_the_place_of_dotted_fields() -> None:
    event = {
        "event_id": "e",
        "metadata": orjson.Fragment(b'{"a":{"b":1,"c":2},"x.y":3}'),
        "outputs": {"o": 1, "q": 2},
        "error": None,
    }

    names = [
        "event_id",
        "metadata.a.b",
        "metadata.a.c",
        "metadata.x.y",
        "metadata.z",
        "nonsense",
        "error.x",
        "outputs.o.p",
    ]
    assert project_fields(event, names) == {
        "event_id": "e",
        "metadata": {"a": {"b": 1, "c": 2}, "x.y": 3},
    }
    assert project_fields(event, ["outputs.o", "outputs"]) == {"outputs": {"o": 1, "q": 2}}
