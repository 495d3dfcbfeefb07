"""What is compared: an output and its ground truth, taken out of the dicts they come in."""

import importlib
from collections.abc import Mapping
from typing import Any


def operands(outputs: Any, ground_truth: Any, key: str | None, expected_key: str | None) -> tuple[Any, Any]:
    """The two values to compare.

    `key` picks from outputs; `expected_key` from the ground truth, for which `key` is tried without it. Dicts of one
    key are unwrapped. Raises ValueError when there is no ground truth or no such key.
    """
    if ground_truth is None:
        raise ValueError("the datapoint has no ground truth to compare with")
    if expected_key is None and key is not None and isinstance(ground_truth, Mapping) and key in ground_truth:
        expected_key = key
    return picked("outputs", outputs, key), picked("ground_truth", ground_truth, expected_key)


def picked(label: str, value: Any, key: str | None) -> Any:
    """The value under `key`, or of a dict with one key its value, or the value itself. Raises ValueError."""
    if key is not None:
        if not isinstance(value, Mapping) or key not in value:
            has = type(value).__name__
            if isinstance(value, Mapping):
                has = f"a dict with {', '.join(map(repr, value))}" if value else "an empty dict"
            raise ValueError(f"{label} is {has}, so there is no key {key!r} in it")
        return value[key]
    if isinstance(value, Mapping) and len(value) == 1:
        return next(iter(value.values()))
    return value


def text_of(label: str, value: Any) -> str:
    """The value as text: texts and numbers. Raises ValueError for everything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return str(value)
    choose = "; pick one entry with key= or expected_key=" if isinstance(value, Mapping) else ""
    raise ValueError(f"{label} must be a text, not {'None' if value is None else type(value).__name__}{choose}")


def texts_of(label: str, value: Any) -> list[str]:
    """Accepted texts: one, or a list of several. Raises ValueError for an empty list or anything that is no text."""
    if not isinstance(value, list | tuple):
        return [text_of(label, value)]
    if not value:
        raise ValueError(f"{label} is an empty list; there is nothing to compare with")
    return [text_of(f"{label}[{index}]", entry) for index, entry in enumerate(value)]


def library(name: str, extra: str = "evaluators") -> Any:
    """A module of an extra. Raises ImportError with the line to type."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"{name} is missing: pip install 'hhweb[{extra}]'") from error
