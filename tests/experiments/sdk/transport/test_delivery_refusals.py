"""What the server refuses, by datapoint, by size or by key, is told apart and costs no other datapoint."""

import time

import pytest

from experiments.sdk import errors
from experiments.sdk.transport.client import Client
from experiments.sdk.transport.spool import RunSpool
from tests.experiments.sdk.fault_server import (
    FaultServer,
    answer,
)
from tests.experiments.sdk.transport.deliveries import TRACES, delivering, eventually, has_datapoint, ids
from tests.experiments.sdk.transport.samples import finished, session_id


@pytest.mark.parametrize("bad", [0, 5, 12])
@pytest.mark.parametrize("status", [400, 422])
def test_one_bad_datapoint_is_found_and_costs_no_other(
    server: FaultServer, client: Client, run_spool: RunSpool, bad: int, status: int
) -> None:
    reason = {"message": "Field 'outputs' is too deep.", "errorCode": "invalid_input"}
    server.plan(*[answer(status, body=reason)] * 20, path=TRACES, when=has_datapoint(bad))
    delivery = delivering(client, run_spool)
    for number in range(13):
        delivery.put(finished(number))
    report = delivery.close(5.0)
    assert report.refused == {session_id(bad): "Field 'outputs' is too deep."}
    assert report.delivered == set(server.sessions) == ids(*range(13)) - ids(bad)
    assert report.pending == set()
    assert [name for _, name in run_spool.waiting()] == [session_id(bad)]


def test_a_datapoint_of_which_the_server_takes_a_part_is_refused(
    server: FaultServer, client: Client, run_spool: RunSpool
) -> None:
    partial = {"partialSuccess": {"rejectedSpans": "1", "errorMessage": "1 span(s) were refused: times."}}
    server.plan(*[answer(200, body=partial)] * 5, path=TRACES, when=has_datapoint(2))
    delivery = delivering(client, run_spool)
    for number in range(4):
        delivery.put(finished(number))
    report = delivery.close(5.0)
    assert report.refused == {session_id(2): "1 span(s) were refused: times."}
    assert report.delivered == ids(0, 1, 3)


def test_a_body_that_is_too_large_is_divided(server: FaultServer, client: Client) -> None:
    server.plan(*[answer(413)] * 20, path=TRACES, when=lambda request: len(request.raw) > 9000)
    delivery = delivering(client, None)
    for number in range(16):
        delivery.put(finished(number))
    report = delivery.close(5.0)
    assert report.delivered == ids(*range(16))
    assert set(server.deliveries.values()) == {1}


def test_batches_stay_below_their_limit_unless_one_datapoint_is_larger(
    server: FaultServer, client: Client, run_spool: RunSpool
) -> None:
    client.list_runs()
    for spool in (run_spool, None):
        delivery = delivering(client, spool, max_batch_bytes=20_000)
        for number in range(9):
            delivery.put(finished(number, text="x" * (50_000 if number == 4 else 3000)))
        assert delivery.close(5.0).delivered == ids(*range(9))
    sizes = sorted(len(each.raw) for each in server.sent(TRACES))
    assert all(size < 20_000 for size in sizes[:-2])
    assert sizes[-2] > 50_000
    assert 8 <= len(sizes) <= 16


@pytest.mark.parametrize(("status", "kind"), [(401, errors.Unauthorized), (404, errors.NotFound)])
def test_a_key_that_is_revoked_in_the_middle_ends_all_tries(
    server: FaultServer, client: Client, run_spool: RunSpool, status: int, kind: type[Exception]
) -> None:
    said: list[str] = []
    delivery = delivering(client, run_spool, on_notice=said.append)
    delivery.put(finished(1))
    eventually(lambda: len(server.sessions) == 1)
    server.plan(*[answer(status)] * 9, path=TRACES)
    delivery.put(finished(2))
    eventually(lambda: delivery.is_offline)
    delivery.put(finished(3))
    began = time.monotonic()
    report = delivery.close(5.0)
    assert time.monotonic() - began < 1.0
    assert type(report.error) is kind
    assert (report.delivered, report.pending, report.unsaved) == (ids(1), ids(2, 3), set())
    assert len(server.sent(TRACES)) == 2
    assert said == [f"planned {status} The run goes on; finished datapoints wait in {run_spool.path}."]


def test_a_datapoint_at_which_the_server_breaks_holds_up_no_other(
    server: FaultServer, client: Client, run_spool: RunSpool
) -> None:
    server.plan(*[answer(500)] * 60, path=TRACES, when=has_datapoint(5))
    delivery = delivering(client, run_spool)
    for number in range(13):
        delivery.put(finished(number))
    report = delivery.close(5.0)
    assert report.delivered == set(server.sessions) == ids(*range(13)) - ids(5)
    assert (report.pending, report.refused) == (set(), {session_id(5): "planned 500 (request request-1)"})
    assert [name for _, name in run_spool.waiting()] == [session_id(5)]
