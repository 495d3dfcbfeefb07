"""Values of exports as the wire wants them: times, numbers, objects. Every tool writes them in its own way."""

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

from experiments.sdk.importers.files import cell_value
from experiments.sdk.jsonable import as_object

Json = dict[str, Any]

# Numbers tell their unit by their size, for moments between 1973 and 2286.
_SECONDS_BELOW, _MILLISECONDS_BELOW, _MICROSECONDS_BELOW = 1e10, 1e13, 1e16


def epoch_ms(value: Any) -> float | None:
    """Epoch milliseconds of an ISO text (UTC where it names no zone) or a number of any usual unit; None for nothing.

    Raises ValueError for what is no moment.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str):
        number = number_of(value)
        if number is None:
            moment = dt.datetime.fromisoformat(value.strip().removesuffix(" UTC"))
            moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
            return moment.timestamp() * 1000
        value = number
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no moment")
    size = abs(value)
    if size < _SECONDS_BELOW:
        return value * 1e3
    if size < _MILLISECONDS_BELOW:
        return float(value)
    return value / 1e3 if size < _MICROSECONDS_BELOW else value / 1e6


def number_of(value: Any) -> float | int | None:
    """A finite number, also when written as text; None for anything else, booleans too."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        try:
            value = int(value) if value.strip().lstrip("-").isdecimal() else float(value)
        except ValueError:
            return None
    return value if math.isfinite(value) else None


def text_of(value: Any) -> str:
    """A name or id as text; "" for nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value)


def opened(value: Any) -> Any:
    """JSON inside a text as what it says; any other text as it is."""
    return cell_value(value.strip()) if isinstance(value, str) and value.strip()[:1] in ("{", "[") else value


def object_of(value: Any, name: str) -> Json:
    """A JSON object: one as it is (also one in a text), anything else under `name`, nothing as the empty one."""
    return as_object(opened(value), name)


def given(values: Mapping[str, Any]) -> Json:
    """Without the keys that say nothing: None, empty texts, empty lists and objects."""
    return {name: value for name, value in values.items() if value is not None and value not in ("", [], {})}


def camel(row: Mapping[str, Any]) -> Json:
    """Keys in camelCase, as APIs write them where tables write snake_case."""
    return {_camel(str(name)): value for name, value in row.items()}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest) if rest and first else name
