"""Percentiles against numpy, and the order of measuring."""

import random
from collections import Counter

import numpy as np
import pytest

from embeddings_ab.domain.latency import PERCENTILES, interleaved, percentile, percentiles


@pytest.mark.parametrize("count", [1, 2, 3, 19, 20, 99, 100, 101, 200])
def test_percentiles_are_nearest_ranks_as_numpy_has_them(count):
    draw = random.Random(count)
    values = [draw.choice([draw.random(), 0.5]) for _ in range(count)]
    for percent in range(1, 101):
        enough = [value for value in values if sum(other <= value for other in values) * 100 >= percent * count]
        assert percentile(values, percent) == min(enough)
    for percent in PERCENTILES:  # numpy's product 0.07 * 100 is above 7: not for every percentage
        assert percentile(values, percent) == np.percentile(values, percent, method="inverted_cdf")


def test_figures_of_a_step():
    assert percentiles([None, 4.0, 1.0, 2.0, None, 3.0]) == {"p50": 2.0, "p95": 4.0, "p99": 4.0, "mean": 2.5, "n": 4}
    assert percentiles([None]) == {"p50": None, "p95": None, "p99": None, "mean": None, "n": 0}


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], 0), ([1.0], 101), ([float("nan")], 50)])
def test_no_percentile_of_nothing(values, percent):
    with pytest.raises(ValueError, match="no percentile"):
        percentile(values, percent)


def test_every_pair_is_measured_once_and_arms_take_turns():
    order = interleaved(4, 50, seed=7)
    assert Counter(order) == {(arm, query): 1 for arm in range(4) for query in range(50)}
    blocks = [order[at : at + 4] for at in range(0, 200, 4)]
    assert all(len({query for _, query in block}) == 1 for block in blocks)
    first = Counter(block[0][0] for block in blocks)
    assert set(first) == {0, 1, 2, 3}  # no arm always goes first, when caches are cold
    assert [block[0][1] for block in blocks] != list(range(50))


def test_the_seed_alone_decides_the_order():
    assert interleaved(3, 20, seed=1) == interleaved(3, 20, seed=1) != interleaved(3, 20, seed=2)
    assert interleaved(0, 5, seed=1) == interleaved(5, 0, seed=1) == []
