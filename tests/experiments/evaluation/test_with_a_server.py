"""Old code and the migration guide's blocks, run as they stand against a real server."""

import ast
import importlib
import re
import runpy
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.demo.stack import Stack
from experiments.evaluation import deprecation

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "migration.md"
BLOCKS = re.findall(r"^```python (\S+)\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture(scope="module")
def stack(server_folder: Path) -> Iterator[Stack]:
    with Stack(server_folder / "evaluation") as running:
        yield running


@pytest.fixture
def connected(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment that old code knows; nobody was told off yet."""
    monkeypatch.setenv("HH_API_URL", stack.url)
    monkeypatch.setenv("HH_API_KEY", stack.credentials["api_key"])
    monkeypatch.setenv("HH_SPOOL_DIR", str(tmp_path))
    monkeypatch.setattr(deprecation, "_told", set())


@pytest.mark.process
def test_old_code_runs_unchanged(connected: None, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outcome: dict[str, Any] = runpy.run_module(
            "tests.experiments.evaluation.old_style", run_name="__main__", alter_sys=False
        )["OUTCOME"]
    assert outcome["since"] == {
        "accuracy": [pytest.approx(1 / 3), pytest.approx(2 / 3)],
        "metrics": ["accuracy", "length", "politeness"],
        "passed": ["EXT-a541b6a293ee0172", "EXT-d07ec3924c73137a", "EXT-atlantis"],
        "raw": "average",
        "improved": ["accuracy"],
        "common": 3,
        "delta": 1,
        "executed": "success",
        "run": "look up",
    }
    assert outcome["before"] == {"same": [0.5, 0.5], "suite": "geography"}
    assert outcome["local"] == {
        "f1": 1.0,
        "score": 0.75,  # of f1_score 1 and polite 0.5; exact_match is 0, and what is 0 does not count
        "batch": [1.0, 0.0],
        "decorated": 1.0,
        "simple": 1.0,
        "is_result": True,
        "created": "local",
    }
    told = [warning for warning in caught if "is an old name" in str(warning.message)]
    assert {Path(warning.filename).name for warning in told} == {"old_style.py"}
    assert len({str(warning.message) for warning in told}) == len(told)
    printed = capsys.readouterr().out
    assert "guess\ncompleted" in printed
    assert "look up\ncompleted" not in printed


@pytest.mark.process
def test_the_blocks_of_the_guide_do_what_they_say(connected: None, capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, Any] = {}
    executed = []
    for kind, block in BLOCKS:
        if kind != "before":
            with warnings.catch_warnings():
                warnings.simplefilter("error" if kind == "after" else "ignore", DeprecationWarning)
                exec(compile(block, f"{GUIDE.name} ({kind})", "exec"), namespace)
            executed.append(kind)
    assert executed == ["after", "old", "after", "old", "after", "after"]
    assert re.search(r"^correct +0\.500 +1\.000 +\+0\.500", capsys.readouterr().out, re.M)


def test_the_guide_imports_from_the_official_package_what_it_has() -> None:
    befores = [ast.parse(block) for kind, block in BLOCKS if kind == "before"]
    imports = [node for tree in befores for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert len(imports) == 2
    for node in imports:
        module = importlib.import_module(node.module or "")
        assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []
