"""The pytest plugin against the real server: pass rates, regressions, workers, and the documentation's own tests."""

import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.demo.stack import Stack
from experiments.sdk.transport.client import Client

ROOT = Path(__file__).parents[3]
IS_INSTALLED = any(entry.name == "hhweb" for entry in importlib.metadata.entry_points(group="pytest11"))
OPTIONS = [
    "-p",
    "no:cacheprovider",
    "-p",
    "no:django",
    "-p",
    "no:hypothesispytest",
    "-p",
    "no:schemathesis",
    "--tb=short",
]
OPTIONS += [] if IS_INSTALLED else ["-p", "experiments.sdk.pytest_plugin"]
Session = Callable[..., "subprocess.CompletedProcess[str]"]
LEVELS = """
import pytest

@pytest.mark.experiment(
    name="{name}", passing_ranges={{"level": {{"min": 0.5}}}}, min_pass_rate=0.75, {more}
)
@pytest.mark.parametrize("number", range(4))
def test_level(number, experiment):
    experiment.log(outputs=number, metrics={{"level": {levels}[number]}})
"""


@pytest.fixture
def session(alone: Path, server: Stack) -> Session:
    """Runs pytest in an empty folder that knows the server."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV_", "DJANGO"))},
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HH_API_URL": server.url,
        "HH_API_KEY": server.credentials["api_key"],
    }

    def go(*options: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "pytest", *OPTIONS, *options]
        return subprocess.run(command, cwd=alone, env=environment, capture_output=True, text=True, check=False)

    return go


def run_id_in(text: str) -> str:
    found = re.search(r"/console/runs/([0-9a-f-]{36})/", text)
    assert found is not None, text
    return found[1]


def test_the_documentation_works(session: Session, alone: Path, client: Client):
    text = (ROOT / "docs" / "pytest-plugin.md").read_text()
    (module,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (alone / "test_capitals.py").write_text(module)
    ended = session()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "capitals: 3 passed, 0 failed; exact 1, tokens 12\n" in ended.stdout
    run_id = run_id_in(ended.stdout)
    run = client.get_run(run_id)
    assert (run.status, run.name, run.dataset_id) == ("completed", "capitals", "EXT-pytest-capitals")
    result = client.result(run_id)
    names = ["test_capitals[fr]", "test_capitals[it]", "test_spain"]
    assert sorted(result["passed"]) == [f"EXT-test_capitals.py::{name}" for name in names]
    filters = [{"field": "metadata.run_id", "operator": "is", "value": run_id, "type": "string"}]
    by_name = [event["event_name"] for event in client.events(filters)]
    assert {name: by_name.count(name) for name in by_name} == {"test": 6, "answer": 3, "look_up": 3}


def test_workers_contribute_to_one_run_which_is_held_against_its_pass_rate(
    session: Session, alone: Path, client: Client
):
    (alone / "test_levels.py").write_text(LEVELS.format(name="levels", more="", levels=[0, 0, 1, 1]))
    ended = session("-n", "2")
    assert ended.returncode == 1
    assert "levels: 2 passed, 2 failed; level 0.5\n" in ended.stdout
    assert "not reached: pass rate of at least 0.75: 2 of 4 datapoints passed: 0.5." in ended.stdout
    assert "metric 'level' is 0, below its minimum 0.5" in ended.stdout
    result = client.result(run_id_in(ended.stdout))
    assert sorted(each["datapoint_id"] for each in result["datapoints"]) == [
        f"EXT-test_levels.py::test_level[{number}]" for number in range(4)
    ]


def test_a_regression_against_the_baseline_fails_the_session(session: Session, alone: Path):
    module = alone / "test_steady.py"
    module.write_text(LEVELS.format(name="steady", more="", levels=[1, 1, 1, 1]))
    first = session()
    assert first.returncode == 0, first.stdout
    more = f'baseline="{run_id_in(first.stdout)}", max_regression={{"level": 0.05}}'
    module.write_text(LEVELS.format(name="steady", more=more, levels=[1, 1, 1, 0.6]))
    second = session()
    assert "4 passed in" in second.stdout
    assert second.returncode == 1
    assert "not reached: level: at most 0.05 worse than the baseline" in second.stdout
