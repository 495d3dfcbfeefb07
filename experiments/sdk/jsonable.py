"""Anything as JSON: what functions take and return is stored, whatever it is made of."""

import dataclasses
import datetime as dt
import enum
import math
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 32
_LOWEST, _HIGHEST = -(2**63), 2**64 - 1


def jsonable(value: Any, path: tuple[int, ...] = ()) -> Any:
    """`value` as dicts, lists, texts, numbers, booleans and None. Never raises; what has no shape becomes its text.

    NaN and infinities become the texts "nan", "inf", "-inf", as the official client sends them. Integers beyond 64 bit
    become texts. Models, data classes, arrays and frames are opened by the methods they are known for. What contains
    itself is cut there; `path` holds the identities of what `value` is inside of.
    """
    kind = value.__class__
    if value is None or kind is bool:
        return value
    if kind is str:
        return value if value.isascii() else _clean(value)
    if kind is int:
        return value if _LOWEST <= value <= _HIGHEST else str(value)
    if kind is float:
        return value if math.isfinite(value) else str(value)
    if len(path) >= MAX_DEPTH:
        return _text(value)
    # A child that knows its parent: without this the tree is walked again from every leaf, MAX_DEPTH deep.
    if id(value) in path:
        return f"<{kind.__name__} that contains itself>"
    path = (*path, id(value))
    if kind is dict:
        # A list of them: another thread of the function may still be adding some.
        return {_key(key): jsonable(item, path) for key, item in list(value.items())}
    if kind is list or kind is tuple:
        return [jsonable(item, path) for item in value]
    return _opened(value, path)


def as_object(value: Any, name: str) -> dict[str, Any]:
    """A JSON object: a mapping as it is, anything else under `name`; None is the empty object."""
    if value is None:
        return {}
    shown = jsonable(value)
    return shown if isinstance(shown, dict) else {name: shown}


def _opened(value: Any, path: tuple[int, ...]) -> Any:
    if isinstance(value, enum.Enum):
        return jsonable(value.value, path)
    if isinstance(value, str | int | float):  # subclasses: numpy's float64, StrEnum without a value of its own
        for plain in (bool, int, float, str):
            if isinstance(value, plain):
                return jsonable(plain(value), path)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [jsonable(item, path) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((jsonable(item, path) for item in value), key=str)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "replace")
    try:
        if isinstance(value, Mapping):
            return {_key(key): jsonable(item, path) for key, item in list(value.items())}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: jsonable(getattr(value, field.name), path) for field in dataclasses.fields(value)}
        for method, arguments in (("model_dump", {"mode": "json"}), ("tolist", {}), ("to_dict", {}), ("dict", {})):
            found = getattr(value, method, None)
            if callable(found) and not isinstance(value, type):
                return jsonable(found(**arguments), path)
    except Exception:  # a stranger's method may raise anything; its text still tells something
        return _text(value)
    return _text(value)


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key if key.isascii() else _clean(key)
    return _text(key)


def _text(value: Any) -> str:
    try:
        return _clean(str(value))
    except Exception:
        return f"<{type(value).__name__}>"


def _clean(text: str) -> str:
    """Without lone surrogates, which no UTF-8 holds."""
    return text.encode("utf-8", "replace").decode()
