"""Composite metrics: one score out of the scores of child metrics, per session."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from experiments.domain.event_row import MAX_KEY
from experiments.domain.thresholds import MetricRule, number


class CompositeFunction(StrEnum):
    """How children are combined; stored by name in the metric's `criteria`, for want of a field on the wire."""

    WEIGHTED_AVERAGE = "weighted average"
    WEIGHTED_SUM = "weighted sum"
    HIERARCHICAL = "hierarchical highest true"
    MINIMUM = "minimum"
    MAXIMUM = "maximum"


WEIGHTED = frozenset({CompositeFunction.WEIGHTED_AVERAGE, CompositeFunction.WEIGHTED_SUM})
_SHORT = {"min": CompositeFunction.MINIMUM, "max": CompositeFunction.MAXIMUM}


@dataclass(frozen=True, slots=True)
class Child:
    """A child metric and its weight (for the hierarchical function: its priority, low first)."""

    name: str
    weight: float


def function_of(criteria: str) -> CompositeFunction | None:
    """The function that `criteria` names, in any case and with `-` or `_` for blanks; None for no known name."""
    words = re.sub(r"[\s_-]+", " ", criteria).strip().lower()
    if words in _SHORT:
        return _SHORT[words]
    return next((function for function in CompositeFunction if function.value == words), None)


def children_of(raw: Sequence[Mapping[str, Any]]) -> list[Child]:
    """Child metrics as stored; entries without a name are skipped, a missing weight is 1."""
    found = []
    for item in raw:
        weight = number(item.get("weight", 1))
        if isinstance(item.get("name"), str) and weight is not None:
            found.append(Child(item["name"], weight))
    return found


def composites_of_run(metadata: Mapping[str, Any]) -> list[MetricRule]:
    """Composite metrics that a run states for itself, in `composites` of its metadata.

    Like every rule of a run they are free text of a client: entries that make no sense are skipped, the first of
    a name counts.
    """
    stated = metadata.get("composites")
    rules: dict[str, MetricRule] = {}
    for item in stated if isinstance(stated, list) else ():
        if not isinstance(item, Mapping):
            continue
        name, criteria, children = item.get("name"), item.get("criteria"), item.get("child_metrics")
        if not (isinstance(criteria, str) and function_of(criteria) is not None):
            continue
        if isinstance(name, str) and 0 < len(name) <= MAX_KEY and isinstance(children, list):
            kept = [child for child in children if isinstance(child, Mapping)]
            rules.setdefault(name, MetricRule(name, "COMPOSITE", criteria=criteria, child_metrics=kept))
    return list(rules.values())


def composite(function: CompositeFunction, children: Iterable[Child], scores: Mapping[str, float]) -> float | None:
    """The composite over children that have a score; None when none has, or it is no finite number.

    For the hierarchical function children are taken by ascending weight; the result is the weight of the last
    one of the unbroken run of true children from the start, 0 if the first is false. A child without a score
    ends the run.
    """
    known = [child for child in children if child.name in scores]
    if not known:
        return None
    if function is CompositeFunction.MINIMUM:
        return min(scores[child.name] for child in known)
    if function is CompositeFunction.MAXIMUM:
        return max(scores[child.name] for child in known)
    if function is CompositeFunction.HIERARCHICAL:
        return _highest_true(children, scores)
    try:
        total = math.fsum(scores[child.name] * child.weight for child in known)
        weight = math.fsum(child.weight for child in known)
    except (OverflowError, ValueError):  # beyond all numbers, to both sides perhaps
        return None
    found = total if function is CompositeFunction.WEIGHTED_SUM else total / weight if weight else math.nan
    return found if math.isfinite(found) else None


def _highest_true(children: Iterable[Child], scores: Mapping[str, float]) -> float:
    reached = 0.0
    for child in sorted(children, key=lambda child: child.weight):
        if not scores.get(child.name):
            break
        reached = child.weight
    return reached
