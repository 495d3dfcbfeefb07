"""Pages of the native API; named by settings."""

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.domain.errors import InvalidInput

DEFAULT_LIMIT = 50
MAX_LIMIT = 500
MAX_PAGE = 1_000_000


def whole_number(request: Request, name: str, *, default: int, most: int) -> int:
    """A query parameter from 1 to `most`; anything else is refused by name, value and limit."""
    text = request.query_params.get(name)
    if text is None or text == "":
        return default
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else 0
    if not 1 <= number <= most:
        raise InvalidInput(
            f"Query parameter {name!r} is {text[:40]!r}; give a whole number from 1 to {most}.",
            field=name,
            value=text[:200],
            limit=most,
        )
    return number


class Pages(BasePagination):
    """`page` from 1 and `limit` (50, at most 500): results, and where they stand among all of them."""

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        """One page. Unordered querysets are a mistake of ours: their pages would overlap."""
        if isinstance(queryset, QuerySet) and not queryset.ordered:
            raise RuntimeError(f"{queryset.model.__name__} is paginated without an order")
        self.limit = whole_number(request, "limit", default=DEFAULT_LIMIT, most=MAX_LIMIT)
        self.page = whole_number(request, "page", default=1, most=MAX_PAGE)
        self.total = queryset.count() if isinstance(queryset, QuerySet) else len(queryset)
        start = (self.page - 1) * self.limit
        return list(queryset[start : start + self.limit]) if start < self.total else []

    def get_paginated_response(self, data: Any) -> Response:
        """The answer's shape."""
        pages = -(-self.total // self.limit)
        return Response(
            {
                "results": data,
                "pagination": {
                    "page": self.page,
                    "limit": self.limit,
                    "total": self.total,
                    "total_pages": pages,
                    "has_next": self.page < pages,
                    "has_prev": self.page > 1,
                },
            }
        )

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The same for the OpenAPI file."""
        numbers = {name: {"type": "integer"} for name in ("page", "limit", "total", "total_pages")}
        flags = {name: {"type": "boolean"} for name in ("has_next", "has_prev")}
        place = {"type": "object", "required": [*numbers, *flags], "properties": {**numbers, **flags}}
        return {
            "type": "object",
            "required": ["results", "pagination"],
            "properties": {"results": schema, "pagination": place},
        }

    def get_schema_operation_parameters(self, view: APIView) -> Sequence[dict[str, Any]]:  # type: ignore[override]
        """The query parameters for the OpenAPI file."""
        return [
            {
                "name": "page",
                "in": "query",
                "required": False,
                "description": "Page to show, from 1.",
                "schema": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 1},
            },
            {
                "name": "limit",
                "in": "query",
                "required": False,
                "description": "Results on a page.",
                "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
            },
        ]
