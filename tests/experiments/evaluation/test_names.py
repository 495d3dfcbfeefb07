"""Old names: all there, each told off once at the line that names it, nothing heavy imported for them."""

import importlib
import inspect
import json
import subprocess
import sys
import warnings
from collections.abc import Iterator

import pytest
from honeyhive import evaluation as official

import experiments
from experiments import evaluation
from experiments.evaluation import deprecation
from experiments.evaluation import evaluators as local

official_evaluators = importlib.import_module("honeyhive.evaluation.evaluators")


@pytest.fixture
def caught(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[warnings.WarningMessage]]:
    """As at the start of a process: nobody was told off yet. The warnings that follow."""
    monkeypatch.setattr(deprecation, "_told", set())
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield found


def test_everything_of_the_official_package_is_there(caught: list[warnings.WarningMessage]) -> None:
    missing = {name for name in official.__all__ if not hasattr(evaluation, name)}
    assert missing == set()
    public = {
        name
        for name, value in vars(official_evaluators).items()
        if getattr(value, "__module__", None) == official_evaluators.__name__ and not name.startswith("_")
    }
    assert {"ExactMatchEvaluator", "evaluate_batch", "create_evaluation_run"} <= public
    assert {name for name in public if not hasattr(local, name)} == set()
    assert set(evaluation.__all__) <= set(dir(evaluation))
    assert set(local.__all__) <= set(dir(local))


@pytest.mark.parametrize("name", [name for name in evaluation.__all__ if name != "evaluators"])
def test_each_name_is_told_off_once_where_it_is_named(name: str, caught: list[warnings.WarningMessage]) -> None:
    for _ in range(2):
        exec(compile(f"from experiments.evaluation import {name}", __file__, "exec"), {})
        assert getattr(evaluation, name) is not None
    assert [(warning.category, warning.filename) for warning in caught] == [(DeprecationWarning, __file__)]
    message = str(caught[0].message)
    assert message.startswith(f"experiments.evaluation.{name} is an old name that will go away with version 2: use ")
    assert message.endswith(" (docs/migration.md).")


@pytest.mark.parametrize("name", local.__all__)
def test_each_local_name_is_told_off_once_where_it_is_named(name: str, caught: list[warnings.WarningMessage]) -> None:
    for _ in range(2):
        exec(compile(f"from experiments.evaluation.evaluators import {name}", __file__, "exec"), {})
    assert [(warning.category, warning.filename) for warning in caught] == [(DeprecationWarning, __file__)]


def test_replacements_that_are_named_exist() -> None:
    for table in (evaluation._OLD, local.OLD):
        for old in table.values():
            if old.instead.startswith("experiments."):
                assert hasattr(experiments, old.instead.removeprefix("experiments.")), old


def test_aliases_are_the_new_objects(caught: list[warnings.WarningMessage]) -> None:
    assert evaluation.EvaluationRun is experiments.ExperimentRun
    assert evaluation.EvaluationResult is experiments.ExperimentResultSummary
    assert evaluation.EvaluationContext is experiments.ExperimentContext
    assert evaluation.evaluator is experiments.evaluator
    assert evaluation.run_experiment is experiments.run_experiment
    assert evaluation.evaluators is local
    assert evaluation.BaseEvaluator is local.BaseEvaluator
    assert {evaluation.EvaluationResult, local.EvaluationResult} > {local.EvaluationResult}


@pytest.mark.parametrize(
    "name",
    [
        "evaluate", "evaluator", "aevaluator", "evaluate_with_evaluators", "evaluate_batch", "evaluate_decorator",
        "create_evaluation_run", "get_evaluator", "BaseEvaluator", "ExactMatchEvaluator", "EvaluationResult",
        "EvaluationContext",
    ],
)  # fmt: skip
def test_signatures_are_kept(name: str, caught: list[warnings.WarningMessage]) -> None:
    ours, theirs = (inspect.signature(getattr(package, name)).parameters for package in (local, official_evaluators))
    assert [(each.name, each.kind) for each in ours.values()] == [(each.name, each.kind) for each in theirs.values()]
    assert [each.default for each in ours.values() if each.name != "evaluation_id"] == [
        each.default for each in theirs.values() if each.name != "evaluation_id"
    ]


def test_the_local_evaluators_are_there_without_importing_their_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(evaluation, "evaluators")  # as before the first import of the module
    assert evaluation.evaluators is local


def test_unknown_names_are_attribute_errors() -> None:
    for package in (evaluation, local):
        with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'nothing'"):
            importlib.import_module(package.__name__).nothing  # noqa: B018


LIGHT = """
import json, sys, warnings
warnings.simplefilter("ignore")
import experiments.evaluation, experiments.evaluation.evaluators
from experiments.evaluation.evaluators import ExactMatchEvaluator, evaluate_batch
heavy = ("pydantic", "httpx", "rich", "pandas", "numpy", "django", "opentelemetry", "asyncio")
early = [name for name in heavy if name in sys.modules]
import experiments.sdk.rendering
print(json.dumps([early, [name for name in heavy if name in sys.modules]]))
"""


def test_nothing_heavy_is_imported_for_a_name_or_before_something_is_shown() -> None:
    said = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(said.stdout) == [[], ["pydantic"]]
