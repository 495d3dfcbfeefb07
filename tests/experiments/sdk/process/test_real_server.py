"""evaluate() against the real server process: what it stores, and kill -9 of either side in the middle of a run.

Two kills of the client as a test; `HHWEB_PROOF=1` asks for the full form of fifty.
"""

import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from examples.demo.stack import Stack
from experiments import enrich_session, enrich_span, evaluate, evaluator, get_run_result, propagate, trace
from experiments.sdk.configuration import Settings
from experiments.sdk.ids import session_id_of
from experiments.sdk.running import open_run
from experiments.sdk.transport.client import Client, RetryPolicy
from experiments.sdk.transport.replay import replay
from experiments.sdk.transport.spool import Spool
from tests.experiments.sdk.process.clients import Stored, counted, in_spool, rows
from tests.experiments.sdk.squares import is_spool_empty, right, square, square_async
from tests.hhweb.running import prepared, runs, wait_for
from tests.proofs import report

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("no_threads_left")]

FULL = os.environ.get("HHWEB_PROOF") == "1"
RUNS, KILLS_PER_RUN = (10, 5) if FULL else (1, 2)


@pytest.fixture(scope="module")
def stack(server_folder):
    """`hhweb up` on an empty database, always on the same port."""
    with Stack(prepared(server_folder / "sdk")) as running:
        yield running
        kill_everything_of(running)  # nobody needs what a graceful end takes time for


@pytest.fixture
def there(stack, alone):
    """Where the server is, as settings of evaluate()."""
    return {"server_url": stack.url, "api_key": stack.credentials["api_key"]}


@pytest.fixture
def stored(there):
    """Reads a run back from the server."""
    return lambda run_id: Stored(there["server_url"], there["api_key"], run_id)


@trace(event_type="model")
def shout(text):
    enrich_span(metrics={"length": len(text)}, metadata={"where": threading.current_thread() is not None})
    return text.upper()


@trace
async def whisper(text):
    await asyncio.sleep(0)
    return text.lower()


def speak(inputs, tracer):
    enrich_session(metadata={"voice": "loud"}, user_properties={"user": inputs["q"]})
    if inputs["q"] == "fails":
        raise LookupError("no voice")
    with ThreadPoolExecutor(2) as pool:
        words = list(pool.map(propagate(shout), [inputs["q"], "and"]))
    return {"words": words, "said": asyncio.run(whisper("WELL")), "session": tracer.session_id}


@evaluator(weight=3.0)
def loud(outputs):
    return 1.0 if outputs["words"][0].isupper() else 0.0


@evaluator(asserts=True)
def polite(outputs, ground_truth):
    return outputs["words"][0] == ground_truth


def fragile(outputs):
    raise KeyError("never")


def test_the_server_keeps_and_computes_everything_of_a_run(there, stored, alone):
    data = [
        {"id": "a", "inputs": {"q": "hey"}, "ground_truth": "HEY"},
        {"id": "b", "inputs": {"q": "you"}, "ground_truth": "Dear"},
        {"id": "c", "inputs": {"q": "fails"}},
    ]
    summary = evaluate(
        speak,
        dataset=data,
        evaluators=[loud, polite, fragile],
        repetitions=2,
        passing_ranges={"loud": {"min": 0.5}},
        name="spoken",
        metadata={"team": "t"},
        configuration={"model": "m"},
        **there,
    )
    kept = stored(summary.run_id)

    assert kept.run["status"] == summary.status == "completed"
    assert (kept.run["name"], kept.run["metadata"]["team"], kept.run["configuration"]["model"]) == ("spoken", "t", "m")
    assert kept.run["dataset_id"].startswith("EXT-")
    assert sorted(kept.run["event_ids"]) == sorted(outcome.session_id for outcome in summary.outcomes)
    assert kept.executions == {(f"EXT-{letter}", repetition): 1 for letter in "abc" for repetition in (0, 1)}

    # The returned object says what the server says.
    assert summary.passed == kept.result["passed"] == ["EXT-a"]
    assert sorted(summary.failed) == sorted(kept.result["failed"]) == ["EXT-b", "EXT-c"]
    details = {detail["metric_name"]: detail for detail in kept.result["metrics"]["details"]}
    assert details["loud"]["aggregate"] == summary.metrics.get_metric("loud").aggregate == 1.0
    assert details["loud"]["passing_range"] == {"min": 0.5}
    assert details["polite"]["passing_range"] == {"min": 1.0}
    assert details["polite"]["aggregate"] == 0.5
    assert details["weighted_score"]["aggregate"] == summary.metrics.get_metric("weighted_score").aggregate == 0.875
    assert "fragile" not in details
    again = get_run_result(Settings(**there), summary.run_id)
    ours = ("name", "outcomes", "notices")
    assert again.model_dump(exclude=set(ours)) == summary.model_dump(exclude=set(ours))

    # Three kinds of failure apart.
    assert [outcome.error for outcome in summary.outcomes] == [None] * 4 + ["LookupError: no voice"] * 2
    assert [outcome.evaluator_errors for outcome in summary.outcomes[:4]] == [{"fragile": "KeyError: 'never'"}] * 4
    sessions = kept.sessions()
    for outcome in summary.outcomes:
        session = sessions[outcome.session_id]
        assert session["error"] == outcome.error
        assert session["outputs"] == (outcome.outputs or {})
        assert session["inputs"] == outcome.inputs
        assert session["feedback"] == ({"ground_truth": outcome.ground_truth} if outcome.ground_truth else {})
        assert session["user_properties"] == {"user": outcome.inputs["q"]}
        assert session["metadata"]["voice"] == "loud"

    # Every event carries the four ids and hangs where it belongs, whatever thread or task it came from.
    assert Counter((event["event_name"], event["event_type"]) for event in kept.events) == {
        ("speak", "session"): 6,
        ("speak", "chain"): 6,
        ("shout", "model"): 8,
        ("whisper", "tool"): 4,
    }
    events = {event["event_id"]: event for event in kept.events}
    for event in kept.events:
        session = sessions[event["session_id"]]
        for name in ("run_id", "dataset_id", "datapoint_id", "source"):
            assert event["metadata"][name] == session["metadata"][name], name
        parent = {"session": None, "chain": session["event_id"]}.get(event["event_type"], "root")
        if parent == "root":
            assert events[event["parent_id"]]["event_name"] == "speak"
            assert events[event["parent_id"]]["session_id"] == event["session_id"]
        else:
            assert event["parent_id"] == parent
    assert {event["metrics"]["length"] for event in kept.of_type("model")} == {3}
    assert is_spool_empty(alone)


OFFICIAL = """
import json, sys
from honeyhive import HoneyHive
from honeyhive.experiments import get_run_result
result = get_run_result(HoneyHive(), sys.argv[1])
shown = result.model_dump(mode="json")
print(json.dumps({name: shown[name] for name in ("run_id", "status", "success", "passed", "failed", "metrics")}))
"""


def test_a_stored_dataset_and_the_official_client_reading_our_run(there, stored, stack):
    with Client(Settings(**there)) as client:
        dataset_id = client.create_dataset({"name": "stored squares"})
        ids = client.add_datapoints(
            dataset_id,
            [{"n": n, "square": n * n} for n in range(3)],
            {"inputs": ["n"], "ground_truth": ["square"], "history": []},
        )

    @evaluator
    def fits(outputs, ground_truth):
        return outputs["value"] == ground_truth["square"]

    summary = evaluate(square_async, dataset_id=dataset_id, evaluators=[fits], **there)
    assert [outcome.datapoint_id for outcome in summary.outcomes] == ids
    kept = stored(summary.run_id)
    assert kept.run["dataset_id"] == dataset_id
    assert kept.executions == {(datapoint_id, 0): 1 for datapoint_id in ids}
    assert {event["metadata"]["dataset_id"] for event in kept.events} == {dataset_id}

    environment = {"PATH": os.environ["PATH"], "HH_API_URL": stack.url, "HH_API_KEY": there["api_key"], "TERM": "dumb"}
    environment |= {"HH_API_TIMEOUT": "30", "SSL_CERT_DIR": str(stack.data)}
    done = subprocess.run(
        [sys.executable, "-c", OFFICIAL, summary.run_id], env=environment, capture_output=True, text=True, check=True
    )
    official = json.loads(done.stdout.splitlines()[-1])
    assert (official["run_id"], official["status"]) == (summary.run_id, summary.status)
    assert (official["success"], official["passed"]) == (summary.success, summary.passed)
    assert official["failed"] == summary.failed
    (theirs,) = official["metrics"]["details"]
    assert (theirs["metric_name"], theirs["aggregate"]) == ("fits", summary.metrics.get_metric("fits").aggregate)


def kill_everything_of(stack):
    """Without a warning: the launcher, its web processes, workers and databases."""
    launcher = psutil.Process(stack.process.pid)
    victims = [launcher, *launcher.children(recursive=True)]
    for victim in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
    stack.process.wait()
    wait_for(lambda: not any(runs(victim) for victim in victims), "the end of all", 60)


def test_a_server_killed_and_restarted_in_the_middle_loses_and_doubles_nothing(
    there, stored, stack, alone, monkeypatch
):
    count, calls, summaries = 300, Counter(), []
    is_killed, is_back = threading.Event(), threading.Event()

    def work(inputs):
        calls[inputs["n"]] += 1
        time.sleep(0.01)
        if inputs["n"] >= 150:
            is_killed.wait(60)
        if inputs["n"] >= count - 5:
            is_back.wait(120)
        return {"value": inputs["n"] ** 2}

    def conduct():
        summaries.append(evaluate(work, dataset=rows(count), evaluators=[right], name="survivor", **there))

    conducting = threading.Thread(target=conduct)
    conducting.start()
    wait_for(lambda: len(calls) > 75, "half of the first half", 60)
    kill_everything_of(stack)
    is_killed.set()
    try:
        wait_for(lambda: len(calls) == count, "all calls without a server", 60)
        with monkeypatch.context() as hasty:
            hasty.setattr(open_run, "CLOSE_SECONDS", 0.2)
            hasty.setattr(open_run, "START", RetryPolicy(attempts=1))
            offline = evaluate(square, dataset=rows(20), evaluators=[right], name="offline", **there)
    finally:
        stack.__enter__()  # again, on the same folder and port
        is_back.set()
        conducting.join()

    (summary,) = summaries
    assert summary.status == "completed"
    assert calls == dict.fromkeys(range(count), 1)
    assert {outcome.delivered for outcome in summary.outcomes} == {True}
    assert len(summary.notices) == 2
    assert "finished datapoints wait in" in summary.notices[0]
    assert "answers again" in summary.notices[1]
    kept = stored(summary.run_id)
    assert kept.run["status"] == "completed"
    assert kept.executions == {(f"EXT-row-{n}", 0): 1 for n in range(count)}
    assert len(kept.events) == 2 * count
    assert {event["metrics"]["right"] for event in kept.of_type("chain")} == {True}
    assert len(kept.result["datapoints"]) == len(kept.run["event_ids"]) == count
    assert summary.metrics.get_metric("right").values == [1.0] * count
    report(
        "kill -9 of the server during evaluate(), restarted before its end",
        datapoints=count,
        lost=count - len(kept.executions),
        doubled=kept.executions.total() - len(kept.executions),
        called_again=calls.total() - len(calls),
    )

    # The run that found no server at all waits, and is replayed to what a normal run is; twice is once.
    assert offline.status == "pending_upload"
    replays = []
    for _ in range(2):
        with Client(Settings(**there)) as client:
            replays.append([(each.delivered, each.error) for each in replay(client, Spool())])
    waited, normal = (
        stored(offline.run_id),
        stored(evaluate(square, dataset=rows(20), evaluators=[right], **there).run_id),
    )
    assert waited.executions == normal.executions == {(f"EXT-row-{n}", 0): 1 for n in range(20)}
    assert waited.run["status"] == "completed"
    assert len(waited.events) == len(normal.events) == 40
    same = ("success", "passed", "failed", "metrics")
    assert {name: waited.result[name] for name in same} == {name: normal.result[name] for name in same}
    assert is_spool_empty(alone)


def test_a_killed_client_is_resumed_without_losing_or_doubling_anything(start, there, stored, alone):
    chance = random.Random(4711)
    count, repetitions, workers = 30, 2, 4
    everything = {(n, repetition) for n in range(count) for repetition in range(repetitions)}
    where = {"url": there["server_url"], "key": there["api_key"]}
    kills = called_again = in_spools = lost = doubled = 0
    for number in range(RUNS):
        run_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        key_of = {session_id_of(run_id, f"EXT-row-{n}", repetition): (n, repetition) for n, repetition in everything}
        mode = ("threads", "tasks", "in turn")[number % 3]
        given = {"datapoints": count, "repetitions": repetitions, "workers": workers, "mode": mode, **where}
        (alone / "calls").unlink(missing_ok=True)
        finished, starts = set(), Counter()
        child = None
        for kill in range(KILLS_PER_RUN + 1):
            child = start(**({"resume": run_id} if kill else {"run_id": run_id}), seconds=0.01, **given)
            if kill < KILLS_PER_RUN:
                left = 2 * (len(everything) - len(finished))
                child.wait_for_lines(chance.randint(1, max(left // 2, 1)))
                time.sleep(chance.uniform(0.0, 0.02))
                child.kill()
                kills += 1
            else:
                code, summary = child.ended()
                assert (code, summary["status"]) == (0, "completed"), child.said()
            now = counted(child.calls(), "start")
            # A finished execution is never called again; every other one may be.
            assert set(now - starts) & finished == set()
            starts = now
            waiting = {key_of[session_id] for session_id in in_spool(alone)}
            there_already = {key_of[session_id] for session_id in stored(run_id).sessions()}
            in_spools += len(waiting - there_already)
            assert finished <= waiting | there_already
            finished = waiting | there_already
            ended = set(counted(child.calls(), "end"))
            assert finished <= ended
            # Between the function's own last line and the journal are only its evaluators.
            assert len(ended - finished) <= workers
        called_again += sum(starts.values()) - len(everything)
        kept = stored(run_id)
        assert kept.run["status"] == "completed"
        lost += len(everything) - len(kept.executions)
        doubled += kept.executions.total() - len(kept.executions)
        assert kept.executions == {(f"EXT-row-{n}", repetition): 1 for n, repetition in everything}
        assert Counter(event["session_id"] for event in kept.of_type("chain")) == dict.fromkeys(key_of, 1)
        assert len(kept.events) == 2 * len(everything)
        assert {event["metrics"]["right"] for event in kept.of_type("chain")} == {True}
        assert sorted(kept.run["event_ids"]) == sorted(key_of)
        assert is_spool_empty(alone)
    report(
        "kill -9 of the client of evaluate(), resumed",
        kills=kills,
        executions=RUNS * len(everything),
        found_in_the_spool=in_spools,
        unfinished_and_called_again=called_again,
        lost=lost,
        doubled=doubled,
    )
