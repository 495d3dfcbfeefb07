"""JSON functions that Django lacks, in the dialect of either database. Keys are ours, never a client's."""

import json
from typing import Any

from django.db.models import BooleanField, F, FloatField, Func

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

    def __init__(self, column: str, text: str, **extra: Any) -> None:
        super().__init__(F(column), output_field=BooleanField(), **extra)
        self.text = text

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, list[Any]]:
        """`@>`, which an index could answer."""
        column, params = compiler.compile(self.source_expressions[0])
        return f"({column} @> %s::jsonb)", [*params, json.dumps([self.text])]

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, list[Any]]:
        """`json_each`."""
        column, params = compiler.compile(self.source_expressions[0])
        return f"EXISTS (SELECT 1 FROM json_each({column}) AS item WHERE item.value = %s)", [*params, self.text]
