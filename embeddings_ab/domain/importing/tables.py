"""CSV (RFC 4180) and tab-separated tables with a header line; other columns become metadata, as texts."""

import csv
from collections.abc import Iterator

from embeddings_ab.domain.importing.faults import Faults
from embeddings_ab.domain.importing.objects import Placed, document_rows, judgment_rows, query_rows
from embeddings_ab.domain.importing.rows import DocumentRow, JudgmentRow, Place, QueryRow
from embeddings_ab.domain.importing.text_lines import LINE_LIMIT, Source, text_lines
from governance.domain.errors import InvalidInput

csv.field_size_limit(LINE_LIMIT)  # of the whole process; its default would refuse long documents


class _Lines:
    """Feeds the csv module and remembers where it is: a quoted field may span lines."""

    def __init__(self, lines: Iterator[tuple[Place, str]]) -> None:
        self._lines = lines
        self.next_is_first = True
        self.first = Place()

    def __iter__(self) -> Iterator[str]:
        for place, text in self._lines:
            if self.next_is_first:
                self.first, self.next_is_first = place, False
            yield text


def table_rows(source: Source, faults: Faults, required: tuple[str, ...], *, name: str = "") -> Iterator[Placed]:
    """One dictionary for each record after the header. Tabs separate where the header has one, commas otherwise."""
    lines = text_lines(source, faults, name=name)
    head = next(((place, line) for place, line in lines if line.strip()), None)
    faults.refuse()  # a header that is no UTF-8 was left out, and the next line is none
    if head is None:
        raise InvalidInput(
            f"The table is empty; its first line names the columns: {', '.join(required)}.", field="header", value=name
        )
    place, line = head
    delimiter = "\t" if "\t" in line else ","
    columns = [column.strip() for column in next(csv.reader([line], delimiter=delimiter))]
    if missing := [column for column in required if column not in columns]:
        raise InvalidInput(
            f"{place}: column {missing[0]!r} is missing. The header names {', '.join(map(repr, columns))[:200]}; "
            f"needed are {', '.join(required)}.",
            field=missing[0],
            value=line.strip()[:200],
            file=place.file,
            line=place.line,
        )
    if len(set(columns)) < len(columns):
        raise InvalidInput(
            f"{place}: a column is named twice. Names of columns are unique.",
            field="header",
            value=line.strip()[:200],
            file=place.file,
            line=place.line,
        )
    yield from _records(_Lines(lines), columns, delimiter, faults)


def _records(lines: _Lines, columns: list[str], delimiter: str, faults: Faults) -> Iterator[Placed]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.next_is_first = True
        try:
            cells = next(reader, None)
        except csv.Error as error:
            faults.note(
                "not_csv",
                lines.first,
                "line",
                None,
                f"The record is no CSV: {error}. Quote fields that hold quotes, and double the quotes inside.",
            )
            continue
        if cells is None:
            return
        if len(cells) == len(columns):
            yield lines.first, dict(zip(columns, cells, strict=True))
        elif cells:
            faults.note(
                "wrong_columns",
                lines.first,
                "line",
                delimiter.join(cells),
                f"The record has {len(cells)} fields, the header {len(columns)}. Quote fields that hold the separator.",
            )


def read_documents(source: Source, faults: Faults, *, name: str = "") -> Iterator[DocumentRow]:
    """Documents from the columns id, text, and title where it is there."""
    return document_rows(table_rows(source, faults, ("id", "text"), name=name), faults)


def read_queries(source: Source, faults: Faults, *, name: str = "") -> Iterator[QueryRow]:
    """Queries from the columns id and text."""
    return query_rows(table_rows(source, faults, ("id", "text"), name=name), faults)


def read_judgments(source: Source, faults: Faults, *, name: str = "") -> Iterator[JudgmentRow]:
    """Judgments from the columns query_id, document_id and grade."""
    return judgment_rows(table_rows(source, faults, ("query_id", "document_id", "grade"), name=name), faults)
