"""The nine aggregate functions, pinned to values worked out by hand and to the statistics module."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.domain.aggregation import AGGREGATES, aggregate, aggregate_name, percentile
from governance.domain.errors import InvalidInput

VALUES = [3.0, 1.0, 4.0, 1.5, 9.0, 2.5, 6.0]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("average", 27 / 7),
        ("min", 1.0),
        ("max", 9.0),
        ("median", 3.0),
        ("p90", 7.2),  # rank 5.4 of 1, 1.5, 2.5, 3, 4, 6, 9
        ("p95", 8.1),
        ("p99", 8.82),
        ("sum", 27.0),
        ("count", 7.0),
    ],
)
def test_values(name, wanted) -> None:
    assert aggregate(name, VALUES) == pytest.approx(wanted, rel=1e-14)


@pytest.mark.parametrize("name", AGGREGATES)
def test_nothing_is_undefined_but_its_count(name) -> None:
    assert aggregate(name, []) == (0.0 if name == "count" else None)


@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=50))
def test_percentiles_agree_with_the_statistics_module(values) -> None:
    wanted = statistics.quantiles(values, n=100, method="inclusive")

    for q in (50, 90, 95, 99):
        assert percentile(values, q) == pytest.approx(wanted[q - 1], rel=1e-9, abs=1e-6)


def test_overflow_is_undefined() -> None:
    assert aggregate("sum", [1.7e308, 1.7e308]) is None
    assert aggregate("average", [1.7e308, 1.7e308]) is None


def test_sum_does_not_depend_on_order() -> None:
    assert aggregate("sum", [1e16, 1.0, -1e16]) == 1.0 == math.fsum([1.0, 1e16, -1e16])


def test_names() -> None:
    assert aggregate_name(None) == aggregate_name("") == "average"
    with pytest.raises(InvalidInput, match="'mode' is unknown; use one of average, min"):
        aggregate_name("mode")
