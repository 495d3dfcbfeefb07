"""The pytest plugin: tests as datapoints. Sessions of pytest inside this one, against a small real HTTP server."""

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from experiments import evaluator
from experiments.sdk import gate
from experiments.sdk.configuration import KEY_NAMES, PROJECT_NAMES, URL_NAMES
from experiments.sdk.evaluators import definition, registry, running
from experiments.sdk.pytest_plugin import RECORD, SEED, Plugin
from experiments.sdk.testing import recording
from experiments.sdk.testing.items import datapoint_id_of
from experiments.sdk.transport.spool import Spool
from tests.experiments.sdk.fault_server import FaultServer, answer

pytest_plugins = ["pytester"]

# A session inside this one forgets the modules that it loaded: those of classes and registries are loaded before.
LOADED = (evaluator, definition, registry, running, gate)

ROOT = Path(__file__).parents[3]
IS_INSTALLED = any(entry.name == "hhweb" for entry in importlib.metadata.entry_points(group="pytest11"))
OPTIONS = ["-p", "no:cacheprovider", "-p", "no:django", "-p", "no:xdist"]
OPTIONS += [] if IS_INSTALLED else ["-p", "experiments.sdk.pytest_plugin"]
BEGINNING = """
import pytest
from experiments import evaluator

def upper(inputs):
    return inputs["word"].upper()

@evaluator
def same(outputs, ground_truth):
    return outputs == ground_truth
"""
Run = Callable[..., pytest.RunResult]


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, server: FaultServer) -> Run:
    """Writes a test module (after its usual beginning) and runs it in a session that knows the server."""
    for name in (*URL_NAMES, *KEY_NAMES, *PROJECT_NAMES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HHWEB_CONFIG_DIR", str(pytester.path / "config"))
    monkeypatch.setenv("HH_SPOOL_DIR", str(pytester.path / "spool"))
    monkeypatch.setenv("HH_API_URL", server.url)
    monkeypatch.setenv("HH_API_KEY", "key")
    monkeypatch.setattr(recording, "CLOSE_SECONDS", 0.5)

    def go(module: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(test_words=BEGINNING + module)
        return pytester.runpytest_inprocess(*OPTIONS, *options, no_reraise_ctrlc=True)

    return go


def only_run(server: FaultServer) -> dict[str, Any]:
    (found,) = server.runs.values()
    return found


def by_test(server: FaultServer) -> dict[str, dict[str, Any]]:
    """Sessions by what is behind `::` in their datapoint's id."""
    return {each["metadata"]["datapoint_id"].partition("::")[2]: each for each in server.sessions.values()}


def test_loading_it_loads_nothing_but_pytest():
    program = """
import sys, time, pytest
before = set(sys.modules)
began = time.process_time()
import experiments.sdk.pytest_plugin
spent = time.process_time() - began
print(sorted(set(sys.modules) - before), spent < 0.05)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert ended.stdout == "['experiments', 'experiments.sdk', 'experiments.sdk.pytest_plugin'] True\n"


def test_its_module_can_be_loaded_by_itself():
    path = ROOT / "experiments" / "sdk" / "pytest_plugin.py"
    spec = importlib.util.spec_from_file_location("pytest_plugin_again", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.MARK == "experiment"


def test_without_a_mark_nothing_happens(pytester: pytest.Pytester, run: Run, server: FaultServer):
    pytester.makeconftest("""
def pytest_sessionfinish(session):
    assert not session.config.pluginmanager.has_plugin("hhweb-marked-tests")
""")
    result = run("def test_plain(): pass")
    result.assert_outcomes(passed=1)
    assert "experiments" not in result.stdout.str().replace("experiments.sdk", "")
    assert server.requests == []


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

@pytest.mark.experiment(evaluators=[same])
def test_async_evaluator_inside_a_loop(experiment):
    async def body():
        return experiment.run(upper, {"word": "w"}, "W")
    asyncio.run(body())
    assert experiment.metrics == {"same": True}

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


def test_a_dataset_may_be_a_file_beside_the_test(pytester: pytest.Pytester, run: Run, server: FaultServer):
    (pytester.path / "rows.jsonl").write_text('{"datapoint_id": "x", "inputs": {"word": "a"}}\n')
    result = run("""
@pytest.mark.experiment(dataset="rows.jsonl")
def test_row(datapoint, experiment):
    experiment.run(upper)
""")
    result.assert_outcomes(passed=1)
    assert list(by_test(server)) == ["test_row[x]"]


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("'words'", "the mark takes keywords only"),
        ("nmae='x'", "the mark does not know 'nmae'; did you mean 'name'?"),
        ("zzz=1", "the mark does not know 'zzz'; it knows name, dataset,"),
        ("name=''", "name='' must be a text"),
        ("evaluators=['exactt']", "exactt"),
        ("passing_ranges=1", "passing_ranges=1 must be like"),
        ("passing_ranges={'m': {'least': 1}}", "must have 'min', 'max' or both"),
        ("passing_ranges={'m': {'min': 'x'}}", "bounds are numbers"),
        ("min_pass_rate=80", "min_pass_rate=80 must be a number from 0 to 1"),
        ("max_regression={'m': 1}", "max_regression needs baseline="),
        ("max_regression=0.1, baseline='x'", "max_regression=0.1 must be like"),
        ("metadata=1", "metadata=1 must be a dict"),
    ],
)
def test_a_mark_that_cannot_be_meant_stops_the_session(run: Run, mark: str, message: str):
    result = run(f"@pytest.mark.experiment({mark})\ndef test_it(): pass")
    assert result.ret != pytest.ExitCode.OK
    text = result.stdout.str() + result.stderr.str()
    assert "test_words.py::test_it" in text
    assert message in text


def test_tests_of_one_run_must_agree_on_it(run: Run):
    result = run("""
@pytest.mark.experiment(name="r", min_pass_rate=0.5)
def test_one(): pass

@pytest.mark.experiment(name="r", min_pass_rate=0.6)
def test_two(): pass
""")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*test_two: min_pass_rate is 0.6, but 0.5 in test_words.py::test_one; all tests*"])


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ("@pytest.mark.experiment(dataset=[{}])\ndef test_it(): pass", "give the test an argument named 'datapoint'"),
        ("@pytest.mark.experiment(dataset='no.csv')\ndef test_it(datapoint): pass", "cannot be read"),
        ("def test_it(experiment): pass", "uses the fixture 'experiment' without its mark"),
    ],
)
def test_datasets_and_fixtures_that_do_not_fit_are_told(run: Run, test: str, message: str):
    result = run(test)
    assert result.ret != pytest.ExitCode.OK
    assert message in result.stdout.str()


def test_a_pass_rate_that_is_missed_fails_the_session(run: Run, server: FaultServer):
    module = """
@pytest.mark.experiment(name="r", min_pass_rate=1.0)
def test_one(experiment):
    experiment.log(outputs="x")
"""
    result = run(module)
    assert result.ret == pytest.ExitCode.OK
    server.plan(answer(404), path="/result")
    result = run(module)
    assert result.ret == pytest.ExitCode.OK  # the result could not be read: judged here
    result.stdout.fnmatch_lines(["r: 1 passed, 0 failed (judged here)", "*Everything is stored, but the result*"])


def test_a_run_that_cannot_be_judged_fails_the_session(run: Run, server: FaultServer):
    result = run("""
@pytest.mark.experiment(baseline="deadbeef", max_regression={"m": 0.1})
def test_one(experiment):
    experiment.log(metrics={"m": 1})
""")
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["  not reached: The run could not be judged: *deadbeef*"])


def test_with_the_server_away_tests_are_judged_and_the_run_waits_in_the_spool(
    run: Run, server: FaultServer, pytester: pytest.Pytester
):
    server.stop()
    result = run("""
pytestmark = pytest.mark.experiment(name="away", min_pass_rate=0.9, baseline="latest", max_regression={"m": 0})

def test_one(experiment):
    experiment.log(outputs="x", metrics={"m": 1})

@pytest.mark.xfail
def test_two(experiment):
    assert False
""")
    result.assert_outcomes(passed=1, xfailed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "away: 1 passed, 1 failed (judged here)",
            "  not reached: pass rate of at least 0.9: 1 of 2 tests passed: 0.5.",
            "  *could not take 2 finished datapoints*hhweb spool replay*",
            "  Regressions are not judged: the server's figures are not there.",
        ]
    )
    assert result.stdout.str().count("hhweb spool replay") == 1
    (waiting,) = Spool(pytester.path / "spool").pending()
    assert (waiting.name, waiting.datapoints, waiting.is_finished) == ("away", 2, True)


def test_without_a_key_tests_are_judged_and_that_is_said(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HH_API_KEY")
    result = run("""
@pytest.mark.experiment
def test_one(experiment):
    experiment.log(outputs="x")
""")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["pytest: 1 passed, 0 failed (judged here)", "  Not recorded: No API key*"])


def test_switched_off_it_judges_and_records_nothing(run: Run, server: FaultServer):
    module = """
@pytest.mark.experiment(passing_ranges={"m": 1})
def test_one(experiment):
    experiment.log(metrics={"m": 0})
"""
    result = run(module, "--hhweb-off")
    result.assert_outcomes(failed=1)
    assert "= experiments =" not in result.stdout.str()
    assert server.requests == []


def test_settings_of_pytest_say_where_the_server_is(
    run: Run, server: FaultServer, monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester
):
    monkeypatch.delenv("HH_API_URL")
    pytester.makeini(f"[pytest]\nhhweb_url = {server.url}\nhhweb_project = words\naddopts = --strict-markers")
    assert run("@pytest.mark.experiment\ndef test_one(): pass").ret == pytest.ExitCode.OK
    assert len(server.runs) == 1


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


def test_an_interrupted_session_ends_its_runs_as_cancelled(run: Run, server: FaultServer):
    result = run("""
pytestmark = pytest.mark.experiment(name="stopped", min_pass_rate=1)

def test_one(experiment):
    experiment.log(outputs="x")

def test_two(experiment):
    raise KeyboardInterrupt
""")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert only_run(server)["status"] == "cancelled"
    assert list(by_test(server)) == ["test_one"]


def test_long_node_ids_stay_apart():
    one, two = (datapoint_id_of("tests/test_long.py::test[" + "x" * 300 + end) for end in "ab")
    assert len(one) == len(two) == 255
    assert one != two
    assert datapoint_id_of("a.py::b") == "EXT-a.py::b"


def test_a_worker_of_xdist_delivers_nothing_and_takes_part_in_the_controllers_runs(
    pytester: pytest.Pytester, run: Run, server: FaultServer
):
    class Node:
        """What pytest-xdist hands to its hook."""

        workerinput: ClassVar[dict[str, Any]] = {}

    controller = Plugin(pytester.parseconfig())
    controller.pytest_configure_node(Node())
    seed = Node.workerinput[SEED]
    pytester.makeconftest(f"""
import json

def pytest_configure(config):
    config.workerinput = {{"{SEED}": "{seed}"}}

def pytest_runtest_logreport(report):
    if hasattr(report, "{RECORD}"):
        record = json.loads(report.{RECORD})
        print(report.nodeid, record["run_id"], record["header"] is not None)
""")
    result = run(
        """
def test_plain(): pass

@pytest.mark.experiment(name="shared", evaluators=[evaluator(lambda outputs: 1, name="one", weight=3), same])
@pytest.mark.parametrize("number", range(2))
def test_one(number, experiment):
    experiment.log(inputs={"own": number})
""",
        "-s",
    )
    result.assert_outcomes(passed=3)
    run_id = uuid.uuid5(uuid.UUID(seed), "shared")
    result.stdout.fnmatch_lines([f"*test_one?0? {run_id} True", f"*test_one?1? {run_id} False"])
    assert server.requests == []


def test_weights_and_the_branch_are_stored_with_the_run(run: Run, server: FaultServer, monkeypatch: pytest.MonkeyPatch):
    found = {"commit": "abc", "branch": "main", "is_dirty": False}
    monkeypatch.setattr(recording, "git_context", lambda: found)
    run("""
weighty = evaluator(lambda outputs: 1, name="weighty", weight=3)

@pytest.mark.experiment(evaluators=[weighty, same])
def test_one(experiment):
    experiment.run(upper, {"word": "a"}, "A")
""")
    metadata = only_run(server)["metadata"]
    assert metadata["git"] == found
    children = [{"name": "weighty", "weight": 3}, {"name": "same", "weight": 1.0}]
    assert metadata["composites"] == [
        {"name": "weighted_score", "criteria": "weighted average", "child_metrics": children}
    ]
