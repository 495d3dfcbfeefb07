"""What an import is made of, whatever format it came in: documents, queries, judgments, rankings, and their places."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands: a line of a file (from 1), or an element of a list in a request body (from 0)."""

    file: str = ""
    line: int = 0
    element: str = ""

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}" if self.file else self.element

    def field(self, name: str) -> str:
        """The name of a field there: `documents.17.id` in a body, plain in a file."""
        return ".".join(part for part in (self.element, name) if part)


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """One document. Its place takes no part in comparisons."""

    id: str
    title: str = ""
    text: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True, slots=True)
class QueryRow:
    """One query."""

    id: str
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True, slots=True)
class JudgmentRow:
    """The grade of one document for one query. `source` is imported, human or llm."""

    query_id: str
    document_id: str
    grade: int
    source: str = "imported"
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True, slots=True)
class RankedRow:
    """One document in the ranking of one query; greater scores are better."""

    query_id: str
    document_id: str
    score: float
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What an import did: whether anything was new, counts by name, and what its owner should look at."""

    is_new: bool
    counts: dict[str, int]
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For answers and exports."""
        return {"is_new": self.is_new, "counts": self.counts, "warnings": list(self.warnings)}
