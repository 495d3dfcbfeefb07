"""Spans become events by the rules of the protocol."""

import uuid

import pytest

from experiments.domain.otlp import Span
from experiments.domain.spans import Translator

SESSION = "0b7ab2f6-9f5c-4f33-9f0c-5f1f3c2d1e00"
START = 1_700_000_000_000_000_000


def make_span(attributes=None, **fields) -> Span:
    values = {
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": "b7ad6b7169203331",
        "parent_span_id": "",
        "name": "module.function",
        "start_ns": START,
        "end_ns": START + 7_970_000,
        "scope": "honeyhive.1234",
    }
    return Span(**{**values, "attributes": {"honeyhive.session_id": SESSION, **(attributes or {})}, **fields})


def event_of(attributes=None, *, source: str = "", **fields):
    return Translator(source=source).row(make_span(attributes, **fields))


def test_the_recorded_example_becomes_the_documented_event() -> None:
    event = event_of(
        {
            "honeyhive_event_type": "tool",
            "honeyhive_event_name": "inner_tool",
            "honeyhive_inputs.x": "A",
            "honeyhive_inputs.y": '{"z": 1}',
            "honeyhive_metadata.a.b.0": 1,
            "honeyhive_metadata.a.b.1": 2,
            "honeyhive_metrics.m1": 0.5,
            "honeyhive_metrics.ok": True,
            "honeyhive_metrics.label": "good",
            "honeyhive_feedback.rating": 5,
            "honeyhive_outputs.o.0": 1,
            "honeyhive_outputs.o.1.p": 2,
            "honeyhive_outputs.result.r": "A",
            "honeyhive_outputs.result.l.0": 1,
            "honeyhive_outputs.result.l.1": 2,
            "honeyhive_outputs.result.l.2.q": 3,
            "honeyhive_config.hyperparameters.t": 0.1,
            "honeyhive_user_properties.uid": "u1",
            "honeyhive_error": "soft",
            "honeyhive_duration_ms": 7.97,
        }
    )

    assert (event.event_type, event.event_name, event.error) == ("tool", "inner_tool", "soft")
    assert event.inputs == {"x": "A", "y": {"z": 1}}
    assert event.outputs == {"o": [1, {"p": 2}], "result": {"r": "A", "l": [1, 2, {"q": 3}]}}
    assert event.config == {"hyperparameters": {"t": 0.1}}
    assert event.metadata == {
        "a": {"b": [1, 2]},
        "honeyhive_duration_ms": 7.97,
        "honeyhive_event_type": "tool",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": "b7ad6b7169203331",
        "parent_span_id": "",
        "has_otlp_lineage": True,
        "instrumentor": "honeyhive",
        "scope": "honeyhive.1234",
    }
    assert event.metrics == {"m1": 0.5, "ok": True, "label": "good"}
    assert event.metrics["ok"] is True
    assert event.feedback == {"rating": 5}
    assert event.user_properties == {"uid": "u1"}
    assert event.session_key == event.parent_key == uuid.UUID(SESSION)
    assert event.start_time == START / 1e6
    assert event.duration == 7.97
    assert event.end_time == pytest.approx(event.start_time + 7.97, abs=0.001)


def test_the_chain_span_of_evaluate_keeps_every_run_id() -> None:
    event = event_of(
        {
            "traceloop.association.properties.session_id": SESSION,
            "honeyhive.source": "evaluation",
            "traceloop.association.properties.source": "evaluation",
            "honeyhive_event_type": "chain",
            "honeyhive_event_name": "fn",
            "honeyhive_metadata.run_id": "run",
            "honeyhive_metadata.dataset_id": "EXT-1",
            "honeyhive_metadata.datapoint_id": "EXT-2",
            "honeyhive_metadata.event_type": "chain",
            "honeyhive_inputs.dp": '{"inputs": {"q": "a"}, "ground_truth": {"a": "A"}}',
            "honeyhive_metrics.exact": 1.0,
            "honeyhive_metrics.exact_explanation": "cmp",
            "honeyhive_metrics.exact_len": 15,
            "honeyhive_outputs.result.answer": "A",
        }
    )

    assert event.metadata["run_id"] == "run"
    assert event.metadata["datapoint_id"] == "EXT-2"
    assert event.metadata["event_type"] == "chain"
    assert event.metadata["source"] == event.source == "evaluation"
    assert event.metadata["traceloop.association.properties.session_id"] == SESSION
    assert event.inputs["dp"]["inputs"]["q"] == "a"
    assert event.metrics == {"exact": 1.0, "exact_explanation": "cmp", "exact_len": 15}
    assert event.outputs == {"result": {"answer": "A"}}
    assert event.event_type == "chain"


def test_a_failed_function_and_its_error_span_carry_their_errors() -> None:
    stack = {"exception.type": "ValueError", "exception.message": "boom", "exception.stacktrace": "…"}
    failed = event_of(is_error=True, status_message="ValueError: boom", events=[("exception", stack)] * 2)
    assert failed.error == "ValueError: boom"
    assert failed.metadata["_event.exception.1.exception.type"] == "ValueError"
    assert event_of({"honeyhive_error": "boom"}, is_error=True, status_message="x").error == "boom"
    assert event_of(is_error=True, events=[("exception", stack)]).error == "boom"
    assert event_of(is_error=True).error == "error"
    assert event_of(events=[("exception", stack)]).error == "boom"
    assert event_of({"http.status_code": 503}).error == "HTTP status 503"
    assert event_of({"http.status_code": "404"}).error == "HTTP status 404"
    assert event_of({"http.status_code": 200}).error is None


@pytest.mark.parametrize(
    "key",
    ["honeyhive.inputs.q", "honeyhive.metadata.x", "honeyhive.test_type", "test.unique_id", "error.type", "baggage.k",
     "honeyhive.experiment_id", "honeyhive.experiment_metadata.a", "honeyhive_error_type", "honeyhive_span_config.a",
     "honeyhive_user_id", "honeyhive.session_auto_create", "tool.unknown", "gen_ai_system", "x" * 300],
)  # fmt: skip
def test_unknown_attributes_stay_literal_and_flat(key) -> None:
    assert event_of({key: "v"}).metadata[key] == "v"


@pytest.mark.parametrize(
    "key", ["honeyhive.session_id", "honeyhive.project", "honeyhive.source", "honeyhive_error", "honeyhive_event_name"]
)
def test_what_a_field_says_leaves_the_metadata(key) -> None:
    assert key not in event_of({key: SESSION}).metadata


def test_ids_are_deterministic_and_the_parent_can_be_computed_before_it_arrives() -> None:
    parent = event_of()
    child = event_of(span_id="00000000000000aa", parent_span_id="b7ad6b7169203331")
    assert event_of().event_key == parent.event_key == child.parent_key
    assert child.event_key != parent.event_key
    assert child.event_key.version == 5
    assert event_of(trace_id="1" * 32).event_key != parent.event_key
    assert event_of({"honeyhive.parent_id": str(uuid.UUID(int=5))}).parent_key == uuid.UUID(int=5)


def test_a_span_may_choose_its_own_id_but_not_its_session_s() -> None:
    chosen = uuid.uuid4()
    event = event_of({"honeyhive_event_id": str(chosen).upper()})
    assert (event.event_key, event.span_key) == (chosen, event_of().event_key)
    assert event_of({"honeyhive_event_id": "no uuid"}).event_key == event_of().event_key
    assert event_of({"honeyhive_event_id": SESSION}).event_key == event_of().event_key
    assert event_of({"honeyhive_event_type": "session"}).event_type == "session"
    assert event_of({"honeyhive_event_type": "session"}).is_session is False


def test_sessions_are_found_by_priority_and_text_ids_become_uuids() -> None:
    other = str(uuid.uuid4())
    assert event_of({"honeyhive_session_id": other}).session_key == uuid.UUID(SESSION)
    plain = Translator().row(make_span() if False else Span("a" * 32, "b" * 16, "", "n", 1, 2, {"session.id": other}))
    assert plain.session_key == uuid.UUID(other)
    text = event_of({"honeyhive.session_id": "my session"})
    assert text.session_key == event_of({"honeyhive.session_id": "my session"}).session_key
    assert text.metadata["honeyhive.session_id"] == "my session"
    assert event_of({"honeyhive.session_id": SESSION.upper()}).session_key == uuid.UUID(SESSION)
    nobody = Span("a" * 32, "b" * 16, "", "n", 1, 2, {"session.id": "text"})
    again = Span("a" * 32, "c" * 16, "", "n", 1, 2, {})
    assert Translator().row(nobody).session_key == Translator().row(again).session_key
    assert event_of({"honeyhive.session_id": "lone \ud800"}).session_key.version == 5


def test_the_source_comes_from_the_span_then_from_the_header() -> None:
    assert event_of({"honeyhive.source": "s"}, source="h").source == "s"
    assert event_of({"traceloop.association.properties.source": "t"}, source="h").source == "t"
    assert event_of(source="h").source == "h"
    assert event_of().source == "unknown"
    assert "source" not in event_of().metadata


def test_a_session_named_by_its_spans_gets_that_name() -> None:
    spans = [
        make_span({"honeyhive.session_name": "mine", "honeyhive.session_auto_create": True}, span_id="0" * 15 + "1"),
        make_span({"honeyhive.session_name": "mine"}, start_ns=START - 5_000_000, span_id="0" * 15 + "2"),
    ]
    rows = Translator(source="h").rows(spans)
    assert len(rows) == 3
    assert (rows[2].event_name, rows[2].is_stub, rows[2].is_session) == ("mine", True, True)
    assert rows[2].start_time == (START - 5_000_000) / 1e6


def test_contradicting_keys_lose_nothing() -> None:
    event = event_of(
        {
            "honeyhive_metadata.a": 1,
            "honeyhive_metadata.a.b": 2,
            "honeyhive_config.c.d": 3,
            "honeyhive_config.c": 4,
            "honeyhive_outputs.o.p.q": 5,
            "honeyhive_outputs.o.p": 6,
            "honeyhive_outputs.l.0": 1,
            "honeyhive_outputs.l.2": 1,
        }
    )
    assert (event.metadata["a"], event.metadata["a.b"]) == (1, 2)
    assert event.config == {"c": {"d": 3}}
    assert event.metadata["honeyhive_config.c"] == 4
    assert event.outputs == {"o": {"p": {"q": 5}}, "o.p": 6, "l": {"0": 1, "2": 1}}


def test_only_inputs_parse_json_text_and_only_objects_and_lists() -> None:
    event = event_of(
        {
            "honeyhive_inputs.list": "[1, 2]",
            "honeyhive_inputs.number": "1",
            "honeyhive_inputs.broken": "{nope",
            "honeyhive_inputs.deep": "[" * 200 + "]" * 200,
            "honeyhive_inputs.wide": "[" + "[]," * 200 + '"[[[[\\"[["]',
            "honeyhive_outputs.result": '{"a": 1}',
            "honeyhive_feedback": '{"rating": 1}',
            "honeyhive_config": "text",
        }
    )
    assert event.inputs["list"] == [1, 2]
    assert event.inputs["number"] == "1"
    assert event.inputs["broken"] == "{nope"
    assert event.inputs["deep"] == "[" * 200 + "]" * 200
    assert len(event.inputs["wide"]) == 201
    assert event.outputs == {"result": '{"a": 1}'}
    assert event.feedback == {"rating": 1}
    assert event.metadata["honeyhive_config"] == "text"


def test_very_deep_paths_stay_literal() -> None:
    path = ".".join("x" * 500)
    assert event_of({f"honeyhive_metadata.{path}": 1}).metadata[path] == 1


def test_ground_truth_moves_to_feedback() -> None:
    event = event_of({"honeyhive_metadata.ground_truth": "x"})
    assert event.feedback == {"ground_truth": "x"}
    assert "ground_truth" not in event.metadata


def test_the_service_of_the_resource_is_kept() -> None:
    assert event_of(service="checkout").metadata["service.name"] == "checkout"


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, "tool"),
        ({"honeyhive_event_type": "generic"}, "tool"),
        ({"honeyhive_event_type": 5}, "tool"),
        ({"honeyhive_event_type": "chain", "gen_ai.operation.name": "chat"}, "chain"),
        ({"honeyhive_event_type": "tool", "gen_ai.operation.name": "chat"}, "model"),
        ({"gen_ai.operation.name": "invoke_agent"}, "chain"),
        ({"gen_ai.operation.name": "execute_tool"}, "tool"),
        ({"openinference.span.kind": "LLM"}, "model"),
        ({"openinference.span.kind": "AGENT"}, "chain"),
        ({"openinference.span.kind": "RETRIEVER"}, "tool"),
        ({"traceloop.span.kind": "workflow"}, "chain"),
        ({"traceloop.span.kind": "task", "llm.request.type": "chat"}, "model"),
        ({"gen_ai.prompt.0.content": "x"}, "model"),
        ({"ai.prompt.messages": "[]"}, "model"),
    ],
)
def test_event_types_follow_the_table(attributes, expected) -> None:
    assert event_of(attributes).event_type == expected


def test_a_known_client_call_is_a_model_by_its_name() -> None:
    assert event_of(name="openai.chat.completions.create.x").event_type == "model"
    assert event_of({"honeyhive_event_type": "tool"}, name="openai.chat.completions.create").event_type == "tool"
