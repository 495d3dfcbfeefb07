"""Evaluators by name, and lists of them."""

import sys

import pytest

from experiments import evaluator
from experiments.sdk.errors import ConfigurationError
from experiments.sdk.evaluators import registry
from experiments.sdk.evaluators.definition import Evaluator


def judge(outputs):
    return 1


def test_the_newest_of_a_name_is_found_and_shadows_a_built_in_one():
    first = evaluator(judge)
    second = evaluator(judge, weight=2)
    assert first is not second
    assert registry.get("judge") is second
    assert registry.get("exact_match").function.__name__ == "exact_match"
    own = evaluator(judge, name="exact_match")
    assert registry.get("exact_match") is own
    assert {"judge", "exact_match", "bleu"} <= set(registry.names())


def test_a_list_takes_evaluators_functions_names_and_names_with_options():
    mine = evaluator(judge)

    def other(outputs):
        return 2

    found = registry.resolve(
        [
            mine,
            other,
            "exact_match",
            ("numeric_tolerance", {"tolerance": 0.1, "name": "close", "weight": 2}),
            {"contains": {"ignore_case": True}},
            {"json_valid": None},
            [judge, {"name": "again"}],
        ]
    )
    assert [each.name for each in found] == [
        "judge", "other", "exact_match", "close", "contains", "json_valid", "again",
    ]  # fmt: skip
    assert found[0] is mine
    assert (found[3].kwargs, found[3].weight, found[3].function.__name__) == (
        {"tolerance": 0.1},
        2,
        "numeric_tolerance",
    )
    assert found[4].kwargs == {"ignore_case": True}
    assert "other" not in registry.names()
    assert registry.resolve(None) == registry.resolve([]) == []


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["exact_mach"], "No evaluator is called 'exact_mach'. Did you mean 'exact_match'"),
        (["qqq"], r"No evaluator is called 'qqq'. There are .*bleu, .*contains, "),
        ([judge, "bleu", judge], r"evaluators\[0\] and evaluators\[2\] are both called 'judge'; give one of them"),
        ("exact_match", "evaluators='exact_match' must be a list; put brackets around a single one"),
        (judge, "must be a list; put brackets"),
        ([3], r"3 is no evaluator: give a function, the name of one, \(name, options\) or \{name: options\}"),
        ([("bleu", 3)], "is no evaluator: give a function"),
        ([{"bleu": {}, "contains": {}}], "is no evaluator: give a function"),
        ([lambda outputs, reference: 1], "nothing says what its parameter 'reference' shall get"),
        ([("bleu", {"tokenise": "13a"})], "'tokenise' is neither a setting nor a parameter of its function"),
        ([("bleu", {"weight": -1})], "evaluator 'bleu': weight=-1 must be a number of 0 or more"),
    ],
)
def test_what_cannot_run_is_told_before_a_run(items, message):
    with pytest.raises(ValueError, match=message):
        registry.resolve(items)


def test_a_missing_library_is_told_before_a_run(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(
        ConfigurationError, match=r"Evaluator 'b': it needs sacrebleu: pip install 'hhweb\[evaluators\]'"
    ):
        registry.resolve([("bleu", {"name": "b"})])
    assert registry.evaluator_of("bleu").name == "bleu"
    assert isinstance(registry.evaluator_of(judge), Evaluator)
