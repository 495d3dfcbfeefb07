"""In what order the latency step times queries, and what it reports. Plain Python."""

import math
import random
from collections.abc import Iterable, Sequence

PERCENTILES = (50, 95, 99)


def percentile(values: Sequence[float], percent: int) -> float:
    """Nearest rank: the smallest value that at least `percent` % of the values do not exceed.

    Equal to numpy's method "inverted_cdf"; always a value that was measured. Raises ValueError for no values, a
    percentage outside 1..100 or NaN.
    """
    if not values or not 1 <= percent <= 100 or any(math.isnan(value) for value in values):
        raise ValueError(f"no percentile {percent} of {len(values)} values")
    return sorted(values)[-(-percent * len(values) // 100) - 1]


def percentiles(values: Iterable[float | None]) -> dict[str, float | int | None]:
    """p50, p95, p99 and mean, in the unit of `values`, and n, their number; all but n None without a value.

    None among the values is a measurement that does not count.
    """
    measured = [value for value in values if value is not None]
    figures: dict[str, float | int | None] = {
        f"p{percent}": percentile(measured, percent) if measured else None for percent in PERCENTILES
    }
    return figures | {"mean": math.fsum(measured) / len(measured) if measured else None, "n": len(measured)}


def interleaved(arms: int, queries: int, *, seed: int) -> list[tuple[int, int]]:
    """Every (arm, query) pair of numbers once: queries in random order, for each of them the arms in random order.

    So a machine that grows slower meanwhile slows every arm alike. The order follows from the seed alone.
    """
    draw = random.Random(seed)  # noqa: S311 - no secret
    order: list[tuple[int, int]] = []
    for query in draw.sample(range(queries), queries):
        order.extend((arm, query) for arm in draw.sample(range(arms), arms))
    return order
