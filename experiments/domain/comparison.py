"""Two runs side by side: per metric what improved, degraded or stayed, over the datapoints both runs have."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from experiments.domain.thresholds import Direction

MetricKey = tuple[str, str]  # metric name, event name


@dataclass(frozen=True, slots=True)
class ComparedMetric:
    """One metric of two runs. Lists of ids are parts of the common datapoints that have it in both runs."""

    metric_name: str
    metric_type: str
    event_name: str
    event_type: str
    direction: Direction
    old_aggregate: float | None
    new_aggregate: float | None
    improved: list[str] = field(default_factory=list)
    degraded: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    old_values: list[float] = field(default_factory=list)
    new_values: list[float] = field(default_factory=list)

    @property
    def found_count(self) -> int:
        """Common datapoints that have the metric in both runs."""
        return len(self.old_values)

    @property
    def difference(self) -> float | None:
        """new − old; None when either is undefined."""
        if self.old_aggregate is None or self.new_aggregate is None:
            return None
        return self.new_aggregate - self.old_aggregate

    @property
    def percentage_change(self) -> float | None:
        """difference / old × 100; None when undefined, as it is for an old value of 0."""
        difference = self.difference
        return difference / self.old_aggregate * 100 if difference is not None and self.old_aggregate else None

    def as_wire(self) -> dict[str, Any]:
        """The entry of `compare-with`; undefined `difference` and `percentage_change` are left out."""
        entry: dict[str, Any] = {
            "metric_name": self.metric_name,
            "metric_type": self.metric_type,
            "event_name": self.event_name,
            "event_type": self.event_type,
            "direction": self.direction,
            "old_aggregate": self.old_aggregate,
            "new_aggregate": self.new_aggregate,
            "found_count": self.found_count,
            "improved_count": len(self.improved),
            "degraded_count": len(self.degraded),
            "same_count": len(self.same),
            "improved": self.improved,
            "degraded": self.degraded,
            "same": self.same,
            "old_values": self.old_values,
            "new_values": self.new_values,
        }
        for name in ("difference", "percentage_change"):
            if (value := getattr(self, name)) is not None:
                entry[name] = value
        return entry


@dataclass(frozen=True, slots=True)
class Column:
    """One metric of one run: its aggregate and its value at each datapoint (the mean where there are several)."""

    metric_name: str
    metric_type: str
    event_name: str
    event_type: str
    aggregate: float | None
    by_datapoint: Mapping[str, float]
    is_boolean: bool = False


def compare_columns(
    old: Column | None, new: Column | None, *, common: Sequence[str], direction: Direction
) -> ComparedMetric:
    """One metric of two runs; a side that has none leaves aggregates undefined and counts at zero."""
    shown = new or old
    if shown is None:
        raise ValueError("compare_columns() needs at least one side")
    result = ComparedMetric(
        metric_name=shown.metric_name,
        metric_type=shown.metric_type,
        event_name=shown.event_name,
        event_type=shown.event_type,
        direction=direction,
        old_aggregate=old.aggregate if old else None,
        new_aggregate=new.aggregate if new else None,
    )
    if old is None or new is None:
        return result
    # Whole lists at once: runs may have a hundred thousand datapoints.
    found = [
        (key, before, after)
        for key, before, after in zip(
            common, map(old.by_datapoint.get, common), map(new.by_datapoint.get, common), strict=True
        )
        if before is not None and after is not None
    ]
    risen = [key for key, before, after in found if after > before]
    fallen = [key for key, before, after in found if after < before]
    result.improved.extend(fallen if direction == "lower" else risen)
    result.degraded.extend(risen if direction == "lower" else fallen)
    result.same.extend([key for key, before, after in found if after == before])
    result.old_values.extend([before for _, before, _ in found])
    result.new_values.extend([after for _, _, after in found])
    return result


def pair_columns(old: Iterable[Column], new: Iterable[Column]) -> list[tuple[Column | None, Column | None]]:
    """Columns matched on (metric name, event name), chain and session level last.

    The official client keys its dictionary by metric name alone, so the last entry of a name is the one it
    keeps. Where one pair of names stands on two event types, equal types are matched.
    """
    sides: tuple[dict[MetricKey, list[Column]], dict[MetricKey, list[Column]]] = ({}, {})
    for side, columns in zip(sides, (old, new), strict=True):
        for column in columns:
            side.setdefault((column.metric_name, column.event_name), []).append(column)
    pairs: list[tuple[Column | None, Column | None]] = []
    for key in [*sides[1], *(key for key in sides[0] if key not in sides[1])]:
        olds, news = sides[0].get(key, []), sides[1].get(key, [])
        if len(olds) == len(news) == 1:
            pairs.append((olds[0], news[0]))
            continue
        by_type = {column.event_type: column for column in olds}
        pairs.extend((by_type.pop(column.event_type, None), column) for column in news)
        pairs.extend((column, None) for column in by_type.values())
    return sorted(pairs, key=_emission)


def _emission(pair: tuple[Column | None, Column | None]) -> tuple[bool, str, str]:
    column = pair[1] or pair[0]
    if column is None:
        return (False, "", "")
    return (column.event_type in {"chain", "session"}, column.metric_name, column.event_name)


def presence(old: Iterable[tuple[str, str]], new: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """`{event_name, event_type, presence}` of the (name, type) pairs of two runs."""
    olds, news = set(old), set(new)
    return [
        {
            "event_name": name,
            "event_type": kind,
            "presence": "both"
            if (name, kind) in olds and (name, kind) in news
            else "old"
            if (name, kind) in olds
            else "new",
        }
        for name, kind in sorted(olds | news)
    ]
