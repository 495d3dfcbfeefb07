"""Rows out of export files: JSON, JSON lines and CSV, each also as .gz; a folder is all of its files.

JSON lines and CSV are read row by row, so a file may be larger than the memory; a JSON document is read whole.
"""

import ast
import csv
import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from experiments.sdk.errors import ConfigurationError
from experiments.sdk.transport import json_text

LINES = (".jsonl", ".ndjson")
SUFFIXES = (".json", *LINES, ".csv")
_LONGEST_CELL = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Row:
    """One value of a file: where it stood (`file:line`, or `file[index]`), and the value or what is wrong with it."""

    where: str
    value: Any = None
    fault: str | None = None


def export_files(path: Path) -> list[Path]:
    """The file itself, or the export files of a folder in the order of their names.

    Raises ConfigurationError with the remedy when there is none that can be read.
    """
    if path.is_dir():
        found = sorted(each for each in path.iterdir() if each.is_file() and kind_of(each))
        if not found:
            raise ConfigurationError(
                f"{path} holds no export file; they end in {', '.join(SUFFIXES)}, or .gz of these."
            )
        return found
    if path.suffix == ".parquet":
        raise ConfigurationError(
            f"{path} is a Parquet file; write it as JSON lines first: "
            "pandas.read_parquet(…).to_json('spans.jsonl', orient='records', lines=True, date_format='iso')"
        )
    if not kind_of(path):
        raise ConfigurationError(f"{path} is no export file; they end in {', '.join(SUFFIXES)}, or .gz of these.")
    return [path]


def kind_of(path: Path) -> str:
    """The suffix that says how to read a file, without `.gz`; "" when none does."""
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    return suffix if suffix in SUFFIXES else ""


def read_rows(paths: Sequence[Path]) -> Iterator[Row]:
    """The rows of all files: lines, elements of a list, or one whole document."""
    for path in paths:
        kind = kind_of(path)
        if kind == ".csv":
            yield from _cells(path)
        elif kind in LINES:
            yield from _lines(path)
        else:
            yield from _document(path)


def _opened(path: Path) -> IO[bytes] | gzip.GzipFile:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _lines(path: Path) -> Iterator[Row]:
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _row(f"{path.name}:{number}", line)


def _row(where: str, raw: bytes) -> Row:
    try:
        return Row(where, json_text.loads(raw))
    except (ValueError, RecursionError) as error:
        return Row(where, fault=f"not JSON: {error}")


def _document(path: Path) -> Iterator[Row]:
    with _opened(path) as file:
        row = _row(path.name, file.read())
    if row.fault is not None:
        with _opened(path) as file:
            first = next((line for line in file if line.strip()), b"")
        if _row("", first).fault is None:  # JSON lines under the wrong name
            yield from _lines(path)
            return
    if isinstance(row.value, list):
        for index, value in enumerate(row.value):
            yield Row(f"{path.name}[{index}]", value)
    else:
        yield row


def _cells(path: Path) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_CELL)
    with _opened(path) as file:
        lines = (line.decode("utf-8-sig" if index == 0 else "utf-8", "replace") for index, line in enumerate(file))
        reader = csv.DictReader(lines, restkey="")
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                yield Row(f"{path.name}:{reader.line_num}", fault=f"not CSV: {error}")
                continue
            if cells is None:
                return
            where = f"{path.name}:{reader.line_num}"
            if "" in cells and isinstance(cells[""], list):
                yield Row(where, fault="has more cells than the first line has names")
            else:
                yield Row(where, {name: cell_value(text) for name, text in cells.items() if name})


def cell_value(text: str | None) -> Any:
    """An empty cell is None; objects and lists are read as JSON or as Python writes them; the rest stays text."""
    if not text:
        return None
    if text[0] not in "{[":
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return text
