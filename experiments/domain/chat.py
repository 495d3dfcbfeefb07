"""Chat completions as OpenAI's API spells them: what a prompt configuration sends, what an answer says. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from experiments.domain.calls import Case
from experiments.domain.templates import Unfilled, filled_text
from governance.domain.errors import InvalidInput

# Said by the configuration elsewhere, or would change what kind of answer comes.
RESERVED = frozenset({"model", "messages", "stream", "stream_options", "n", "tools", "tool_choice", "response_format"})
_FIRST_ROLES = frozenset({"system", "developer"})

Json = dict[str, Any]


class NoAnswer(ValueError):
    """The body is no chat completion with a message; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer. `outputs` is {"content": text}, with "tool_calls" when the model called functions."""

    outputs: Json
    prompt_tokens: int | None
    completion_tokens: int | None
    model: str
    finish_reason: str


def values_of(case: Case) -> Json:
    """What placeholders may stand for."""
    return {
        "inputs": case.inputs,
        "ground_truth": case.ground_truth,
        "history": case.history,
        "metadata": case.metadata,
        "datapoint_id": case.datapoint_id,
    }


def check_parameters(parameters: Mapping[str, Any], *, field: str) -> None:
    """Raise InvalidInput for a configuration that cannot be run as a chat."""
    if parameters.get("call_type") != "chat":
        raise InvalidInput(
            f"Field '{field}': the configuration's call_type is {str(parameters.get('call_type'))[:40]!r}; the server "
            "runs 'chat'. Change the configuration, or name another.",
            field=field,
        )
    if taken := RESERVED & set(parameters.get("hyperparameters") or {}):
        raise InvalidInput(
            f"Field '{field}': the configuration's hyperparameters contain {', '.join(sorted(taken))}, which the "
            "server sets itself; take them out.",
            field=field,
        )


def request_body(parameters: Mapping[str, Any], case: Case) -> Json:
    """The body of `POST …/chat/completions`. Raises Unfilled."""
    body: Json = {
        **(parameters.get("hyperparameters") or {}),
        "model": parameters["model"],
        "messages": messages_of(parameters.get("template"), case),
    }
    if form := parameters.get("responseFormat"):
        body["response_format"] = form
    if tools := [_tool(function) for function in parameters.get("selectedFunctions") or [] if function]:
        body["tools"] = tools
        if choice := _tool_choice(parameters):
            body["tool_choice"] = choice
    return body


def messages_of(template: Any, case: Case) -> list[Json]:
    """The template's messages; the datapoint's history follows the system messages at its beginning.

    A text is one user message. Without a template the history is the conversation. A name that is no root stands for
    an input: `{{question}}`.
    """
    if isinstance(template, str):
        template = [{"role": "user", "content": template}]
    items: list[Mapping[str, Any]] = template or []
    values = values_of(case)
    messages = [
        {"role": item["role"], "content": filled_text(item["content"], values, has_short_inputs=True)} for item in items
    ]
    place = next((at for at, item in enumerate(messages) if item["role"] not in _FIRST_ROLES), len(messages))
    messages[place:place] = [_past(item, at) for at, item in enumerate(case.history)]
    if not messages:
        raise Unfilled("the configuration has no template and the datapoint no history, so there is nothing to send")
    return messages


def read_completion(answer: Any) -> Completion:
    """The first choice of an answer. Raises NoAnswer."""
    if not isinstance(answer, Mapping):
        raise NoAnswer("it is no JSON object")
    choices = answer.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(message, Mapping):
        raise NoAnswer("it has no choices[0].message")
    content = _text_of(message.get("content"))
    if content is None:
        content = _text_of(message.get("refusal"))
    calls = message.get("tool_calls")
    outputs: Json = {"content": content}
    if isinstance(calls, list) and calls:
        outputs["tool_calls"] = calls
    elif content is None:
        raise NoAnswer("its message has neither content nor tool_calls")
    usage = answer.get("usage")
    usage = usage if isinstance(usage, Mapping) else {}
    reason, model = choice.get("finish_reason") if isinstance(choice, Mapping) else "", answer.get("model")
    return Completion(
        outputs=outputs,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        model=model[:200] if isinstance(model, str) else "",
        finish_reason=reason[:40] if isinstance(reason, str) else "",
    )


def _past(item: Any, at: int) -> Json:
    if not isinstance(item, Mapping) or not isinstance(item.get("role"), str) or "content" not in item:
        raise Unfilled(f"entry {at} of the datapoint's history is no message with role and content")
    return dict(item)


def _text_of(content: Any) -> str | None:
    """A text, or the texts of a list of parts joined."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts: Iterable[Any] = (part.get("text") for part in content if isinstance(part, Mapping))
        texts = [part for part in parts if isinstance(part, str)]
        return "".join(texts) if texts else None
    return None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None


def _tool(function: Mapping[str, Any]) -> Json:
    said = {name: function[name] for name in ("name", "description", "parameters") if function.get(name) is not None}
    return {"type": "function", "function": said}


def _tool_choice(parameters: Mapping[str, Any]) -> Any:
    wanted = parameters.get("functionCallParams")
    if wanted != "force":
        return wanted
    name = (parameters.get("forceFunction") or {}).get("name")
    return {"type": "function", "function": {"name": name}} if isinstance(name, str) and name else "required"
