"""Which queries the latency step times, in what order, and what it reports. Plain Python."""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SAMPLE_LIMIT = 200
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class LatencySummary:
    """Percentiles and mean in the unit of what was measured, and the number of measurements."""

    p50: float
    p95: float
    p99: float
    mean: float
    n: int


def percentile(values: Sequence[float], percent: int) -> float:
    """Nearest rank: the smallest value that at least `percent` % of the values do not exceed.

    Equal to numpy's method "inverted_cdf"; always a value that was measured. Raises ValueError for no values, a
    percentage outside 1..100 or NaN.
    """
    if not values or not 1 <= percent <= 100 or any(math.isnan(value) for value in values):
        raise ValueError(f"no percentile {percent} of {len(values)} values")
    return sorted(values)[-(-percent * len(values) // 100) - 1]


def summarise(values: Iterable[float | None]) -> LatencySummary | None:
    """Summary of what was measured; None leaves a measurement out, and no measurement at all gives None."""
    measured = [value for value in values if value is not None]
    if not measured:
        return None
    p50, p95, p99 = (percentile(measured, percent) for percent in PERCENTILES)
    return LatencySummary(p50, p95, p99, math.fsum(measured) / len(measured), len(measured))


def sample_queries(queries: Iterable[str], *, seed: int, limit: int = SAMPLE_LIMIT) -> list[str]:
    """At most `limit` queries (never more than SAMPLE_LIMIT), drawn by the seed whatever order they come in."""
    known = sorted(set(queries))
    return sorted(random.Random(seed).sample(known, min(limit, SAMPLE_LIMIT, len(known))))  # noqa: S311 - no secret


def interleaved(arms: Sequence[str], queries: Sequence[str], *, seed: int) -> list[tuple[str, str]]:
    """Every (arm, query) pair once: queries in random order, and for each of them the arms in random order.

    So a machine that grows slower meanwhile slows every arm alike. The order follows from the seed alone.
    """
    draw = random.Random(seed)  # noqa: S311 - no secret
    order: list[tuple[str, str]] = []
    for query in draw.sample(sorted(queries), len(queries)):
        order.extend((arm, query) for arm in draw.sample(sorted(arms), len(arms)))
    return order
