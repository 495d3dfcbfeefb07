"""Chat messages of other instrumentors, in whichever of four ways a span carries them, as one list."""

import re
from typing import Any

from experiments.domain.span_buckets import parsed

_NUMBERED = re.compile(r"(gen_ai\.prompt|gen_ai\.completion|llm\.input_messages|llm\.output_messages)\.(\d{1,6})\.(.+)")
_TOOL_CALL = re.compile(r"tool_calls\.(\d{1,6})\.(?:tool_call\.)?(?:function\.)?(.+)")
_CONTENT_PART = re.compile(r"contents\.(\d{1,6})\.message_content\.(.+)")
_INPUT_EVENTS = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}

Message = dict[str, Any]


def prompts_of(foreign: dict[str, Any]) -> list[Message]:
    """The conversation that went in, oldest message first; empty when there is none."""
    for key in ("gen_ai.input.messages", "ai.prompt.messages", "gen_ai.prompt", "llm.input_messages"):
        if messages := _listed(foreign.get(key)):
            return messages
    for prefix in ("gen_ai.prompt", "llm.input_messages"):
        if messages := _numbered(foreign, prefix):
            return messages
    found = []
    for name, attributes in _events(foreign):
        if name in _INPUT_EVENTS:
            found.append(_message({"role": _INPUT_EVENTS[name], **attributes}))
    return found


def completion_of(foreign: dict[str, Any]) -> Message:
    """role, content, tool_calls and finish_reason of what came out; empty when nothing did."""
    for key in ("gen_ai.output.messages", "gen_ai.completion", "llm.output_messages"):
        if messages := _listed(foreign.get(key)):
            return messages[0]
    for prefix in ("gen_ai.completion", "llm.output_messages"):
        if messages := _numbered(foreign, prefix):
            return messages[0]
    for name, attributes in _events(foreign):
        if name == "gen_ai.choice":
            inner = attributes.get("message")
            inner = parsed(inner) if isinstance(inner, str) else inner
            flat = inner if isinstance(inner, dict) else {"content": inner} if inner is not None else {}
            return _message({"role": "assistant", **attributes, **flat})
    text = foreign.get("ai.response.text")
    return {"role": "assistant", "content": text} if text is not None else {}


def _events(foreign: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (key.removeprefix("_event.").rpartition(".")[0], value)
        for key, value in foreign.items()
        if key.startswith("_event.gen_ai.") and isinstance(value, dict)
    ]


def _listed(value: Any) -> list[Message]:
    """Messages sent as one attribute: a list, or JSON text of one."""
    value = parsed(value) if isinstance(value, str) else value
    if isinstance(value, dict):
        value = value.get("messages", [value])
    if not isinstance(value, list):
        return []
    return [_message(item) if isinstance(item, dict) else {"role": "user", "content": item} for item in value]


def _numbered(foreign: dict[str, Any], prefix: str) -> list[Message]:
    """Messages sent field by field: `<prefix>.<n>.role`, `<prefix>.<n>.message.content`, …"""
    found: dict[int, Message] = {}
    for key, value in foreign.items():
        match = _NUMBERED.fullmatch(key) if key.startswith(prefix) else None
        if match is None or match[1] != prefix:
            continue
        message = found.setdefault(int(match[2]), {})
        name = match[3].removeprefix("message.")
        if call := _TOOL_CALL.fullmatch(name):
            message.setdefault("tool_calls", {}).setdefault(int(call[1]), {})[call[2]] = value
        elif part := _CONTENT_PART.fullmatch(name):
            message.setdefault("contents", {}).setdefault(int(part[1]), {})[part[2]] = value
        else:
            message[name] = value
    messages = []
    for index in sorted(found):
        message = found[index]
        for name in ("tool_calls", "contents"):
            if isinstance(message.get(name), dict):
                message[name] = [message[name][position] for position in sorted(message[name])]
        if "content" not in message and "contents" in message:
            message["content"] = message.pop("contents")
        messages.append(_message(message))
    return messages


def _message(raw: dict[str, Any]) -> Message:
    """role and content first, then what else the message has; parts of text are joined to one content."""
    content = raw.get("content")
    rest = {name: value for name, value in raw.items() if name not in {"role", "content", "parts", "id", "index"}}
    if content is None and isinstance(raw.get("parts"), list):
        parts = [part for part in raw["parts"] if isinstance(part, dict)]
        texts = [part.get("content", part.get("text")) for part in parts if part.get("type") == "text"]
        content = "\n".join(str(text) for text in texts) if texts else None
        if others := [part for part in parts if part.get("type") != "text"]:
            rest.setdefault("parts", others)
    message: Message = {"role": raw.get("role", "assistant")}
    if content is not None:
        message["content"] = content
    return message | rest
