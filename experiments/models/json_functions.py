"""JSON functions that Django lacks, in the dialect of either database. Keys are ours, never a client's."""

from typing import Any

from django.db.models import BooleanField, F, FloatField, Func, JSONField, Value

# No count, price or duration is larger; sums and squares of what is smaller stay finite.
ABSURD = "1e100"


class JsonNumber(Func):
    """The number under one key of a JSON bucket, NULL for any other kind and for numbers beyond reason."""

    def __init__(self, column: str, key: str, **extra: Any) -> None:
        super().__init__(F(column), output_field=FloatField(), **extra)
        self.key = key

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, list[Any]]:
        """Guarded cast of `column ->> key`."""
        column, params = compiler.compile(self.source_expressions[0])
        sql = (
            f"CASE WHEN jsonb_typeof({column} -> '{self.key}') = 'number'"
            f" THEN CASE WHEN abs(({column} ->> '{self.key}')::double precision) < {ABSURD}"
            f" THEN ({column} ->> '{self.key}')::double precision END END"
        )
        return sql, [*params, *params, *params]

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, tuple[Any, ...]]:
        """Guarded `json_extract`."""
        column, params = compiler.compile(self.source_expressions[0])
        sql = (
            f"CASE WHEN json_type({column}, '$.{self.key}') IN ('integer', 'real')"
            f" AND abs(json_extract({column}, '$.{self.key}')) < {ABSURD}"
            f" THEN json_extract({column}, '$.{self.key}') END"
        )
        return sql, (*params, *params, *params)


class JsonListContains(Func):
    """Whether the JSON list of a column has a text among its items; a condition for `filter`."""

    template = "(%(expressions)s)"
    arg_joiner = " @> "

    def __init__(self, column: str, text: str, **extra: Any) -> None:
        super().__init__(F(column), Value([text], output_field=JSONField()), output_field=BooleanField(), **extra)

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, tuple[Any, ...]]:
        """`json_each`, where PostgreSQL has `@>`."""
        sql, params = self.as_sql(
            compiler,
            connection,
            template="EXISTS (SELECT 1 FROM json_each(%(expressions)s, '$[0]'))",
            arg_joiner=") AS item WHERE item.value = json_extract(",
        )
        return sql, tuple(params)
