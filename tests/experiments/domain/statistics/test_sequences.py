"""Always-valid intervals against a plain implementation of the paper, and what must hold at every look."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.domain.statistics.sequences import (
    AlwaysValidInterval,
    always_valid_difference,
    always_valid_interval,
    finished_prefix,
)

UNIT = (0.0, 1.0)
VALUES = st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=40)


def capital_sequence(values: list[float], population: int, alpha: float, grid: int) -> list[set[int]]:
    """Numerators of the means k / grid not yet refuted after each value, one bet after the other.

    Waudby-Smith and Ramdas 2024, hedged capital for sampling without replacement: each bet of its own m, the larger
    of both halves of the capital against 1 / alpha, and the running intersection.
    """
    open_ = set(range(grid + 1))
    up, down = dict.fromkeys(open_, 1.0), dict.fromkeys(open_, 1.0)
    total, squares, variance = 0.0, 0.0, 0.25
    sequence = []
    for t, value in enumerate(values, start=1):
        bet = math.sqrt(2 * math.log(2 / alpha) / (variance * t * math.log(t + 1)))
        for k in list(open_):
            mean = (population * k / grid - total) / (population - t + 1)
            if mean < -1e-12 or mean > 1 + 1e-12:
                open_.discard(k)  # the values seen exclude it
                continue
            up[k] *= 1 + min(bet, 0.5 / max(mean, 1e-12)) * (value - mean)
            down[k] *= 1 - min(bet, 0.5 / max(1 - mean, 1e-12)) * (value - mean)
            if max(up[k], down[k]) / 2 >= 1 / alpha:
                open_.discard(k)
        total += value
        squares += (value - (0.5 + total) / (t + 1)) ** 2
        variance = (0.25 + squares) / (t + 1)
        # What is left can add between 0 and 1 each.
        open_ = {k for k in open_ if total - 1e-9 <= population * k / grid <= total + population - t + 1e-9}
        sequence.append(set(open_))
    return sequence


@pytest.mark.parametrize("kind", ["beta", "binary", "high", "constant"])
def test_bounds_are_those_of_the_plain_implementation(kind: str) -> None:
    generator = np.random.default_rng(len(kind))
    population, grid = 80, 2_000
    values = {
        "beta": generator.beta(2, 3, size=population),
        "binary": generator.integers(0, 2, size=population).astype(float),
        "high": 1 - generator.beta(1, 20, size=population),
        "constant": np.full(population, 0.3),
    }[kind].tolist()
    sequence = capital_sequence(values, population, 0.05, grid)
    for finished in (1, 5, 20, 41, 60, 79):
        found = always_valid_interval(values[:finished], population=population, bounds=UNIT)
        theirs = sequence[finished - 1]
        assert found.low == pytest.approx(min(theirs) / grid, abs=1.01 / grid)
        assert found.high == pytest.approx(max(theirs) / grid, abs=1.01 / grid)
        assert theirs == set(range(min(theirs), max(theirs) + 1))  # an interval, without gaps


def at(values: list[float | None], finished: int) -> AlwaysValidInterval:
    return always_valid_interval(values[:finished], population=len(values), bounds=UNIT)


@settings(deadline=None, max_examples=60)
@given(VALUES, st.data())
def test_intervals_shrink_and_end_in_the_mean(values: list[float], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(values)))
    second = data.draw(st.integers(first, len(values)))
    early, late, end = at(list(values), first), at(list(values), second), at(list(values), len(values))
    mean = math.fsum(values) / len(values)
    assert 0 <= early.low <= early.high <= 1
    if second < len(values):  # the last look is the mean itself
        assert early.low - 1e-6 <= late.low
        assert late.high <= early.high + 1e-6
    assert (end.low, end.high) == (pytest.approx(mean), pytest.approx(mean))
    assert end.is_final
    assert end.estimate == pytest.approx(mean)


@settings(deadline=None, max_examples=60)
@given(VALUES, st.integers(0, 40), st.floats(-5, 5), st.floats(0.1, 10))
def test_units_and_direction_do_not_matter(values: list[float], more: int, shift: float, scale: float) -> None:
    population = len(values) + more
    found = always_valid_interval(values, population=population, bounds=UNIT)
    mirrored = always_valid_interval([1 - value for value in values], population=population, bounds=UNIT)
    assert mirrored.low == pytest.approx(1 - found.high, abs=1e-6)
    top = shift + scale
    moved = always_valid_interval(
        [min(top, shift + scale * value) for value in values], population=population, bounds=(shift, top)
    )
    assert (moved.low - shift) / scale == pytest.approx(found.low, abs=1e-5)
    assert (moved.high - shift) / scale == pytest.approx(found.high, abs=1e-5)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1, allow_subnormal=False)), min_size=1, max_size=40), st.integers(0, 20)
)
def test_units_without_score_widen_it_to_all_they_might_have_been(values: list[float | None], more: int) -> None:
    population = len(values) + more
    found = always_valid_interval(values, population=population, bounds=UNIT)
    lowest = always_valid_interval([value or 0.0 for value in values], population=population, bounds=UNIT)
    highest = always_valid_interval(
        [1.0 if value is None else value for value in values], population=population, bounds=UNIT
    )
    assert found.low == pytest.approx(lowest.low)
    assert found.high == pytest.approx(max(highest.high, lowest.low))
    assert found.unscored == sum(value is None for value in values)
    assert found.finished == len(values)


def test_before_the_first_value_nothing_is_known() -> None:
    found = always_valid_interval([], population=10, bounds=(1.0, 5.0))
    assert (found.low, found.high, found.estimate, found.is_final) == (1.0, 5.0, None, False)
    assert found.to_json()["method"] == "betting_without_replacement"
    assert found.to_json()["bounds"] == [1.0, 5.0]


def test_the_interval_is_wider_than_the_plain_one_and_not_much() -> None:
    values = np.random.default_rng(3).beta(3, 2, size=1_000)
    for finished in (50, 200, 500, 900):
        found = always_valid_interval(values[:finished].tolist(), population=1_000, bounds=UNIT)
        error = values[:finished].std(ddof=1) / math.sqrt(finished) * math.sqrt(1 - finished / 1_000)
        assert 1.1 < (found.high - found.low) / (2 * 1.96 * error) < 4


def test_paired_differences_are_bounded_by_the_distance_of_the_bounds() -> None:
    generator = np.random.default_rng(4)
    control = generator.uniform(size=200)
    arm = np.clip(control + generator.normal(0.2, 0.1, size=200), 0, 1)
    found = always_valid_difference(control[:120].tolist(), arm[:120].tolist(), population=200, bounds=UNIT)
    same = always_valid_interval((arm - control)[:120].tolist(), population=200, bounds=(-1.0, 1.0))
    assert (found.low, found.high, found.bounds) == (same.low, same.high, (-1.0, 1.0))
    assert found.low > 0.1
    end = always_valid_difference(control.tolist(), arm.tolist(), population=200, bounds=UNIT)
    assert end.low == end.high == pytest.approx((arm - control).mean())


def test_a_side_without_score_may_have_had_any_value() -> None:
    found = always_valid_difference([0.2, None, 0.5], [0.3, 0.4, None], population=3, bounds=UNIT)
    assert (found.low, found.high) == (
        pytest.approx((0.1 + (0.4 - 1) + (0 - 0.5)) / 3),
        pytest.approx((0.1 + (0.4 - 0) + (1 - 0.5)) / 3),
    )
    assert (found.unscored, found.estimate, found.is_final) == (2, pytest.approx(0.1), True)


def test_a_hundred_thousand_values_take_a_fraction_of_a_second() -> None:
    values = np.random.default_rng(5).beta(3, 2, size=100_000).tolist()
    always_valid_interval(values[:1_000], population=100_000, bounds=UNIT)
    start = time.process_time()
    found = always_valid_interval(values[:99_000], population=100_000, bounds=UNIT)
    assert time.process_time() - start < 1.0  # 0.1 s on a quiet machine
    assert found.low < 0.6 < found.high


@pytest.mark.parametrize(("ended", "count"), [([], 0), ([False, True], 0), ([True, True, False, True], 2), ([True], 1)])
def test_the_prefix_ends_at_the_first_gap(ended: list[bool], count: int) -> None:
    assert finished_prefix(iter(ended)) == count


@pytest.mark.parametrize(
    ("values", "population", "bounds", "level", "message"),
    [
        ([0.5, 1.2], 10, UNIT, 0.95, "must lie within the declared bounds 0 to 1"),
        ([float("inf")], 10, UNIT, 0.95, "must lie within the declared bounds"),
        ([0.5], 10, (1.0, 0.0), 0.95, "two ascending finite numbers"),
        ([0.5], 10, (0.0, float("inf")), 0.95, "two ascending finite numbers"),
        ([0.5, 0.5], 1, UNIT, 0.95, "2 values of a population of 1"),
        ([], 0, UNIT, 0.95, "population of 0"),
        ([0.5], 10, UNIT, 1.0, "level must lie between 0 and 1"),
    ],
)
def test_bad_input_is_named(
    values: list[float], population: int, bounds: tuple[float, float], level: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        always_valid_interval(values, population=population, bounds=bounds, level=level)


def test_sides_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="must pair up, got 1 and 2"):
        always_valid_difference([0.5], [0.5, 0.5], population=5, bounds=UNIT)
