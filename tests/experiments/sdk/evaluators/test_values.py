"""What a returned value means as metrics."""

import enum
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments import EvalResult
from experiments.sdk.evaluators.values import metrics_of


class Grade(enum.IntEnum):
    GOOD = 2


class Verdict(str, enum.Enum):  # noqa: UP042 - as older code has it
    YES = "yes"


@pytest.mark.parametrize(
    ("value", "metrics"),
    [
        (True, {"m": True}),
        (0, {"m": 0}),
        (-1.5, {"m": -1.5}),
        ("good", {"m": "good"}),
        (np.float32(0.5), {"m": 0.5}),
        (np.float64(0.1), {"m": 0.1}),
        (np.int8(3), {"m": 3}),
        (np.bool_(True), {"m": True}),
        (np.array(2.0), {"m": 2.0}),
        (np.array([2.0]), {"m": 2.0}),
        (Grade.GOOD, {"m": 2}),
        ([0.5], {"m": 0.5}),
        ((True,), {"m": True}),
        (Verdict.YES, {"m": "yes"}),
        ({"score": 1, "explanation": "e", "n": 2, "by": "x"}, {"m": 1, "m_explanation": "e", "m_n": 2, "m_by": "x"}),
        ({"score": np.int64(2), "explanation": 404}, {"m": 2, "m_explanation": "404"}),
        ({"score": 1, "explanation": None, "cost": None}, {"m": 1}),
        ({"precision": 0.5, "recall": 1}, {"m_precision": 0.5, "m_recall": 1}),
        (MappingProxyType({"score": False, 3: "x"}), {"m": False, "m_3": "x"}),
        (EvalResult(0.5, "judge", reason="r"), {"m": 0.5, "m_reason": "r"}),
    ],
)  # fmt: skip
def test_scalars_dicts_and_results_become_metrics(value, metrics):
    found, problem = metrics_of("m", value)
    assert (found, problem) == (metrics, None)
    assert [type(entry) for entry in found.values()] == [type(entry) for entry in metrics.values()]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "None; return a bool, a number, a text, or a dict with a score"),
        (float("nan"), "nan; a score is finite, so say what an undefined one shall count as"),
        (float("-inf"), "-inf; a score is finite"),
        (np.float32("nan"), "nan; a score is finite"),
        (2**63, "an integer beyond 64 bits; return it as a float"),
        ([1, 2], "a value of type list; return"),
        ([], "a value of type list; return"),
        (np.array([1, 2]), "a value of type ndarray; return"),
        (np.longdouble(1), "a value of type longdouble; return"),
        (object(), "a value of type object; return"),
        ({}, "a dict with nothing in it; return"),
        ({"cost": None}, "a dict with nothing in it; return"),
        ({"score": None}, "None; return"),
        ({"score": {"a": 1}}, "a value of type dict; return"),
    ],
)
def test_everything_else_is_a_mistake_that_names_the_evaluator(value, said):
    metrics, problem = metrics_of("m", value)
    assert metrics == {}
    assert problem.startswith(f"evaluator 'm' returned {said}")


def test_a_usable_score_outlives_an_entry_that_is_not():
    metrics, problem = metrics_of("m", {"score": 1, "raw": {"a": 1}, "bad": float("inf"), "n": 2})
    assert metrics == {"m": 1, "m_n": 2}
    assert problem.startswith("evaluator 'm' returned in 'raw' a value of type dict; return")
    assert "; evaluator 'm' returned in 'bad' inf; a score is finite" in problem


SCALARS = st.one_of(st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.none())


@settings(max_examples=60, deadline=None)
@given(st.one_of(SCALARS, st.lists(SCALARS, max_size=2), st.dictionaries(st.text(max_size=3), SCALARS, max_size=3)))
def test_no_value_is_lost_without_a_word_and_none_makes_it_fail(value):
    metrics, problem = metrics_of("m", value)
    assert metrics or problem
    for entry in metrics.values():
        assert isinstance(entry, bool | int | float | str)
        assert entry == entry
