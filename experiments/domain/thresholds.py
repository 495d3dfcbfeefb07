"""Pass rules of metrics, in their order of priority, and the direction in which a metric is better.

Every rule comes down to a closed interval, because values are numbers and booleans count as 1 and 0:
1. the run's `metadata.passing_ranges[name]`; 2. the project metric's threshold `min`/`max`; 3. its
`pass_when`; for boolean metrics true by default once a threshold is declared; 4. no rule: everything passes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Direction = Literal["higher", "lower"]


class Interval(NamedTuple):
    """Inclusive bounds; None is open."""

    min: float | None = None
    max: float | None = None

    @property
    def bounds(self) -> tuple[float, float]:
        """Bounds as numbers, infinite where open."""
        return (-math.inf if self.min is None else self.min, math.inf if self.max is None else self.max)

    def holds(self, value: float) -> bool:
        """Whether `value` passes."""
        low, high = self.bounds
        return low <= value <= high

    def as_wire(self) -> dict[str, float]:
        """`{min?, max?}`: bounds that are open are left out."""
        return {name: bound for name, bound in (("min", self.min), ("max", self.max)) if bound is not None}


@dataclass(frozen=True, slots=True)
class MetricRule:
    """What a project metric says about values of its name; `filters` are `{field, operator, value}` objects."""

    name: str
    type: str
    return_type: str = "float"
    direction: Direction = "higher"
    threshold: Mapping[str, Any] | None = None
    categories: Sequence[Mapping[str, Any]] = ()
    child_metrics: Sequence[Mapping[str, Any]] = ()
    criteria: str = ""
    filters: Sequence[Mapping[str, Any]] = ()


def number(value: Any) -> float | None:
    """A finite number, booleans as 1 and 0; None for anything else."""
    if not isinstance(value, int | float):
        return None
    try:
        as_float = float(value)
    except OverflowError:
        return None
    return as_float if math.isfinite(as_float) else None


def interval_of(raw: Any) -> Interval | None:
    """The interval of a `{min?, max?}` object; None when neither bound is a number."""
    if not isinstance(raw, Mapping):
        return None
    low, high = number(raw.get("min")), number(raw.get("max"))
    return None if low is None and high is None else Interval(low, high)


def applies_to(filters: Sequence[Mapping[str, Any]], *, event_name: str, event_type: str) -> bool:
    """Whether a metric's filters let it judge events of this name and type.

    Only conditions on name and type can be decided for a whole column of values; others do not restrict.
    """
    found = {"event_name": event_name, "event_type": event_type}
    for item in filters:
        field, operator, wanted = item.get("field"), item.get("operator"), item.get("value")
        if field not in found:
            continue
        actual = found[str(field)]
        tests = {
            "is": actual == wanted,
            "is not": actual != wanted,
            "contains": str(wanted) in actual,
            "not contains": str(wanted) not in actual,
            "exists": True,
            "not exists": False,
        }
        if not tests.get(str(operator), True):
            return False
    return True


def passing_interval(
    name: str, *, event_name: str, event_type: str, passing_ranges: Any, metric: MetricRule | None
) -> Interval | None:
    """The interval in which values pass, by the order of priority; None when there is no rule."""
    if isinstance(passing_ranges, Mapping) and (own := interval_of(passing_ranges.get(name))) is not None:
        return own
    if metric is None or not isinstance(metric.threshold, Mapping):
        return None
    # A composite's filters choose the events of its children, not its own place at session level.
    if metric.type != "COMPOSITE" and not applies_to(metric.filters, event_name=event_name, event_type=event_type):
        return None
    if (declared := interval_of(metric.threshold)) is not None:
        return declared
    wanted = number(metric.threshold.get("pass_when"))
    if wanted is None and metric.return_type == "boolean":
        wanted = 1.0
    return None if wanted is None else Interval(wanted, wanted)


def category_passes(metric: MetricRule, category: str) -> tuple[float | None, bool]:
    """(score, passed) of a categorical value: by `passing_categories`, else by the score inside min and max."""
    score = next((number(item.get("score")) for item in metric.categories if item.get("category") == category), None)
    threshold = metric.threshold if isinstance(metric.threshold, Mapping) else {}
    passing = threshold.get("passing_categories")
    if isinstance(passing, Sequence) and not isinstance(passing, str) and passing:
        return score, category in passing
    interval = interval_of(threshold)
    if interval is None:
        return score, True
    return score, score is not None and interval.holds(score)


def direction_of(name: str, *overrides: Any, metric: MetricRule | None) -> Direction:
    """`higher` or `lower`: the first of the runs' `metric_directions` that names it, else the project metric's."""
    for override in overrides:
        said = override.get(name) if isinstance(override, Mapping) else None
        if said == "higher" or said == "lower":
            return "higher" if said == "higher" else "lower"
    return metric.direction if metric is not None else "higher"
