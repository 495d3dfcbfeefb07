"""The nine aggregate functions of a run's result. Pure; percentiles by linear interpolation (Hyndman-Fan type 7)."""

import math
from collections.abc import Callable, Sequence

from governance.domain.errors import InvalidInput

Numbers = Sequence[float]


def average(values: Numbers) -> float | None:
    """Arithmetic mean; None for no values. `fsum`, so that the order of values does not matter."""
    return math.fsum(values) / len(values) if len(values) else None


def percentile(values: Numbers, q: float) -> float | None:
    """The `q`-th percentile (0..100) by linear interpolation between closest ranks; None for no values."""
    if not len(values):
        return None
    ordered = sorted(values)
    position = (len(ordered) - 1) * q / 100
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    weight = position - below
    if weight == 0 or ordered[below] == ordered[above]:
        return ordered[below]
    return ordered[below] * (1 - weight) + ordered[above] * weight


AGGREGATES: dict[str, Callable[[Numbers], float | None]] = {
    "average": average,
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
    "median": lambda values: percentile(values, 50),
    "p90": lambda values: percentile(values, 90),
    "p95": lambda values: percentile(values, 95),
    "p99": lambda values: percentile(values, 99),
    "sum": lambda values: math.fsum(values) if len(values) else None,
    "count": lambda values: float(len(values)),
}
DEFAULT_AGGREGATE = "average"


def aggregate_name(text: str | None) -> str:
    """The wire's name of an aggregate function, the default for none; unknown names are refused."""
    name = text or DEFAULT_AGGREGATE
    if name not in AGGREGATES:
        raise InvalidInput(
            f"Field 'aggregate_function': {name[:100]!r} is unknown; use one of {', '.join(AGGREGATES)}.",
            field="aggregate_function",
            value=name[:100],
        )
    return name


def aggregate(name: str, values: Numbers) -> float | None:
    """`values` aggregated; None where that is undefined or not a finite number."""
    try:
        number = AGGREGATES[name](values)
    except OverflowError:
        return None
    return number if number is not None and math.isfinite(number) else None
