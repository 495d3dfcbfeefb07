"""Spans of other instrumentors are brought into one shape."""

import json

import pytest

from experiments.domain.otlp import Span
from experiments.domain.spans import Translator

HISTORY = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]


def event_of(attributes, *, scope: str = "x", events=()):
    return Translator().row(
        Span("a" * 32, "b" * 16, "", "call", 10**18, 10**18 + 1, attributes, events=list(events), scope=scope)
    )


def genai_events():
    return [
        ("gen_ai.system.message", {"content": "Be brief."}),
        ("gen_ai.user.message", {"content": "Hi"}),
        ("gen_ai.choice", {"finish_reason": "stop", "message": '{"role": "assistant", "content": "Hello"}'}),
    ]


FORMS = {
    "numbered": {
        "gen_ai.prompt.0.role": "system",
        "gen_ai.prompt.0.content": "Be brief.",
        "gen_ai.prompt.1.role": "user",
        "gen_ai.prompt.1.content": "Hi",
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "Hello",
        "gen_ai.completion.0.finish_reason": "stop",
    },
    "one attribute": {
        "gen_ai.input.messages": json.dumps(
            [
                {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
                {"role": "user", "parts": [{"type": "text", "content": "Hi"}]},
            ]
        ),
        "gen_ai.output.messages": json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": "Hello"}], "finish_reason": "stop"}]
        ),
    },
    "openinference": {
        "openinference.span.kind": "LLM",
        "llm.input_messages.0.message.role": "system",
        "llm.input_messages.0.message.content": "Be brief.",
        "llm.input_messages.1.message.role": "user",
        "llm.input_messages.1.message.content": "Hi",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "Hello",
        "llm.output_messages.0.message.finish_reason": "stop",
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_messages_of_every_form_are_one_conversation(form) -> None:
    event = event_of(FORMS[form])
    assert event.event_type == "model"
    assert event.inputs == {"chat_history": HISTORY}
    assert event.outputs == {"role": "assistant", "content": "Hello", "finish_reason": "stop"}
    assert not any("message" in key or "prompt." in key for key in event.metadata)


def test_messages_in_span_events_are_one_conversation() -> None:
    event = event_of({"gen_ai.operation.name": "chat"}, events=genai_events())
    assert event.inputs == {"chat_history": HISTORY}
    assert event.outputs == {
        "role": "assistant",
        "content": "Hello",
        "finish_reason": "stop",
        "message": event.outputs["message"],
    }
    assert event.event_type == "model"


def test_vercel_s_messages() -> None:
    event = event_of(
        {"ai.prompt.messages": json.dumps(HISTORY), "ai.response.text": "Hello", "ai.model.id": "m"},
        scope="@vercel/otel",
    )
    assert event.inputs["chat_history"] == HISTORY
    assert event.outputs == {"role": "assistant", "content": "Hello"}
    assert event.metadata["instrumentor"] == "vercel-ai"


def test_tool_calls_and_content_parts_are_put_together() -> None:
    event = event_of(
        {
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.contents.0.message_content.type": "text",
            "llm.input_messages.0.message.contents.0.message_content.text": "Hi",
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "search",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": "{}",
            "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c1",
        }
    )
    assert event.inputs["chat_history"] == [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    assert event.outputs["tool_calls"] == [{"name": "search", "arguments": "{}", "id": "c1"}]


def test_parts_that_are_not_text_are_kept() -> None:
    call = {"type": "tool_call", "name": "search"}
    event = event_of({"gen_ai.input.messages": json.dumps([{"role": "user", "parts": [call]}, "plain"])})
    assert event.inputs["chat_history"] == [{"role": "user", "parts": [call]}, {"role": "user", "content": "plain"}]


def test_model_calls_are_normalised() -> None:
    event = event_of(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-x",
            "gen_ai.request.temperature": 0.2,
            "gen_ai.request.max_tokens": 50,
            "gen_ai.usage.input_tokens": 10,
            "gen_ai.usage.output_tokens": 5,
            "gen_ai.usage.cost": 0.01,
            "gen_ai.response.model": "gpt-x-1",
            "gen_ai.response.id": "id",
            "gen_ai.response.finish_reasons": ["stop", "length"],
            "user.id": "u",
        }
    )
    assert event.config == {"model": "gpt-x", "temperature": 0.2, "max_tokens": 50, "provider": "openai"}
    assert event.metrics == {"cost": 0.01}
    expected = {
        "system": "openai",
        "input_tokens": 10,
        "prompt_tokens": 10,
        "output_tokens": 5,
        "completion_tokens": 5,
        "total_tokens": 15,
        "response_model": "gpt-x-1",
        "response_id": "id",
        "finish_reasons": ["stop", "length"],
        "finish_reason": "stop",
        "model_name": "gpt-x",
        "operation_name": "chat",
        "user_id": "u",
        "gen_ai.request.model": "gpt-x",
        "instrumentor": "opentelemetry",
    }
    assert expected.items() <= event.metadata.items()


def test_openinference_parameters_tokens_and_values() -> None:
    event = event_of(
        {
            "openinference.span.kind": "LLM",
            "llm.model_name": "m",
            "llm.provider": "p",
            "llm.invocation_parameters": '{"temperature": 0.5}',
            "llm.token_count.prompt": 1,
            "llm.token_count.completion": 2,
            "llm.token_count.total": 4,
            "output.value": "text",
        },
        scope="openinference.instrumentation.openai",
    )
    assert event.config == {"model": "m", "provider": "p", "temperature": 0.5}
    assert event.metadata["total_tokens"] == 4
    assert event.metadata["instrumentor"] == "openinference"
    assert event.outputs == {"content": "text"}


def test_tools_and_chains_take_their_values() -> None:
    tool = event_of(
        {"openinference.span.kind": "TOOL", "input.value": '{"q": 1}', "output.value": "found", "tool.name": "t"}
    )
    assert (tool.event_type, tool.inputs, tool.outputs) == ("tool", {"q": 1}, {"message": "found"})
    assert tool.config["tool_name"] == tool.metadata["tool_name"] == "t"
    chain = event_of(
        {"traceloop.span.kind": "workflow", "traceloop.entity.input": "in", "traceloop.entity.output": "[1]"}
    )
    assert (chain.event_type, chain.inputs, chain.outputs) == ("chain", {"input": "in"}, {"result": [1]})
    assert chain.metadata["instrumentor"] == "traceloop"


def test_explicit_buckets_win_over_derived_values() -> None:
    event = event_of(
        {
            "honeyhive_config.model": "mine",
            "honeyhive_inputs.chat_history": "[]",
            "honeyhive_outputs.content": "mine",
            "gen_ai.request.model": "theirs",
            **FORMS["numbered"],
        }
    )
    assert event.config["model"] == "mine"
    assert event.inputs["chat_history"] == []
    assert event.outputs["content"] == "mine"


@pytest.mark.parametrize(
    ("scope", "attributes", "expected"),
    [
        ("pydantic-ai", {}, "pydantic-ai"),
        ("honeyhive.12", {}, "honeyhive"),
        ("honeyhive.12", {"traceloop.association.properties.user": "x"}, "honeyhive"),
        ("x", {"ai.operationId": "y"}, "vercel-ai"),
        ("my.scope", {}, "my.scope"),
        ("", {}, "unknown"),
    ],
)
def test_instrumentors_are_recognised(scope, attributes, expected) -> None:
    assert event_of(attributes, scope=scope).metadata["instrumentor"] == expected


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.input.messages": "broken ["},
        {"gen_ai.input.messages": 5},
        {"gen_ai.prompt": '{"messages": [{"role": "user", "content": "x"}]}'},
        {"gen_ai.prompt.x.role": "y"},
        {"llm.invocation_parameters": "nope"},
        {"gen_ai.response.finish_reasons": "[]"},
        {"gen_ai.response.finish_reasons": "stop"},
        {"input.value": None},
        {"gen_ai.usage.input_tokens": "many", "gen_ai.usage.output_tokens": 1},
    ],
)
def test_odd_values_do_no_harm(attributes) -> None:
    assert event_of(attributes).event_name == "call"
