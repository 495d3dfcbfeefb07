"""Chat completions: bodies out of configurations, answers into outputs."""

import pytest

from experiments.domain import chat
from experiments.domain.calls import Case
from experiments.domain.templates import Unfilled
from governance.domain.errors import InvalidInput

PARAMETERS = {"call_type": "chat", "model": "m"}
CASE = Case("d1", {"question": "why?"}, [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes?"}])


def answer(message, **fields):
    return {"choices": [{"message": message, "finish_reason": "stop"}], **fields}


def test_history_comes_between_the_system_messages_and_the_rest() -> None:
    template = [
        {"role": "system", "content": "be brief"},
        {"role": "developer", "content": "no lists"},
        {"role": "user", "content": "{{question}} {{inputs.question}}"},
    ]
    assert chat.messages_of(template, CASE) == [
        {"role": "system", "content": "be brief"},
        {"role": "developer", "content": "no lists"},
        *CASE.history,
        {"role": "user", "content": "why? why?"},
    ]


def test_a_text_is_one_user_message_and_no_template_is_the_history() -> None:
    assert chat.messages_of("{{question}}", Case("d", {"question": 3})) == [{"role": "user", "content": "3"}]
    assert chat.messages_of(None, CASE) == CASE.history
    with pytest.raises(Unfilled, match="nothing to send"):
        chat.messages_of(None, Case("d"))
    with pytest.raises(Unfilled, match="entry 0 of the datapoint's history"):
        chat.messages_of("x", Case("d", history=["hello"]))


def test_the_body_carries_everything_of_the_configuration() -> None:
    parameters = {
        **PARAMETERS,
        "hyperparameters": {"temperature": 0.1},
        "responseFormat": {"type": "json_object"},
        "selectedFunctions": [{"id": "1", "name": "look", "description": "d", "parameters": {"type": "object"}}, None],
        "functionCallParams": "auto",
        "template": "x",
    }
    assert chat.request_body(parameters, Case("d")) == {
        "temperature": 0.1,
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "response_format": {"type": "json_object"},
        "tools": [
            {"type": "function", "function": {"name": "look", "description": "d", "parameters": {"type": "object"}}}
        ],
        "tool_choice": "auto",
    }


@pytest.mark.parametrize(
    ("forced", "expected"),
    [({"name": "look"}, {"type": "function", "function": {"name": "look"}}), (None, "required")],
)
def test_a_function_can_be_forced(forced, expected) -> None:
    parameters = {**PARAMETERS, "selectedFunctions": [{"id": "1", "name": "look"}], "functionCallParams": "force"}
    body = chat.request_body({**parameters, "forceFunction": forced, "template": "x"}, Case("d"))
    assert body["tool_choice"] == expected


def test_outputs_tokens_and_model_are_read() -> None:
    found = chat.read_completion(
        answer({"content": "because"}, model="m-2", usage={"prompt_tokens": 5, "completion_tokens": 7})
    )
    assert (found.outputs, found.model, found.finish_reason) == ({"content": "because"}, "m-2", "stop")
    assert (found.prompt_tokens, found.completion_tokens) == (5, 7)


def test_tool_calls_parts_and_refusals_are_outputs_too() -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
    assert chat.read_completion(answer({"content": None, "tool_calls": calls})).outputs == {
        "content": None,
        "tool_calls": calls,
    }
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]
    assert chat.read_completion(answer({"content": parts})).outputs == {"content": "ab"}
    assert chat.read_completion(answer({"content": None, "refusal": "no"})).outputs == {"content": "no"}


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": "5", "completion_tokens": -1}, {"prompt_tokens": True}])
def test_tokens_that_are_no_counts_are_unknown(usage) -> None:
    found = chat.read_completion(answer({"content": "x"}, usage=usage))
    assert (found.prompt_tokens, found.completion_tokens) == (None, None)


@pytest.mark.parametrize(
    "body", [[], None, {}, {"choices": []}, {"choices": [{}]}, {"choices": [{"message": {}}]}, {"choices": "x"}]
)
def test_what_is_no_completion_is_no_answer(body) -> None:
    with pytest.raises(chat.NoAnswer):
        chat.read_completion(body)


@pytest.mark.parametrize(
    "parameters",
    [{"call_type": "completion", "model": "m"}, {**PARAMETERS, "hyperparameters": {"stream": True}}],
)
def test_configurations_that_cannot_run_as_a_chat_are_refused(parameters) -> None:
    with pytest.raises(InvalidInput, match=r"Field 'target\.configuration'"):
        chat.check_parameters(parameters, field="target.configuration")
