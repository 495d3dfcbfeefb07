"""The plugin itself: nearly free, and nothing without a mark."""

import importlib.util
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any, ClassVar

import pytest

from experiments.sdk.pytest_plugin import RECORD, SEED, Plugin
from tests.experiments.sdk.fault_server import FaultServer
from tests.experiments.sdk.testing.sessions import Run

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[4]


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
