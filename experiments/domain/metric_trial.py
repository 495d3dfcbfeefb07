"""Trying a metric out on one event: the built-in evaluators of the SDK, run on the server. Pure.

A metric of type PYTHON names its evaluator in `criteria`: `exact_match`, or `exact_match={"key": "answer"}` with
options. Code of a user's own is never run here.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from experiments.domain import builtin_evaluators
from governance.domain.errors import InvalidInput

LARGEST_BYTES = 100_000  # of outputs and ground truth together; some evaluators take the square of their length
# Patterns of users may run for ever, and nothing can stop them here.
_NOT_HERE = frozenset({"regex_match", "json_schema"})
RUNNABLE = tuple(name for name in builtin_evaluators.NAMES if name not in _NOT_HERE)


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it; `result` is None when the evaluator could not judge, and `explanation` says why."""

    is_success: bool
    result: bool | int | float | str | None
    explanation: str | None


def try_metric(*, kind: str, criteria: str, outputs: Any, ground_truth: Any) -> Trial:
    """Judge `outputs` against `ground_truth`. Raises InvalidInput for a metric that cannot be run here."""
    evaluator, options = _evaluator_of(kind, criteria)
    if len(orjson.dumps([outputs, ground_truth], default=str)) > LARGEST_BYTES:
        raise InvalidInput(
            f"Field 'event': outputs and ground truth are larger than {LARGEST_BYTES:,} bytes; try a smaller one.",
            field="event",
        )
    try:
        # Some judge the output alone.
        judged = (outputs, ground_truth) if "ground_truth" in inspect.signature(evaluator).parameters else (outputs,)
        found: Any = evaluator(*judged, **options)
    except Exception as error:  # whatever an evaluator says of odd values is its answer
        return Trial(False, None, f"{type(error).__name__}: {error}")
    explanation = None
    if isinstance(found, Mapping):
        found, explanation = found.get("score"), found.get("explanation")
    if found is None or (isinstance(found, float) and not math.isfinite(found)):
        return Trial(False, None, f"The evaluator gave {found!r}, which is no score.")
    return Trial(True, found, None if explanation is None else str(explanation))


def _evaluator_of(kind: str, criteria: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    name = criteria.strip().partition("=")[0]
    if kind != "PYTHON" or name not in RUNNABLE:
        raise InvalidInput(
            f"Field 'metric': this server runs metrics of type PYTHON whose criteria name a built-in evaluator "
            f"({', '.join(RUNNABLE)}), not type {kind[:40]!r} with criteria {criteria[:80]!r}. "
            "Run others with the SDK, in evaluate().",
            field="metric",
            value=criteria[:200],
        )
    name, options = named_evaluator(criteria, field="metric.criteria")
    if (problem := builtin_evaluators.problem_of(name, options)) is not None:
        raise InvalidInput(f"Field 'metric.criteria': {name} cannot run here: {problem}.", field="metric.criteria")
    found = builtin_evaluators.find(name)
    assert found is not None  # it stands in NAMES
    return found, options


def named_evaluator(criteria: str, *, field: str) -> tuple[str, dict[str, Any]]:
    """Name and options of the built-in evaluator that a PYTHON metric's criteria name. Raises InvalidInput."""
    name, has_options, text = criteria.strip().partition("=")
    if name not in builtin_evaluators.NAMES:
        raise InvalidInput(
            f"Field '{field}': the server runs metrics of type PYTHON whose criteria name a built-in evaluator "
            f"({', '.join(builtin_evaluators.NAMES)}), not {criteria[:80]!r}. Run others with the SDK, or let the "
            "operator register a callable.",
            field=field,
            value=criteria[:200],
        )
    options: Any = {}
    if has_options:
        try:
            options = orjson.loads(text)
        except ValueError:
            options = None
        if not isinstance(options, dict):
            raise InvalidInput(
                f"Field '{field}': what follows {name}= must be a JSON object of options.",
                field=field,
                value=criteria[:200],
            )
    return name, options
