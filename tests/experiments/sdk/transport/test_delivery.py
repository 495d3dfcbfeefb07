"""Delivery: nothing is lost and nothing doubled, whatever the server, the network or the disk does meanwhile."""

import json
import os
import threading
import time
import uuid
from typing import Any

import pytest

from experiments.sdk import errors
from experiments.sdk.transport import outbox
from experiments.sdk.transport.client import Client, RetryPolicy
from experiments.sdk.transport.delivery import THREAD_NAME, Delivery
from experiments.sdk.transport.records import FinishedDatapoint
from experiments.sdk.transport.spool import RunSpool, Spool
from tests.experiments.sdk.fault_server import (
    FaultServer,
    answer,
    drop_after_storing,
    drop_before_storing,
    hang,
)
from tests.experiments.sdk.transport.deliveries import TRACES, delivering, eventually, has_datapoint, ids
from tests.experiments.sdk.transport.samples import HASTY, HEADER, RUN, client_of, finished, session_id


def test_many_datapoints_go_in_few_requests_and_leave_nothing_behind(
    server: FaultServer, client: Client, run_spool: RunSpool
) -> None:
    delivery = delivering(client, run_spool)
    for number in range(200):
        delivery.put(finished(number))
    report = delivery.close(10.0)
    assert report.delivered == set(server.sessions) == ids(*range(200))
    assert (report.pending, report.refused, report.error, report.spool_error) == (set(), {}, None, None)
    assert len(server.spans) == 400
    assert set(server.deliveries.values()) == {1}
    assert 4 <= len(server.sent(TRACES)) <= 10
    assert run_spool.waiting() == []
    assert [thread for thread in threading.enumerate() if THREAD_NAME in thread.name] == []


def test_hhweb_gets_sessions_and_spans_in_one_body_as_they_are(server: FaultServer, client: Client) -> None:
    client.list_runs()
    delivery = delivering(client, None)
    delivery.put(finished(7))
    delivery.close(5.0)
    (request,) = server.sent(TRACES)
    assert request.headers["x-source"] == "evaluation"
    scoped = request.body["resourceSpans"][0]["scopeSpans"]
    assert [(each["scope"]["name"], len(each["spans"])) for each in scoped] == [
        ("hhweb", 1),
        ("scope-1", 1),
        ("scope-2", 1),
    ]
    (marked,) = scoped[0]["spans"]
    assert marked["startTimeUnixNano"] == "1700000000000125000"
    assert marked["endTimeUnixNano"] == "1700000000012625000"
    assert all("scope" not in span for each in scoped for span in each["spans"])
    session = server.sessions[session_id(7)]
    assert session["inputs"] == {"q": "question 7"}
    assert session["outputs"] == {"text": "answer"}
    assert session["metadata"] == {"run_id": RUN, "dataset_id": "EXT-d", "datapoint_id": "EXT-7"}
    assert session["feedback"] == {"ground_truth": {"a": 7}}
    assert (session["session_name"], session["source"], session["error"]) == ("nightly", "evaluation", None)


def test_a_key_that_may_only_send_is_enough(server: FaultServer, client: Client) -> None:
    server.plan(answer(403), path="/v1/runs")
    delivery = delivering(client, None)
    delivery.put(finished(1))
    assert delivery.close(5.0).delivered == ids(1)
    assert [each.path for each in server.requests] == ["/v1/runs", "/opentelemetry/v1/traces"]


def test_a_single_datapoint_does_not_wait_for_company_for_long(server: FaultServer, client: Client) -> None:
    delivery = delivering(client, None)
    delivery.put(finished(1))
    eventually(lambda: session_id(1) in server.sessions)
    assert delivery.close(5.0).delivered == ids(1)


def test_another_server_gets_single_calls_as_from_the_official_client(spool: Spool) -> None:
    with FaultServer(is_hhweb=False) as server, client_of(server.url) as client:
        run_spool = spool.open_run(RUN, {"server_url": server.url, **HEADER})
        delivery = delivering(client, run_spool)
        bare = FinishedDatapoint(session_id(5), {"session_id": session_id(5), "session_name": "n"}, [])
        for each in (finished(1), finished(2), finished(3)):
            delivery.put(each)
        report = delivery.close(5.0)
        assert report.delivered == ids(1, 2, 3)
        second = delivering(client, None)
        second.put(bare)
        assert second.close(5.0).delivered == ids(5)
        run_spool.close(delete=True)
    kinds = [(each.method, each.path) for each in server.requests]
    assert kinds[0] == ("GET", "/v1/runs")  # which tells that it is another one
    assert kinds[1:] == [
        *[("POST", "/session/start")] * 3,
        ("POST", "/opentelemetry/v1/traces"),
        *[("PUT", "/events")] * 3,
        ("POST", "/session/start"),
    ]
    started = next(each.body for each in server.requests if has_datapoint(1)(each))["session"]
    assert set(started) == {"session_id", "session_name", "source", "start_time", "inputs", "metadata"}
    root = server.spans[(uuid.UUID(session_id(1)).hex, f"{1:016x}")]["values"]
    assert {key: value for key, value in root.items() if key.startswith("honeyhive_")} == {
        "honeyhive_event_type": "chain",
        "honeyhive_metrics.exact": 1.0,
        "honeyhive_inputs.q": "text",
        "honeyhive_inputs.rows": "[1,{}]",
        "honeyhive_outputs.result.list.0": True,
        "honeyhive_outputs.result.list.1.n": 3,
    }
    stored = server.sessions[session_id(1)]
    assert stored["outputs"] == {"text": "answer"}
    assert stored["feedback"] == {"ground_truth": {"a": 1}}
    assert len(server.spans) == 6
    assert spool.pending() == []


def test_another_server_that_hangs_is_not_asked_for_every_datapoint(spool: Spool) -> None:
    with FaultServer(is_hhweb=False) as server, client_of(server.url, timeout_seconds=0.2) as client:
        client.list_runs()
        server.plan(*[hang()] * 100, path="/session/start")
        delivery = delivering(client, None, batch_datapoints=40, retries=RetryPolicy(first_delay_seconds=60.0))
        for number in range(40):
            delivery.put(finished(number))
        eventually(lambda: delivery._report.error is not None, seconds=2.0)
        assert len(server.sent("/session/start")) <= 16
        began = time.monotonic()
        assert delivery.abandon().pending == ids(*range(40))
        assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("fault", [answer(503), answer(429, retry_after=0.05), drop_before_storing(), hang(0.05)])
def test_a_fault_in_the_middle_loses_and_doubles_nothing(
    server: FaultServer, client: Client, run_spool: RunSpool, fault: Any
) -> None:
    server.plan(fault, fault, path=TRACES)
    said: list[str] = []
    delivery = delivering(client, run_spool, batch_datapoints=4, on_notice=said.append)
    for number in range(12):
        delivery.put(finished(number))
    report = delivery.close(10.0)
    assert report.delivered == set(server.sessions) == ids(*range(12))
    assert report.error is None
    assert set(server.deliveries.values()) == {1}
    assert run_spool.waiting() == []
    assert len(said) == (0 if fault.status == 429 else 2)


def test_a_lost_answer_is_sent_again_and_stored_once(server: FaultServer, client: Client, run_spool: RunSpool) -> None:
    server.plan(drop_after_storing(), path=TRACES)
    said: list[str] = []
    delivery = delivering(client, run_spool, on_notice=said.append)
    delivery.put(finished(1))
    assert delivery.close(5.0).delivered == ids(1)
    assert server.deliveries[session_id(1)] == 2
    assert len(server.spans) == 2
    assert said == []  # one lost connection is no news


def test_a_server_that_goes_away_and_comes_back_is_told_of_and_gets_everything(
    server: FaultServer, client: Client, run_spool: RunSpool
) -> None:
    said: list[str] = []
    delivery = delivering(client, run_spool, on_notice=said.append)
    delivery.put(finished(0))
    eventually(lambda: len(server.sessions) == 1)
    server.stop()
    for number in range(1, 101):
        delivery.put(finished(number))
    eventually(lambda: delivery.is_offline)
    server.start()
    eventually(lambda: not delivery.is_offline)
    report = delivery.close(10.0)
    assert report.delivered == set(server.sessions) == ids(*range(101))
    away, back = said
    assert away.startswith(f"No answer from {server.url}: ")
    assert away.endswith(f"The run goes on; finished datapoints wait in {run_spool.path}.")
    assert back.startswith(f"{server.url} answers again")


def test_closing_with_the_server_away_takes_its_time_only_and_keeps_everything(
    server: FaultServer, client: Client, run_spool: RunSpool, spool: Spool
) -> None:
    server.stop()
    delivery = delivering(client, run_spool)
    for number in range(3):
        delivery.put(finished(number))
    began = time.monotonic()
    report = delivery.close(0.3)
    assert 0.2 < time.monotonic() - began < 2.0
    assert (report.delivered, report.pending, report.unsaved) == (set(), ids(0, 1, 2), set())
    assert isinstance(report.error, errors.Unavailable)
    assert delivery.close(0.0) is report
    assert {name for _, name in run_spool.waiting()} == ids(0, 1, 2)
    assert [thread for thread in threading.enumerate() if THREAD_NAME in thread.name] == []


def test_closing_cuts_a_request_that_hangs(server: FaultServer, client: Client, run_spool: RunSpool) -> None:
    client.list_runs()
    server.plan(hang(), path=TRACES)
    delivery = delivering(client, run_spool)
    delivery.put(finished(1))
    eventually(lambda: len(server.sent(TRACES)) == 1)
    began = time.monotonic()
    report = delivery.close(0.1)
    assert time.monotonic() - began < 2.0
    assert report.pending == ids(1)
    assert [thread for thread in threading.enumerate() if THREAD_NAME in thread.name] == []


def test_a_long_pause_ends_when_the_run_does(server: FaultServer, run_spool: RunSpool) -> None:
    slow = RetryPolicy(first_delay_seconds=1000.0, longest_delay_seconds=1000.0)
    with client_of(server.url) as client:
        server.plan(answer(503), path=TRACES)
        delivery = delivering(client, run_spool, retries=slow)
        delivery.put(finished(1))
        eventually(lambda: len(server.sent(TRACES)) == 1)
        assert delivery.close(5.0).delivered == ids(1)


def test_a_pause_that_the_server_asked_for_beyond_the_end_is_not_waited_for(
    server: FaultServer, client: Client, run_spool: RunSpool
) -> None:
    server.plan(answer(429, retry_after=1000), path=TRACES)
    said: list[str] = []
    delivery = delivering(client, run_spool, on_notice=said.append)
    delivery.put(finished(1))
    eventually(lambda: len(server.sent(TRACES)) == 1)
    began = time.monotonic()
    report = delivery.close(5.0)
    assert time.monotonic() - began < 2.0
    assert report.pending == ids(1)
    assert isinstance(report.error, errors.RateLimited)
    assert len(server.sent(TRACES)) == 1


def test_a_server_that_is_slow_but_takes_them_is_given_more_time(server: FaultServer, client: Client) -> None:
    server.latency_seconds = 0.04
    delivery = delivering(client, None, batch_datapoints=2)
    for number in range(20):
        delivery.put(finished(number))
    began = time.monotonic()
    report = delivery.close(0.2)
    assert time.monotonic() - began > 0.3
    assert report.delivered == ids(*range(20))


def test_abandoned_it_stops_at_once_and_keeps_what_is_left(
    server: FaultServer, client: Client, run_spool: RunSpool
) -> None:
    server.plan(hang(), path=TRACES)
    delivery = delivering(client, run_spool)
    delivery.put(finished(1))
    eventually(lambda: len(server.sent(TRACES)) == 1)
    began = time.monotonic()
    report = delivery.abandon()
    assert time.monotonic() - began < 1.0
    assert (report.pending, report.unsaved) == (ids(1), set())
    assert [thread for thread in threading.enumerate() if THREAD_NAME in thread.name] == []
    assert Delivery(client, None).abandon().pending == set()


def test_after_the_end_nothing_is_taken_and_nothing_said(client: Client, run_spool: RunSpool) -> None:
    said: list[str] = []
    delivery = delivering(client, run_spool, on_notice=said.append)
    delivery.close(5.0)
    delivery.put(finished(1))
    assert (delivery.close(5.0).pending, run_spool.waiting(), said) == (set(), [], [])


def test_a_listener_that_fails_stops_no_delivery(server: FaultServer, client: Client) -> None:
    def broken(sentence: str) -> None:
        raise BrokenPipeError(sentence)

    server.plan(answer(503), answer(503), path=TRACES)
    delivery = delivering(client, None, on_notice=broken)
    delivery.put(finished(1))
    assert delivery.close(5.0).delivered == ids(1)


def test_a_fault_of_ours_ends_the_delivery_and_loses_nothing(client: Client, run_spool: RunSpool) -> None:
    delivery = delivering(client, run_spool)
    broken: Any = FinishedDatapoint(session_id(1), {"session_id": session_id(1)}, [None])  # type: ignore[list-item]
    delivery.put(broken)
    report = delivery.close(5.0)
    assert "Delivery failed: TypeError" in str(report.error)
    assert (report.pending, report.unsaved) == (ids(1), set())


def test_what_an_earlier_process_left_is_sent_first(server: FaultServer, client: Client, run_spool: RunSpool) -> None:
    for number in range(5):
        run_spool.append(finished(number))
    delivery = delivering(client, run_spool)
    delivery.put(finished(9))
    assert delivery.close(5.0).delivered == set(server.sessions) == ids(0, 1, 2, 3, 4, 9)
    assert run_spool.waiting() == []


def test_a_record_that_the_disk_lost_is_told_of_and_costs_no_other(
    server: FaultServer, client: Client, run_spool: RunSpool
) -> None:
    for number in range(3):
        run_spool.append(finished(number))
    file = run_spool.path / "journal-000001.log"
    file.write_bytes(file.read_bytes().replace(b"question 1", b"question X"))
    report = delivering(client, run_spool).close(5.0)
    assert report.delivered == set(server.sessions) == ids(0, 2)
    assert "was damaged" in report.refused[session_id(1)]


def test_a_journal_that_is_lost_as_a_whole_is_told_of_and_asks_nothing_of_the_server(
    server: FaultServer, client: Client, run_spool: RunSpool
) -> None:
    run_spool.append(finished(1))
    (run_spool.path / "journal-000001.log").unlink()
    report = delivering(client, run_spool).close(5.0)
    assert "cannot be read" in report.refused[session_id(1)]
    assert server.requests == []


def test_a_long_run_with_the_server_away_keeps_its_datapoints_on_disk_only(
    server: FaultServer, client: Client, run_spool: RunSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "KEPT_IN_MEMORY", 10)
    server.stop()
    delivery = delivering(client, run_spool, batch_datapoints=8)
    for number in range(60):
        delivery.put(finished(number))
    assert delivery._outbox.in_memory <= 10
    server.start()
    assert delivery.close(10.0).delivered == set(server.sessions) == ids(*range(60))


def test_without_a_delivery_thread_everything_is_pending(client: Client, run_spool: RunSpool) -> None:
    delivery = Delivery(client, run_spool)
    delivery.put(finished(1))
    report = delivery.close(1.0)
    assert (report.pending, report.unsaved, report.error) == (ids(1), set(), None)


# --- nothing is left behind


def test_after_close_no_thread_and_no_socket_is_left(server: FaultServer, spool: Spool) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - file handles, not paths
    threads = {thread.name for thread in threading.enumerate() if "process_request" not in thread.name}
    for turn in range(3):
        client = client_of(server.url)
        run_spool = spool.open_run(f"run-{turn}", {"server_url": server.url, **HEADER})
        delivery = delivering(client, run_spool)
        for number in range(100):
            delivery.put(finished(number))
        assert delivery.close(5.0).pending == set()
        run_spool.close(delete=True)
        client.close()
    eventually(lambda: len(server._http.open if server._http else ()) == 0)
    eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)  # noqa: PTH208
    assert {t.name for t in threading.enumerate() if "process_request" not in t.name} == threads
    assert list(spool.folder.iterdir()) == []


def test_putting_and_sending_cost_far_less_than_a_millisecond(
    server: FaultServer, client: Client, run_spool: RunSpool
) -> None:
    """Five milliseconds per datapoint are the whole client's; measured 0.04 for the caller (CPU)."""
    client.list_runs()
    items = [finished(number) for number in range(300)]
    delivery = delivering(client, run_spool)
    began = time.thread_time()
    for each in items:
        delivery.put(each)
    assert (time.thread_time() - began) / len(items) < 0.0005
    assert len(delivery.close(10.0).delivered) == 300


def test_session_spans_of_failed_and_bare_sessions_are_complete(server: FaultServer, client: Client) -> None:
    client.list_runs()
    key = session_id(1)
    failed = {**finished(1).session, "error": "ValueError: no", "end_time": None, "source": None}
    delivery = delivering(client, None, retries=HASTY)
    delivery.put(FinishedDatapoint(key, failed, []))
    assert delivery.close(5.0).delivered == {key}
    (span,) = server.sent(TRACES)[0].body["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert span["endTimeUnixNano"] == span["startTimeUnixNano"]
    assert (len(span["traceId"]), len(span["spanId"])) == (32, 16)
    assert server.sessions[key]["error"] == "ValueError: no"
    assert json.loads(json.dumps(server.sessions[key]))["source"] is None
