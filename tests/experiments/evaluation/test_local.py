"""Evaluators that compute locally: the figures of the official package, on anything one may hand over."""

import asyncio
import importlib
import logging
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.experiments.sdk.fault_server import FaultServer

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from experiments.evaluation.evaluators import (
        BUILTIN_EVALUATORS,
        BaseEvaluator,
        EvaluationContext,
        aevaluator,
        create_evaluation_run,
        evaluate,
        evaluate_batch,
        evaluate_decorator,
        evaluate_with_evaluators,
        evaluator,
        get_evaluator,
    )

official: Any = importlib.import_module("honeyhive.evaluation.evaluators")

WORDS = st.lists(st.sampled_from(["Paris", "paris", "is", "the", "capital.", "", " ", "Lima\n", "ß"]), max_size=6)
TEXTS = WORDS.map(" ".join)
ANYTHING = TEXTS | st.integers() | st.booleans() | st.none() | st.lists(st.integers(), max_size=2)


@given(ANYTHING, ANYTHING)
@settings(max_examples=100, deadline=None)
def test_each_evaluator_gives_the_official_figures(expected: Any, actual: Any) -> None:
    for name in official.BUILTIN_EVALUATORS:
        ours = get_evaluator(name).evaluate({"expected": expected}, {"response": actual})
        theirs = official.get_evaluator(name).evaluate({"expected": expected}, {"response": actual})
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            assert ours[key] == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value)
    assert list(BUILTIN_EVALUATORS) == list(official.BUILTIN_EVALUATORS)


@given(TEXTS, TEXTS, st.none() | st.lists(st.sampled_from([*official.BUILTIN_EVALUATORS, "unknown"]), unique=True))
@settings(max_examples=60, deadline=None)
def test_evaluate_gives_the_official_score(prediction: str, truth: str, metrics: list[str] | None) -> None:
    ours = evaluate(prediction, truth, metrics, feedback="fine")
    theirs = official.evaluate(prediction, truth, metrics)
    assert ours.score == pytest.approx(theirs.score)
    assert ours.metrics == pytest.approx(theirs.metrics)
    assert ours.feedback == "fine"


def third(inputs: Any, outputs: Any, ground_truth: Any = None) -> Any:
    return 0.25 if ground_truth is None else ground_truth["score"]


def failing(inputs: Any, outputs: Any, ground_truth: Any = None) -> Any:
    raise ValueError("no")


def worded(inputs: Any, outputs: Any, ground_truth: Any = None) -> Any:
    return {"label": "good", "score": -3, "other": 7}


MIXED: list[Any] = ["exact_match", "length", third, failing, worded]
DATASET: list[dict[str, Any]] = [
    {"inputs": {"expected": "a"}, "outputs": {"response": "A"}},
    {"inputs": {"expected": "a b"}, "outputs": {"response": "b"}, "ground_truth": {"score": 0.5}},
    {"inputs": {}, "outputs": {}},
]


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("datapoint", DATASET)
def test_several_evaluators_give_the_official_result(datapoint: dict[str, Any], workers: int) -> None:
    about: Any = {"project": "p", "source": "s"}
    given_to: Any = {"ground_truth": datapoint.get("ground_truth"), "max_workers": workers}
    ours = evaluate_with_evaluators(
        [*MIXED, get_evaluator("f1_score")], datapoint["inputs"], datapoint["outputs"],
        context=EvaluationContext(**about), **given_to,
    )  # fmt: skip
    theirs = official.evaluate_with_evaluators(
        [*MIXED, official.get_evaluator("f1_score")], datapoint["inputs"], datapoint["outputs"],
        context=official.EvaluationContext(**about), **given_to,
    )  # fmt: skip
    assert (ours.score, ours.metrics) == (theirs.score, theirs.metrics)
    assert ours.metadata == theirs.metadata
    assert ours.evaluation_id != theirs.evaluation_id


@pytest.mark.parametrize("is_concurrent", [True, False])
def test_batches_give_the_official_results_in_order(is_concurrent: bool) -> None:
    ours = evaluate_batch(MIXED, DATASET, run_concurrently=is_concurrent)
    theirs = official.evaluate_batch(MIXED, DATASET, run_concurrently=is_concurrent)
    assert [(each.score, each.metrics) for each in ours] == [(each.score, each.metrics) for each in theirs]
    assert evaluate_batch(MIXED, []) == []


def test_no_evaluators_give_an_empty_result() -> None:
    found = evaluate_with_evaluators([], {"a": 1}, {"b": 2})
    assert (found.score, found.metrics) == (0.0, {})
    assert found.metadata == {"inputs": {"a": 1}, "outputs": {"b": 2}, "ground_truth": None, "context": None}


def test_failures_are_logged_and_count_as_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    (found,) = evaluate_batch([failing, "unknown"], [{"inputs": {}, "outputs": {}}])
    assert found.metrics == {"failing": None, "unknown": None}
    assert "Evaluator failing failed: no" in caplog.text
    assert "Unknown evaluator: unknown; there are exact_match, f1_score, length, semantic_similarity" in caplog.text
    (found,) = evaluate_batch(["length"], ["no dict"])  # type: ignore[list-item]
    assert (found.score, found.metrics) == (0.0, {})
    assert evaluate(None, "a", ["length"]).metrics == {"char_count": 4, "word_count": 1, "line_count": 1}  # type: ignore[arg-type]


def test_an_evaluator_that_breaks_counts_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(BaseEvaluator):
        def __init__(self) -> None:
            super().__init__("broken", setting=1)

    monkeypatch.setitem(BUILTIN_EVALUATORS, "broken", Broken)
    assert Broken().config == {"setting": 1}
    assert evaluate("a", "a", ["broken"]).metrics == {"broken": 0.0}
    with pytest.raises(NotImplementedError, match=r"Broken must define evaluate\(inputs, outputs, ground_truth\)"):
        Broken()({}, {})
    with pytest.raises(ValueError, match="Unknown evaluator: nothing"):
        get_evaluator("nothing")


def test_the_decorator_adds_the_evaluation_to_dicts_and_logs_it_for_anything_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    @evaluate_decorator(evaluators=["exact_match"])
    def answer(inputs: Any) -> Any:
        return inputs["returned"]

    @evaluate_decorator(evaluators=["exact_match"], max_workers=1)
    async def answer_later(inputs: Any) -> Any:
        return inputs["returned"]

    given_to: dict[str, Any] = {"expected": "a", "returned": {"response": "a"}}
    assert answer(given_to)["evaluation"]["result"].score == 1.0
    given_to["returned"] = {"response": "b", "evaluation": {"kept": 1}}
    assert asyncio.run(answer_later(given_to))["evaluation"]["kept"] == 1
    assert answer({"expected": "a", "returned": "a"}) == "a"
    assert "Evaluation result: EvaluationResult(score=1.0" in caplog.text
    assert answer.__name__ == "answer"
    broken = evaluate_decorator(evaluators=["exact_match"], no_such_option=1)(lambda inputs: {})
    assert broken({}) == {}
    assert "Evaluation failed" in caplog.text
    assert evaluate_decorator()(lambda text: text)("a") == "a"


def test_decorators_leave_functions_as_they_are() -> None:
    def judge(outputs: Any) -> float:
        return 1.0

    assert [evaluator(judge), evaluator()(judge), evaluator("name")(judge), aevaluator(_session_id="s")(judge)] == [
        judge
    ] * 4


def test_an_evaluation_run_is_created_or_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with FaultServer() as server:
        monkeypatch.setenv("HH_API_URL", server.url)
        monkeypatch.setenv("HH_API_KEY", "hh_key")
        created = create_evaluation_run("a name", "a project", [], {"a": 1})
        assert created is not None
        assert (created.evaluation.name, created.evaluation.metadata) == ("a name", {"a": 1})
    monkeypatch.setenv("HH_API_URL", "no address")
    assert create_evaluation_run("a name", "a project", []) is None
    assert "The evaluation run 'a name' could not be created: The server address 'no address' is none" in caplog.text
