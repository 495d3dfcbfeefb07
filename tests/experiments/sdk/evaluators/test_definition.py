"""Evaluators: made bare, with settings or by a call; called like their functions."""

import asyncio
import functools
import json
import subprocess
import sys

import pytest

from experiments import EvalResult, EvalSettings, aevaluator, evaluator
from experiments.sdk.evaluators import registry
from experiments.sdk.evaluators.definition import Evaluator


def length(outputs, ground_truth=None, *, unit=1):
    """Length of the output."""
    return len(outputs) / unit


async def later_length(outputs):
    """Length, a turn of the loop later."""
    await asyncio.sleep(0)
    return len(outputs)


def test_an_evaluator_is_called_like_its_function_and_keeps_its_name_and_docstring():
    for made in (evaluator(length), evaluator()(length), evaluator(name="length")(length)):
        assert made("abc") == 3
        assert made("abc", "x", unit=2) == 1.5
        assert (made.name, made.__name__, made.__doc__) == ("length", "length", "Length of the output.")
        assert (made.func, made.weight, made.is_async) == (length, 1.0, False)
        assert repr(made) == "<evaluator 'length'>"


def test_an_async_function_makes_an_evaluator_that_returns_an_awaitable_with_either_decorator():
    for made in (evaluator(later_length), aevaluator(later_length), aevaluator()(later_length)):
        assert made.is_async is True
        assert asyncio.run(made("abcd")) == 4


def test_aevaluator_makes_a_plain_function_awaitable():
    for made in (aevaluator(length), aevaluator(unit=2)(length), evaluator(aevaluator(length), unit=2)):
        assert made.is_async is True
        assert asyncio.run(made("ab")) == 2 / made.kwargs.get("unit", 1)


def test_other_settings_become_keyword_arguments_of_the_function():
    made = evaluator(name="halves", weight=2, unit=2)(length)
    assert (made("abcd"), made.name, made.weight, made.kwargs) == (2.0, "halves", 2, {"unit": 2})
    assert made("abcd", unit=4) == 1.0
    assert made.raw("abcd") == 2.0


def test_older_ways_to_give_settings_work():
    made = evaluator(length, EvalSettings(name="", weight=3.0), {"unit": 2}, asserts=True)
    assert (made.name, made.weight, made.kwargs, made("ab")) == ("length", 3.0, {"unit": 2}, True)
    assert evaluator(length, {"name": "other"}).name == "other"
    assert made.settings == EvalSettings(name="length", weight=3.0, asserts=True)


def test_older_ways_to_ask_for_evaluators_work():
    made = evaluator(length)
    later = aevaluator(later_length)
    assert evaluator["length"] is made
    assert evaluator["exact_match"]("x", "x") is True
    assert (isinstance(made, evaluator), isinstance(made, aevaluator)) == (True, False)
    assert (isinstance(later, evaluator), isinstance(later, aevaluator), isinstance(length, evaluator)) == (
        True,
        True,
        False,
    )
    with pytest.raises(KeyError, match="No evaluator is called 'nobody'"):
        _ = evaluator["nobody"]
    assert evaluator.__doc__.startswith("Make an evaluator")


def test_an_evaluator_made_of_another_one_has_its_settings_and_the_new_ones():
    base = evaluator(length, unit=2, weight=2)
    made = evaluator(base, name="other", unit=4)
    assert (made.name, made.weight, made.kwargs, made.function) == ("other", 2, {"unit": 4}, length)
    assert base.kwargs == {"unit": 2}


def test_partials_lambdas_and_objects_have_names():
    class Judge:
        async def __call__(self, outputs):
            return 1

    assert evaluator(functools.partial(functools.partial(length, unit=2), "abcd")).name == "length"
    assert evaluator(lambda outputs: 1).name == "<lambda>"
    judge = evaluator(Judge())
    assert (judge.name, judge.__name__, judge.is_async) == ("Judge", "Judge", True)


def test_asserts_alone_turns_the_value_into_pass_or_fail():
    made = evaluator(length, asserts=True)
    assert (made("abc"), made("")) == (True, False)
    assert made.passing_range() == {"min": 1}
    assert evaluator(lambda outputs: {"score": 0.2, "explanation": "e"}, asserts=True)("x") == {
        "score": True,
        "explanation": "e",
    }
    with pytest.raises(
        ValueError, match="asserts needs a bool or a number to judge, not the text 'no'; give a checker"
    ):
        evaluator(lambda outputs: "no", asserts=True)("x")


@pytest.mark.parametrize(
    ("target", "passing"),
    [
        (0.5, {"min": 0.5}),
        (0, {"min": 0}),
        ((0.2, 0.8), {"min": 0.2, "max": 0.8}),
        ([None, 3], {"max": 3}),
        ((2, None), {"min": 2}),
    ],
)
def test_asserts_with_a_target_keeps_the_value_and_makes_the_target_the_range(target, passing):
    made = evaluator(length, asserts=True, target=target)
    assert (made("abc"), made.passing_range()) == (3, passing)
    assert evaluator(length, target=target).passing_range() is None


def test_a_checker_turns_the_value_into_its_verdict():
    made = evaluator(length, checker=lambda value, target: value in target, target=[3, 4, 5])
    assert (made("abc"), made("ab")) == (True, False)
    assert made.passing_range() is None
    strict = evaluator(length, checker="value >= target", target=3, asserts=True)
    assert (strict("abc"), strict("ab"), strict.passing_range()) == (True, False, {"min": 1})
    between = evaluator(length, checker="target[0] <= value <= target[1]", target=[2, 3])
    assert (between("abc"), between("abcd")) == (True, False)


def test_a_transform_gets_what_the_function_returned():
    assert evaluator(length, transform=lambda value: value / 10)("abc") == 0.3
    assert evaluator(lambda outputs: {"score": 4}, transform=lambda value: value["score"] / 5)("x") == 0.8


@pytest.mark.parametrize(
    ("aggregate", "values", "expected"),
    [
        (None, [1, 2, 6], 3.0),
        ("mean", [True, False, True, True], 0.75),
        ("mean(values)", [1, 2], 1.5),
        ("median", [5, 1, 3], 3),
        ("median", [1, 2, 3, 10], 2.5),
        ("min", [2, 1, 3], 1),
        ("max", [2, 1, 3], 3),
        ("majority", ["a", "b", "b"], "b"),
        ("mode", ["a", "b"], "a"),
        ("all", [True, 0.5], True),
        ("any", [False, 0], False),
        (sum, [1, 2, 3], 6),
    ],
)
def test_repetitions_are_aggregated(aggregate, values, expected):
    answers = iter(values)
    assert evaluator(lambda outputs: next(answers), repeat=len(values), aggregate=aggregate)("x") == expected


def test_repeated_dicts_have_an_aggregated_score_and_the_last_ones_explanation():
    answers = iter([{"score": 1, "explanation": "good", "cost": 1}, {"score": 0, "explanation": "bad", "cost": 2}])
    made = evaluator(lambda outputs: next(answers), repeat=2)
    assert made("x") == {"score": 0.5, "explanation": "bad", "cost": 2}


def test_repetitions_of_an_async_evaluator_run_at_once():
    running, most = 0, 0

    async def judge(outputs):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return most

    assert asyncio.run(evaluator(judge, repeat=3, aggregate="max", transform=float)("x")) == 3.0
    assert asyncio.run(aevaluator(length, repeat=2)("abc")) == 3.0
    assert asyncio.run(evaluator(judge, asserts=True)("x")) is True


def test_a_failing_repetition_fails_after_the_others_have_ended():
    ended = []

    async def judge(outputs):
        number = len(started)
        started.append(number)
        if number == 0:
            raise LookupError("first")
        await asyncio.sleep(0)
        ended.append(number)
        return 1

    started = []
    with pytest.raises(LookupError, match="first"):
        asyncio.run(evaluator(judge, repeat=3)("x"))
    assert ended == [1, 2]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "evaluator 'judge' returned None; return a bool"),
        ({"explanation": "x"}, "evaluator 'judge' returned None"),
        (float("nan"), "evaluator 'judge' returned nan; a score is finite"),
        ("good", "aggregate='mean' needs numbers or bools, not 'good'; aggregate='majority' takes texts"),
    ],
)
def test_what_cannot_be_aggregated_is_told(value, message):
    with pytest.raises(ValueError, match=message):
        evaluator(lambda outputs: value, name="judge", repeat=2)("x")


def test_a_wrapping_evaluator_works_on_the_value_of_the_wrapped_one():
    base = evaluator(length, unit=2)
    longer = evaluator(lambda value, least=1: value > least, name="longer", wraps=base, least=2)
    assert (longer("abc"), longer("abcdef")) == (False, True)
    assert longer.wrapped is base
    by_name = evaluator(lambda value: value * 10, name="tenfold", wraps="length")
    assert (by_name("abcd"), by_name.is_async) == (20.0, False)
    by_options = evaluator(lambda value: value, name="thirds", wraps={"length": {"unit": 3}})
    assert by_options("abc") == 1.0


def test_wrapping_mixes_sync_and_async():
    async def shown(value):
        return f"{value}!"

    over_async = evaluator(lambda value: value + 1, name="more", wraps=evaluator(later_length))
    assert (over_async.is_async, asyncio.run(over_async("abc"))) == (True, 4)
    async_over_sync = evaluator(shown, wraps=evaluator(length))
    assert (async_over_sync.is_async, asyncio.run(async_over_sync("abc"))) == (True, "3.0!")
    both = evaluator(shown, name="both", wraps="later_length")
    assert asyncio.run(both("abc")) == "3!"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight": -1}, "evaluator 'length': weight=-1 must be a number of 0 or more"),
        ({"weight": "2"}, "weight='2' must be"),
        ({"repeat": 0}, "repeat=0 must be a whole number of 1 or more"),
        ({"repeat": 1.5}, "repeat=1.5 must be"),
        ({"name": 3}, "name must be a text"),
        ({"target": (3, 1)}, r"target=\(3, 1\) must be a number"),
        ({"target": (None, None)}, "must be a number"),
        ({"target": True}, "target=True must be a number"),
        ({"target": "good"}, "any other target needs a checker"),
        ({"target": (1, "2")}, "must be a number"),
        ({"aggregate": "avg"}, "aggregate='avg' is unknown: give a callable or one of mean, median, min, max"),
        ({"aggregate": 3}, "aggregate=3 is no callable"),
        ({"transform": "value * 2"}, r"transform='value \* 2': texts are not run as code; give a callable"),
        ({"checker": "__import__('os')"}, "texts are not run as code; give a callable .* or one of 'value in target'"),
        ({"transform": later_length}, "transform is an async function; give a plain one"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(settings, message):
    before = dict(registry._registered)
    with pytest.raises(ValueError, match=message):
        evaluator(length, **settings)
    assert registry._registered == before


def test_only_functions_can_become_evaluators():
    with pytest.raises(TypeError, match="an evaluator is made of a function, not of 'length'"):
        evaluator("length")


def test_the_description_is_json_with_what_was_set():
    base = Evaluator(length)
    made = evaluator(
        length, name="n", weight=2, target=(1, 2), checker=max, wraps=base, unit={"a": float("inf")}, other=[object]
    )
    described = made.description()
    assert json.loads(json.dumps(described)) == described
    assert described == {
        "name": "n",
        "wraps": "length",
        "weight": 2,
        "checker": "max",
        "target": [1, 2],
        "kwargs": {"unit": {"a": "inf"}, "other": ["object"]},
        "function": "length",
    }
    assert base.description() == {"name": "length"}
    assert Evaluator(length, kwargs={"unit": {1}}).description()["kwargs"] == {"unit": "{1}"}


def test_a_result_object_counts_as_score_and_metadata():
    made = evaluator(lambda outputs: EvalResult(4, reason="ok"), repeat=2)
    assert made("x") == {"score": 4.0, "reason": "ok"}


def test_importing_the_definition_imports_nothing_slow():
    code = (
        "import sys\n"
        "from experiments import evaluator\n"
        "@evaluator(weight=2)\n"
        "def judge(outputs):\n    return 1\n"
        "slow = {'asyncio', 'dataclasses', 'django', 'httpx', 'inspect', 'json', 'opentelemetry', 'pydantic'}\n"
        "print(slow & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_module_has_no_other_names():
    from experiments.sdk.evaluators import definition

    assert definition.EvaluatorSettings(name="x").name == "x"
    with pytest.raises(AttributeError, match="has no attribute 'Evaluate'"):
        _ = definition.Evaluate
