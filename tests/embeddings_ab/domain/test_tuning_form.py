"""Searches as people write them: what is read, and which field a refusal names."""

import pytest

from embeddings_ab.domain.tuning_form import read_form, read_tuning, read_values
from governance.domain.errors import InvalidInput


@pytest.mark.parametrize(
    ("axis", "text", "values"),
    [
        ("alpha", "", []),
        ("alpha", "0, 0.25 0.5;1", [0.0, 0.25, 0.5, 1.0]),
        ("alpha", "0 to 1 step 0.1", [round(n / 10, 10) for n in range(11)]),
        ("alpha", "0..1 step .25", [0.0, 0.25, 0.5, 0.75, 1.0]),
        ("alpha", "0.1..0.35 by 0.1", [0.1, 0.2, 0.3]),
        ("depth", "50 to 200 step 50", [50, 100, 150, 200]),
        ("rrf_k", "10 60.0", [10, 60]),
        ("quantisation", "float32, int8", ["float32", "int8"]),
    ],
)
def test_values_are_read(axis, text, values):
    assert read_values(axis, text) == values


@pytest.mark.parametrize(
    ("axis", "text"),
    [
        ("alpha", "a half"),
        ("alpha", "0 to 1 step 0"),
        ("alpha", "1 to 0 step 0.1"),
        ("alpha", "0 to 1 step 0.001"),
        ("alpha", "nan"),
        ("alpha", "1e3"),
        ("depth", "0.5"),
        ("dimensions", "x to 3 step 1"),
    ],
)
def test_bad_values_name_their_axis(axis, text):
    with pytest.raises(InvalidInput) as refused:
        read_values(axis, text)
    assert refused.value.details["field"] == f"grid.{axis}"


def test_a_form_becomes_a_search():
    spec = read_form({"arm": "hybrid", "alpha": "0 0.5 1", "folds": "4", "measure": "R@10"}, ["bm25"])

    assert (spec.arm, spec.measure, spec.folds, spec.repeats) == ("hybrid", "R@10", 4, 5)
    assert spec.grid.alpha == (0.0, 0.5, 1.0)
    assert spec.grid.depth == ()
    assert spec.compare_arms == ("bm25",)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"arm": "hybrid"}, "grid"),
        ({"arm": "hybrid", "grid": {}}, "grid"),
        ({"grid": {"alpha": [0]}}, "arm"),
        ({"arm": "hybrid", "grid": {"alfa": [0]}}, "grid.alfa"),
        ({"arm": "hybrid", "grid": {"alpha": ["x"]}}, "grid.alpha.0"),
        ({"arm": "hybrid", "grid": {"alpha": [0, 1]}, "folds": 1}, "folds"),
        ([], "body"),
        ("x", "body"),
    ],
)
def test_bad_searches_name_their_field(data, field):
    with pytest.raises(InvalidInput) as refused:
        read_tuning(data)
    assert refused.value.details["field"] == field
    assert field in refused.value.message


def test_a_bad_number_of_folds_names_it():
    with pytest.raises(InvalidInput) as refused:
        read_form({"arm": "hybrid", "alpha": "0 1", "folds": "many"}, [])
    assert "folds" in refused.value.message
