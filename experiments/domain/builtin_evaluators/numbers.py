"""Evaluators of numbers."""

import math
import re
from typing import Any

from experiments.domain.builtin_evaluators.operands import operands

_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")


def numeric_tolerance(
    outputs: Any,
    ground_truth: Any,
    *,
    tolerance: float | None = None,
    relative: float | None = None,
    key: str | None = None,
    expected_key: str | None = None,
) -> bool | dict[str, Any]:
    """Whether |output - expected| <= max(tolerance, relative * |expected|).

    With neither given, tolerance is 1e-12 and relative 1e-6; with one given, the other counts for nothing. Texts such
    as "42", "1e3" or "1,234.5" are numbers; an output that is none is wrong, with an explanation. Infinity is close to
    itself only. Source: pytest's `approx`. Undefined (ValueError) when the ground truth is no number.
    """
    output, expected = operands(outputs, ground_truth, key, expected_key)
    target = _number(expected)
    if target is None:
        raise ValueError(f"the ground truth {expected!r} is no number")
    for name, value in (("tolerance", tolerance), ("relative", relative)):
        if value is not None and not value >= 0:
            raise ValueError(f"{name}={value!r} must be 0 or more")
    if tolerance is None and relative is None:
        tolerance, relative = 1e-12, 1e-6
    number = _number(output)
    if number is None:
        return {"score": False, "explanation": f"{str(output)[:80]!r} is no number"}
    if math.isinf(number) or math.isinf(target):
        return number == target
    return abs(number - target) <= max(tolerance or 0.0, (relative or 0.0) * abs(target))


def _number(value: Any) -> float | None:
    """A number, or of a text the number it is; None for bools, NaN and everything else."""
    if isinstance(value, str):
        text = value.strip()
        if _THOUSANDS.fullmatch(text):
            text = text.replace(",", "")
        try:
            value = float(text)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    return value
