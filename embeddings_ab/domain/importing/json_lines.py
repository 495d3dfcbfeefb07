"""JSONL: one JSON object a line; blank lines are skipped."""

from collections.abc import Iterator

import orjson

from embeddings_ab.domain.importing.faults import Faults
from embeddings_ab.domain.importing.objects import Placed, document_rows, judgment_rows, query_rows
from embeddings_ab.domain.importing.rows import DocumentRow, JudgmentRow, QueryRow
from embeddings_ab.domain.importing.text_lines import Source, text_lines


def json_objects(source: Source, faults: Faults, *, name: str = "") -> Iterator[Placed]:
    """The object of each line. What is no JSON (NaN and lone surrogates included) is noted and left out."""
    for place, line in text_lines(source, faults, name=name):
        if not line.strip():
            continue
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            faults.note(
                "not_json",
                place,
                "line",
                line.strip(),
                f"The line is no JSON: {error.msg}. Every line is one object, with double quotes.",
            )
            continue
        yield place, value


def read_documents(source: Source, faults: Faults, *, name: str = "") -> Iterator[DocumentRow]:
    """Documents: keys in `objects.document_rows`."""
    return document_rows(json_objects(source, faults, name=name), faults)


def read_queries(source: Source, faults: Faults, *, name: str = "") -> Iterator[QueryRow]:
    """Queries: keys in `objects.query_rows`."""
    return query_rows(json_objects(source, faults, name=name), faults)


def read_judgments(source: Source, faults: Faults, *, name: str = "") -> Iterator[JudgmentRow]:
    """Judgments: keys in `objects.judgment_rows`."""
    return judgment_rows(json_objects(source, faults, name=name), faults)
