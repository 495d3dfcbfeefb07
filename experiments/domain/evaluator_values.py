"""What the value of an evaluator becomes: metrics by name. One reading for the SDK and for the server. Pure."""

import math
from collections.abc import Mapping
from typing import Any

Scalar = bool | int | float | str
# What every server and every JSON reader takes for an integer.
LARGEST_INTEGER = 2**63 - 1
_REMEDY = "return a bool, a number, a text, or a dict with a score"
MISSING: Any = object()


def scalar_of(value: Any) -> Scalar:
    """A plain bool, int, float or str; numpy's and torch's scalars and subclasses of the four become plain.

    Raises ValueError, whose text goes on after "returned", for None, NaN, infinities, integers beyond 64 bits and
    everything that is no scalar.
    """
    if type(value) is float:
        if math.isfinite(value):
            return value
        raise ValueError(f"{value}; a score is finite, so say what an undefined one shall count as")
    if type(value) is bool:
        return value
    if type(value) is str:
        return value
    if type(value) is int:
        if -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
            return value
        raise ValueError("an integer beyond 64 bits; return it as a float")
    if value is None:
        raise ValueError(f"None; {_REMEDY}")
    if isinstance(value, str):
        return str.__str__(value)  # of an enum of texts, the text
    for plain in (int, float):
        if isinstance(value, plain):
            return scalar_of(plain(value))
    inner = _item(value)
    if type(inner) in (bool, int, float, str):
        return scalar_of(inner)
    raise ValueError(f"a value of type {type(value).__name__}; {_REMEDY}")


def parts_of(value: Any) -> tuple[Any, dict[str, Any] | None]:
    """The score and, when the value is a dict, what else is in it (else None).

    The score is MISSING when a dict has none. A list or tuple of one element counts as its element.
    """
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, Mapping):
        rest = {str(name): entry for name, entry in value.items()}
        return rest.pop("score", MISSING), rest
    return value, None


def metrics_of(name: str, score: Any, rest: Mapping[str, Any] | None) -> tuple[dict[str, Scalar], str | None]:
    """Metrics of what the evaluator `name` returned, and a sentence on what could not be used of it, or None.

    `score` and `rest` are what `parts_of` made of its value. Scalars become {name: value}; of a dict `score` becomes
    name, `explanation` name_explanation, every other entry name_<key>. Entries that are None are left out; entries
    that are no scalars are left out and told.
    """
    metrics: dict[str, Scalar] = {}
    problems: list[str] = []
    if score is not MISSING:
        try:
            metrics[name] = scalar_of(score)
        except ValueError as error:
            problems.append(f"evaluator {name!r} returned {error}")
    for key, entry in (rest or {}).items():
        if entry is None:
            continue
        try:
            metrics[f"{name}_{key}"] = str(entry) if key == "explanation" else scalar_of(entry)
        except ValueError as error:
            problems.append(f"evaluator {name!r} returned in {key!r} {error}")
    if not metrics and not problems:
        problems.append(f"evaluator {name!r} returned a dict with nothing in it; {_REMEDY}")
    return metrics, "; ".join(problems) or None


def _item(value: Any) -> Any:
    """What numpy's or torch's one-element value holds, without an import of either; None when it is none."""
    try:
        return value.item()
    except (AttributeError, TypeError, ValueError, RuntimeError):
        return None
