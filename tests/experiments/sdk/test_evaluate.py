"""evaluate(): every way to run, every kind of data, and what the server keeps of each execution."""

import asyncio
import contextvars
import json
import os
import re
import threading
import warnings

import pandas as pd
import pytest

from experiments import evaluate
from experiments.sdk.ids import prepare_external_dataset
from tests.experiments.sdk.fault_server import FaultServer
from tests.experiments.sdk.squares import ROWS, is_spool_empty, kept, right, size, spans_of, square, square_async

pytestmark = pytest.mark.usefixtures("no_threads_left")


MODES = pytest.mark.parametrize(
    ("function", "settings"),
    [(square, {}), (square, {"run_concurrently": False}), (square_async, {}), (square, {"max_workers": 1})],
    ids=["threads", "in turn", "tasks", "one thread"],
)


@MODES
def test_every_datapoint_is_stored_once_and_comes_back_in_input_order(run, server, alone, function, settings):
    summary = run(function, ROWS, evaluators=[right, size], name="squares", **settings)

    assert (summary.status, summary.name, summary.notices, summary.spool_path) == ("completed", "squares", [], None)
    assert [outcome.datapoint_id for outcome in summary.outcomes] == [f"EXT-row-{n}" for n in range(12)]
    assert [outcome.outputs for outcome in summary.outcomes] == [{"value": n * n} for n in range(12)]
    assert [outcome.metrics for outcome in summary.outcomes] == [{"right": True, "size": n * n} for n in range(12)]
    assert {outcome.delivered for outcome in summary.outcomes} == {True}
    stored = kept(server, summary.run_id)
    assert {key: session["outputs"] for key, session in stored.items()} == {
        (f"EXT-row-{n}", 0): {"value": n * n} for n in range(12)
    }
    first = stored["EXT-row-3", 0]
    assert first["inputs"] == {"n": 3}
    assert first["feedback"] == {"ground_truth": 9}
    assert (first["source"], first["error"], first["session_name"]) == ("evaluation", None, function.__name__)
    (root,) = spans_of(server, first["session_id"])
    assert root["name"] == function.__name__
    assert json.loads(root["values"]["honeyhive_metrics"]) == {"right": True, "size": 9.0}
    kept_run = server.runs[summary.run_id]
    assert (kept_run["status"], kept_run["dataset_id"]) == ("completed", None)
    assert kept_run["event_ids"] == [outcome.session_id for outcome in summary.outcomes]
    assert kept_run["metadata"]["offline_dataset_id"].startswith("EXT-")
    assert kept_run["datapoint_ids"] == [f"EXT-row-{n}" for n in range(12)]
    assert is_spool_empty(alone)


def test_in_turn_is_in_order_and_in_the_callers_thread(run):
    seen = []

    def note(inputs):
        seen.append((inputs["n"], threading.current_thread()))

    run(note, ROWS, run_concurrently=False)
    assert seen == [(n, threading.current_thread()) for n in range(12)]


def test_repetitions_are_stored_apart_and_stand_together_in_the_outcomes(run, server):
    calls = []

    def count(datapoint):
        calls.append(datapoint["id"])
        return len(calls)

    summary = run(count, ROWS[:4], repetitions=3, max_workers=1)
    # The whole dataset once before any of it twice.
    assert calls == ["row-0", "row-1", "row-2", "row-3"] * 3
    expected = [(f"EXT-row-{n}", repetition) for n in range(4) for repetition in range(3)]
    assert [(outcome.datapoint_id, outcome.repetition) for outcome in summary.outcomes] == expected
    assert set(kept(server, summary.run_id)) == set(expected)
    assert kept(server, summary.run_id)["EXT-row-1", 2]["outputs"] == {"result": 10}
    assert len(server.runs[summary.run_id]["event_ids"]) == 12
    assert server.runs[summary.run_id]["datapoint_ids"] == [f"EXT-row-{n}" for n in range(4)]


@pytest.mark.parametrize("kind", ["list", "tuple", "json", "jsonl", "csv", "frame", "path text"])
def test_a_dataset_may_be_anything_with_rows(run, server, alone, kind):
    rows = [{"inputs": {"q": "ä"}, "ground_truth": "1"}, {"inputs": {"q": "b"}, "ground_truth": "2"}]
    flat = [{"inputs.q": row["inputs"]["q"], "ground_truth": row["ground_truth"]} for row in rows]
    (alone / "rows.json").write_text(json.dumps(rows))
    (alone / "rows.jsonl").write_text("".join(json.dumps(row) + "\n\n" for row in rows))
    (alone / "rows.csv").write_text(pd.DataFrame(flat).to_csv(index=False))
    given = {"list": rows, "tuple": tuple(rows), "frame": pd.DataFrame(flat), "path text": str(alone / "rows.json")}
    dataset = given.get(kind, alone / f"rows.{kind}")
    summary = run(lambda inputs, ground_truth: inputs["q"] + ground_truth, dataset)
    assert [outcome.outputs for outcome in summary.outcomes] == ["ä1", "b2"]
    sessions = kept(server, summary.run_id).values()
    assert sorted(session["feedback"]["ground_truth"] for session in sessions) == ["1", "2"]
    # Equal data gives equal ids, whatever it came from.
    assert server.runs[summary.run_id]["metadata"]["offline_dataset_id"] == prepare_external_dataset(rows)[0]


def test_a_stored_dataset_is_fetched_with_its_own_ids(run, server):
    server.datasets["d1"] = {"id": "d1", "name": "stored", "datapoints": ["p2", "p1", "gone"]}
    server.datapoints |= {f"p{n}": {"id": f"p{n}", "inputs": {"n": n}, "ground_truth": {"v": n}} for n in (1, 2)}
    summary = run(lambda inputs, ground_truth: [inputs["n"], ground_truth["v"]], dataset_id="d1")
    assert [(outcome.datapoint_id, outcome.outputs) for outcome in summary.outcomes] == [("p2", [2, 2]), ("p1", [1, 1])]
    assert server.runs[summary.run_id]["dataset_id"] == "d1"
    assert kept(server, summary.run_id)["p1", 0]["metadata"]["dataset_id"] == "d1"


def test_ids_that_repeat_are_run_each_with_a_warning_at_the_callers_line(run, server, alone):
    rows = [{"inputs": {"n": n}, "id": "same"} for n in range(3)]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        summary = evaluate(square_async, dataset=rows, server_url=server.url, api_key="key")
    (warning,) = [each for each in said if "several times" in str(each.message)]
    assert warning.filename == __file__
    assert [outcome.outputs["value"] for outcome in summary.outcomes] == [0, 1, 4]
    assert len({outcome.session_id for outcome in summary.outcomes}) == 3 == len(server.sessions)


@pytest.mark.parametrize("function", [square, square_async])
@pytest.mark.parametrize("in_turn", [False, True])
def test_it_runs_inside_a_notebooks_loop(run, server, function, in_turn):
    async def cell():
        return run(function, ROWS, evaluators=[size], run_concurrently=not in_turn)

    summary = asyncio.run(cell())
    assert [outcome.metrics["size"] for outcome in summary.outcomes] == [n * n for n in range(12)]
    assert len(kept(server, summary.run_id)) == 12


def test_context_variables_of_the_caller_are_there_in_function_and_evaluators(run):
    variable = contextvars.ContextVar("variable", default="none")
    token = variable.set("caller")
    try:
        summary = run(lambda datapoint: variable.get(), ROWS[:2], evaluators=[lambda outputs: variable.get()])
    finally:
        variable.reset(token)
    assert [(outcome.outputs, outcome.metrics) for outcome in summary.outcomes] == [
        ("caller", {"<lambda>": "caller"})
    ] * 2


CALLS = []


def costly(inputs):
    CALLS.append(inputs["n"])
    return {"value": inputs["n"] ** 2, "call": len(CALLS)}


def test_the_cache_saves_calls_per_repetition_input_and_configuration(run, server):
    CALLS.clear()
    first = run(costly, ROWS, cache=True, repetitions=2, evaluators=[right])
    assert len(CALLS) == 24
    second = run(costly, ROWS, cache=True, repetitions=2, evaluators=[right])
    assert len(CALLS) == 24
    assert {outcome.is_cached for outcome in second.outcomes} == {True}
    assert [each.outputs for each in second.outcomes] == [each.outputs for each in first.outcomes]
    assert [each.metrics for each in second.outcomes] == [{"right": True}] * 24
    assert len(kept(server, second.run_id)) == 24
    run(costly, ROWS, cache=True, repetitions=3)
    assert len(CALLS) == 36
    run(costly, ROWS, cache=True, configuration={"model": "other"})
    assert len(CALLS) == 48


def test_the_run_says_what_was_tried_and_where(run, server):
    summary = run(
        square,
        ROWS,
        evaluators=[right],
        name="  named ",
        metadata={"team": "a", "git": {"commit": "mine"}, "metric_directions": {"cost": "higher"}},
        configuration={"model": "m", "temperature": 0.5},
        description="why",
        passing_ranges={"right": {"min": 0.5}, "seconds": {"max": 2}, "cost": {"max": 1}},
        run_id="run-of-mine",
        aggregate_function="p95",
        max_workers=3,
    )
    stored = server.runs["run-of-mine"]
    assert summary.run_id == "run-of-mine"
    assert (stored["name"], stored["description"]) == ("named", "why")
    assert stored["configuration"] == {
        "model": "m",
        "temperature": 0.5,
        "function": "square",
        "evaluators": [{"name": "right"}],
        "max_workers": 3,
        "aggregate_function": "p95",
        "repetitions": 1,
    }
    assert stored["metadata"]["team"] == "a"
    assert stored["metadata"]["git"] == {"commit": "mine"}
    assert stored["passing_ranges"] == {"right": {"min": 0.5}, "seconds": {"max": 2}, "cost": {"max": 1}}
    assert stored["metadata"]["metric_directions"] == {"seconds": "lower", "cost": "higher"}
    assert [request.query for request in server.sent("/result")] == [{"aggregate_function": ["p95"]}]


def test_an_unnamed_run_is_called_after_its_function_and_its_repository(run, server, alone):
    (alone / "nothing").write_text("")
    os.system("git init -q . && git -c user.name=n -c user.email=e@x commit -q --allow-empty -m first")
    summary = run(square, ROWS[:1])
    assert summary.name == f"square-{summary.run_id[:8]}"
    assert set(server.runs[summary.run_id]["metadata"]["git"]) == {"commit", "branch", "is_dirty"}


def test_another_server_of_the_protocol_gets_its_own_dialect(alone):
    with FaultServer(is_hhweb=False) as server:
        summary = evaluate(square, dataset=ROWS, server_url=server.url, api_key="key", evaluators=[right])
        assert summary.status == "completed"
        sessions = kept(server, summary.run_id)
        assert {key: session["outputs"] for key, session in sessions.items()} == {
            (f"EXT-row-{n}", 0): {"value": n * n} for n in range(12)
        }
        assert {len(spans_of(server, session["session_id"])) for session in sessions.values()} == {1}
        assert len(server.sent("/session/start")) == 12 == len(server.sent("/events", "PUT"))
        assert server.runs[summary.run_id]["status"] == "completed"
    assert is_spool_empty(alone)


def test_failures_are_told_line_by_line_when_asked_for(run, capsys):
    def fail(inputs):
        raise LookupError(f"no {inputs['n']}")

    run(fail, ROWS[:2], verbose=True, max_workers=1, print_results=True)
    told = capsys.readouterr()
    assert told.err.splitlines() == ["EXT-row-0: LookupError: no 0", "EXT-row-1: LookupError: no 1"]
    assert "fail-" in told.out
    run(square, ROWS[:2])
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("width", [60, 120])
def test_a_bar_shows_its_figures_on_every_width_when_asked_for(run, capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    run(square, ROWS, progress=True, name="a name that is far too long for a terminal", run_concurrently=False)
    told = capsys.readouterr()
    assert told.out == ""
    assert "0/12" in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", told.err)


def test_an_experiment_inside_an_experiment_keeps_its_own_spans(run, server):
    def outer(inputs):
        inner = run(square, ROWS[:3], name="inner", evaluators=[right])
        return {"value": inputs["n"], "inner": inner.run_id}

    summary = run(outer, ROWS[:3], name="outer")
    assert len(kept(server, summary.run_id)) == 3
    for outcome in summary.outcomes:
        inside = kept(server, outcome.outputs["inner"])
        assert [session["session_name"] for session in inside.values()] == ["square"] * 3
        for session in (*inside.values(), server.sessions[outcome.session_id]):
            (root,) = spans_of(server, session["session_id"])
            assert root["parentSpanId"] is None


def test_two_experiments_at_once_in_two_threads_stay_apart(run, server):
    summaries = {}

    def conduct(name):
        summaries[name] = run(square, ROWS, name=name, evaluators=[right])

    threads = [threading.Thread(target=conduct, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, summary in summaries.items():
        assert server.runs[summary.run_id]["name"] == name
        assert len(kept(server, summary.run_id)) == 12


def test_with_an_ingestion_key_sessions_and_spans_go_by_it_and_all_else_by_the_key(run, server):
    summary = run(square, ROWS, evaluators=[right], ingestion_api_key="send")
    assert (summary.status, len(server.sessions)) == ("completed", 12)
    used = {(request.path.partition("?")[0], request.headers["authorization"]) for request in server.requests}
    assert {key for path, key in used if path.startswith("/opentelemetry")} == {"Bearer send"}
    runs = {key for path, key in used if path.startswith(f"/v1/runs/{summary.run_id}")}
    assert runs == {"Bearer key"}
