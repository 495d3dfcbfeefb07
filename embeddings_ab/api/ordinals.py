"""Pages over rows numbered without gaps: no count and no offset, so that the last page is as quick as the first."""

from typing import Any

from django.db.models import QuerySet


class ByOrdinal:
    """What the paginator needs of a list: its length, which is stored, and slices, which are ranges of `ordinal`."""

    def __init__(self, rows: "QuerySet[Any]", total: int) -> None:
        self._rows, self._total = rows, total

    def __len__(self) -> int:
        return self._total

    def __getitem__(self, part: slice) -> "QuerySet[Any]":
        return self._rows.filter(ordinal__gte=part.start, ordinal__lt=part.stop)
