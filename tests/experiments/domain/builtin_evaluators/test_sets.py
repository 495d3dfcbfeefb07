"""F1 of words and of items."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.domain.builtin_evaluators.sets import set_f1


# compute_f1 of transformers 4.57.6 (data/metrics/squad_metrics.py), run on these.
@pytest.mark.parametrize(
    ("output", "truth", "expected"),
    [
        ("the cat sat on the mat", "a cat sat", 0.6666666666666666),
        ("Denver Broncos", "The Denver Broncos!", 1.0),
        ("", "", 1.0),
        ("", "x", 0.0),
        ("x", "", 0.0),
        ("the", "an", 1.0),
        ("in 1066, William", "William the Conqueror 1066", 0.6666666666666666),
        ("to be or not to be", "to be", 0.5),
    ],
)
def test_the_f1_of_texts_is_squads(output, truth, expected):
    assert set_f1(output, truth) == pytest.approx(expected, abs=1e-15)


def test_the_best_of_several_accepted_texts_counts():
    assert set_f1("the cat", ["a dog", "cat"]) == 1.0


def dice(left: set, right: set) -> float:
    """Sørensen-Dice, which F1 of sets is (Dice 1945)."""
    return 2 * len(left & right) / (len(left) + len(right)) if left or right else 1.0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 6), max_size=6), st.lists(st.integers(0, 6), max_size=6))
def test_the_f1_of_lists_is_the_dice_coefficient_of_their_sets(output, truth):
    assert set_f1(output, truth) == pytest.approx(dice(set(output), set(truth)), abs=1e-15)


def test_items_keep_their_kind():
    assert set_f1([1, 2], [True, 2]) == 0.5
    assert set_f1({"labels": ["a", "b"]}, {"labels": ["b"]}) == pytest.approx(2 / 3, abs=1e-15)
    assert set_f1({"a", "b"}, ["b", "a"]) == 1.0


def test_what_has_no_items_is_told():
    with pytest.raises(ValueError, match="outputs holds a dict; items must be texts, numbers or bools"):
        set_f1([{}], ["a"])
    with pytest.raises(ValueError, match="the output is a list, so ground_truth must be one too, not str"):
        set_f1(["a"], "a")
