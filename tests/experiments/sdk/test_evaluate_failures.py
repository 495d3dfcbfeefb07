"""evaluate() and functions that misbehave: each failure stays with its datapoint, and nothing finished is lost."""

import asyncio
import enum
import inspect
import json
import os
import sys
import threading
import time

import pytest

from experiments import propagate, trace
from tests.experiments.sdk.fault_server import answer
from tests.experiments.sdk.squares import ROWS, is_spool_empty, kept, right, spans_of, square, square_async

TRACES = "/opentelemetry"


pytestmark = pytest.mark.usefixtures("no_threads_left")


def test_function_evaluators_and_delivery_fail_apart(run, server, alone):
    def sometimes(inputs):
        if inputs["n"] == 1:
            raise LookupError("no such thing")
        return {"value": inputs["n"] ** 2}

    def fragile(outputs):
        return 1 / (outputs["value"] - 4)

    server.plan(answer(422), path=TRACES, when=lambda request: b"EXT-row-3" in request.raw)
    server.plan(answer(422), path=TRACES, when=lambda request: b"EXT-row-3" in request.raw)
    server.plan(answer(422), path=TRACES, when=lambda request: b"EXT-row-3" in request.raw)
    summary = run(sometimes, ROWS[:4], evaluators=[fragile, right], max_workers=1)

    assert summary.status == "completed"
    assert [outcome.error for outcome in summary.outcomes] == [None, "LookupError: no such thing", None, None]
    assert [outcome.error_type for outcome in summary.outcomes] == [None, "LookupError", None, None]
    assert [outcome.evaluator_errors for outcome in summary.outcomes] == [
        {},
        {},
        {"fragile": "ZeroDivisionError: division by zero"},
        {},
    ]
    assert [outcome.metrics for outcome in summary.outcomes] == [
        {"fragile": -0.25, "right": True},
        {},
        {"right": True},
        {"fragile": 0.2, "right": True},
    ]
    assert [outcome.delivered for outcome in summary.outcomes] == [True, True, True, False]
    assert [each.datapoint_id for each in summary.function_failures] == ["EXT-row-1"]
    assert [each.datapoint_id for each in summary.evaluator_failures] == ["EXT-row-2"]
    assert [each.datapoint_id for each in summary.delivery_failures] == ["EXT-row-3"]
    assert any("refused session" in notice and "planned 422" in notice for notice in summary.notices)
    assert summary.spool_path is not None
    assert not is_spool_empty(alone)
    sessions = kept(server, summary.run_id)
    assert set(sessions) == {(f"EXT-row-{n}", 0) for n in range(3)}
    assert sessions["EXT-row-1", 0]["error"] == "LookupError: no such thing"
    (root,) = spans_of(server, sessions["EXT-row-2", 0]["session_id"])
    assert json.loads(root["values"]["honeyhive_metadata"]) == {
        "evaluator_errors": {"fragile": "ZeroDivisionError: division by zero"}
    }


class Colour(enum.Enum):
    RED = "red"


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("an exception that cannot say what it is")


class Panic(BaseException):
    """As libraries in Rust raise them."""


def given_later(value):
    async def later():
        await asyncio.sleep(0)
        return value

    return later()


def items():
    yield from "ab"


async def items_later():
    for letter in "ab":
        yield letter


@pytest.mark.parametrize(
    ("make", "expected", "stored"),
    [
        (lambda: None, None, {}),
        (lambda: "text", "text", {"result": "text"}),
        (lambda: 0, 0, {"result": 0}),
        (lambda: [1, (2,)], [1, (2,)], {"result": [1, [2]]}),
        (lambda: {"result": 1, "more": 2}, {"result": 1, "more": 2}, {"result": 1, "more": 2}),
        (lambda: {Colour.RED: {1}, 2: float("inf")}, ..., {"Colour.RED": [1], "2": "inf"}),
        (lambda: 2**70, 2**70, {"result": str(2**70)}),
        (lambda: "\ud800", "\ud800", {"result": "?"}),
        (items, ["a", "b"], {"result": ["a", "b"]}),
        (items_later, ["a", "b"], {"result": ["a", "b"]}),
        (lambda: given_later({"a": 1}), {"a": 1}, {"a": 1}),
        (lambda: given_later(items()), ["a", "b"], {"result": ["a", "b"]}),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_outputs_of_every_kind_are_stored(run, server, make, expected, stored, is_async):
    async def asynchronous(datapoint):
        value = make()
        return await value if inspect.iscoroutine(value) else value

    summary = run(asynchronous if is_async else lambda datapoint: make(), ROWS[:1])
    (outcome,) = summary.outcomes
    assert (outcome.error, outcome.delivered) == (None, True)
    assert expected is ... or outcome.outputs == expected
    assert kept(server, summary.run_id)["EXT-row-0", 0]["outputs"] == stored


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (asyncio.CancelledError("given up"), "CancelledError: given up"),
        (Panic("rust"), "Panic: rust"),
        (SystemExit(3), "SystemExit: 3"),
        (StopIteration(), "StopIteration"),
        (Mute(), "Mute"),
    ],
    ids=["cancelled", "panic", "exit", "stop", "mute"],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_whatever_a_function_raises_fails_its_datapoint_alone(run, server, error, said, is_async):
    def fail(inputs):
        if inputs["n"] % 2:
            raise error
        return "fine"

    async def fail_async(inputs):
        return fail(inputs)

    if is_async and isinstance(error, StopIteration):
        said = "RuntimeError: coroutine raised StopIteration"
    summary = run(fail_async if is_async else fail, ROWS, max_workers=2)
    assert summary.status == "completed"
    assert [outcome.error for outcome in summary.outcomes] == [None, said] * 6
    assert {key: session["error"] for key, session in kept(server, summary.run_id).items()} == {
        (f"EXT-row-{n}", 0): said if n % 2 else None for n in range(12)
    }


@pytest.mark.parametrize("function", [square, square_async])
def test_evaluators_that_are_cancelled_or_find_nothing_fail_alone(run, server, function):
    async def give_up(outputs):
        raise asyncio.CancelledError

    def first(outputs):
        return next(iter(()))

    summary = run(function, ROWS, evaluators=[give_up, first, right], max_workers=2)
    errors = {"give_up": "CancelledError", "first": "StopIteration"}
    assert [outcome.evaluator_errors for outcome in summary.outcomes] == [errors] * 12
    assert [outcome.metrics for outcome in summary.outcomes] == [{"right": True}] * 12
    assert len(kept(server, summary.run_id)) == 12


@pytest.mark.filterwarnings("ignore:A datapoint holds what JSON cannot:UserWarning")
@pytest.mark.parametrize("is_async", [False, True])
def test_what_a_function_changes_is_its_own(run, server, is_async):
    shared = ["a"]
    rows = [{"id": "x", "inputs": {"items": shared, "again": shared}}]
    rows[0]["inputs"]["itself"] = rows[0]["inputs"]
    seen = []

    def take(inputs):
        seen.append((list(inputs["items"]), inputs["items"] is inputs["again"], inputs["itself"] is inputs))
        return inputs["items"].pop()

    async def take_async(inputs):
        return take(inputs)

    def judge(inputs):
        return len(inputs["items"])

    summary = run(take_async if is_async else take, rows, repetitions=3, evaluators=[judge])
    assert seen == [(["a"], True, True)] * 3
    assert [outcome.metrics for outcome in summary.outcomes] == [{"judge": 1}] * 3
    assert {tuple(session["inputs"]["items"]) for session in server.sessions.values()} == {("a",)}
    assert rows[0]["inputs"]["items"] == ["a"]


def test_metrics_of_two_evaluators_with_one_name_are_told_of(run, server):
    def judge(outputs):
        return {"score": 1, "quality": 0.1}

    def judge_quality(outputs):
        return 0.9

    summary = run(square, ROWS[:1], evaluators=[judge, judge_quality])
    assert summary.outcomes[0].metrics == {"judge": 1, "judge_quality": 0.1}
    assert summary.outcomes[0].evaluator_errors == {
        "judge_quality": "ValueError: metric 'judge_quality' has a value of another evaluator already"
    }


def test_a_function_that_cancels_its_own_task_ends_the_run_aloud(run, server):
    async def cancel(datapoint):
        asyncio.current_task().cancel()
        await asyncio.sleep(1)

    with pytest.raises(RuntimeError, match="cancelled the task that it runs in"):
        run(cancel, ROWS)
    assert [each["status"] for each in server.runs.values()] == ["failed"]


def test_values_that_contain_themselves_are_cut(run, server):
    def tree(datapoint):
        top = {"children": []}
        top["children"] = [{"parent": top, "n": n} for n in range(10)]
        return top

    summary = run(tree, ROWS[:1])
    (session,) = kept(server, summary.run_id).values()
    assert session["outputs"]["children"][9] == {"parent": "<dict that contains itself>", "n": 9}


class Broken:
    encoding = "utf-8"

    def isatty(self):
        return False

    def write(self, text):
        raise BrokenPipeError

    flush = write


@pytest.mark.parametrize("stream", [None, Broken()])
def test_a_broken_standard_error_harms_nothing(run, server, alone, monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    server.plan(answer(503), answer(503), path=TRACES)

    def fail(inputs):
        raise LookupError

    summary = run(fail, ROWS, verbose=True)
    assert summary.status == "completed"
    assert len(kept(server, summary.run_id)) == 12


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("how", ["returns", "exits", "raises"])
@pytest.mark.parametrize("in_turn", [False, True])
def test_a_forked_child_does_not_go_on_with_the_run(run, server, alone, how, in_turn):
    log = alone / "calls"
    codes = []

    def fork(inputs):
        with log.open("a") as file:
            file.write(f"{inputs['n']}\n")
        child = os.fork()
        if child == 0:
            if how == "exits":
                sys.exit(7)
            if how == "raises":
                sys.stderr = None
                raise KeyError("in the child")
            return "in the child"
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        return {"value": inputs["n"] ** 2}

    summary = run(fork, ROWS[:3], run_concurrently=not in_turn, evaluators=[right])
    assert codes == [{"returns": 0, "exits": 7, "raises": 1}[how]] * 3
    assert sorted(log.read_text().split()) == ["0", "1", "2"]
    assert [outcome.metrics for outcome in summary.outcomes] == [{"right": True}] * 3
    assert len(kept(server, summary.run_id)) == 3
    assert server.runs[summary.run_id]["status"] == "completed"
    assert is_spool_empty(alone)


def test_an_output_of_twenty_megabytes_is_stored(run, server):
    summary = run(lambda inputs: "x" * 20_000_000 if inputs["n"] == 1 else "small", ROWS[:3])
    stored = kept(server, summary.run_id)
    assert [len(stored[f"EXT-row-{n}", 0]["outputs"]["result"]) for n in range(3)] == [5, 20_000_000, 5]


@pytest.mark.parametrize("in_turn", [False, True])
def test_an_interrupt_inside_an_evaluator_ends_the_run_as_cancelled(run, server, alone, capsys, in_turn):
    def interrupted(outputs):
        if outputs["value"] == 4:
            raise KeyboardInterrupt
        return 1

    with pytest.raises(KeyboardInterrupt):
        run(square, ROWS, evaluators=[interrupted], run_concurrently=not in_turn, max_workers=1, run_id="stopped")
    assert set(kept(server, "stopped")) == {("EXT-row-0", 0), ("EXT-row-1", 0)}
    assert server.runs["stopped"]["status"] == "cancelled"
    assert "go on with evaluate(..., resume='stopped')" in capsys.readouterr().err
    assert is_spool_empty(alone)


def test_when_the_system_gives_no_more_threads_those_that_run_do_all_the_work(run, server, monkeypatch):
    began = []
    start = threading.Thread.start

    def start_some(thread):
        if thread.name.startswith("hhweb-worker"):
            if len(began) == 2:
                raise RuntimeError("can't start new thread")
            began.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_some)
    summary = run(square, ROWS)
    assert len(kept(server, summary.run_id)) == 12


def test_a_thread_of_the_function_that_outlives_it_still_delivers(run, server):

    gate = threading.Event()
    threads = []

    @trace
    def late():
        gate.wait(10)

    def leave_behind(datapoint):
        threads.append(threading.Thread(target=propagate(late)))
        threads[-1].start()
        return "early"

    def wait_for_it(outputs):
        return 1

    def last(datapoint):
        if datapoint["id"] == "row-0":
            return leave_behind(datapoint)
        gate.set()
        threads[0].join()
        time.sleep(0)
        return "last"

    summary = run(last, ROWS[:2], max_workers=1, evaluators=[wait_for_it])
    names = {span["name"] for span in spans_of(server, summary.outcomes[0].session_id)}
    assert names == {"last", "late"}
