"""Spans of other instrumentors: OpenTelemetry's GenAI conventions, OpenInference, OpenLLMetry, Vercel AI.

What they say is brought into the shape of the product (wire contract, section 3.5). Explicit `honeyhive_*`
buckets always win. Attributes stay literally in the metadata, except the messages, which would be there twice.
"""

from dataclasses import dataclass
from typing import Any

from experiments.domain.span_buckets import parsed
from experiments.domain.span_messages import completion_of, prompts_of

# First words of attribute names that belong to a convention we know.
FAMILIES = frozenset(
    {"gen_ai", "llm", "openinference", "traceloop", "input", "output", "ai", "operation", "tool", "user"}
)
_ASSOCIATION = "traceloop.association.properties."

_BY_OPERATION = {
    "chat": "model",
    "text_completion": "model",
    "generate_content": "model",
    "embeddings": "model",
    "invoke_agent": "chain",
    "create_agent": "chain",
    "invoke_workflow": "chain",
    "execute_tool": "tool",
    "retrieval": "tool",
}
_BY_OPENINFERENCE = {
    "LLM": "model",
    "CHAIN": "chain",
    "AGENT": "chain",
    "TOOL": "tool",
    "RETRIEVER": "tool",
    "EMBEDDING": "tool",
    "RERANKER": "tool",
    "GUARDRAIL": "tool",
}
_BY_TRACELOOP = {"workflow": "chain", "agent": "chain", "task": "chain", "tool": "tool"}
_MODEL_PREFIXES = ("gen_ai.prompt", "gen_ai.input.messages", "llm.input_messages", "ai.prompt.messages")
_MODEL_NAMES = (
    "openai.chat.completions",
    "openai.completions",
    "anthropic.messages",
    "bedrock.invoke_model",
    "google.generativeai",
)
_MESSAGE_PREFIXES = (
    "gen_ai.prompt",
    "gen_ai.completion",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "llm.input_messages",
    "llm.output_messages",
    "ai.prompt.messages",
    "_event.gen_ai.",
)

# attribute -> where its value goes, beside its literal name in the metadata
_TARGETS: dict[str, tuple[tuple[str, str], ...]] = {
    "gen_ai.request.model": (("config", "model"),),
    "llm.model_name": (("config", "model"), ("metadata", "model_name")),
    "ai.model.id": (("config", "model"),),
    "gen_ai.provider.name": (("config", "provider"), ("metadata", "provider")),
    "llm.provider": (("config", "provider"), ("metadata", "provider")),
    "ai.model.provider": (("config", "provider"), ("metadata", "provider")),
    "gen_ai.system": (("metadata", "system"),),
    "llm.system": (("metadata", "system"),),
    "gen_ai.usage.input_tokens": (("metadata", "input_tokens"), ("metadata", "prompt_tokens")),
    "gen_ai.usage.prompt_tokens": (("metadata", "prompt_tokens"), ("metadata", "input_tokens")),
    "llm.token_count.prompt": (("metadata", "prompt_tokens"), ("metadata", "input_tokens")),
    "ai.usage.promptTokens": (("metadata", "prompt_tokens"), ("metadata", "input_tokens")),
    "gen_ai.usage.output_tokens": (("metadata", "output_tokens"), ("metadata", "completion_tokens")),
    "gen_ai.usage.completion_tokens": (("metadata", "completion_tokens"), ("metadata", "output_tokens")),
    "llm.token_count.completion": (("metadata", "completion_tokens"), ("metadata", "output_tokens")),
    "ai.usage.completionTokens": (("metadata", "completion_tokens"), ("metadata", "output_tokens")),
    "llm.usage.total_tokens": (("metadata", "total_tokens"),),
    "gen_ai.usage.total_tokens": (("metadata", "total_tokens"),),
    "llm.token_count.total": (("metadata", "total_tokens"),),
    "gen_ai.usage.cost": (("metrics", "cost"),),
    "operation.cost": (("metrics", "cost"),),
    "gen_ai.response.model": (("metadata", "response_model"),),
    "gen_ai.response.id": (("metadata", "response_id"),),
    "gen_ai.tool.name": (("metadata", "tool_name"), ("config", "tool_name")),
    "tool.name": (("metadata", "tool_name"), ("config", "tool_name")),
    "gen_ai.tool.description": (("config", "tool_description"),),
    "tool.description": (("config", "tool_description"),),
    "gen_ai.tool.call.id": (("metadata", "tool_call_id"),),
    "gen_ai.agent.name": (("metadata", "agent_name"), ("config", "agent_name")),
    "gen_ai.agent.id": (("metadata", "agent_id"),),
    "traceloop.workflow.name": (("config", "workflow_name"),),
    "gen_ai.conversation.id": (("metadata", "conversation_id"),),
    "gen_ai.operation.name": (("metadata", "operation_name"),),
    "openinference.span.kind": (("metadata", "span_kind"),),
    "traceloop.span.kind": (("metadata", "span_kind"),),
    "user.id": (("metadata", "user_id"),),
}
_FINISH = ("gen_ai.response.finish_reasons", "gen_ai.response.finish_reason", "llm.response.finish_reason")
_PARAMETERS = ("gen_ai.request.", "llm.invocation_parameters")


@dataclass(frozen=True, slots=True)
class Foreign:
    """What a span says in the words of others. `stated_type` is `honeyhive_event_type` as sent."""

    attributes: dict[str, Any]
    stated_type: Any
    name: str


def instrumentor_of(scope: str, foreign: dict[str, Any]) -> str:
    """Who made the span: by its scope, else by the families of its attributes."""
    if scope.startswith("openinference.instrumentation"):
        return "openinference"
    if scope.startswith("@vercel/otel"):
        return "vercel-ai"
    if scope.startswith("pydantic-ai"):
        return "pydantic-ai"
    for key in foreign:
        if key.startswith("openinference."):
            return "openinference"
        # The official client sets association properties on every span: they prove nothing.
        if key.startswith("traceloop.") and not key.startswith(_ASSOCIATION):
            return "traceloop"
        if key.startswith("ai."):
            return "vercel-ai"
    if any(key.startswith(("gen_ai.", "_event.gen_ai.")) for key in foreign):
        return "opentelemetry"
    return "honeyhive" if scope.startswith("honeyhive") else scope or "unknown"


def normalise(view: Foreign, buckets: dict[str, dict[str, Any]], event_type: str) -> str:
    """Add the derived values to the buckets, unless explicit ones are there; the event's type.

    The official client stamps `tool` when a span starts, before an instrumentor has said what it is: `tool`
    is therefore looked at again.
    """
    foreign = view.attributes
    if view.stated_type is None or view.stated_type == "tool":
        event_type = _derived_type(view) or event_type
    metadata = buckets["metadata"]
    for key, value in foreign.items():
        for bucket, name in _TARGETS.get(key, ()):
            buckets[bucket].setdefault(name, value)
        if key.startswith(_PARAMETERS):
            _add_parameters(key, value, buckets["config"])
        if not key.startswith(_MESSAGE_PREFIXES):
            metadata.setdefault(key, value)
    if foreign.keys() & _DERIVING or any(key.startswith(_MESSAGE_PREFIXES) for key in foreign):
        _derive(foreign, buckets, event_type)
    return event_type


_VALUES = ("input.value", "output.value", "traceloop.entity.input", "traceloop.entity.output")
_DERIVING = frozenset({*_TARGETS, *_VALUES, *_FINISH})


def _derived_type(view: Foreign) -> str | None:
    foreign = view.attributes
    found = (
        _BY_OPERATION.get(str(foreign.get("gen_ai.operation.name")))
        or _BY_OPENINFERENCE.get(str(foreign.get("openinference.span.kind")).upper())
        or ("model" if "llm.request.type" in foreign else None)
        or _BY_TRACELOOP.get(str(foreign.get("traceloop.span.kind")))
    )
    if found is None and any(key.startswith(_MODEL_PREFIXES) for key in foreign):
        found = "model"
    if found is None and view.stated_type is None and any(name in view.name for name in _MODEL_NAMES):
        found = "model"
    return found


def _add_parameters(key: str, value: Any, config: dict[str, Any]) -> None:
    if key == "llm.invocation_parameters":
        parameters = parsed(value) if isinstance(value, str) else value
        if isinstance(parameters, dict):
            for name, parameter in parameters.items():
                config.setdefault(name, parameter)
    else:
        config.setdefault(key.removeprefix("gen_ai.request."), value)


def _derive(foreign: dict[str, Any], buckets: dict[str, dict[str, Any]], event_type: str) -> None:
    """What takes more than one attribute: totals, finish reasons, messages, inputs and outputs."""
    metadata, config = buckets["metadata"], buckets["config"]
    if "system" in metadata and "provider" not in config:
        config["provider"] = metadata["system"]
    if "model" in config:
        metadata.setdefault("model_name", config["model"])
    given: Any = metadata.get("prompt_tokens")
    made: Any = metadata.get("completion_tokens")
    if "total_tokens" not in metadata and _is_number(given) and _is_number(made):
        metadata["total_tokens"] = given + made
    for name in _FINISH:
        if name in foreign:
            reasons = parsed(foreign[name]) if isinstance(foreign[name], str) else foreign[name]
            reasons = reasons if isinstance(reasons, list) else [reasons]
            metadata.setdefault("finish_reasons", reasons)
            if reasons:
                metadata.setdefault("finish_reason", reasons[0])
    inputs, outputs = buckets["inputs"], buckets["outputs"]
    if history := prompts_of(foreign):
        inputs.setdefault("chat_history", history)
    for name, value in completion_of(foreign).items():
        outputs.setdefault(name, value)
    if event_type != "model" or not history:
        _put_value(inputs, foreign, ("input.value", "traceloop.entity.input"), "input")
    if event_type != "model" or not outputs:
        name = {"tool": "message", "model": "content"}.get(event_type, "result")
        _put_value(outputs, foreign, ("output.value", "traceloop.entity.output"), name)


def _put_value(bucket: dict[str, Any], foreign: dict[str, Any], keys: tuple[str, ...], name: str) -> None:
    """The first of the attributes as the bucket: its fields if it is an object, else under `name`."""
    for key in keys:
        if key in foreign and foreign[key] is not None:
            value = parsed(foreign[key]) if isinstance(foreign[key], str) else foreign[key]
            for inner, item in value.items() if isinstance(value, dict) else ((name, value),):
                bucket.setdefault(inner, item)
            return


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
