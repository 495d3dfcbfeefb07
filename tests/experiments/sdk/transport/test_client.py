"""The client: what it sends, when it sends again, and what it makes of refusals."""

import datetime as dt
import random
import threading
import time
import warnings
from collections.abc import Callable
from email.utils import format_datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from experiments.sdk import errors
from experiments.sdk.configuration import Settings
from experiments.sdk.transport.client import Client, ExperimentVersionWarning, RetryPolicy, segment
from governance.domain.retry_after import retry_after_seconds
from hhweb import __version__
from tests.experiments.sdk.fault_server import FaultServer, answer, drop_after_storing, drop_before_storing, hang
from tests.experiments.sdk.transport.samples import client_of, finished

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ONCE = RetryPolicy(attempts=1)


# --- the policy


def test_delays_grow_with_full_jitter_up_to_the_longest() -> None:
    policy = RetryPolicy(first_delay_seconds=1.0, longest_delay_seconds=4.0)
    rng = random.Random(1)
    highest = [max(policy.delay(attempt, None, rng) for _ in range(2000)) for attempt in (1, 2, 3, 4, 99)]
    assert [round(value, 1) for value in highest] == [1.0, 2.0, 4.0, 4.0, 4.0]
    assert min(policy.delay(3, None, rng) for _ in range(2000)) < 0.01


def test_what_the_server_asks_for_wins_over_the_longest_delay() -> None:
    policy = RetryPolicy(longest_delay_seconds=1.0)
    assert all(20.0 <= policy.delay(1, 20.0) <= 22.0 for _ in range(100))
    assert policy.delay(1, -5.0) == 0.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3", 3.0),
        (" 0.5 ", 0.5),
        (format_datetime(NOW + dt.timedelta(seconds=90), usegmt=True), 90.0),
        ("Thu, 01 Jan 2026 00:01:00", 60.0),
        (format_datetime(NOW - dt.timedelta(seconds=90)), 0.0),
        ("soon", None),
        ("", None),
        (None, None),
        ("9" * 65, None),
        ("Thu, 99 Jan 2026 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(text, now=NOW) == seconds


# --- sending


def test_a_request_carries_the_key_and_who_sends_it(server: FaultServer, client: Client) -> None:
    client.create_run({"run_id": "a/b c", "name": "n"})
    assert client.get_run("a/b c").name == "n"
    headers = server.requests[0].headers
    assert headers["authorization"] == "Bearer key-1"
    assert headers["content-type"] == "application/json"
    assert headers["hh-client-package"] == "hhweb"
    assert headers["hh-client-version"] == __version__
    assert headers["hh-client-language"] == "python"
    assert 0 <= time.time_ns() - int(headers["hh-client-timestamp"]) < 60 * 10**9
    assert segment("a/b c") == "a%2Fb%20c"


def test_a_503_and_a_lost_connection_are_tried_again_with_the_same_timestamp(
    server: FaultServer, client: Client
) -> None:
    server.plan(answer(503), drop_before_storing())
    client.create_run({"run_id": "r", "name": "n"})
    assert [each.status for each in server.requests] == [503, 0, 200]
    assert len({each.headers["hh-client-timestamp"] for each in server.requests}) == 1


def test_a_429_is_tried_again_after_what_the_server_asks_for(server: FaultServer, client: Client) -> None:
    server.plan(answer(429, retry_after=0.1))
    began = time.monotonic()
    client.create_run({"run_id": "r", "name": "n"})
    assert time.monotonic() - began >= 0.1
    assert len(server.requests) == 2


def test_asked_to_wait_longer_than_the_policy_the_client_gives_up_at_once(server: FaultServer, client: Client) -> None:
    server.plan(answer(429, retry_after=3600))
    with pytest.raises(errors.RateLimited, match="planned 429") as caught:
        client.get_run("r")
    assert caught.value.retry_after_seconds == 3600.0
    assert len(server.requests) == 1


def test_a_used_up_quota_is_not_asked_again(server: FaultServer, client: Client) -> None:
    server.plan(answer(429, body={"message": "Quota.", "errorCode": "quota_exceeded"}))
    with pytest.raises(errors.RateLimited, match="Quota"):
        client.get_run("r")
    assert len(server.requests) == 1


def test_the_policy_limits_the_attempts(server: FaultServer, client: Client) -> None:
    server.plan(*[answer(500)] * 9)
    with pytest.raises(errors.Unavailable, match=r"planned 500 \(request request-1\)") as caught:
        client.get_run("r")
    assert (caught.value.status, caught.value.code, caught.value.request_id) == (500, "planned", "request-1")
    assert len(server.requests) == 6


def test_what_must_not_happen_twice_is_repeated_only_when_nothing_was_done(server: FaultServer, client: Client) -> None:
    server.plan(answer(503), drop_after_storing(), method="POST")
    with pytest.raises(errors.Unavailable, match="No answer from"):
        client.create_run({"name": "no id of ours"})
    assert [each.status for each in server.requests] == [503, 0]


def test_a_server_that_is_not_there_was_not_reached(server: FaultServer, client: Client) -> None:
    server.stop()
    with pytest.raises(errors.Unavailable, match=r"No answer from http://.*refused. Does the server run there\?"):
        client.request("POST", "/v1/datasets", json={}, idempotent=False, retries=RetryPolicy(2, 0.01))
    assert client.is_hhweb is None


def test_a_server_that_hangs_costs_no_more_than_the_timeout(server: FaultServer, client: Client) -> None:
    server.plan(hang())
    began = time.monotonic()
    with pytest.raises(errors.Unavailable, match="timed out"):
        client.request("GET", "/v1/runs", retries=ONCE, timeout_seconds=0.1)
    assert time.monotonic() - began < 2.0


def test_closing_ends_what_waits_to_be_sent_again_and_what_comes_later(server: FaultServer) -> None:
    client = client_of(server.url, retries=RetryPolicy(first_delay_seconds=20.0, longest_delay_seconds=20.0))
    server.plan(answer(503, retry_after=20))
    threading.Timer(0.1, client.close).start()
    began = time.monotonic()
    with pytest.raises(errors.Unavailable, match="planned 503"):
        client.get_run("r")
    assert time.monotonic() - began < 5.0
    with pytest.raises(errors.Unavailable, match="closed"):
        client.get_run("r")
    assert len(server.requests) == 1


def test_a_client_that_was_never_used_has_nothing_to_close() -> None:
    client = client_of("http://127.0.0.1:9")
    client.interrupt()
    client.close()
    assert client.server_version is None
    assert client.is_hhweb is None


@pytest.mark.parametrize(
    ("key", "url", "proxy", "told"),
    [
        ("schlüssel", "http://127.0.0.1:9", None, "not ASCII"),
        ("key", "http://127.0.0.2:9", "nonsense://proxy", "No client for http://127.0.0.2:9"),
    ],
)
def test_settings_that_cannot_work_say_so(
    key: str, url: str, proxy: str | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if proxy is not None:
        monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(errors.ConfigurationError, match=told):
        Client(Settings(url, key)).get_run("r")


# --- refusals


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.InvalidRequest),
        (401, errors.Unauthorized),
        (403, errors.Unauthorized),
        (404, errors.NotFound),
        (408, errors.Unavailable),
        (409, errors.Conflict),
        (413, errors.InvalidRequest),
        (422, errors.InvalidRequest),
        (425, errors.Unavailable),
        (502, errors.Unavailable),
    ],
)
def test_every_refusal_has_its_exception(
    server: FaultServer, client: Client, status: int, kind: type[errors.ServerError]
) -> None:
    server.plan(answer(status))
    with pytest.raises(errors.ServerError, match=f"planned {status}") as caught:
        client.request("GET", "/v1/runs/r", retries=ONCE)
    assert type(caught.value) is kind
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (
            {"message": "Too long.", "errorCode": "invalid_input", "details": {"field": "name", "remedy": "cut it"}},
            "Too long. (field: name) (remedy: cut it)",
            "invalid_input",
        ),
        ({"message": "Field 'name' is long.", "details": {"field": "name"}}, "Field 'name' is long.", ""),
        (
            {"error": {"code": "conflict", "message": "Taken.", "details": {"field": "id", "remedy": 3}}},
            "Taken. (field: id)",
            "conflict",
        ),
        ({"detail": 1}, 'The server answered 400: {"detail": 1}', ""),
        ([1], "The server answered 400: [1]", ""),
        (b"<h1>Bad</h1>\n<p>", "The server answered 400: <h1>Bad</h1> <p>", ""),
        (b"", "The server answered 400 without a reason.", ""),
        ({"message": "x", "details": [1]}, "x", ""),
    ],
)
def test_a_refusal_says_the_servers_own_sentence(
    server: FaultServer, client: Client, body: object, message: str, code: str
) -> None:
    server.plan(answer(400, body=body))
    with pytest.raises(errors.InvalidRequest) as caught:
        client.get_run("r")
    assert (caught.value.message, caught.value.code) == (message, code)


def test_a_redirect_says_where_the_server_really_is(server: FaultServer, client: Client) -> None:
    server.plan(answer(301, body=b"", headers={"Location": "https://elsewhere.test/"}))
    with pytest.raises(errors.ServerError, match=r"301 and points to https://elsewhere.test/"):
        client.get_run("r")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b"", b'{"evaluations": 3}', b'{"evaluations": [{}]}'])
def test_an_answer_of_no_known_shape_asks_for_the_address(server: FaultServer, client: Client, body: bytes) -> None:
    calls: list[Callable[[], object]] = [
        client.list_runs,
        lambda: client.get_run("r"),
        lambda: client.update_run("r", {}),
        lambda: client.create_run({"run_id": "r"}),
        client.datasets,
        lambda: client.datapoints(ids=["p"]),
        lambda: client.datapoints(dataset_name="d"),
        lambda: client.create_dataset({}),
        lambda: client.add_datapoints("d", [], {}),
        lambda: list(client.events([])),
    ]
    for call in calls:
        server.plan(answer(200, body=body))
        with pytest.raises(errors.ServerError, match=f"{server.url} answered, but not .*: is it the right address"):
            call()


def test_a_result_that_is_no_object_is_none(server: FaultServer, client: Client) -> None:
    server.plan(answer(200, body=b"[1]"))
    with pytest.raises(errors.ServerError, match="not like a server of this protocol"):
        client.result("r")


# --- versions


def test_the_answers_tell_whether_it_is_hhweb_and_which(server: FaultServer, client: Client) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client.list_runs()
    assert (client.is_hhweb, client.server_version) == (True, __version__)


def test_another_server_is_known_by_its_first_good_answer_only(server: FaultServer, client: Client) -> None:
    server.is_hhweb = False
    server.plan(answer(404))
    with pytest.raises(errors.NotFound):
        client.get_run("r")
    assert client.is_hhweb is None  # that may have been a proxy
    client.list_runs()
    assert client.is_hhweb is False


@pytest.mark.parametrize(("version", "warned"), [("0.9.0", 1), ("1.0.0", 1), (f"{__version__}.post1", 0)])
def test_a_server_of_another_contract_warns_once(version: str, warned: int) -> None:
    with FaultServer(version=version) as server, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            with client_of(server.url) as client:
                client.list_runs()
                client.list_runs()
    told = [str(each.message) for each in caught if each.category is ExperimentVersionWarning]
    assert len(told) == warned
    assert all(f"is hhweb {version}, this client is {__version__}" in each for each in told)


# --- runs


def test_a_creation_whose_answer_was_lost_gives_the_run_that_is_there(server: FaultServer, client: Client) -> None:
    server.plan(drop_after_storing())
    made = client.create_run({"run_id": "r", "name": "n"})
    assert (made.run_id, made.evaluation.name, len(server.runs)) == ("r", "n", 1)


def test_a_run_id_of_somebody_else_stays_a_conflict(server: FaultServer, client: Client) -> None:
    client.create_run({"run_id": "r", "name": "theirs"})
    with pytest.raises(errors.Conflict, match="exists already"):
        client.create_run({"run_id": "r", "name": "theirs"})
    server.plan(answer(503))
    with pytest.raises(errors.Conflict, match="exists already"):
        client.create_run({"run_id": "r", "name": "ours"})


def test_runs_are_listed_updated_and_deleted(server: FaultServer, client: Client) -> None:
    client.create_run({"run_id": "r", "name": "n"})
    assert client.update_run("r", {"status": "completed"}).status == "completed"
    runs, pagination = client.list_runs(limit=5, run_ids=["r", "s"], name="n", status=None, dateRange={"$gte": "x"})
    assert ([run.run_id for run in runs], pagination["total"]) == (["r"], 1)
    assert server.requests[-1].query == {
        "page": ["1"],
        "limit": ["5"],
        "run_ids[]": ["r", "s"],
        "name": ["n"],
        "dateRange": ['{"$gte":"x"}'],
    }
    assert client.delete_run("r") == {"id": "r", "deleted": True}
    assert server.runs == {}


def test_results_metrics_and_comparisons_are_the_servers(server: FaultServer, client: Client) -> None:
    client.create_run({"run_id": "r", "name": "n"})
    assert client.result("r", "median")["status"] == "pending"
    assert server.requests[-1].query == {"aggregate_function": ["median"]}
    server.plan(answer(200, body={"events": []}), answer(200, body={"metrics": []}))
    assert client.metrics("r") == {"events": []}
    assert client.compare("new", "old") == {"metrics": []}
    assert server.requests[-1].path == "/v1/runs/new/compare-with/old"


# --- events, spans, datasets


def test_events_come_page_by_page(server: FaultServer, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.sdk.transport.client.EVENTS_PER_PAGE", 2)
    for number in range(5):
        client.start_session({"session_id": f"s{number}", "metadata": {"run_id": "r"}})
    condition = {"field": "metadata.run_id", "operator": "is", "value": "r", "type": "string"}
    found = list(client.events([condition], projections=["event_id"]))
    assert [each["event_id"] for each in found] == [f"s{number}" for number in range(5)]
    assert [each.body["page"] for each in server.sent("/v1/events/export")] == [1, 2, 3]
    assert list(client.events([{**condition, "value": "none"}])) == []


def test_an_update_of_an_event_names_it(server: FaultServer, client: Client) -> None:
    client.update_event("s", {"outputs": {"a": 1}})
    assert server.sessions["s"]["outputs"] == {"a": 1}


def test_spans_that_the_server_left_out_are_an_error(server: FaultServer, client: Client) -> None:
    partial = {"partialSuccess": {"rejectedSpans": "1", "errorMessage": "1 span(s) were refused: times."}}
    server.plan(answer(200, body=partial), answer(200, body={"partialSuccess": {"rejectedSpans": 2}}))
    with pytest.raises(errors.InvalidRequest, match="were refused: times"):
        client.send_spans(finished(1).spans)
    with pytest.raises(errors.InvalidRequest, match="refused some of the spans"):
        client.send_spans(finished(1).spans)
    server.plan(answer(200, body={"partialSuccess": {}}))
    client.send_spans(finished(1).spans)


def test_a_large_body_to_a_distant_hhweb_is_packed_unless_it_takes_none(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.sdk.transport.client.GZIP_FROM_BYTES", 10)
    monkeypatch.setattr("experiments.sdk.transport.connection.LOOPBACK", ())
    monkeypatch.setenv("NO_PROXY", "*")
    spans = finished(1).spans
    with client_of(server.url) as client:
        client.send_spans(spans)  # not known yet to be hhweb
        client.send_spans(spans)
        server.plan(answer(400), answer(415))
        with pytest.raises(errors.InvalidRequest, match="planned 400"):
            client.send_spans(spans)
        client.send_spans(spans)
        client.send_spans(spans)
    packed = ["content-encoding" in each.headers for each in server.requests]
    assert packed == [False, True, True, True, False, False]
    assert all(each.body == server.requests[0].body for each in server.requests)


def test_datasets_are_found_made_filled_and_deleted(server: FaultServer, client: Client) -> None:
    server.datasets["d"] = {"id": "d", "name": "n", "datapoints": ["p"]}
    server.datapoints.update({f"p{number}": {"id": f"p{number}"} for number in range(150)})
    assert client.datasets(name="n") == [server.datasets["d"]]
    assert client.datasets(dataset_id="unknown") == []
    assert len(client.datapoints(dataset_name="n")) == 150
    wanted = [f"p{number}" for number in range(149, -1, -1)]
    assert [each["id"] for each in client.datapoints(ids=[*wanted, "gone"])] == wanted
    assert [len(each.query["datapoint_ids[]"]) for each in server.sent("/v1/datapoints")[1:]] == [50, 50, 50, 1]
    server.plan(answer(200, body={"inserted": True, "result": {"insertedId": "new"}}), method="POST")
    assert client.create_dataset({"name": "new"}) == "new"
    server.plan(answer(200, body={"inserted": True, "datapoint_ids": ["x"]}), method="POST")
    assert client.add_datapoints("new", [{"q": 1}], {"inputs": ("q",)}) == ["x"]
    assert server.requests[-1].body == {"data": [{"q": 1}], "mapping": {"inputs": ["q"]}}
    server.plan(answer(200, body={"result": {"id": "new"}}), method="DELETE")
    assert client.delete_dataset("new") == {"result": {"id": "new"}}
    assert server.requests[-1].query == {"dataset_id": ["new"]}


def test_a_file_comes_in_pieces_and_a_refusal_is_one(server: FaultServer, client: Client) -> None:
    server.plan(answer(200, body=b"x" * 100_000))
    with client.download("/export", run_id="r", format=None) as pieces:
        assert sum(len(piece) for piece in pieces) == 100_000
    assert server.requests[-1].query == {"run_id": ["r"]}
    with pytest.raises(errors.NotFound, match="nothing at /export"), client.download("/export"):
        pass
    server.plan(drop_before_storing())
    with pytest.raises(errors.Unavailable, match="No answer"), client.download("/export"):
        pass


def test_an_interrupted_request_fails_at_once(server: FaultServer, client: Client) -> None:
    client.list_runs()  # the connection is there already
    server.plan(hang())
    timer = threading.Timer(0.1, client.interrupt)
    timer.start()
    began = time.monotonic()
    with pytest.raises(errors.Unavailable):
        client.request("GET", "/v1/runs", retries=ONCE)
    assert time.monotonic() - began < 2.0
    timer.join()
    client.list_runs()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate of its own making for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fault server")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_a_certificate_nobody_trusts_is_refused_at_once_with_the_remedy(certificate: Path) -> None:
    with (
        FaultServer(certificate=certificate) as server,
        client_of(server.url) as client,
        pytest.raises(errors.ConfigurationError, match=r"is not trusted .* SSL_CERT_FILE"),
    ):
        client.list_runs()
    assert server.requests == []


def test_over_tls_with_an_authority_of_ones_own(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with FaultServer(certificate=certificate) as server, client_of(server.url) as client:
        client.create_run({"run_id": "r", "name": "n"})
        server.plan(hang())
        timer = threading.Timer(0.1, client.interrupt)
        timer.start()
        began = time.monotonic()
        with pytest.raises(errors.Unavailable):
            client.request("GET", "/v1/runs", retries=ONCE)
        assert time.monotonic() - began < 2.0
        timer.join()
        assert client.get_run("r").name == "n"
