"""The guarded client against real servers: where it connects, how long, how much, and what it takes along."""

import gzip
import threading
import time
import zlib

import pytest

from governance.outbound.client import GuardedClient, OutboundFailed, OutboundRefused
from tests.governance.outbound.servers import mute_port, serving

LOCAL = frozenset({"127.0.0.1"})
PATIENCE = 60


def to_loopback(*_):
    return ["127.0.0.1"]


def client(**options) -> GuardedClient:
    return GuardedClient(**{"allowed_private_hosts": LOCAL, "timeout": 60.0, **options})


def failure(call) -> OutboundFailed:
    with pytest.raises(OutboundFailed) as failed:
        call()
    return failed.value


def test_json_goes_out_and_comes_back():
    with serving(lambda asked: asked.answer(asked.body, X_Model="m-1")) as server, client() as http:
        answer = http.post_json(f"http://127.0.0.1:{server.port}/v1", {"é": [1]}, headers={"Authorization": "Bearer k"})
        http.get(f"http://127.0.0.1:{server.port}/again?x=1")
    assert (answer.status, answer.json, answer.headers["x-model"]) == (200, {"é": [1]}, "m-1")
    (method, path, headers), again = server.seen
    assert (method, path, headers["authorization"]) == ("POST", "/v1", "Bearer k")
    assert (headers["content-type"], headers["accept-encoding"]) == ("application/json", "gzip")
    assert again[:2] == ("GET", "/again?x=1")
    assert "authorization" not in again[2]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_json_is_sent_with_the_method_asked_for(method):
    with serving(lambda asked: asked.answer(asked.body)) as server, client() as http:
        answer = http.send_json(method, f"http://127.0.0.1:{server.port}/v1", [1], headers={"X-A": "b"})
    ((seen, path, headers),) = server.seen
    assert (seen, path, headers["x-a"], headers["content-type"]) == (method, "/v1", "b", "application/json")
    assert answer.json == [1]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_redirect_of_what_has_a_body_is_refused(method):
    why = f"answered a {method} with a redirect"
    with (
        serving(lambda asked: asked.answer(status=307, location="/other")) as server,
        client() as http,
        pytest.raises(OutboundRefused, match=why),
    ):
        http.send_json(method, f"http://127.0.0.1:{server.port}/v1", {})
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("method", "payload", "why"),
    [("DELETE", {}, "none of"), ("POST", float("nan"), "JSON compliant"), ("POST", "\ud800", "surrogates")],
)
def test_what_cannot_be_sent_is_a_value_error_before_a_byte_is_sent(method, payload, why):
    with serving(lambda asked: asked.answer()) as server, client() as http, pytest.raises(ValueError, match=why):
        http.send_json(method, f"http://127.0.0.1:{server.port}/v1", payload)
    assert server.seen == []


def test_private_addresses_are_refused_before_a_byte_is_sent():
    with serving(lambda asked: asked.answer()) as server, client(allowed_private_hosts=frozenset()) as http:
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
            with pytest.raises(OutboundRefused, match="may not be called"):
                http.get(f"http://{host}:{server.port}/")
        with pytest.raises(OutboundRefused, match="number instead of a name"):
            http.get(f"http://2130706433:{server.port}/")
    assert server.seen == []


def test_the_setting_of_the_operator_is_the_default(settings):
    with serving(lambda asked: asked.answer()) as server:
        with GuardedClient() as http, pytest.raises(OutboundRefused):
            http.get(f"http://127.0.0.1:{server.port}/")
        settings.OUTBOUND_ALLOWED_HOSTS = [f"127.0.0.1:{server.port}"]
        with GuardedClient() as http:
            assert http.get(f"http://127.0.0.1:{server.port}/").status == 200


def test_a_name_that_rebinds_is_resolved_once_for_a_connection_and_checked_every_time():
    answers = [["127.0.0.1"], ["169.254.169.254"]]
    asked_for: list[str] = []

    def rebinding(host, port):
        asked_for.append(host)
        return answers[min(len(asked_for), 2) - 1]

    with serving(lambda asked: asked.answer(connection="close")) as server:
        name = f"rebind.example:{server.port}"
        with client(allowed_private_hosts=frozenset({name}), resolver=rebinding) as http:
            # Checked and connected to are one and the same answer.
            assert http.get(f"http://{name}/").status == 200
            assert asked_for == ["rebind.example"]
            with pytest.raises(OutboundRefused, match="metadata"):
                http.get(f"http://{name}/")
    assert asked_for == ["rebind.example"] * 2
    assert [headers["host"] for _, _, headers in server.seen] == [name]


def test_a_redirect_to_a_private_address_is_refused():
    with serving(lambda asked: asked.answer()) as inner:
        goal = f"http://127.0.0.1:{inner.port}/secret"
        with (
            serving(lambda asked: asked.answer(status=302, location=goal)) as outer,
            client(allowed_private_hosts=frozenset({f"outer.example:{outer.port}"}), resolver=to_loopback) as http,
            pytest.raises(OutboundRefused, match="loopback"),
        ):
            http.get(f"http://outer.example:{outer.port}/")
    assert inner.seen == []


def test_credentials_do_not_follow_a_redirect_to_another_host_and_never_come_back():
    with serving(lambda asked: None) as first, serving(lambda asked: None) as second:
        home, away = f"http://127.0.0.1:{first.port}", f"http://127.0.0.1:{second.port}"
        first.respond = lambda asked: (
            asked.answer(b'"end"') if asked.path == "/end" else asked.answer(status=307, location=f"{away}/there")
        )
        second.respond = lambda asked: asked.answer(status=302, location=f"{home}/end")
        with client() as http:
            answer = http.get(f"{home}/", headers={"Authorization": "Bearer k", "X-Api-Key": "k", "Accept": "text/x"})
    assert (answer.json, answer.url) == ("end", f"{home}/end")
    seen = [headers for _, _, headers in (first.seen[0], second.seen[0], first.seen[1])]
    assert [("authorization" in headers, "x-api-key" in headers) for headers in seen] == [
        (True, True),
        (False, False),
        (False, False),
    ]
    assert {headers["accept"] for headers in seen} == {"text/x"}


def test_a_post_is_not_redirected():
    with (
        serving(lambda asked: asked.answer(status=307, location="/elsewhere")) as server,
        client() as http,
        pytest.raises(OutboundRefused, match="not followed"),
    ):
        http.post_json(f"http://127.0.0.1:{server.port}/", {})
    assert len(server.seen) == 1


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://user@127.0.0.1/", "http://0x7f.1/", "gopher://x"])
def test_a_redirect_to_no_http_address_is_refused(location):
    with (
        serving(lambda asked: asked.answer(status=302, location=location)) as server,
        client() as http,
        pytest.raises(OutboundRefused),
    ):
        http.get(f"http://127.0.0.1:{server.port}/")


def test_redirects_end():
    with (
        serving(lambda asked: asked.answer(status=302, location="/")) as server,
        client() as http,
        pytest.raises(OutboundRefused, match="more than 5 times"),
    ):
        http.get(f"http://127.0.0.1:{server.port}/")
    assert len(server.seen) == 6


def test_a_body_that_drips_ends_with_the_total_deadline():
    stop = threading.Event()

    def drip(asked):
        asked.send_response(200)
        asked.send_header("content-length", "100000")
        asked.end_headers()
        while not stop.wait(0.02):  # faster than any time-out for a single read
            asked.wfile.write(b"x")

    with serving(drip) as server, client() as http:
        failed = failure(lambda: http.get(f"http://127.0.0.1:{server.port}/", timeout=0.3))
        stop.set()
    assert (failed.cause, failed.is_transient) == ("timeout", True)


def test_headers_that_drip_end_with_the_total_deadline():
    stop = threading.Event()

    def drip(asked):
        asked.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not stop.wait(0.02):
            asked.wfile.write(b"x-more: 1\r\n")

    with serving(drip) as server, client() as http:
        failed = failure(lambda: http.get(f"http://127.0.0.1:{server.port}/", timeout=0.3))
        stop.set()
    assert failed.cause == "timeout"


def test_silence_is_a_time_out_also_where_tls_was_expected():
    with mute_port() as port, client() as http:
        for scheme in ("http", "https"):
            failed = failure(lambda scheme=scheme: http.get(f"{scheme}://127.0.0.1:{port}/", timeout=0.2))
            assert (failed.cause, failed.is_transient) == ("timeout", True)


def test_nobody_listening_is_a_connection_that_may_heal():
    with mute_port() as port:
        pass
    with client() as http:
        failed = failure(lambda: http.get(f"http://127.0.0.1:{port}/"))
    assert (failed.cause, failed.is_transient, failed.http_status) == ("connection", True, None)


def test_an_answer_that_breaks_off_is_a_connection_that_may_heal():
    def cut(asked):
        asked.send_response(200)
        asked.send_header("content-length", "100")
        asked.end_headers()
        asked.wfile.write(b"half")
        asked.close_connection = True

    with serving(cut) as server, client() as http:
        failed = failure(lambda: http.get(f"http://127.0.0.1:{server.port}/"))
    assert (failed.cause, failed.is_transient) == ("connection", True)


def test_large_answers_are_refused_by_declared_and_by_real_size():
    def endless(asked):
        asked.send_response(200)
        asked.send_header("transfer-encoding", "chunked")
        asked.end_headers()
        for _ in range(1_000):
            asked.wfile.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        asked.wfile.write(b"0\r\n\r\n")

    for respond in (lambda asked: asked.answer(b"x" * 100_001), endless):
        with serving(respond) as server, client(max_response_bytes=100_000) as http:
            failed = failure(lambda http=http, server=server: http.get(f"http://127.0.0.1:{server.port}/"))
        assert (failed.cause, failed.is_transient) == ("too_large", False)


def test_a_bomb_is_refused_while_it_inflates():
    bomb = gzip.compress(b"\0" * 50_000_000)
    assert len(bomb) < 60_000
    with (
        serving(lambda asked: asked.answer(bomb, content_encoding="gzip")) as server,
        client(max_response_bytes=1_000_000) as http,
    ):
        failed = failure(lambda: http.get(f"http://127.0.0.1:{server.port}/"))
    assert failed.cause == "too_large"


@pytest.mark.parametrize("size", [0, 10, 65_536, 131_072, 1_000_001])
def test_compressed_answers_come_out_whole(size):
    text = b"a" * size
    sent = gzip.compress(text[: size // 2]) + gzip.compress(text[size // 2 :])  # two members, RFC 1952, 2.2
    with serving(lambda asked: asked.answer(sent, content_encoding="gzip")) as server, client() as http:
        assert http.get(f"http://127.0.0.1:{server.port}/").content == text


@pytest.mark.parametrize(
    ("body", "encoding", "is_transient"),
    [
        (b"no gzip at all", "gzip", False),
        (gzip.compress(bytes(range(256)) * 9)[:-9], "gzip", True),
        (zlib.compress(b"x"), "deflate", False),
        (b"x", "br", False),
    ],
)
def test_bodies_that_cannot_be_read_are_bad_answers(body, encoding, is_transient):
    with serving(lambda asked: asked.answer(body, content_encoding=encoding)) as server, client() as http:
        failed = failure(lambda: http.get(f"http://127.0.0.1:{server.port}/"))
    assert (failed.cause, failed.is_transient) == ("bad_answer", is_transient)


def test_what_is_not_json_says_so_with_an_excerpt():
    with serving(lambda asked: asked.answer(b"<html>" + b"x" * 1_000)) as server, client() as http:
        answer = http.get(f"http://127.0.0.1:{server.port}/")
    failed = failure(lambda: answer.json)
    assert (failed.cause, len(failed.excerpt)) == ("bad_answer", 500)


@pytest.mark.parametrize(
    ("status", "cause", "is_transient"),
    [
        (400, "client_error", False),
        (401, "client_error", False),
        (408, "timeout", True),
        (429, "rate_limited", True),
        (500, "server_error", True),
        (501, "server_error", False),
        (503, "server_error", True),
        (304, "client_error", False),
    ],
)
def test_statuses_are_told_by_cause(status, cause, is_transient):
    body = b"" if status == 304 else b'{"error": "why"}'
    with serving(lambda asked: asked.answer(body, status)) as server, client() as http:
        failed = failure(lambda: http.post_json(f"http://127.0.0.1:{server.port}/", {}))
    assert (failed.cause, failed.is_transient, failed.http_status) == (cause, is_transient, status)
    assert failed.excerpt == body.decode()
    assert "why" not in failed.message


@pytest.mark.parametrize(("value", "least", "most"), [("7", 7, 7), ("Fri, 31 Dec 2199 23:59:59 GMT", 1e9, 1e10)])
def test_retry_after_comes_along(value, least, most):
    with serving(lambda asked: asked.answer(status=429, retry_after=value)) as server, client() as http:
        failed = failure(lambda: http.get(f"http://127.0.0.1:{server.port}/"))
    assert least <= failed.retry_after_seconds <= most


def test_no_proxy_of_the_environment_is_asked(monkeypatch):
    with serving(lambda asked: asked.answer()) as server, mute_port() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
        with client() as http:
            assert http.get(f"http://127.0.0.1:{server.port}/").status == 200


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_closing_from_another_thread_ends_a_call_under_way(scheme):
    """Without it the call would wait for its time-out, which is longer than this test may take."""
    with mute_port() as port:
        http = client(timeout=10 * PATIENCE)
        ended: list[BaseException] = []

        def call() -> None:
            try:
                http.get(f"{scheme}://127.0.0.1:{port}/")
            except OutboundFailed as error:
                ended.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        until = time.monotonic() + PATIENCE
        while not http._sockets._handles and time.monotonic() < until:
            time.sleep(0.005)
        http.close()
        thread.join(PATIENCE)
        assert not thread.is_alive()
    (error,) = ended
    assert error.details["cancelled"] is True
    assert not error.is_transient
    assert failure(lambda: http.get(f"{scheme}://127.0.0.1:{port}/")).details["cancelled"] is True
    http.close()
    assert http._sockets._handles == set()


def test_threads_share_a_client():
    with serving(lambda asked: asked.answer(asked.body)) as server, client() as http:
        found: dict[int, object] = {}

        def call(number: int) -> None:
            found[number] = http.post_json(f"http://127.0.0.1:{server.port}/", number).json

        threads = [threading.Thread(target=call, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert found == {number: number for number in range(20)}
