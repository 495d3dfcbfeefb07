"""Named ways to make one value of several and to check a value; texts are looked up here, never run."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

_CO_COROUTINE = 0x80
Aggregate = Callable[[Sequence[Any]], Any]
Checker = Callable[[Any, Any], Any]


def mean(values: Sequence[Any]) -> float:
    """Arithmetic mean; a share when the values are bools."""
    numbers = _numbers("mean", values)
    return sum(numbers) / len(numbers)


def median(values: Sequence[Any]) -> float:
    """The middle value, or the mean of the two middle ones."""
    ordered = sorted(_numbers("median", values))
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def majority(values: Sequence[Any]) -> Any:
    """The most frequent value; of equally frequent ones the one that came first."""
    return max(values, key=values.count)


def _least(values: Sequence[Any]) -> float:
    return min(_numbers("min", values))


def _greatest(values: Sequence[Any]) -> float:
    return max(_numbers("max", values))


def _numbers(name: str, values: Sequence[Any]) -> list[float]:
    for value in values:
        if not isinstance(value, int | float):
            raise ValueError(
                f"aggregate={name!r} needs numbers or bools, not {value!r}; aggregate='majority' takes texts"
            )
    return list(values)


AGGREGATES: dict[str, Aggregate] = {
    "mean": mean,
    "median": median,
    "min": _least,
    "max": _greatest,
    "majority": majority,
    "mode": majority,
    "sum": sum,
    "all": all,
    "any": any,
}
CHECKERS: dict[str, Checker] = {
    "value in target": lambda value, target: value in target,
    "target[0] <= value <= target[1]": lambda value, target: target[0] <= value <= target[1],
    "target in value": lambda value, target: target in value,
    "value == target": operator.eq,
    "value >= target": operator.ge,
    "value <= target": operator.le,
    "value > target": operator.gt,
    "value < target": operator.lt,
}


def aggregate_of(given: Any) -> Aggregate:
    """The function behind a name, an old expression such as "mean(values)", or a callable. Raises ValueError."""
    if isinstance(given, str):
        found = AGGREGATES.get(given.removesuffix("(values)"))
        if found is None:
            raise ValueError(f"aggregate={given!r} is unknown: give a callable or one of {', '.join(AGGREGATES)}")
        return found
    return _plain_function("aggregate", given)


def checker_of(given: Any) -> Checker:
    """The check behind an old comparison such as "value in target", or a callable. Raises ValueError."""
    if isinstance(given, str):
        found = CHECKERS.get(given)
        if found is None:
            raise ValueError(
                f"checker={given!r}: texts are not run as code; give a callable (value, target) -> bool or one of "
                + ", ".join(map(repr, CHECKERS))
            )
        return found
    return _plain_function("checker", given)


def transform_of(given: Any) -> Callable[[Any], Any]:
    """The callable itself. Raises ValueError for a text."""
    if isinstance(given, str):
        raise ValueError(
            f"transform={given!r}: texts are not run as code; give a callable such as lambda value: value / 10"
        )
    return _plain_function("transform", given)


def is_coroutine_function(function: Any) -> bool:
    """Whether calling it makes a coroutine: async functions, partials of them, objects whose __call__ is async."""
    while hasattr(function, "func") and not hasattr(function, "__code__"):
        function = function.func
    # Plain functions and methods are told by their flags: inspect would double the cost of importing the SDK.
    if (code := getattr(function, "__code__", None)) is not None:
        return bool(code.co_flags & _CO_COROUTINE)
    import inspect

    call = getattr(function, "__call__", None)  # noqa: B004 - whether it is async, not whether it is there
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _plain_function(setting: str, given: Any) -> Callable[..., Any]:
    if not callable(given):
        raise ValueError(f"{setting}={given!r} is no callable")
    if is_coroutine_function(given):
        raise ValueError(f"{setting} is an async function; give a plain one, and await inside the evaluator")
    plain: Callable[..., Any] = given
    return plain
