"""Changes of level in a series: where they are found, against an enumeration, and where nothing may be found."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.domain.statistics.change_points import ChangePoint, Point, change_points


def series(values: list[float]) -> list[Point]:
    return [Point(value) for value in values]


STEP = [0.70, 0.72, 0.71, 0.70, 0.72, 0.80, 0.82, 0.81, 0.80, 0.79]


def test_a_step_is_found_with_the_levels_around_it() -> None:
    (found,) = change_points(series(STEP), seed=1)
    assert found.position == 5
    assert (found.before, found.after) == (pytest.approx(0.71), pytest.approx(0.804))
    assert found.p < 0.02
    assert found.to_json()["position"] == 5


def test_p_is_that_of_the_enumeration_of_all_orders() -> None:
    values = [0.1, 0.2, 0.1, 0.3, 0.5, 0.7, 0.6, 0.8]

    def highest(order: tuple[float, ...]) -> float:
        # Windows of eight: all, then layers of 6, 4 and (2.83 + rounding) 4 as the paper's seeded intervals.
        windows = [(0, 8), (0, 6), (1, 7), (2, 8), (0, 4), (2, 6), (4, 8)]
        heights = []
        for start, end in windows:
            for split in range(start + 2, end - 1):
                left, right = order[start:split], order[split:end]
                gap = abs(sum(right) / len(right) - sum(left) / len(left))
                heights.append(gap * (len(left) * len(right) / (end - start)) ** 0.5)
        return max(heights)

    observed = highest(tuple(values))
    orders = list(itertools.permutations(values))[::7]
    exact = sum(highest(order) >= observed - 1e-9 for order in orders) / len(orders)
    (found,) = change_points(series(values), seed=1, alpha=0.2, draws=9_999)
    assert found.p == pytest.approx(exact, abs=0.01)


def test_a_level_that_came_and_went_is_found() -> None:
    generator = np.random.default_rng(3)
    values = generator.normal(0.7, 0.01, size=40)
    values[15:24] += 0.04
    found = change_points(series(values.tolist()), seed=2)
    assert [change.position for change in found] == [15, 24]
    assert found[0].after == found[1].before == pytest.approx(0.74, abs=0.01)


def test_one_odd_run_is_no_change_and_two_at_the_end_may_be() -> None:
    steady = np.random.default_rng(4).normal(0.7, 0.005, size=20).tolist()
    for odd in range(21):
        assert change_points(series([*steady[:odd], 0.9, *steady[odd:]]), seed=3) == []
    (found,) = change_points(series([*steady, 0.6, 0.61]), seed=3)
    assert found.position == 20


@pytest.mark.parametrize("points", [[], series([0.5]), series([0.5] * 30), series([0.1, 0.1, 0.9, 0.9, 0.9, 0.9, 0.9])])
def test_too_few_runs_and_equal_ones_have_no_change(points: list[Point]) -> None:
    assert change_points(points, seed=1) == []


def test_equal_runs_with_their_counts_have_no_change() -> None:
    assert change_points([Point(1.0, 30, 0.0)] * 12, seed=1) == []


def test_small_runs_weigh_less() -> None:
    """Six small runs above the level of large ones that scatter by as much as chance allows for their size."""
    large = [Point(value, 400, 0.5) for value in [0.70, 0.73, 0.67, 0.71, 0.74, 0.69, 0.66, 0.70]]
    small = [0.80, 0.90, 0.85, 0.80, 0.90, 0.80]
    assert [
        change.position for change in change_points([*large, *(Point(value, 400, 0.5) for value in small)], seed=5)
    ] == [8]
    assert change_points([*large, *(Point(value, 4, 0.5) for value in small)], seed=5) == []
    assert change_points([*large, *(Point(value, 4) for value in small)], seed=5) == []


def test_the_same_seed_gives_the_same_answer() -> None:
    values = np.random.default_rng(6).normal(size=25).cumsum().tolist()
    first = change_points(series(values), seed=8)
    assert first == change_points(series(values), seed=8)
    assert first


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 20), min_size=8, max_size=20), st.sampled_from([2.0**-40, 0.25, 1024.0]), st.booleans())
def test_units_do_not_matter_and_levels_are_means(values: list[int], unit: float, is_weighted: bool) -> None:
    count = 50 if is_weighted else None
    points = [Point(float(value), count) for value in values]
    found = change_points(points, seed=1, draws=99)
    scaled = change_points([Point(value * unit, count) for value in values], seed=1, draws=99)
    assert [(change.position, change.p) for change in found] == [(change.position, change.p) for change in scaled]
    edges = [0, *(change.position for change in found), len(values)]
    assert all(after - before >= 2 for before, after in itertools.pairwise(edges))
    for change, (start, middle), (_, end) in zip(
        found, itertools.pairwise(edges), itertools.pairwise(edges[1:]), strict=False
    ):
        assert isinstance(change, ChangePoint)
        assert change.before == pytest.approx(sum(values[start:middle]) / (middle - start))
        assert change.after == pytest.approx(sum(values[middle:end]) / (end - middle))


@pytest.mark.parametrize(
    ("points", "options", "message"),
    [
        ([Point(float("nan"))], {}, "needs a finite value"),
        ([Point(1.0, 0)], {}, "count of a run must be at least 1, got 0"),
        ([Point(1.0, 2, -1.0)], {}, "must be a finite number from 0, got -1.0"),
        ([Point(1.0)], {"alpha": 0.0}, "alpha must lie between 0 and 1"),
        ([Point(1.0)], {"draws": 0}, "draws must be at least 1"),
    ],
)
def test_bad_input_is_named(points: list[Point], options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        change_points(points, seed=1, **options)
