"""Files of exports: a schema (columns in order, with a version) and how rows become CSV and JSON, for every app.

A column is never renamed, moved or given another meaning within a version; docs/exports.md lists them all.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from governance.domain.csv_cells import json_text, line
from governance.domain.errors import InvalidInput

Format = Literal["csv", "json"]
_PIECE_CHARACTERS = 64 * 1024


@dataclass(frozen=True, slots=True)
class ExportSchema:
    """Name, version and columns of one kind of file."""

    name: str
    version: int
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Export:
    """One file to be: its schema, what it is about (`subject`, for the file name), its filters and its rows."""

    schema: ExportSchema
    project_id: str
    subject: str
    filters: dict[str, Any]
    rows: Iterable[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Download:
    """What any edge needs to answer with a file: headers, and pieces of the body as they come."""

    headers: dict[str, str]
    pieces: Iterator[bytes]


def valid_format(text: str) -> Format:
    """`csv` or `json`; nothing means CSV."""
    if text in ("", "csv"):
        return "csv"
    if text == "json":
        return "json"
    raise InvalidInput(f"Query parameter 'format' is {text[:40]!r}; use csv or json.", field="format", value=text[:200])


def download(export: Export, format: Format) -> Download:
    """The file as headers and a body that is made while it is sent."""
    schema = export.schema
    subject = re.sub(r"[^A-Za-z0-9._-]+", "-", export.subject)[:80].strip("-.")
    name = f"hhweb-{schema.name}-v{schema.version}{'-' if subject else ''}{subject}.{format}"
    types = {"csv": "text/csv; charset=utf-8; header=present", "json": "application/json"}
    return Download(
        headers={
            "Content-Type": types[format],
            "Content-Disposition": f'attachment; filename="{name}"',
            "X-Hhweb-Schema": schema.name,
            "X-Hhweb-Schema-Version": str(schema.version),
            "Cache-Control": "no-store",
        },
        pieces=_gathered(csv_lines(export) if format == "csv" else json_lines(export)),
    )


def csv_lines(export: Export) -> Iterator[str]:
    """RFC 4180: one header line, then one record a row."""
    yield line(export.schema.columns)
    for row in export.rows:
        yield line(row)


def json_lines(export: Export) -> Iterator[str]:
    """One object: the schema's name and version, project, filters, columns, and `rows` of objects, one a line."""
    head = {
        "schema": export.schema.name,
        "schema_version": export.schema.version,
        "project": export.project_id,
        "filters": export.filters,
        "columns": export.schema.columns,
    }
    yield json_text(head)[:-1] + ',"rows":['
    names = [json_text(name) for name in export.schema.columns]
    separator = "\n"
    for row in export.rows:
        cells = zip(names, row, strict=True)
        yield separator + "{" + ",".join(f"{name}:{_json_cell(value)}" for name, value in cells) + "}"
        separator = ",\n"
    yield "\n]}\n"


def _json_cell(value: Any) -> str:
    return "null" if isinstance(value, float) and not math.isfinite(value) else json_text(value)


def _gathered(lines: Iterable[str]) -> Iterator[bytes]:
    """Lines in pieces of some 64 KiB: few writes, flat memory."""
    held: list[str] = []
    size = 0
    for text in lines:
        held.append(text)
        size += len(text)
        if size >= _PIECE_CHARACTERS:
            yield "".join(held).encode()
            held, size = [], 0
    if held:
        yield "".join(held).encode()
