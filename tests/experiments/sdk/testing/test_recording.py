"""Runs of a session: their ends, their verdicts, and a server that is away."""

import pytest

from experiments.sdk.testing import recording
from experiments.sdk.transport.client import Client
from experiments.sdk.transport.replay import replay
from experiments.sdk.transport.spool import Spool
from tests.experiments.sdk.fault_server import FaultServer, answer
from tests.experiments.sdk.testing.sessions import Run, by_test, only_run

pytest_plugins = ["pytester"]


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
    server.start()
    with Client(server_url=server.url, api_key="key") as client:
        (replayed,) = replay(client, Spool(pytester.path / "spool"))
    assert replayed.error is None
    assert (only_run(server)["status"], sorted(by_test(server))) == ("completed", ["test_one", "test_two"])


def test_without_a_key_tests_are_judged_and_that_is_said(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HH_API_KEY")
    result = run("""
@pytest.mark.experiment
def test_one(experiment):
    experiment.log(outputs="x")
""")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["pytest: 1 passed, 0 failed (judged here)", "  Not recorded: No API key*"])


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
