"""Rows from JSON objects: elements of request bodies and lines of JSONL files, by the same rules.

Keys that a row has no field for are kept in its metadata. Numbers are accepted as ids, as text. BEIR's names of keys
(`_id`, `query-id`, `corpus-id`, `score`) are accepted beside ours.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from embeddings_ab.domain.importing.faults import Faults
from embeddings_ab.domain.importing.rows import DocumentRow, JudgmentRow, Place, QueryRow, RankedRow

Placed = tuple[Place, Any]
_WHOLE = re.compile(r"[+-]?[0-9]{1,9}(\.0+)?", re.ASCII)
_ID = ("id", "_id")
_QUERY_ID = ("query_id", "query-id")
_DOCUMENT_ID = ("document_id", "corpus-id", "doc_id")
_GRADE = ("grade", "score", "relevance")
_SCORE = ("score",)


def elements(items: Iterable[Any], name: str) -> Iterator[Placed]:
    """Elements of a list in a body, with their places: `documents.17`."""
    for index, item in enumerate(items):
        yield Place(element=f"{name}.{index}"), item


def document_rows(objects: Iterable[Placed], faults: Faults) -> Iterator[DocumentRow]:
    """Documents: `id`, `text` (may be empty, not absent), `title`, `metadata`, and whatever else, as metadata."""
    for place, item in objects:
        fields = _Fields(place, item, faults)
        id, text = fields.id(_ID), fields.text("text", nullable=True)
        title = fields.text("title", nullable=True, default="")
        metadata = fields.metadata(without={*_ID, "title", "text"})
        if fields.are_fit:
            yield DocumentRow(id, title, text, metadata, place)


def query_rows(objects: Iterable[Placed], faults: Faults) -> Iterator[QueryRow]:
    """Queries: `id`, `text`, `metadata`, and whatever else, as metadata."""
    for place, item in objects:
        fields = _Fields(place, item, faults)
        id, text, metadata = fields.id(_ID), fields.text("text"), fields.metadata(without={*_ID, "text"})
        if fields.are_fit:
            yield QueryRow(id, text, metadata, place)


def judgment_rows(objects: Iterable[Placed], faults: Faults) -> Iterator[JudgmentRow]:
    """Judgments: `query_id`, `document_id`, `grade`."""
    for place, item in objects:
        fields = _Fields(place, item, faults)
        query_id, document_id, grade = fields.id(_QUERY_ID), fields.id(_DOCUMENT_ID), fields.grade()
        if fields.are_fit:
            yield JudgmentRow(query_id, document_id, grade, place=place)


def ranked_rows(rankings: Mapping[str, Any], faults: Faults) -> Iterator[RankedRow]:
    """Rankings by query id: lists of `document_id` and `score`."""
    for query_id, ranking in rankings.items():
        name = f"rankings.{query_id[:80]}"
        if not isinstance(ranking, list):
            place = Place(element=name)
            faults.note(
                "wrong_type", place, "", None, f"a {_kind(ranking)}; give a list of objects with document_id and score."
            )
            continue
        for place, item in elements(ranking, name):
            fields = _Fields(place, item, faults)
            document_id, score = fields.id(_DOCUMENT_ID), fields.score()
            if fields.are_fit:
                yield RankedRow(query_id, document_id, score, place)


def whole_grade(text: str) -> int | None:
    """The grade a file's text says, or None: whole numbers only, `2.0` among them."""
    return int(text.partition(".")[0]) if _WHOLE.fullmatch(text) else None


def note_grade(place: Place, value: Any, faults: Faults) -> None:
    """A grade that is no whole number."""
    faults.note(
        "bad_grade",
        place,
        "grade",
        value,
        f"Field 'grade' is {str(value)[:40]!r}; grades are whole numbers: 0 is not relevant, greater is more relevant.",
    )


class _Fields:
    """Fields of one object; what does not fit is noted, and `are_fit` says whether all did."""

    def __init__(self, place: Place, item: Any, faults: Faults) -> None:
        self.place, self.faults, self.are_fit = place, faults, True
        self.item: Mapping[str, Any] = item if isinstance(item, dict) else {}
        if not isinstance(item, dict):
            self._note("wrong_type", "", item, f"a {_kind(item)}; every row is a JSON object.")

    def _note(self, kind: str, field: str, value: Any, sentence: str) -> None:
        if self.are_fit:  # one fault for a row: the others follow from it
            self.faults.note(kind, self.place, field, value, sentence)
        self.are_fit = False

    def _value(self, names: tuple[str, ...]) -> Any:
        for name in names:
            if name in self.item:
                return self.item[name]
        self._note(
            "missing_field",
            names[0],
            None,
            f"Field {names[0]!r} is missing; there are {', '.join(map(repr, list(self.item)[:8])) or 'no fields'}.",
        )
        return None

    def id(self, names: tuple[str, ...]) -> str:
        value = self._value(names)
        if isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        self._note("wrong_type", names[0], value, f"Field {names[0]!r} is a {_kind(value)}; ids are texts.")
        return ""

    def text(self, name: str, *, nullable: bool = False, default: str | None = None) -> str:
        if default is not None and name not in self.item:
            return default
        value = self._value((name,))
        if isinstance(value, str):
            return value
        if value is None and nullable:
            return ""
        self._note("wrong_type", name, value, f"Field {name!r} is a {_kind(value)}; give a text.")
        return ""

    def metadata(self, *, without: set[str]) -> dict[str, Any]:
        given = self.item.get("metadata")
        if given is not None and not isinstance(given, dict):
            self._note("wrong_type", "metadata", given, f"Field 'metadata' is a {_kind(given)}; give an object.")
            return {}
        others = {key: value for key, value in self.item.items() if key not in without and key != "metadata"}
        return {**(given or {}), **others}

    def grade(self) -> int:
        value = self._value(_GRADE)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 and value == int(value):
            return int(value)
        if isinstance(value, str) and (grade := whole_grade(value)) is not None:
            return grade
        if self.are_fit:
            note_grade(self.place, value, self.faults)
        self.are_fit = False
        return 0

    def score(self) -> float:
        value = self._value(_SCORE)
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                return float(value)
            except OverflowError:
                return math.inf  # refused with the other scores that nothing can be ordered by
        self._note("wrong_type", "score", value, f"Field 'score' is a {_kind(value)}; give a number.")
        return 0.0


def _kind(value: Any) -> str:
    names = {str: "text", bool: "boolean", int: "number", float: "number", list: "list", dict: "object"}
    return "null" if value is None else names.get(type(value), type(value).__name__)
