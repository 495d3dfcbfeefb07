"""What client commands print: one JSON document or tables on standard output, everything else on standard error."""

import contextlib
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from hhweb.client_cli.connection import Refused

JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output, nothing else.")
UNDEFINED = "–"


def echo_json(document: Any) -> None:
    """Print a document as the one JSON text of standard output; NaN has no place in JSON and is an error."""
    click.echo(json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2))


def note(text: str) -> None:
    """Say something beside the answer, on standard error."""
    click.echo(text, err=True)


def print_table(
    titles: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    title: str = "",
    right: Sequence[str] = (),
    ids: Sequence[str] = (),
    drop: Sequence[str] = (),
    fact: str = "",
) -> None:
    """Print rows under the titles of their columns, in the look of all our tables; None and empty text are a dash.

    `right` are columns of numbers, `ids` those that a narrow terminal shortens, `drop` those that it leaves out, the
    first one first; `fact` stands below the title.
    """
    from experiments.sdk.rendering import print_view
    from experiments.sdk.views.parts import Cell, Column, ColumnKind, Sheet, View

    kinds: dict[str, ColumnKind] = dict.fromkeys(right, "number")
    kinds |= dict.fromkeys(ids, "id")
    places = {name: len(drop) - place for place, name in enumerate(drop)}
    sheet = Sheet(
        "",
        [Column(name, kinds.get(name, "text"), places.get(name, 0)) for name in titles],
        [[Cell(UNDEFINED if cell is None or cell == "" else str(cell)) for cell in row] for row in rows],
    )
    print_view(View(title, [Cell(fact or f"{len(rows):,} shown", "dim")], [sheet] if rows else []))


def moment(text: str | None) -> str | None:
    """`2026-11-21 15:04` of an ISO moment in UTC."""
    return text[:16].replace("T", " ") if text else None


def to_standard_output(pieces: Iterable[bytes]) -> int:
    """Write bytes to standard output; how many."""
    written = 0
    for piece in pieces:
        written += sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
    return written


def to_file(pieces: Iterable[bytes], output: Path) -> int:
    """Write a file that appears whole or not at all; its size in bytes. Refused when the disk says no."""
    partial = output.with_name(output.name + ".part")
    written = 0
    try:
        with partial.open("wb") as file:
            for piece in pieces:
                written += file.write(piece)
        partial.replace(output)
    except OSError as error:
        raise Refused(f"{output} cannot be written: {error.strerror}.") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
    return written
