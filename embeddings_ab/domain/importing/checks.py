"""What every import must satisfy, whatever format it came in; and the order and hash that its content gets.

Rows are taken one by one, so that parsers may stream; what is kept is what will be stored.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from embeddings_ab.domain import fingerprint
from embeddings_ab.domain.importing.faults import Faults
from embeddings_ab.domain.importing.rows import DocumentRow, JudgmentRow, Place, QueryRow, RankedRow
from governance.domain.errors import InvalidInput
from governance.domain.json_bodies import replace_nul, require_shallow

ID_LIMIT = 255
GRADE_LIMIT = 1000  # the exponential gain of a greater grade would not fit a double
# TREC files separate columns by white space: an id with it inside could never be exported again.
_UNFIT_IN_IDS = re.compile(r"[\s\x00-\x1f\x7f]")
_DROPPED = {"dangling_document": "dangling_documents", "dangling_query": "dangling_queries"}
Known = Callable[[Set[str]], Set[str]]


def id_is_fit(value: str, place: Place, field: str, faults: Faults) -> bool:
    """Whether an external id can be stored and written to every format; otherwise the fault is noted."""
    if not value:
        faults.note("empty_id", place, field, value, f"Field {field!r} is empty; every row needs an id.")
    elif len(value) > ID_LIMIT:
        faults.note(
            "id_too_long",
            place,
            field,
            value,
            f"Field {field!r} has {len(value)} characters; shorten it to {ID_LIMIT}.",
        )
    elif found := _UNFIT_IN_IDS.search(value):
        faults.note(
            "unfit_id",
            place,
            field,
            value,
            f"Field {field!r} is {value[:80]!r}: it holds {found.group()!r}. Ids have neither white space nor control "
            "characters, because TREC files separate columns by them; replace it, for example by '_'.",
        )
    else:
        return True
    return False


@dataclass(frozen=True, slots=True)
class CheckedCorpus:
    """Documents in order of their ids, bytes ascending: the index is the ordinal."""

    documents: list[DocumentRow]
    empty_count: int
    character_count: int
    nul_count: int
    content_hash: str


def check_documents(rows: Iterable[DocumentRow], faults: Faults) -> CheckedCorpus:
    """Documents fit to store, or `InvalidInput`: ids unique and fit, at least one document. Empty ones are counted."""
    kept: list[DocumentRow] = []
    seen: dict[str, Place] = {}
    empty = characters = nuls = 0
    for row in rows:
        if not id_is_fit(row.id, row.place, "id", faults) or not _is_once(row.id, row.place, seen, faults, "document"):
            continue
        if not _metadata_is_fit(row.metadata, row.place, faults):
            continue
        if "\x00" in row.title or "\x00" in row.text:
            nuls += 1
            row = replace(row, title=replace_nul(row.title), text=replace_nul(row.text))
        characters += len(row.title) + len(row.text)
        empty += not (row.title.strip() or row.text.strip())
        kept.append(replace(row, metadata=replace_nul(row.metadata)) if row.metadata else row)
    faults.refuse()
    if not kept:
        raise InvalidInput("Field 'documents' is empty; a corpus has at least one document.", field="documents")
    kept.sort(key=lambda row: row.id)  # by code point, which is the order of UTF-8 bytes
    return CheckedCorpus(kept, empty, characters, nuls, fingerprint.corpus_hash(kept))


@dataclass(frozen=True, slots=True)
class CheckedQuerySet:
    """Queries in order of their ids, judgments in order of query and document id, all bytes ascending."""

    queries: list[QueryRow]
    judgments: list[JudgmentRow]
    judged_count: int
    greatest_grade: int
    dropped: dict[str, int]
    nul_count: int
    content_hash: str
    warnings: tuple[str, ...]


def check_query_set(
    queries: Iterable[QueryRow],
    judgments: Iterable[JudgmentRow],
    *,
    known_documents: Known,
    grade_map: Mapping[int, int] | None,
    drop_dangling: bool,
    faults: Faults,
) -> CheckedQuerySet:
    """Queries and judgments fit to store, or `InvalidInput`.

    `known_documents` gives those of some ids that the corpus has. Grades are gains, greater is more relevant: negative
    ones, and scales that run backwards, need `grade_map`, which then must name every grade there is. Judgments of
    documents or queries that are not there are refused, or with `drop_dangling` left out and counted. The same judgment
    twice is one; two grades for one document are refused.
    """
    kept, nuls = _checked_queries(queries, faults)
    known_queries = {row.id for row in kept}
    found: list[JudgmentRow] = []
    for row in judgments:
        fit = id_is_fit(row.query_id, row.place, "query_id", faults)
        if id_is_fit(row.document_id, row.place, "document_id", faults) and fit:
            found.append(row)
    missing = {row.document_id for row in found}
    missing -= known_documents(missing)
    dropped = {"dangling_documents": 0, "dangling_queries": 0, "repeated_judgments": 0}
    grades: dict[tuple[str, str], JudgmentRow] = {}
    for row in found:
        if dangling := _dangling(row, known_queries, missing):
            if drop_dangling:
                dropped[_DROPPED[dangling]] += 1
            else:
                _note_dangling(dangling, row, faults)
            continue
        grade = _mapped(row, grade_map, faults)
        if grade is None:
            continue
        first = grades.get((row.query_id, row.document_id))
        if first is None:
            grades[row.query_id, row.document_id] = row if grade == row.grade else replace(row, grade=grade)
        elif first.grade == grade:
            dropped["repeated_judgments"] += 1
        else:
            faults.note(
                "contradictory_judgment",
                row.place,
                "grade",
                row.grade,
                f"Document {row.document_id!r} has the grade {first.grade} for query {row.query_id!r} already"
                f"{_at(first.place)}, and here {grade}. Leave one of them out.",
            )
    faults.refuse()
    ordered = [grades[key] for key in sorted(grades)]
    return CheckedQuerySet(
        queries=kept,
        judgments=ordered,
        judged_count=len({row.query_id for row in ordered}),
        greatest_grade=max((row.grade for row in ordered), default=0),
        dropped=dropped,
        nul_count=nuls,
        content_hash=fingerprint.query_set_hash(kept, ordered),
        warnings=_warnings(ordered),
    )


def _checked_queries(rows: Iterable[QueryRow], faults: Faults) -> tuple[list[QueryRow], int]:
    kept: list[QueryRow] = []
    seen: dict[str, Place] = {}
    nuls = 0
    for row in rows:
        if not id_is_fit(row.id, row.place, "id", faults) or not _is_once(row.id, row.place, seen, faults, "query"):
            continue
        if not _metadata_is_fit(row.metadata, row.place, faults):
            continue
        if not row.text.strip():
            faults.note(
                "empty_query",
                row.place,
                "text",
                row.text,
                f"Field 'text' of query {row.id!r} is empty; nothing can be searched with it. Leave the query out.",
            )
            continue
        nuls += "\x00" in row.text
        kept.append(replace(row, text=replace_nul(row.text), metadata=replace_nul(row.metadata)))
    if not kept and not faults:
        raise InvalidInput("Field 'queries' is empty; a query set has at least one query.", field="queries")
    kept.sort(key=lambda row: row.id)
    return kept, nuls


def _is_once(id: str, place: Place, seen: dict[str, Place], faults: Faults, noun: str) -> bool:
    if id not in seen:
        seen[id] = place
        return True
    faults.note(
        f"duplicate_{noun}",
        place,
        "id",
        id,
        f"Field 'id' is {id!r}, which another {noun} has{_at(seen[id])}. Ids are unique; leave one of them out.",
    )
    return False


def _at(place: Place) -> str:
    return f" ({place})" if str(place) else ""


def _metadata_is_fit(metadata: dict[str, Any], place: Place, faults: Faults) -> bool:
    if not metadata:
        return True
    try:
        require_shallow({"metadata": metadata})
        fingerprint.canonical_json(metadata)
    except InvalidInput as error:
        faults.note("unfit_metadata", place, "metadata", None, error.message)
        return False
    except (TypeError, ValueError) as error:
        faults.note(
            "unfit_metadata", place, "metadata", None, f"Field 'metadata' is no JSON object: {error}. Send plain JSON."
        )
        return False
    return True


def _dangling(row: JudgmentRow | RankedRow, queries: Set[str], missing_documents: Set[str]) -> str:
    if row.query_id not in queries:
        return "dangling_query"
    return "dangling_document" if row.document_id in missing_documents else ""


def _note_dangling(kind: str, row: JudgmentRow | RankedRow, faults: Faults) -> None:
    field, value, owner = (
        ("document_id", row.document_id, "corpus")
        if kind == "dangling_document"
        else ("query_id", row.query_id, "query set")
    )
    faults.note(
        kind,
        row.place,
        field,
        value,
        f"Field {field!r} is {value!r}, which the {owner} does not have. Correct the id, or import with "
        "drop_dangling to leave such rows out.",
    )


def _mapped(row: JudgmentRow, grade_map: Mapping[int, int] | None, faults: Faults) -> int | None:
    """The grade to store, or None when it was noted as a fault."""
    if grade_map is not None:
        if (grade := grade_map.get(row.grade)) is None:
            faults.note(
                "unmapped_grade",
                row.place,
                "grade",
                row.grade,
                f"Field 'grade' is {row.grade}, which grade_map does not name. It must name every grade there is: "
                "add what this one shall be.",
            )
            return None
    elif row.grade < 0:
        faults.note(
            "negative_grade",
            row.place,
            "grade",
            row.grade,
            f"Field 'grade' is {row.grade}. Grades are gains: 0 is not relevant, greater is more relevant. Give "
            'grade_map, which names every grade, for example {"-1": 0, "1": 4, "2": 3, "3": 2, "4": 1} for a scale '
            "that runs backwards.",
        )
        return None
    else:
        grade = row.grade
    if abs(grade) > GRADE_LIMIT:
        faults.note(
            "grade_out_of_range",
            row.place,
            "grade",
            grade,
            f"Field 'grade' is {grade}; grades lie between -{GRADE_LIMIT} and {GRADE_LIMIT}. Give a grade_map.",
        )
        return None
    return grade


def _warnings(judgments: Sequence[JudgmentRow]) -> tuple[str, ...]:
    grades = sorted({row.grade for row in judgments})
    found = []
    if not judgments:
        found.append("There are no judgments: arms can be compared by agreement and latency, not by quality.")
    elif grades[-1] <= 0:
        found.append("No judgment is above 0: no document is relevant, so every metric is undefined.")
    elif len(grades) > 2 and grades[0] > 0:
        found.append(
            f"Grades run from {grades[0]} to {grades[-1]} and greater is taken as more relevant. "
            "If this scale runs backwards, import it again with a grade_map."
        )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class CheckedRun:
    """Rankings by query id: (document id, score) in canonical order, score descending and id bytes ascending."""

    rankings: dict[str, list[tuple[str, float]]]
    dropped: dict[str, int]
    content_hash: str


def check_run(
    rows: Iterable[RankedRow], *, known_queries: Set[str], known_documents: Known, drop_dangling: bool, faults: Faults
) -> CheckedRun:
    """Rankings fit to store, or `InvalidInput`.

    Ranks are made from scores, as trec_eval does, ties by document id. A document that stands twice in one ranking
    keeps its first score; the others are counted. NaN and infinite scores are refused.
    """
    found: list[RankedRow] = []
    for row in rows:
        fit = id_is_fit(row.query_id, row.place, "query_id", faults)
        fit = id_is_fit(row.document_id, row.place, "document_id", faults) and fit
        if not math.isfinite(row.score):
            faults.note(
                "bad_score",
                row.place,
                "score",
                row.score,
                f"Field 'score' is {row.score}; nothing can be ordered by it. Give a finite number.",
            )
        elif fit:
            found.append(row)
    missing = {row.document_id for row in found}
    missing -= known_documents(missing)
    dropped = {"dangling_documents": 0, "dangling_queries": 0, "repeated_documents": 0}
    scores: dict[str, dict[str, float]] = {}
    for row in found:
        if dangling := _dangling(row, known_queries, missing):
            if drop_dangling:
                dropped[_DROPPED[dangling]] += 1
            else:
                _note_dangling(dangling, row, faults)
        elif row.document_id in (ranking := scores.setdefault(row.query_id, {})):
            dropped["repeated_documents"] += 1
        else:
            ranking[row.document_id] = row.score
    faults.refuse()
    if not scores:
        raise InvalidInput("Field 'rankings' is empty; a run ranks documents for at least one query.", field="rankings")
    rankings = {
        query_id: sorted(scores[query_id].items(), key=lambda pair: (-pair[1], pair[0])) for query_id in sorted(scores)
    }
    return CheckedRun(rankings, dropped, fingerprint.run_hash(rankings))
