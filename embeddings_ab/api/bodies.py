"""Envelopes of import bodies. Rows inside are read one by one by `domain/importing/objects.py`, which names the first
wrong one and counts the others."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Envelope(BaseModel):
    """No unknown key passes."""

    model_config = ConfigDict(extra="forbid")

    name: str
    description: str = Field(default="", max_length=10_000)
    source: dict[str, Any] = {}


class CorpusBody(Envelope):
    """Documents, each with `id`, `title`, `text`, `metadata`."""

    documents: list[Any]


class QuerySetBody(Envelope):
    """Queries and judgments over a corpus."""

    corpus: str
    queries: list[Any]
    judgments: list[Any] = []
    grade_map: dict[int, int] | None = None
    drop_dangling: bool = False


class RunBody(BaseModel):
    """Rankings by query id, or the text of a TREC run."""

    model_config = ConfigDict(extra="forbid")

    name: str
    query_set: str
    rankings: dict[str, Any] | None = None
    trec: str | None = None
    drop_dangling: bool = False

    @model_validator(mode="after")
    def _one_form(self) -> "RunBody":
        if (self.rankings is None) == (self.trec is None):
            raise ValueError("give either rankings or trec")
        return self
