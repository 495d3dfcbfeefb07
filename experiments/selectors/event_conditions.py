"""Conditions of event filters as SQL, in the JSON dialect of either database.

Values and field names reach the database as parameters, never as SQL text. Both dialects answer alike:
text matches stored text, and a number or boolean that the text spells; numbers, booleans and datetimes
match stored values of their own kind (datetimes: ISO 8601 text or epoch milliseconds).
"""

import json
import uuid
from collections.abc import Iterable
from typing import Any

from django.db import connection
from django.db.models import BooleanField, CharField, F, FloatField, Func, Q, TextField, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast, Coalesce, Replace, Round, StrIndex
from django.db.models.lookups import Exact, GreaterThan, LessThan

from experiments.domain.filters import Condition, Operator, ValueType, as_number

# Grammar that both databases accept; both count days beyond a month's end into the next month.
_ISO_PATTERN = (
    r"^(?!0000)\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
    r"([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,20})?)?(Z|[+-](0\d|1[0-4]):[0-5]\d)?)?$"
)
_SQLITE_ISO_GLOB = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*"
_POSTGRES_TEXT = "(x.v #>> '{}')"
_POSTGRES_DAY = (
    f"to_char(make_date(substr({_POSTGRES_TEXT}, 1, 4)::int, substr({_POSTGRES_TEXT}, 6, 2)::int, 1)"
    f" + (substr({_POSTGRES_TEXT}, 9, 2)::int - 1), 'YYYY-MM-DD')"
)
_POSTGRES_ZONE = (
    f"CASE WHEN {_POSTGRES_TEXT} ~ '(Z|:\\d\\d[+-]\\d\\d:\\d\\d|\\.\\d+[+-]\\d\\d:\\d\\d)$' THEN '' ELSE 'Z' END"
)
_POSTGRES_MS = (
    "CASE jsonb_typeof(x.v) WHEN 'number' THEN round(x.v::numeric) WHEN 'string' THEN"
    f" CASE WHEN {_POSTGRES_TEXT} ~ '{_ISO_PATTERN}' THEN round(extract(epoch from"
    f" ({_POSTGRES_DAY} || substr({_POSTGRES_TEXT}, 11) || {_POSTGRES_ZONE})::timestamptz) * 1000) END END"
)
_SQLITE_MS = (
    "CASE WHEN x.type IN ('integer', 'real') THEN round(x.value) WHEN x.type = 'text' AND x.value GLOB "
    f"'{_SQLITE_ISO_GLOB}' THEN round((julianday(x.value) - 2440587.5) * 86400000.0) END"
)
_SIGN = {
    Operator.IS: "=",
    Operator.GREATER_THAN: ">",
    Operator.AFTER: ">",
    Operator.LESS_THAN: "<",
    Operator.BEFORE: "<",
}


def as_q(condition: Condition, *, project_public_id: str) -> Q:
    """The condition as a filter of `Event`; never true or false by NULL, so its negation is its complement."""
    field = condition.field
    if field.kind == "json":
        q = Q(JsonTest(condition))
    elif field.kind == "text":
        q = _text_column(condition)
    elif field.kind == "number":
        q = _number_column(condition)
    elif field.kind == "uuid":
        q = _uuid_column(condition)
    else:
        q = _constant(condition, project_public_id)
    return ~q if condition.negated else q


def in_sessions(keys: Iterable[uuid.UUID]) -> Q:
    """Events of any of these sessions, however many: the list is one parameter, where SQLite would count each."""
    if connection.vendor == "postgresql":
        return Q(session_key__in=RawSQL("SELECT unnest(%s::uuid[])", [[str(key) for key in keys]]))
    return Q(session_key__in=RawSQL("SELECT value FROM json_each(%s)", [json.dumps([key.hex for key in keys])]))


_NOTHING = Q(pk__in=[])
_EVERYTHING = ~_NOTHING


def _text_column(condition: Condition) -> Q:
    column = condition.field.column
    if condition.operator is Operator.EXISTS:
        return Q(**{f"{column}__isnull": False})
    if condition.type is ValueType.STRING and condition.operator is Operator.IS:
        return Q(**{column: condition.value})
    if condition.type is ValueType.STRING and condition.operator is Operator.CONTAINS:
        text = Coalesce(F(column), Value(""), output_field=TextField())
        return Q(GreaterThan(StrIndex(text, Value(condition.value)), 0))
    return _NOTHING


def _number_column(condition: Condition) -> Q:
    column, value = condition.field.column, condition.value
    if condition.operator is Operator.EXISTS:
        return _EVERYTHING
    if condition.type is ValueType.STRING:
        value = as_number(value) if condition.operator is Operator.IS else None
    if value is None or condition.type is ValueType.BOOLEAN:
        return _NOTHING
    if condition.type is ValueType.DATETIME:
        moment = Round(F(column))
        target = Value(float(round(float(value))), output_field=FloatField())
        lookup = {Operator.IS: Exact, Operator.AFTER: GreaterThan, Operator.BEFORE: LessThan}[condition.operator]
        return Q(lookup(moment, target))
    suffix = {Operator.IS: "", Operator.GREATER_THAN: "__gt", Operator.LESS_THAN: "__lt"}[condition.operator]
    return Q(**{f"{column}{suffix}": float(value)})


def _uuid_column(condition: Condition) -> Q:
    column, text = condition.field.column, str(condition.value)
    if condition.operator is Operator.EXISTS:
        return Q(**{f"{column}__isnull": False})
    if condition.type is not ValueType.STRING:
        return _NOTHING
    if condition.operator is Operator.IS:
        try:
            return Q(**{column: uuid.UUID(text)})
        except ValueError:
            return _NOTHING
    # SQLite stores UUIDs without dashes; both sides are compared without them.
    digits = Replace(Cast(F(column), CharField()), Value("-"), Value(""))
    needle = text.replace("-", "").lower()
    return Q(GreaterThan(StrIndex(Coalesce(digits, Value("")), Value(needle)), 0))


def _constant(condition: Condition, actual: str) -> Q:
    if condition.operator is Operator.EXISTS:
        return _EVERYTHING
    if condition.type is not ValueType.STRING:
        return _NOTHING
    wanted = str(condition.value)
    holds = wanted == actual if condition.operator is Operator.IS else wanted in actual
    return _EVERYTHING if holds else _NOTHING


class JsonTest(Func):
    """Whether the value at a path of a JSON bucket passes a test: literal remainder first, then the walk."""

    conditional = True

    def __init__(self, condition: Condition, **extra: Any) -> None:
        super().__init__(F(condition.field.column), output_field=BooleanField(), **extra)
        self.condition = condition

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, list[Any]]:
        """EXISTS over the value, bound once as `x.v`."""
        column, params = compiler.compile(self.source_expressions[0])
        field = self.condition.field
        test, test_params = _postgres_test(self.condition)
        value = f"COALESCE({column} -> %s::text, {column} #> %s::text[])"
        sql = f"EXISTS (SELECT 1 FROM (SELECT {value} AS v) x WHERE {test})"  # noqa: S608 - no text of a client
        return sql, [*params, field.literal, *params, list(field.path), *test_params]

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, tuple[Any, ...]]:
        """EXISTS over one row of (type, value); `json_each` takes keys as they are, without quoting rules."""
        column, params = compiler.compile(self.source_expressions[0])
        path = self.condition.field.path
        test, test_params = _sqlite_test(self.condition)
        steps = [f"json_each({column}) j0"]
        steps += [
            f"json_each(CASE WHEN j{i - 1}.type IN ('object', 'array') THEN j{i - 1}.value ELSE '{{}}' END) j{i}"
            for i in range(1, len(path))
        ]
        keys = " AND ".join(f"CAST(j{i}.key AS TEXT) = %s" for i in range(len(path)))
        last = len(path) - 1
        literal = f"SELECT 0 AS place, type, value FROM json_each({column}) WHERE key = %s"  # noqa: S608 - no client text
        walk = f"SELECT 1, j{last}.type, j{last}.value FROM {', '.join(steps)} WHERE {keys}"  # noqa: S608
        first = f"SELECT type, value FROM ({literal} UNION ALL {walk}) ORDER BY place LIMIT 1"  # noqa: S608
        sql = f"EXISTS (SELECT 1 FROM ({first}) x WHERE {test})"  # noqa: S608
        return sql, (*params, self.condition.field.literal, *params, *path, *test_params)


def _number_text(value: Any) -> str:
    """A float as decimal text, which PostgreSQL reads as the exact number JSON would spell."""
    return repr(float(value))


def _postgres_test(condition: Condition) -> tuple[str, list[Any]]:
    value = condition.value
    if condition.operator is Operator.EXISTS:
        return "x.v IS NOT NULL AND jsonb_typeof(x.v) <> 'null'", []
    if condition.operator is Operator.CONTAINS:
        return f"jsonb_typeof(x.v) = 'string' AND strpos({_POSTGRES_TEXT}, %s) > 0", [value]
    if condition.type is ValueType.BOOLEAN:
        return "x.v = %s::jsonb", ["true" if value else "false"]
    if condition.type is ValueType.NUMBER:
        compare = (
            f"CASE WHEN jsonb_typeof(x.v) = 'number' THEN x.v::numeric {_SIGN[condition.operator]} %s::numeric END"
        )
        return compare, [_number_text(value)]
    if condition.type is ValueType.DATETIME:
        return f"({_POSTGRES_MS}) {_SIGN[condition.operator]} %s::numeric", [round(float(value or 0))]
    tests, params = [f"(jsonb_typeof(x.v) = 'string' AND {_POSTGRES_TEXT} = %s)"], [value]
    if (number := as_number(value)) is not None:
        tests.append("(CASE WHEN jsonb_typeof(x.v) = 'number' THEN x.v::numeric = %s::numeric END)")
        params.append(_number_text(number))
    if value in ("true", "false"):
        tests.append("x.v = %s::jsonb")
        params.append(value)
    return " OR ".join(tests), params


def _sqlite_test(condition: Condition) -> tuple[str, list[Any]]:
    value = condition.value
    numeric = "x.type IN ('integer', 'real')"
    if condition.operator is Operator.EXISTS:
        return "x.type <> 'null'", []
    if condition.operator is Operator.CONTAINS:
        return "x.type = 'text' AND instr(x.value, %s) > 0", [value]
    if condition.type is ValueType.BOOLEAN:
        return "x.type = %s", ["true" if value else "false"]
    if condition.type is ValueType.NUMBER:
        return f"{numeric} AND x.value {_SIGN[condition.operator]} %s", [value]
    if condition.type is ValueType.DATETIME:
        return f"({_SQLITE_MS}) {_SIGN[condition.operator]} %s", [float(round(float(value or 0)))]
    tests, params = ["(x.type = 'text' AND x.value = %s)"], [value]
    if (number := as_number(value)) is not None:
        tests.append(f"({numeric} AND x.value = %s)")
        params.append(number)
    if value in ("true", "false"):
        tests.append("x.type = %s")
        params.append(value)
    return " OR ".join(tests), params
