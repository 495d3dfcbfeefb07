"""Filters of event queries: what the wire says becomes typed conditions; selectors turn them into SQL."""

import datetime as dt
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from governance.domain.errors import InvalidInput

MAX_FILTERS = 100
MAX_FIELD_LENGTH = 512
MAX_PATH_PARTS = 32

BUCKETS = ("inputs", "outputs", "config", "metadata", "metrics", "feedback", "user_properties")

FieldKind = Literal["text", "uuid", "number", "json", "project"]
_COLUMNS: dict[str, tuple[FieldKind, str]] = {
    "event_id": ("uuid", "event_key"),
    "session_id": ("uuid", "session_key"),
    "parent_id": ("uuid", "parent_key"),
    "event_type": ("text", "event_type"),
    "event_name": ("text", "event_name"),
    "source": ("text", "source"),
    "error": ("text", "error"),
    "start_time": ("number", "start_time"),
    "end_time": ("number", "end_time"),
    "duration": ("number", "duration"),
    # Indexed copies of what the metadata says.
    "metadata.run_id": ("text", "run_key"),
    "metadata.dataset_id": ("text", "dataset_key"),
    "metadata.datapoint_id": ("text", "datapoint_key"),
    "project_id": ("project", ""),
}


class ValueType(StrEnum):
    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATETIME = "datetime"


class Operator(StrEnum):
    IS = "is"
    IS_NOT = "is not"
    CONTAINS = "contains"
    NOT_CONTAINS = "not contains"
    GREATER_THAN = "greater than"
    LESS_THAN = "less than"
    AFTER = "after"
    BEFORE = "before"
    EXISTS = "exists"
    NOT_EXISTS = "not exists"


OPERATORS: dict[ValueType, tuple[Operator, ...]] = {
    ValueType.STRING: (
        Operator.IS,
        Operator.IS_NOT,
        Operator.CONTAINS,
        Operator.NOT_CONTAINS,
        Operator.EXISTS,
        Operator.NOT_EXISTS,
    ),
    ValueType.NUMBER: (
        Operator.IS,
        Operator.IS_NOT,
        Operator.GREATER_THAN,
        Operator.LESS_THAN,
        Operator.EXISTS,
        Operator.NOT_EXISTS,
    ),
    ValueType.BOOLEAN: (Operator.IS, Operator.EXISTS, Operator.NOT_EXISTS),
    ValueType.DATETIME: (
        Operator.IS,
        Operator.IS_NOT,
        Operator.AFTER,
        Operator.BEFORE,
        Operator.EXISTS,
        Operator.NOT_EXISTS,
    ),
}

# A negative operator is the complement of its positive: events without the field match it too.
_POSITIVE = {
    Operator.IS_NOT: Operator.IS,
    Operator.NOT_CONTAINS: Operator.CONTAINS,
    Operator.NOT_EXISTS: Operator.EXISTS,
}


@dataclass(frozen=True, slots=True)
class Field:
    """Where a dotted name points: a column, or a path inside a JSON bucket (`column`)."""

    name: str
    kind: FieldKind
    column: str
    path: tuple[str, ...] = ()

    @property
    def literal(self) -> str:
        """The remainder as one key: tried before the path is walked."""
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Condition:
    """One test of one field. `operator` is always positive; `negated` inverts the whole test.

    `value` is a str, float, bool, or for datetimes epoch milliseconds, by `type`; None for `exists`.
    """

    field: Field
    type: ValueType
    operator: Operator
    value: str | float | bool | None = None
    negated: bool = False


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Bounds of `start_time` in epoch milliseconds, both inclusive, either open."""

    since: float | None = None
    until: float | None = None


ANY_TIME = TimeRange()


def parse_filters(raw: Any, *, name: str = "filters") -> tuple[Condition, ...]:
    """Conditions, to be joined by AND. Accepts None, one filter object, or a list of them."""
    if raw is None:
        return ()
    items = [raw] if isinstance(raw, Mapping) else raw
    if not isinstance(items, list):
        raise InvalidInput(
            f"Field {name!r} must be a list of {{field, operator, value, type}} objects.",
            field=name,
            value=str(raw)[:200],
        )
    if len(items) > MAX_FILTERS:
        raise InvalidInput(f"Field {name!r} has {len(items)} filters; send at most {MAX_FILTERS}.", field=name)
    return tuple(_parse_filter(item, f"{name}.{index}") for index, item in enumerate(items))


def _parse_filter(raw: Any, name: str) -> Condition:
    if not isinstance(raw, Mapping):
        raise InvalidInput(
            f"Field {name!r} must be an object with field, operator, value and type.", field=name, value=str(raw)[:200]
        )
    field = parse_field(raw.get("field"), f"{name}.field")
    value_type = _parse_type(raw, f"{name}.type")
    operator = _parse_operator(raw.get("operator"), value_type, f"{name}.operator")
    negated = operator in _POSITIVE
    operator = _POSITIVE.get(operator, operator)
    value = raw.get("value")
    if operator is Operator.EXISTS:
        return Condition(field, value_type, operator, None, negated)
    if value is None and operator is Operator.IS:
        # `is null` asks for absence.
        return Condition(field, value_type, Operator.EXISTS, None, not negated)
    return Condition(field, value_type, operator, _coerce(value, value_type, f"{name}.value"), negated)


def parse_field(raw: Any, name: str = "field") -> Field:
    """The place a dotted field name points to; columns first, then JSON buckets."""
    if not isinstance(raw, str) or not raw or len(raw) > MAX_FIELD_LENGTH:
        raise InvalidInput(
            f"Field {name!r} must be a text of 1 to {MAX_FIELD_LENGTH} characters, such as 'metadata.run_id'.",
            field=name,
            value=str(raw)[:200],
        )
    if raw in _COLUMNS:
        kind, column = _COLUMNS[raw]
        return Field(raw, kind, column)
    bucket, _, remainder = raw.partition(".")
    path = tuple(remainder.split("."))
    if bucket not in BUCKETS or not remainder:
        known = ", ".join([*(column for column in _COLUMNS if "." not in column), *(f"{b}.<key>" for b in BUCKETS)])
        raise InvalidInput(f"Field {raw!r} of a filter is unknown; use one of {known}.", field=name, value=raw)
    if len(path) > MAX_PATH_PARTS:
        raise InvalidInput(f"Field {raw!r} is nested deeper than {MAX_PATH_PARTS} parts.", field=name, value=raw)
    return Field(raw, "json", bucket, path)


def _parse_type(raw: Mapping[str, Any], name: str) -> ValueType:
    given = raw.get("type")
    if given is None:
        return _implied_type(raw.get("operator"), raw.get("value"))
    try:
        return ValueType(given)
    except ValueError:
        raise InvalidInput(
            f"Filter type {given!r} is unknown; use one of {', '.join(ValueType)}.", field=name, value=str(given)[:200]
        ) from None


def _implied_type(operator: Any, value: Any) -> ValueType:
    if operator in (Operator.AFTER, Operator.BEFORE):
        return ValueType.DATETIME
    if operator in (Operator.GREATER_THAN, Operator.LESS_THAN):
        return ValueType.NUMBER
    if isinstance(value, bool):
        return ValueType.BOOLEAN
    return ValueType.NUMBER if isinstance(value, int | float) else ValueType.STRING


def _parse_operator(raw: Any, value_type: ValueType, name: str) -> Operator:
    allowed = OPERATORS[value_type]
    if raw not in [operator.value for operator in allowed]:
        raise InvalidInput(
            f"Operator {raw!r} does not exist for type {value_type.value!r}; use one of {', '.join(allowed)}.",
            field=name,
            value=str(raw)[:200],
        )
    return Operator(raw)


def _coerce(value: Any, value_type: ValueType, name: str) -> str | float | bool:
    """`value` as the type asks; the official client sends every value as text."""
    coerced: str | float | bool | None
    if value_type is ValueType.STRING:
        coerced = _as_text(value)
    elif value_type is ValueType.NUMBER:
        coerced = as_number(value)
    elif value_type is ValueType.BOOLEAN:
        coerced = _as_boolean(value)
    else:
        coerced = epoch_ms(value)
    if coerced is None:
        raise InvalidInput(
            f"Field {name!r}: {str(value)[:200]!r} is not a {value_type.value}.", field=name, value=str(value)[:200]
        )
    return coerced


def _as_text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _as_boolean(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.strip().lower()) if isinstance(value, str) else None


def as_number(value: Any) -> float | None:
    """A finite number from a number or its text, else None. Booleans and `1_000` are not numbers here."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not re.fullmatch(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", value, re.ASCII):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def epoch_ms(value: Any) -> float | None:
    """Epoch milliseconds from ISO 8601 text (UTC when it names no zone) or a number of them, else None."""
    number = as_number(value)
    if number is not None or not isinstance(value, str):
        return number
    try:
        moment = dt.datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) / dt.timedelta(milliseconds=1)


def parse_time_range(raw: Any, *, name: str = "dateRange") -> TimeRange:
    """Bounds from `{"$gte", "$lte"}` or `{"start_time", "end_time"}`, in ISO 8601 or epoch milliseconds."""
    if raw is None:
        return TimeRange()
    if not isinstance(raw, Mapping):
        raise InvalidInput(
            f"Field {name!r} must be an object with '$gte' and '$lte', or 'start_time' and 'end_time'.",
            field=name,
            value=str(raw)[:200],
        )
    return TimeRange(_bound(raw, ("$gte", "start_time"), name), _bound(raw, ("$lte", "end_time"), name))


def _bound(raw: Mapping[str, Any], keys: Sequence[str], name: str) -> float | None:
    key = next((key for key in keys if raw.get(key) is not None), None)
    if key is None:
        return None
    moment = epoch_ms(raw[key])
    if moment is None:
        raise InvalidInput(
            f"Field '{name}.{key}': {str(raw[key])[:200]!r} is neither an ISO 8601 time nor epoch milliseconds.",
            field=f"{name}.{key}",
            value=str(raw[key])[:200],
        )
    return moment
