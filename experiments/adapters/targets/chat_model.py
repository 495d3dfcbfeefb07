"""An OpenAI-compatible chat model as a target, prompted by a pinned configuration of the project."""

from collections.abc import Mapping
from typing import Any

from experiments.adapters.outbound_calls import Outlet
from experiments.domain import chat
from experiments.domain.calls import CallAnswer, CallFailed, Case
from experiments.domain.templates import Unfilled
from governance.outbound.errors import OutboundFailed


class ChatModel:
    """`parameters` are those of the configuration's version; `key` is the revealed secret, or nothing."""

    event_type = "model"

    def __init__(self, parameters: Mapping[str, Any], *, base_url: str, key: str, outlet: Outlet) -> None:
        self._parameters, self._outlet = parameters, outlet
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    def call(self, case: Case, *, deadline_seconds: float) -> CallAnswer:
        """Call once; see `OpenTarget`."""
        try:
            body = chat.request_body(self._parameters, case)
        except Unfilled as error:
            raise CallFailed(
                f"The prompt cannot be written: {error}.", error_class="bad_input", is_transient=False, called=False
            ) from None
        completion, latency_ms = complete(
            self._outlet, self._url, body, headers=self._headers, deadline_seconds=deadline_seconds
        )
        return CallAnswer(
            outputs=completion.outputs,
            latency_ms=latency_ms,
            prompt_tokens=completion.prompt_tokens,
            completion_tokens=completion.completion_tokens,
            model=completion.model,
            metadata={"finish_reason": completion.finish_reason} if completion.finish_reason else {},
        )

    def close(self) -> None:
        """End calls under way."""
        self._outlet.close()


def complete(
    outlet: Outlet, url: str, body: Mapping[str, Any], *, headers: Mapping[str, str], deadline_seconds: float
) -> tuple[chat.Completion, float]:
    """One chat completion and its latency in ms. Raises CallFailed."""
    answer, latency_ms = outlet.call(
        lambda client, timeout: client.post_json(url, body, headers=headers, timeout=timeout),
        deadline_seconds=deadline_seconds,
    )
    try:
        return chat.read_completion(answer.json), latency_ms
    except (chat.NoAnswer, OutboundFailed) as error:
        why = error.message if isinstance(error, OutboundFailed) else f"The answer is no chat completion: {error}."
        raise CallFailed(why, error_class="bad_answer", is_transient=False, latency_ms=latency_ms) from None
