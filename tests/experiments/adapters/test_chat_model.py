"""Chat models as targets, on real servers."""

import json

import pytest

from experiments.adapters.outbound_calls import Outlet, Slots
from experiments.adapters.targets.chat_model import ChatModel
from experiments.domain.calls import CallFailed, Case
from governance.outbound.client import GuardedClient
from tests.governance.outbound.servers import serving

PARAMETERS = {
    "call_type": "chat",
    "model": "m-1",
    "hyperparameters": {"temperature": 0},
    "template": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "{{question}}"}],
}
CASE = Case("d1", {"question": "why?"}, [{"role": "assistant", "content": "hi"}])
PATIENCE = 60.0

_made: list[Outlet] = []


@pytest.fixture(autouse=True)
def closed_outlets():
    """Every connection ends with its test."""
    yield
    while _made:
        _made.pop().close()


def outlet(provider: str = "openai") -> Outlet:
    client = GuardedClient(allowed_private_hosts=frozenset({"127.0.0.1"}))
    _made.append(Outlet(Slots(1, provider, 4), client=client))
    return _made[-1]


def model(port: int, *, key="sk-123456", **changes) -> ChatModel:
    return ChatModel({**PARAMETERS, **changes}, base_url=f"http://127.0.0.1:{port}/v1/", key=key, outlet=outlet())


def completing(**answer):
    body = {"choices": [{"message": {"role": "assistant", "content": "because"}, "finish_reason": "stop"}], **answer}
    return serving(lambda asked: (setattr(asked.server, "body", asked.body), asked.answer(json.dumps(body).encode())))


def test_the_configuration_is_sent_and_tokens_and_model_come_back() -> None:
    with completing(model="m-1-0613", usage={"prompt_tokens": 12, "completion_tokens": 3}) as server:
        target = model(server.port)
        answer = target.call(CASE, deadline_seconds=PATIENCE)
    ((method, path, headers),) = server.seen
    assert (method, path, headers["authorization"]) == ("POST", "/v1/chat/completions", "Bearer sk-123456")
    assert json.loads(server.body) == {
        "model": "m-1",
        "temperature": 0,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "assistant", "content": "hi"},
            {"role": "user", "content": "why?"},
        ],
    }
    assert answer.outputs == {"content": "because"}
    assert (answer.prompt_tokens, answer.completion_tokens, answer.model) == (12, 3, "m-1-0613")
    assert answer.metadata == {"finish_reason": "stop"}
    assert target.event_type == "model"


def test_without_a_key_no_header_is_sent() -> None:
    with completing() as server:
        target = model(server.port, key="")
        assert target.call(CASE, deadline_seconds=PATIENCE).prompt_tokens is None
    assert "authorization" not in server.seen[0][2]


@pytest.mark.parametrize("body", [b"{}", b"<html>", b'{"choices": []}'])
def test_an_answer_that_is_no_completion_is_a_bad_answer(body) -> None:
    with serving(lambda asked: asked.answer(body)) as server, pytest.raises(CallFailed) as raised:
        model(server.port).call(CASE, deadline_seconds=PATIENCE)
    assert (raised.value.error_class, raised.value.is_transient) == ("bad_answer", False)


def test_a_datapoint_without_the_prompts_inputs_is_not_sent() -> None:
    with completing() as server, pytest.raises(CallFailed, match=r"inputs\.question") as raised:
        model(server.port).call(Case("d"), deadline_seconds=PATIENCE)
    assert (raised.value.error_class, raised.value.called, server.seen) == ("bad_input", False, [])


def test_too_many_requests_can_heal_and_say_when() -> None:
    busy = serving(lambda asked: asked.answer(status=429, retry_after="12"))
    with busy as server, pytest.raises(CallFailed) as raised:
        model(server.port).call(CASE, deadline_seconds=PATIENCE)
    failed = raised.value
    assert (failed.error_class, failed.is_transient, failed.retry_after_seconds) == ("rate_limited", True, 12.0)
