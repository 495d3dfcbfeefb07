"""Ctrl-C, once and twice, in real processes: the run ends as cancelled, and nothing finished is lost or run again."""

import signal
import time

import pytest

from experiments.sdk.transport.client import Client
from experiments.sdk.transport.replay import replay
from experiments.sdk.transport.spool import Spool
from tests.experiments.sdk.fault_server import drop_after_storing, hang
from tests.experiments.sdk.process.clients import ended_numbers, rows
from tests.experiments.sdk.squares import is_spool_empty, kept

pytestmark = pytest.mark.process

RUN = "run-1"
COUNT = 40
MODES = ["threads", "tasks", "in turn"]
# Of the interpreter's own end after KeyboardInterrupt; a shell shows 130.
INTERRUPTED = -signal.SIGINT


def stored_numbers(server):
    return {int(datapoint_id.removeprefix("EXT-row-")) for datapoint_id, _ in kept(server, RUN)}


def resumed_numbers(run):
    """Finish the run in this process; the numbers that the function is called for, and the summary."""
    called = []

    def work(inputs):
        called.append(inputs["n"])
        return {"value": inputs["n"] ** 2}

    summary = run(work, rows(COUNT), resume=RUN)
    return called, summary


@pytest.mark.parametrize("mode", MODES)
def test_an_interrupted_run_is_cancelled_and_resumed_without_calling_anything_twice(run, server, start, alone, mode):
    child = start(run_id=RUN, datapoints=COUNT, seconds=0.02, mode=mode)
    child.wait_for_lines(20)
    child.process.send_signal(signal.SIGINT)
    code, summary = child.ended()

    assert (code, summary) == (INTERRUPTED, None)
    stored, ended = stored_numbers(server), ended_numbers(child.calls())
    # A thread is waited for; a task, or this thread's own call, may be cut between its end and its evaluators.
    assert stored <= ended
    assert len(ended - stored) <= {"threads": 0, "tasks": 4, "in turn": 1}[mode]
    assert server.runs[RUN]["status"] == "cancelled"
    assert sorted(server.runs[RUN]["event_ids"]) == sorted(server.sessions)
    assert f"Interrupted: {len(stored)} of {COUNT} are finished and being stored." in child.said()
    assert f"Run {RUN} is cancelled; go on with evaluate(..., resume='{RUN}')." in child.said()
    assert is_spool_empty(alone)

    called, summary = resumed_numbers(run)
    assert sorted(called) == sorted(set(range(COUNT)) - stored)
    assert summary.status == server.runs[RUN]["status"] == "completed"
    assert stored_numbers(server) == set(range(COUNT))


def test_a_second_interrupt_leaves_at_once_with_everything_finished_in_the_spool(run, server, start, alone):
    server.plan(*[hang()] * 20, path="/opentelemetry")
    child = start(run_id=RUN, datapoints=COUNT, seconds=0.02)
    child.wait_for_lines(20)
    child.process.send_signal(signal.SIGINT)
    child.wait_to_say("are finished and being stored.")
    began = time.monotonic()
    child.process.send_signal(signal.SIGINT)
    assert child.ended() == (INTERRUPTED, None)
    assert time.monotonic() - began < 5

    ended = ended_numbers(child.calls())
    assert server.sessions == {}
    assert f"{len(ended)} finished datapoints and the end of the run wait in" in child.said()
    server.forget_plans()
    with Client(server_url=server.url, api_key="key") as client:
        (replayed,) = replay(client, Spool())
    assert (replayed.error, replayed.delivered, replayed.is_finished) == (None, len(ended), True)
    assert stored_numbers(server) == ended
    assert server.runs[RUN]["status"] == "cancelled"
    called, _ = resumed_numbers(run)
    assert sorted(called) == sorted(set(range(COUNT)) - ended)


def test_an_interrupt_while_the_last_ones_are_stored_leaves_time_to_store_them(server, start, alone):
    server.latency_seconds = 0.2
    child = start(run_id=RUN, datapoints=COUNT)
    child.wait_for_lines(2 * COUNT)
    child.process.send_signal(signal.SIGINT)
    assert child.ended() == (INTERRUPTED, None)
    assert stored_numbers(server) == set(range(COUNT))
    assert server.runs[RUN]["status"] in ("completed", "cancelled")  # did it come before the last evaluator's end?
    assert is_spool_empty(alone)


@pytest.mark.parametrize(("mode", "what"), [("threads", "hang"), ("tasks", "evaluator_hangs")])
def test_what_hangs_does_not_hold_up_an_interrupt(server, start, alone, mode, what):
    child = start(run_id=RUN, datapoints=COUNT, seconds=0.01, mode=mode, **{what: [12]})
    child.wait_until(lambda: len(server.sessions) == COUNT - 1)
    began = time.monotonic()
    child.process.send_signal(signal.SIGINT)
    if mode == "threads":
        child.wait_to_say("Waiting up to 5 s for what still runs; Ctrl-C again does not wait.")
        child.process.send_signal(signal.SIGINT)
    assert child.ended() == (INTERRUPTED, None)
    assert time.monotonic() - began < 5
    assert stored_numbers(server) == set(range(COUNT)) - {12}
    assert server.runs[RUN]["status"] == "cancelled"
    assert is_spool_empty(alone)


def test_an_interrupt_while_the_run_is_created_leaves_no_run_that_seems_to_go_on(server, start, alone):
    server.plan(drop_after_storing(), *[hang()] * 3, path="/v1/runs", method="POST")
    child = start(run_id=RUN, datapoints=COUNT)
    child.wait_until(lambda: len(server.sent("/v1/runs", "POST")) == 2)
    child.process.send_signal(signal.SIGINT)
    assert child.ended() == (INTERRUPTED, None)
    assert server.runs[RUN]["status"] == "cancelled"
    assert child.calls() == []
    assert is_spool_empty(alone)


def test_an_interrupt_while_the_server_is_away_leaves_a_cancelled_run_in_the_spool(run, server, start, alone):
    server.stop()
    child = start(run_id=RUN, datapoints=COUNT, seconds=0.02, patience=0.2)
    child.wait_for_lines(20)
    child.process.send_signal(signal.SIGINT)
    assert child.ended() == (INTERRUPTED, None)
    ended = ended_numbers(child.calls())
    (waiting,) = Spool().pending()
    assert (waiting.datapoints, waiting.is_finished, waiting.is_locked) == (len(ended), True, False)
    assert f"deliver it with `hhweb spool replay {RUN}`" in child.said()
    server.start()
    called, summary = resumed_numbers(run)
    assert sorted(called) == sorted(set(range(COUNT)) - ended)
    assert stored_numbers(server) == set(range(COUNT))
    assert summary.status == server.runs[RUN]["status"] == "completed"
