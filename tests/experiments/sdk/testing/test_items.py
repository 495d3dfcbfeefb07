"""Marked tests where they run: datapoints, bounds, functions of all kinds."""

import json

import pytest

from experiments.sdk.testing.items import datapoint_id_of
from tests.experiments.sdk.fault_server import FaultServer
from tests.experiments.sdk.testing.sessions import Run, by_test, only_run

pytest_plugins = ["pytester"]


def test_tests_become_datapoints_of_one_run(run: Run, server: FaultServer):
    result = run("""
pytestmark = pytest.mark.experiment(name="words", evaluators=[same])

ROWS = [
    {"id": "a", "inputs": {"word": "a"}, "ground_truth": "A"},
    {"inputs": {"word": "b"}, "ground_truth": "X"},
]

@pytest.mark.experiment(dataset=ROWS, metadata={"model": "toy"})
def test_row(datapoint, experiment):
    assert experiment.run(upper) == datapoint["inputs"]["word"].upper()
    assert experiment.tracer.datapoint_id == experiment.datapoint_id

@pytest.mark.parametrize("word", ["c"])
def test_own(word, experiment):
    experiment.log(outputs=word, ground_truth="c", metrics={"length": 1})

def test_without_fixture():
    assert 1 == 2, "numbers differ"

def test_skipped(experiment):
    pytest.skip("not today")
""")
    result.assert_outcomes(passed=3, failed=1, skipped=1)
    stored = only_run(server)
    assert (stored["name"], stored["status"]) == ("words", "completed")
    assert stored["metadata"]["offline_dataset_id"] == "EXT-pytest-words"
    assert (stored["metadata"]["model"], stored["metadata"]["runner"]) == ("toy", "pytest")
    assert stored["configuration"]["evaluators"] == [{"name": "same"}]
    names = ["test_row[a]", "test_row[1]", "test_own[c]", "test_without_fixture", "test_skipped"]
    assert stored["datapoint_ids"] == [f"EXT-test_words.py::{name}" for name in names]
    sessions = by_test(server)
    assert sorted(sessions) == sorted(names[:-1])
    assert sorted(stored["event_ids"]) == sorted(server.sessions)
    assert sessions["test_row[a]"]["inputs"] == {"word": "a"}
    assert sessions["test_row[a]"]["outputs"] == {"result": "A"}
    assert sessions["test_row[a]"]["feedback"] == {"ground_truth": "A"}
    assert sessions["test_own[c]"]["inputs"] == {"word": "c"}
    assert sessions["test_without_fixture"]["error"].startswith("AssertionError: numbers differ")
    assert sessions["test_row[1]"]["error"] is None
    spans = {span["name"]: span["values"] for span in server.spans.values()}
    assert sorted(spans) == ["test", "upper"]
    metrics = [json.loads(span["values"].get("honeyhive_metrics", "{}")) for span in server.spans.values()]
    assert sorted(map(str, filter(None, metrics))) == [
        "{'length': 1, 'same': True}",
        "{'same': False}",
        "{'same': True}",
    ]
    result.stdout.fnmatch_lines(
        [
            "*= experiments =*",
            "words: 4 passed, 0 failed; *same 0.6667*",
            f"  {server.url}/console/runs/{stored['run_id']}/",
        ]
    )


def test_bounds_are_assertions_that_name_metric_value_and_bound(run: Run, server: FaultServer):
    result = run("""
@evaluator
def broken(outputs):
    raise ValueError("no idea")

@evaluator(asserts=True)
def always(outputs):
    return False

@pytest.mark.experiment(passing_ranges={"m": {"min": 0.8}})
@pytest.mark.parametrize("value", [0.5, 0.8, float("nan")])
def test_low(value, experiment):
    experiment.log(metrics={"m": value})

@pytest.mark.experiment(name="2", passing_ranges={"m": {"max": 1, "min": None}})
def test_high(experiment):
    experiment.log(metrics={"m": 2})

@pytest.mark.experiment(name="3", passing_ranges={"m": 1, "n": 1})
def test_missing(experiment):
    experiment.log(metrics={"m": "text", "o": True})

@pytest.mark.experiment(name="4", evaluators=[broken, always], passing_ranges={"broken": 1})
def test_evaluators(experiment):
    experiment.run(upper, {"word": "a"})

@pytest.mark.experiment(name="5", evaluators=same, passing_ranges={"m": 1})
def test_body_first(experiment):
    experiment.log(outputs="x")
    assert False, "first"
""")
    result.assert_outcomes(passed=1, failed=6)
    text = result.stdout.str()
    for line in (
        "metric 'm' is 0.5, below its minimum 0.8",
        "metric 'm' is nan, below its minimum 0.8",
        "metric 'm' is 2, above its maximum 1",
        "metric 'm' is 'text', which is no number to hold against its bounds",
        "metric 'n' has bounds but no value; measured: m, o",
        "evaluator 'broken' failed: ValueError: no idea",
        "metric 'always' is False, below its minimum 1",
        "AssertionError: first",
    ):
        assert line in text
    assert "metric 'broken'" not in text
    low = next(each for each in server.runs.values() if each["name"] == "pytest")
    assert low["passing_ranges"] == {"m": {"min": 0.8}}
    # A missed bound is the server's to judge: the function did not fail.
    assert by_test(server)["test_high"]["error"] is None


def test_functions_of_all_kinds_run_traced(run: Run, server: FaultServer):
    result = run("""
import asyncio

async def later(inputs, tracer):
    await asyncio.sleep(0)
    tracer.enrich_session(metadata={"seen": inputs["word"]})
    return inputs["word"]

def boom(inputs):
    raise ValueError("boom")

pytestmark = pytest.mark.experiment(name="kinds")

def test_async_function(experiment):
    assert experiment.run(later, {"word": "w"}) == "w"

def test_inside_a_loop(experiment):
    async def body():
        return experiment.run(later, {"word": "w"})
    assert asyncio.run(body()) == "w"

@evaluator
async def same_later(outputs, ground_truth):
    return outputs == ground_truth

@pytest.mark.experiment(evaluators=[same_later])
def test_async_evaluator_inside_a_loop(experiment):
    async def body():
        return experiment.run(upper, {"word": "w"}, "W")
    asyncio.run(body())
    assert experiment.metrics == {"same_later": True}

def test_raising(experiment):
    experiment.run(boom, {"word": "w"})

def test_expected(experiment):
    with pytest.raises(ValueError, match="boom"):
        experiment.run(boom, {"word": "w"})

def test_twice(experiment):
    experiment.run(upper, {"word": "w"})
    experiment.run(upper, {"word": "w"})

def test_odd_metric(experiment):
    experiment.log(metrics={"m": [1]})
""")
    result.assert_outcomes(passed=4, failed=3)
    text = result.stdout.str()
    assert "a test is one datapoint. Parametrise the test" in text
    assert "metrics['m']=[1] is no number, boolean or text" in text
    sessions = by_test(server)
    assert sessions["test_inside_a_loop"]["metadata"]["seen"] == "w"
    assert sessions["test_raising"]["error"] == "ValueError: boom"
    assert sessions["test_expected"]["error"] is None


def test_a_test_that_is_run_again_is_a_further_repetition(pytester: pytest.Pytester, run: Run, server: FaultServer):
    pytester.makeconftest("""
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    for _ in range(2):
        runtestprotocol(item, nextitem=nextitem)
    return True
""")
    run("@pytest.mark.experiment\ndef test_one(experiment): experiment.log(outputs='x')")
    assert sorted(each["metadata"]["repetition"] for each in server.sessions.values()) == [0, 1]
    assert len({each["metadata"]["datapoint_id"] for each in server.sessions.values()}) == 1


def test_long_node_ids_stay_apart():
    one, two = (datapoint_id_of("tests/test_long.py::test[" + "x" * 300 + end) for end in "ab")
    assert len(one) == len(two) == 255
    assert one != two
    assert datapoint_id_of("a.py::b") == "EXT-a.py::b"
