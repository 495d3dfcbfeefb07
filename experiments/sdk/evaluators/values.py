"""What a value that an evaluator returned means: a score, an explanation, further metrics, or a mistake."""

from typing import Any

from experiments.domain import evaluator_values
from experiments.domain.evaluator_values import LARGEST_INTEGER, MISSING, Scalar, scalar_of
from experiments.sdk.evaluators.settings import EvalResult

__all__ = ["LARGEST_INTEGER", "MISSING", "Scalar", "metrics_of", "parts_of", "scalar_of"]


def parts_of(value: Any) -> tuple[Any, dict[str, Any] | None]:
    """Score and the rest, as in `evaluator_values.parts_of`; an EvalResult counts as a dict of its entries."""
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, EvalResult):
        value = {"score": value.score, **value.metadata}
    return evaluator_values.parts_of(value)


def metrics_of(name: str, value: Any) -> tuple[dict[str, Scalar], str | None]:
    """Metrics of what the evaluator `name` returned, and a sentence on what could not be used of it, or None."""
    return evaluator_values.metrics_of(name, *parts_of(value))
