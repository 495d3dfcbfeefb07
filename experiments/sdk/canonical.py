"""One text for values that JSON cannot hold, the same in every process: what ids and cache keys are made of."""

import dataclasses
import datetime
import json
import re
from collections.abc import Mapping, Sequence, Set
from typing import Any

DEEPEST = 100  # levels; what lies deeper does not tell values apart
LARGEST_BITS = 10_000  # Python refuses to print longer integers in decimal

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def canonical_text(value: Any) -> tuple[str, bool]:
    """(text, whether `str(value)` is the same in every process, too).

    Sets are sorted, moments are ISO, bytes hexadecimal, arrays lists; objects are their fields, else their repr
    without memory addresses. A repr of somebody else that prints a set in its order of the day stays as it is.
    """
    writer = _Writer()
    return json.dumps(writer.plain(value, ()), sort_keys=True), writer.is_printed_alike


class _Writer:
    def __init__(self) -> None:
        self.is_printed_alike = True

    def plain(self, value: Any, above: tuple[int, ...]) -> Any:
        """The value in terms of JSON; `above` are the ids of the containers around it."""
        if value is None or isinstance(value, (str, float)):
            return value
        if isinstance(value, int):
            return value if value.bit_length() <= LARGEST_BITS else {"$int": hex(value)}
        if id(value) in above or len(above) >= DEEPEST:
            self.is_printed_alike = False
            return {"$deeper": type(value).__name__}
        inside = (*above, id(value))
        if isinstance(value, Mapping):
            return self._mapping(value, inside)
        if isinstance(value, (bytes, bytearray, memoryview)):
            self.is_printed_alike &= not isinstance(value, memoryview)
            return {"$bytes": bytes(value).hex()}
        if isinstance(value, Set):
            self.is_printed_alike &= len(value) < 2
            return {"$set": _sorted([self.plain(item, inside) for item in value])}
        if isinstance(value, Sequence):
            return [self.plain(item, inside) for item in value]
        if isinstance(value, (datetime.date, datetime.time)):  # datetime is a date, and pandas' Timestamp a datetime
            return {"$time": value.isoformat()}
        return self._object(value, inside)

    def _mapping(self, value: Mapping[Any, Any], inside: tuple[int, ...]) -> Any:
        """Keys other than text are kept apart from their text: {1: …} is not {"1": …}."""
        if all(isinstance(key, str) for key in value):
            return {key: self.plain(item, inside) for key, item in value.items()}
        return {"$items": _sorted([[self.plain(key, inside), self.plain(item, inside)] for key, item in value.items()])}

    def _object(self, value: Any, inside: tuple[int, ...]) -> Any:
        its_type: Any = type(value)
        kind = f"${its_type.__module__}.{its_type.__qualname__}"
        if isinstance(value, type):
            return {"$type": f"{value.__module__}.{value.__qualname__}"}
        if callable(listed := getattr(value, "tolist", None)):  # arrays and their scalars, without importing numpy
            return self.plain(listed(), inside)
        if dataclasses.is_dataclass(value):
            fields = {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
            return {kind: self.plain(fields, inside)}
        if callable(dumped := getattr(value, "model_dump", None)):  # pydantic
            return {kind: self.plain(dumped(), inside)}
        if its_type.__repr__ is object.__repr__:
            self.is_printed_alike = False
            return {kind: self.plain(getattr(value, "__dict__", {}), inside)}
        return {kind: self._printed(value)}

    def _printed(self, value: Any) -> str:
        try:
            text = repr(value)
        except Exception:  # somebody else's repr may raise anything
            self.is_printed_alike = False
            return ""
        without = _ADDRESS.sub("", text)
        self.is_printed_alike &= without == text
        return without


def _sorted(items: list[Any]) -> list[Any]:
    """Anything has an order by its JSON, also numbers next to text."""
    return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
