"""How numbers are written for people."""

import pytest

from experiments.domain.statistics.sentences import count_of, declared, p_text, rounded


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (1e-13, "0"), (0.0583, "0.058"), (-0.0304, "-0.030"), (0.00234, "0.0023"), (0.0000123, "0.000012"),
        (1.0, "1.000"), (12.34, "12.3"), (1234.5, "1234"), (-250.0, "-250"),
    ],
)  # fmt: skip
def test_rounded(value: float, text: str) -> None:
    assert rounded(value) == text


def test_declared_numbers_stay_as_written() -> None:
    assert [declared(0.02), declared(5.0), declared(0.125)] == ["0.02", "5", "0.125"]


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (1.0, "p = 1.000"),
        (0.0184, "p = 0.018"),
        (0.00001, "p = 0.00001"),
        (0.00032, "p = 0.00032"),
        (1e-9, "p < 0.00001"),
    ],
)
def test_p_is_never_zero(p: float, text: str) -> None:
    assert p_text(p) == text


def test_counts() -> None:
    assert [count_of(1, "queries"), count_of(2_000, "queries"), count_of(1, "datapoints")] == [
        "1 query",
        "2,000 queries",
        "1 datapoint",
    ]
