"""resume=: what the server has is not run again, what waits in the spool is delivered first."""

import os
import signal
import threading
import time

import pytest

from experiments import ExperimentContext, run_experiment
from experiments.sdk.errors import ConfigurationError, InvalidRequest, NotFound
from experiments.sdk.transport import client as transport_client
from experiments.sdk.transport.spool import Spool
from tests.experiments.sdk.fault_server import answer, hang
from tests.experiments.sdk.squares import ROWS, is_spool_empty, kept, right, square
from tests.hhweb.running import wait_for

pytestmark = pytest.mark.usefixtures("no_threads_left")

RUN = "run-1"


class Stops:
    """square(), which notes its calls and is interrupted at one of them."""

    def __init__(self, at):
        self.at = at
        self.calls = []

    def __call__(self, inputs, ground_truth):
        self.calls.append(inputs["n"])
        if inputs["n"] == self.at:
            raise KeyboardInterrupt
        return square(inputs, ground_truth)


@pytest.fixture
def interrupted(run):
    """A run that was interrupted at its sixth datapoint."""
    with pytest.raises(KeyboardInterrupt):
        run(Stops(5), ROWS, run_concurrently=False, run_id=RUN, name="first", evaluators=[right])
    return RUN


@pytest.mark.parametrize("in_turn", [False, True])
def test_only_what_the_server_lacks_is_run(run, server, alone, interrupted, in_turn):
    assert server.runs[RUN]["status"] == "cancelled"
    assert set(kept(server, RUN)) == {(f"EXT-row-{n}", 0) for n in range(5)}
    function = Stops(None)
    summary = run(function, ROWS, resume=RUN, evaluators=[right], run_concurrently=not in_turn)

    assert sorted(function.calls) == list(range(5, 12))
    assert (summary.run_id, summary.name, summary.status) == (RUN, "first", "completed")
    assert [outcome.outputs for outcome in summary.outcomes] == [{"value": n * n} for n in range(12)]
    assert [outcome.is_resumed for outcome in summary.outcomes] == [True] * 5 + [False] * 7
    assert {outcome.delivered for outcome in summary.outcomes} == {True}
    assert set(kept(server, RUN)) == {(f"EXT-row-{n}", 0) for n in range(12)}
    stored = server.runs[RUN]
    assert stored["status"] == "completed"
    assert sorted(stored["event_ids"]) == sorted(server.sessions)
    assert len(server.sent("/v1/runs", "POST")) == 1
    assert is_spool_empty(alone)


def test_a_run_that_is_complete_calls_nothing(run, server, interrupted):
    run(square, ROWS, resume=RUN)
    function = Stops(None)
    summary = run(function, ROWS, resume=RUN)
    assert function.calls == []
    assert [outcome.is_resumed for outcome in summary.outcomes] == [True] * 12
    assert server.runs[RUN]["status"] == "completed"
    assert len(server.runs[RUN]["event_ids"]) == 12


def test_what_is_given_anew_is_merged_into_the_run(run, server, interrupted):
    server.runs[RUN]["metadata"]["kept"] = 1
    states = []

    def work(inputs):
        states.append(server.runs[RUN]["status"])

    summary = run(
        work,
        ROWS,
        resume=RUN,
        name="second",
        description="d",
        metadata={"new": 2},
        configuration={"model": "m"},
        passing_ranges={"right": {"min": 1}},
    )
    assert set(states) == {"running"}
    stored = server.runs[RUN]
    assert (summary.name, stored["name"], stored["status"], stored["description"]) == (
        "second",
        "second",
        "completed",
        "d",
    )
    assert (stored["metadata"]["kept"], stored["metadata"]["new"]) == (1, 2)
    assert (stored["configuration"]["model"], stored["configuration"]["function"]) == ("m", "Stops")
    assert stored["passing_ranges"] == {"right": {"min": 1}}


def test_a_resumed_run_that_the_server_no_longer_takes_is_an_error_and_leaves_nothing(run, server, alone, interrupted):
    server.plan(answer(400, body={"message": "not this run"}), path="/v1/runs", method="PUT")
    with pytest.raises(InvalidRequest, match="not this run"):
        run(square, ROWS, resume=RUN)
    assert is_spool_empty(alone)


def test_more_repetitions_run_only_those_that_are_new(run, server):
    run(square, ROWS[:3], run_id=RUN, repetitions=2)
    function = Stops(None)
    summary = run(function, ROWS[:3], resume=RUN, repetitions=3)
    assert sorted(function.calls) == [0, 1, 2]
    assert [outcome.is_resumed for outcome in summary.outcomes] == [True, True, False] * 3
    assert len(kept(server, RUN)) == 9


def test_failures_and_plain_outputs_come_back_as_they_were(run):
    def sometimes(inputs):
        if inputs["n"] == 1:
            raise LookupError("gone")
        return "text" if inputs["n"] else None

    first = run(sometimes, ROWS[:3], run_id=RUN)
    again = run(sometimes, ROWS[:3], resume=RUN)
    for name in ("datapoint_id", "session_id", "outputs", "error", "inputs", "ground_truth"):
        assert [getattr(each, name) for each in again.outcomes] == [getattr(each, name) for each in first.outcomes]


def test_sessions_on_later_pages_are_found(run, monkeypatch, interrupted):
    monkeypatch.setattr(transport_client, "EVENTS_PER_PAGE", 2)
    function = Stops(None)
    run(function, ROWS, resume=RUN)
    assert sorted(function.calls) == list(range(5, 12))


def test_a_run_of_other_data_is_refused(run, interrupted):
    function = Stops(None)
    with pytest.raises(ConfigurationError, match=r"Run run-1 was made on dataset EXT-.*the data changed"):
        run(function, ROWS[1:], resume=RUN)
    assert function.calls == []


def test_a_run_that_nobody_knows_is_refused(run, alone):
    with pytest.raises(NotFound, match="'unknown' does not exist"):
        run(square, ROWS, resume="unknown")
    assert is_spool_empty(alone)


def test_a_run_that_is_being_executed_is_refused(run, server):
    refusals = []

    def resume_within(inputs):
        if inputs["n"] == 0:
            with pytest.raises(ConfigurationError, match="is being executed or replayed by another process") as caught:
                run(square, ROWS, resume=RUN)
            refusals.append(caught.value)
        return square(inputs, None)

    summary = run(resume_within, ROWS, run_id=RUN)
    assert len(refusals) == 1
    assert summary.status == "completed"
    assert len(kept(server, RUN)) == 12


@pytest.mark.parametrize("interrupts", [1, 2])
def test_a_run_that_was_left_at_its_end_waits_unlocked_with_its_end(run, server, interrupts):
    server.plan(*[hang()] * 5, path="/opentelemetry")

    def interrupt():
        for _ in range(interrupts):
            wait_for(lambda: server.sent("/opentelemetry"), "the delivery")
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)

    sender = threading.Thread(target=interrupt)
    sender.start()
    with pytest.raises(KeyboardInterrupt):
        run(square, ROWS, run_id=RUN)
    sender.join()
    (waiting,) = Spool().pending()
    assert (waiting.datapoints, waiting.is_finished, waiting.is_locked) == (12, True, False)
    server.forget_plans()
    function = Stops(None)
    summary = run(function, ROWS, resume=RUN)
    assert function.calls == []
    assert summary.status == "completed"
    assert len(kept(server, RUN)) == 12
    assert Spool().pending() == []


def test_run_experiment_executes_for_a_run_that_others_create_and_end(server, alone):
    context = ExperimentContext(RUN, dataset_id="EXT-d", run_name="theirs")

    def work(inputs):
        return 1 // (inputs["n"] - 1)

    rows = [row["inputs"] for row in ROWS[:3]]
    results = run_experiment(
        work, rows, ["a", "b", "c"], experiment_context=context, server_url=server.url, api_key="key"
    )
    assert [(each["datapoint_id"], each["status"], each["outputs"], each["delivered"]) for each in results] == [
        ("a", "success", -1, True),
        ("b", "failed", None, True),
        ("c", "success", 1, True),
    ]
    assert results[1]["error"].startswith("ZeroDivisionError")
    assert {key for key, _ in kept(server, RUN)} == {"a", "b", "c"}
    assert server.runs == {}
    assert is_spool_empty(alone)
    with pytest.raises(ConfigurationError, match="'dataset' has 3 datapoints and 'datapoint_ids' 1 ids"):
        run_experiment(work, rows, ["a"], experiment_context=context, server_url=server.url, api_key="key")


def test_what_a_killed_client_left_in_the_spool_is_delivered_and_not_run_again(run, server, monkeypatch):
    # As after a SIGKILL: datapoints in the journal, no end of the run, and the server never heard of it.
    monkeypatch.setattr("experiments.sdk.running.open_run.CLOSE_SECONDS", 0.1)
    server.stop()
    with pytest.raises(KeyboardInterrupt):
        run(Stops(5), ROWS, run_concurrently=False, run_id=RUN, name="first")
    (waiting,) = Spool().pending()
    assert (waiting.run_id, waiting.datapoints) == (RUN, 5)
    server.start()
    function = Stops(None)
    summary = run(function, ROWS, resume=RUN)
    assert sorted(function.calls) == list(range(5, 12))
    assert (summary.name, summary.status) == ("first", "completed")
    assert len(kept(server, RUN)) == 12
    assert Spool().pending() == []


@pytest.fixture
def interrupting(server):
    """A server at which Ctrl-C comes while it creates a run, for which it takes its time."""
    treat = server.treat

    def slowly(request):
        if request.method == "POST" and request.path == "/v1/runs":
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.15)
        return treat(request)

    server.treat = slowly
    return server


def test_a_run_that_is_interrupted_while_it_is_created_does_not_stay_running(run, interrupting):
    with pytest.raises(KeyboardInterrupt):
        run(square, ROWS, run_id=RUN)
    assert interrupting.runs[RUN]["status"] == "cancelled"
    assert interrupting.sessions == {}
    assert Spool().pending() == []


def test_an_interrupt_leaves_an_earlier_run_of_the_same_id_as_it_is(run, interrupting):
    earlier = {"run_id": RUN, "name": "first", "status": "completed", "event_ids": ["s1"], "metadata": {}}
    interrupting.runs[RUN] = dict(earlier)
    with pytest.raises(KeyboardInterrupt):
        run(square, ROWS, run_id=RUN, name="first")
    assert interrupting.runs[RUN] == earlier
