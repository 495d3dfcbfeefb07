"""The demo's own arithmetic: every figure the server will report, computed from the recorded outputs alone.

Shares no code with the server: percentiles come from the standard library (`statistics`, inclusive method, which is
linear interpolation), the pass rules and the comparison are written out below. Figures are plain dictionaries so that
one `differences` compares any of them with what the server answered.
"""

import asyncio
import inspect
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from examples.demo.evaluators import EVALUATORS


def percentile(values: list[float], percent: int) -> float:
    """The percentile by linear interpolation between the two nearest ranks."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


AGGREGATES: dict[str, Callable[[list[float]], float]] = {
    "average": statistics.fmean,
    "min": min,
    "max": max,
    "median": statistics.median,
    "p90": lambda values: percentile(values, 90),
    "p95": lambda values: percentile(values, 95),
    "p99": lambda values: percentile(values, 99),
    "sum": math.fsum,
    "count": len,
}


@dataclass(frozen=True)
class Rule:
    """How a metric of the project is judged: inclusive bounds, and whether less is better."""

    minimum: float | None = None
    maximum: float | None = None
    lower_is_better: bool = False

    def passes(self, value: float) -> bool:
        """True when the value lies between the bounds; a missing bound is open."""
        return (self.minimum is None or value >= self.minimum) and (self.maximum is None or value <= self.maximum)


# Metrics without an entry have no rule: each of their values passes, and higher is better.
RULES = {
    "f1": Rule(minimum=0.75),
    "f1_missed": Rule(lower_is_better=True),
    "wrong_facts": Rule(maximum=1, lower_is_better=True),
}


@dataclass(frozen=True)
class Recorded:
    """What the task did with one datapoint: its output, or the error's text."""

    outputs: dict[str, list[str]] | None = None
    error: str | None = None


def scores_of(outputs: dict[str, list[str]], datapoint: dict[str, Any]) -> dict[str, float]:
    """The numbers of all evaluators for one output: `None` and texts leave no metric, extras get `<name>_<key>`."""
    scores: dict[str, float] = {}
    for evaluator in EVALUATORS:
        raw = evaluator(outputs, datapoint["inputs"], datapoint["ground_truth"])
        answer = asyncio.run(raw) if inspect.iscoroutine(raw) else raw
        parts = answer if isinstance(answer, dict) else {"score": answer}
        for key, value in parts.items():
            if isinstance(value, int | float):
                scores[evaluator.__name__ if key == "score" else f"{evaluator.__name__}_{key}"] = value
    return scores


def run_figures(datapoints: list[dict[str, Any]], recorded: dict[str, Recorded]) -> dict[str, Any]:
    """What `GET /v1/runs/{id}/result` must say of a run, under every aggregate function.

    `recorded` is keyed by the datapoint's id. A datapoint that raised has no scores and has failed.
    """
    rows: dict[str, Any] = {}
    for datapoint in datapoints:
        record = recorded[datapoint["id"]]
        scores = scores_of(record.outputs, datapoint) if record.outputs is not None else {}
        judged = all(RULES.get(name, Rule()).passes(value) for name, value in scores.items())
        rows[f"EXT-{datapoint['id']}"] = {"scores": scores, "passed": record.error is None and judged}
    metrics: dict[str, Any] = {}
    for name in sorted({name for row in rows.values() for name in row["scores"]}):
        values = {key: row["scores"][name] for key, row in rows.items() if name in row["scores"]}
        rule = RULES.get(name, Rule())
        metrics[name] = {
            "values": sorted(values.values()),
            "passed": sorted(key for key, value in values.items() if rule.passes(value)),
            "failed": sorted(key for key, value in values.items() if not rule.passes(value)),
            "aggregates": {function: compute(list(values.values())) for function, compute in AGGREGATES.items()},
        }
    return {
        "success": all(row["passed"] for row in rows.values()),
        "passed": sorted(key for key, row in rows.items() if row["passed"]),
        "failed": sorted(key for key, row in rows.items() if not row["passed"]),
        "metrics": metrics,
        "datapoints": rows,
    }


def comparison_figures(old: dict[str, Any], new: dict[str, Any], function: str) -> dict[str, Any]:
    """What `compare-with` must say of two runs' figures under one aggregate function."""
    common = sorted(set(old["datapoints"]) & set(new["datapoints"]))
    metrics = {}
    for name in sorted(set(old["metrics"]) | set(new["metrics"])):
        sign = -1 if RULES.get(name, Rule()).lower_is_better else 1
        moves: dict[str, list[str]] = {"improved": [], "degraded": [], "same": []}
        for key in common:
            before, after = (run["datapoints"][key]["scores"].get(name) for run in (old, new))
            if before is not None and after is not None:
                change = (after - before) * sign
                moves["improved" if change > 0 else "degraded" if change < 0 else "same"].append(key)
        old_aggregate, new_aggregate = (run["metrics"][name]["aggregates"][function] for run in (old, new))
        difference = new_aggregate - old_aggregate
        metrics[name] = {
            "old_aggregate": old_aggregate,
            "new_aggregate": new_aggregate,
            "difference": difference,
            "percentage_change": difference / old_aggregate * 100 if old_aggregate else None,
            "found_count": sum(len(keys) for keys in moves.values()),
            **{f"{move}_count": len(keys) for move, keys in moves.items()},
            **moves,
        }
    return {"common": common, "metrics": metrics}


def differences(computed: Any, served: Any, path: str = "") -> list[str]:
    """One line for every figure that differs; numbers agree to nine digits, everything else exactly."""
    if isinstance(computed, dict) and isinstance(served, dict):
        lines = []
        for key in sorted(set(computed) | set(served)):
            lines += differences(computed.get(key), served.get(key), f"{path}.{key}" if path else str(key))
        return lines
    if isinstance(computed, list) and isinstance(served, list) and any(isinstance(item, str) for item in computed):
        missing, extra = sorted(set(computed) - set(served)), sorted(set(served) - set(computed))
        if missing or extra:
            return [f"{path}: only computed here {missing}, only served {extra}"]
    elif isinstance(computed, list) and isinstance(served, list) and len(computed) == len(served):
        pairs = zip(computed, served, strict=True)
        return [line for i, (a, b) in enumerate(pairs) for line in differences(a, b, f"{path}[{i}]")]
    if isinstance(computed, int | float) and isinstance(served, int | float):
        same = math.isclose(computed, served, rel_tol=1e-9, abs_tol=1e-12)
    else:
        same = computed == served
    return [] if same else [f"{path}: computed here {computed!r}, served {served!r}"]
