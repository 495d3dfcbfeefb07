"""HTTP endpoints as targets, on real servers: what is sent, what comes back, how it fails."""

import json
import threading
import time

import pytest
import redis

from experiments.adapters import outbound_calls
from experiments.adapters.outbound_calls import Outlet, Slots
from experiments.adapters.targets.http_endpoint import HttpEndpoint
from experiments.domain.calls import CallFailed, Case
from experiments.domain.experiment_spec import HttpTarget
from experiments.domain.redaction import Redaction
from governance.domain.errors import Forbidden
from governance.outbound import limiter
from governance.outbound.client import GuardedClient
from tests.governance.outbound.servers import mute_port, serving

PATIENCE = 60.0
CASE = Case("d1", {"q": "why & how?", "n": 3, "id": "a-1"}, [{"role": "user"}], {"a": "so"}, {"lang": "de"})
SECRET = "sk-1234567890"


def endpoint(port: int, *, path="/v1", limit=4, headers=None, allow=lambda url: None, **fields) -> HttpEndpoint:
    target = HttpTarget.model_validate({"url": f"http://127.0.0.1:{port}{path}", **fields})
    client = GuardedClient(allowed_private_hosts=frozenset({"127.0.0.1"}))
    outlet = Outlet(Slots(1, "http", limit), Redaction([SECRET]), client)
    return HttpEndpoint(target, headers=headers or {}, outlet=outlet, check_url=allow)


def failure(target: HttpEndpoint, *, deadline: float = PATIENCE, case: Case = CASE) -> CallFailed:
    with pytest.raises(CallFailed) as raised:
        target.call(case, deadline_seconds=deadline)
    target.close()
    return raised.value


def answering(body: bytes, **headers):
    return serving(lambda asked: asked.answer(body, **headers))


def test_the_template_is_filled_and_the_path_picked() -> None:
    body = {"question": "{{inputs.q}}", "n": "{{inputs.n}}", "all": "{{inputs}}", "h": "{{history}}", "k": [1, None]}
    echo = serving(lambda asked: asked.answer(json.dumps({"data": [{"text": json.loads(asked.body)}]}).encode()))
    with echo as server:
        target = endpoint(server.port, body=body, response_path="data.0.text", headers={"Authorization": "Bearer k"})
        answer = target.call(CASE, deadline_seconds=PATIENCE)
        target.close()
    assert answer.outputs == {
        "question": "why & how?",
        "n": 3,
        "all": CASE.inputs,
        "h": CASE.history,
        "k": [1, None],
    }
    ((method, path, headers),) = server.seen
    assert (method, path, headers["authorization"]) == ("POST", "/v1", "Bearer k")
    assert "so" not in json.dumps(answer.outputs)  # the ground truth goes out only where it is named
    assert (answer.metadata, 0 < answer.latency_ms < 60_000) == ({"http_status": 200}, True)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "GET"])
def test_other_methods_and_queries(method) -> None:
    with answering(b'{"a": 1}') as server:
        target = endpoint(server.port, path="/x/{{inputs.id}}?q={{inputs.q}}&n={{inputs.n}}", method=method)
        assert target.call(CASE, deadline_seconds=PATIENCE).outputs == {"a": 1}
        target.close()
    assert server.seen[0][:2] == (method, "/x/a-1?q=why%20%26%20how%3F&n=3")


@pytest.mark.parametrize(
    ("body", "headers", "outputs"),
    [
        (b"plain text", {"content_type": "text/plain"}, "plain text"),
        (b"42", {"content_type": "text/plain"}, 42),
        (b'"text"', {"content_type": "application/json"}, "text"),
        (b"null", {}, None),
    ],
)
def test_what_is_not_json_is_text_unless_json_was_announced(body, headers, outputs) -> None:
    with answering(body, **headers) as server:
        target = endpoint(server.port)
        assert target.call(CASE, deadline_seconds=PATIENCE).outputs == outputs
        target.close()


@pytest.mark.parametrize(
    ("body", "headers", "path", "said"),
    [
        (b"{", {"content_type": "application/json"}, "", "not JSON"),
        (b"<html>", {"content_type": "application/problem+json; charset=utf-8"}, "", "not JSON"),
        (b"NaN", {"content_type": "application/json"}, "", "not JSON"),
        (b"text", {}, "a", "not JSON"),
        (b"\xff\xfe\xff", {}, "", "neither JSON nor UTF-8"),
        (b'{"b": 1}', {}, "a.0", "has no 'a' of the response path 'a.0'"),
    ],
)
def test_answers_without_what_was_looked_for(body, headers, path, said) -> None:
    with answering(body, **headers) as server:
        failed = failure(endpoint(server.port, response_path=path))
    assert (failed.error_class, failed.is_transient, failed.called) == ("bad_answer", False, True)
    assert said in failed.message


@pytest.mark.parametrize(
    ("status", "error_class", "is_transient"),
    [
        (400, "client_error", False),
        (404, "client_error", False),
        (408, "timeout", True),
        (429, "rate_limited", True),
        (500, "server_error", True),
        (501, "server_error", False),
        (503, "server_error", True),
    ],
)
def test_statuses_are_classes_of_errors(status, error_class, is_transient) -> None:
    with serving(lambda asked: asked.answer(b'{"why": "no"}', status=status, retry_after="3")) as server:
        failed = failure(endpoint(server.port))
    assert (failed.error_class, failed.is_transient, failed.retry_after_seconds) == (error_class, is_transient, 3.0)
    assert failed.details["http_status"] == status
    assert failed.called is True
    assert ('{"why": "no"}' in failed.message) == (error_class == "client_error")


def test_secrets_that_an_endpoint_repeats_reach_neither_outputs_nor_messages() -> None:
    headers = {"Authorization": f"Bearer {SECRET}"}
    echo = lambda asked, **more: asked.answer(json.dumps(dict(asked.headers)).encode(), **more)  # noqa: E731
    with serving(echo) as server:
        target = endpoint(server.port, headers=headers)
        assert target.call(CASE, deadline_seconds=PATIENCE).outputs["authorization"] == "Bearer [secret]"
        target.close()
    assert server.seen[0][2]["authorization"] == f"Bearer {SECRET}"
    with serving(lambda asked: echo(asked, status=401)) as server:
        failed = failure(endpoint(server.port, headers=headers))
    assert "Bearer [secret]" in failed.message
    assert SECRET not in failed.message + str(failed.details)


def test_a_silent_endpoint_is_left_at_the_deadline() -> None:
    with mute_port() as port:
        started = time.monotonic()
        failed = failure(endpoint(port), deadline=0.4)
    assert (failed.error_class, failed.is_transient, failed.called) == ("timeout", True, True)
    assert failed.message.endswith("did not answer in time: it had 0.4 seconds.")
    assert 0.3 < time.monotonic() - started < PATIENCE / 2


def test_an_endpoint_that_drips_is_left_at_the_deadline() -> None:
    def drip(asked) -> None:
        asked.send_response(200)
        asked.send_header("content-length", "1000000")
        asked.end_headers()
        for _ in range(200):
            asked.wfile.write(b" ")
            time.sleep(0.05)

    with serving(drip) as server:
        assert failure(endpoint(server.port), deadline=0.5).error_class == "timeout"


def test_closing_from_another_thread_ends_the_call() -> None:
    with mute_port() as port:
        target = endpoint(port)
        threading.Timer(0.3, target.close).start()
        failed = failure(target, deadline=PATIENCE * 10)
    assert (failed.error_class, failed.is_transient) == ("cancelled", False)
    with pytest.raises(CallFailed) as raised:
        target.call(CASE, deadline_seconds=1.0)
    assert (raised.value.error_class, raised.value.called) == ("cancelled", False)


def test_nobody_there_and_nobody_allowed() -> None:
    with mute_port() as port:
        free = port
    failed = failure(endpoint(free))
    assert (failed.error_class, failed.is_transient) == ("connection", True)
    target = HttpTarget.model_validate({"url": f"http://127.0.0.1:{free}/"})
    strict = Outlet(Slots(1, "http", 4), client=GuardedClient(allowed_private_hosts=frozenset()))
    refused = failure(HttpEndpoint(target, headers={}, outlet=strict, check_url=lambda url: None))
    assert (refused.error_class, refused.is_transient, refused.called) == ("refused", False, False)


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_refused_redirect_was_a_call(method) -> None:
    with serving(lambda asked: asked.answer(status=302, location="http://10.0.0.1/")) as server:
        failed = failure(endpoint(server.port, method=method))
    assert (failed.error_class, failed.is_transient, failed.called) == ("refused", False, True)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"body": {"a": "{{inputs.missing}}"}}, "inputs.missing"),
        ({"path": "/x/{{inputs.q}}"}, "put it into the query"),
        ({"path": "/x?q={{inputs}}"}, "neither a text nor a number"),
    ],
)
def test_a_datapoint_that_does_not_fit_is_not_sent(fields, said) -> None:
    with answering(b"{}") as server:
        failed = failure(endpoint(server.port, **fields))
    assert (failed.error_class, failed.is_transient, failed.called) == ("bad_input", False, False)
    assert said in failed.message
    assert server.seen == []


@pytest.mark.parametrize("value", ["..", ".", "a/b", "a%2fb", "ä", ""])
def test_a_path_is_no_way_around_the_rules(value) -> None:
    with answering(b"{}") as server:
        failed = failure(endpoint(server.port, path="/x/{{inputs.id}}/y"), case=Case("d", {"id": value}))
    assert failed.error_class == "bad_input"
    assert server.seen == []


def test_rules_are_asked_for_addresses_that_depend_on_the_datapoint() -> None:
    asked = []

    def forbid(url: str) -> None:
        asked.append(url)
        raise Forbidden("not there")

    with answering(b"{}") as server:
        failed = failure(endpoint(server.port, path="/x/{{inputs.id}}?q={{inputs.n}}", allow=forbid))
        fixed = endpoint(server.port, path="/x?q={{inputs.n}}", allow=forbid)
        fixed.call(CASE, deadline_seconds=PATIENCE)
        fixed.close()
    assert (failed.error_class, failed.called, asked) == ("refused", False, [f"http://127.0.0.1:{server.port}/x/a-1"])
    assert len(server.seen) == 1


def test_calls_at_once_stay_below_the_providers_limit() -> None:
    inside, most, lock = 0, 0, threading.Lock()

    def slow(asked) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.05)
        with lock:
            inside -= 1
        asked.answer(b"{}")

    with serving(slow) as server:
        target = endpoint(server.port, limit=2)
        threads = [
            threading.Thread(target=target.call, args=(CASE,), kwargs={"deadline_seconds": 60}) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        target.close()
    assert (len(server.seen), most) == (8, 2)


def test_too_many_requests_halve_the_limit() -> None:
    with serving(lambda asked: asked.answer(status=429)) as server:
        failure(endpoint(server.port, limit=4))
    assert limiter.report(project_id=1, provider="http", limit=4, rate_limited=False) == 2


def test_without_a_slot_nothing_is_called(monkeypatch) -> None:
    monkeypatch.setattr(outbound_calls, "SLOT_WAIT_SECONDS", 0.1)
    monkeypatch.setattr(outbound_calls, "_TURN_SECONDS", 0.05)
    with answering(b"{}") as server, limiter.slot(project_id=1, provider="http", limit=1):
        failed = failure(endpoint(server.port, limit=1))
    assert (failed.error_class, failed.is_transient, failed.called) == ("rate_limited", True, False)
    assert server.seen == []


def test_waiting_for_a_slot_ends_with_close() -> None:
    with answering(b"{}") as server, limiter.slot(project_id=1, provider="http", limit=1):
        target = endpoint(server.port, limit=1)
        threading.Timer(0.2, target.close).start()
        started = time.monotonic()
        failed = failure(target)
    assert (failed.error_class, failed.called, server.seen) == ("cancelled", False, [])
    assert time.monotonic() - started < outbound_calls.SLOT_WAIT_SECONDS


def test_without_redis_nothing_is_called(monkeypatch) -> None:
    gone = redis.Redis.from_url("unix:///nowhere/redis.sock")
    monkeypatch.setattr(limiter, "_client", lambda: gone)
    with answering(b"{}") as server:
        failed = failure(endpoint(server.port))
    assert (failed.error_class, failed.is_transient, failed.called) == ("connection", True, False)
    assert "Redis" in failed.message
    assert server.seen == []
