"""Evaluators that say yes or no to a text."""

import pytest

from experiments.domain.builtin_evaluators.matching import (
    contains,
    exact_match,
    normalized,
    normalized_match,
    regex_match,
)

# normalize_answer, compute_f1 and compute_exact of transformers 4.57.6 (data/metrics/squad_metrics.py), run on these.
NORMALIZED = [
    ("The  quick, brown fox's—an  apple!", "quick brown foxs— apple"),
    ("A.B. Smith-Jones (the 3rd)", "ab smithjones 3rd"),
    ("Theater & anthem", "theater anthem"),
    ("«Élan» the\tEND.", "«élan» end"),
]
SQUAD_EXACT = [
    ("the cat sat on the mat", "a cat sat", False),
    ("Denver Broncos", "The Denver Broncos!", True),
    ("", "", True),
    ("", "x", False),
    ("the", "an", True),
    ("in 1066, William", "William the Conqueror 1066", False),
]


@pytest.mark.parametrize(("text", "expected"), NORMALIZED)
def test_texts_are_normalised_as_squad_does(text, expected):
    assert normalized(text) == expected


@pytest.mark.parametrize(("output", "truth", "expected"), SQUAD_EXACT)
def test_normalised_matches_are_squads_exact_matches(output, truth, expected):
    assert normalized_match(output, truth) is expected


def test_a_normalised_match_takes_any_accepted_answer():
    assert normalized_match("The Broncos", ["Denver", "broncos."]) is True
    assert normalized_match("The Broncos", ["Denver"]) is False


@pytest.mark.parametrize(
    ("output", "truth", "expected"),
    [
        ("a", "a", True),
        ("a", "A", False),
        (1, 1.0, True),
        (True, 1, False),
        (0, False, False),
        (True, True, True),
        ([1, {"x": 2}], [1, {"x": 2.0}], True),
        ([1, {"x": 1}], [1, {"x": True}], False),
        ((1, 2), [1, 2], True),
        ([1], [1, 2], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1, "b": 2}, {"a": 1, "c": 2}, False),
        ({"answer": "x"}, {"expected": "x"}, True),
        ({"answer": "x"}, "x", True),
        ("1", 1, False),
    ],
)
def test_an_exact_match_is_equality_that_keeps_true_and_one_apart(output, truth, expected):
    assert exact_match(output, truth) is expected


def test_keys_pick_what_is_compared():
    outputs, truth = {"answer": "x", "tokens": 5}, {"gold": "x", "answer": "y"}
    assert exact_match(outputs, truth, key="answer") is False
    assert exact_match(outputs, truth, key="answer", expected_key="gold") is True
    assert exact_match(outputs, "x", key="answer") is True
    assert exact_match("x", truth, expected_key="gold") is True
    assert exact_match(outputs, {"truth": "x"}, key="answer") is True


def test_without_ground_truth_nothing_matches_and_nothing_differs():
    for evaluate in (exact_match, normalized_match, contains, regex_match):
        with pytest.raises(ValueError, match="the datapoint has no ground truth to compare with"):
            evaluate("x", None)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"answer": 1}, r"outputs is a dict with 'answer', so there is no key 'text' in it"),
        ({}, r"outputs is an empty dict, so there is no key"),
        ("x", r"outputs is str, so there is no key 'text' in it"),
    ],
)
def test_a_missing_key_is_told(outputs, message):
    with pytest.raises(ValueError, match=message):
        exact_match(outputs, "x", key="text")


def test_containing_takes_all_texts_or_any():
    assert contains("the red fox", "red") is True
    assert contains("the red fox", "Red") is False
    assert contains("the RED fox", "Red", ignore_case=True) is True
    assert contains("the red fox", ["red", "dog"]) is False
    assert contains("the red fox", ["red", "dog"], need="any") is True
    assert contains(12345, 234) is True
    with pytest.raises(ValueError, match="need='some' must be 'all' or 'any'"):
        contains("x", "x", need="some")


def test_a_regular_expression_searches_or_matches_the_whole():
    assert regex_match("order 4711 is out", pattern=r"\d{4}") is True
    assert regex_match("order 4711 is out", pattern=r"\d{4}", full=True) is False
    assert regex_match("4711", r"\d{4}", full=True) is True
    assert regex_match("ABC", "abc") is False
    assert regex_match("ABC", "abc", ignore_case=True) is True
    assert regex_match({"answer": "x1", "more": 2}, pattern="x.", key="answer") is True
    with pytest.raises(ValueError, match=r"pattern '\(' is no regular expression: missing \)"):
        regex_match("x", pattern="(")


@pytest.mark.parametrize(
    ("outputs", "truth", "message"),
    [
        (None, "x", "outputs must be a text, not None$"),
        ({"a": 1, "b": 2}, "x", "outputs must be a text, not dict; pick one entry with key= or expected_key="),
        ("x", [], "ground_truth is an empty list"),
        ("x", ["x", None], r"ground_truth\[1\] must be a text, not None"),
    ],
)
def test_what_is_no_text_is_told(outputs, truth, message):
    with pytest.raises(ValueError, match=message):
        contains(outputs, truth)
