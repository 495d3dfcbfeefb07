"""What client commands print: one JSON document or tables on standard output, everything else on standard error."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output, nothing else.")
UNDEFINED = "–"


def echo_json(document: Any) -> None:
    """Print a document as the one JSON text of standard output; NaN has no place in JSON and is an error."""
    click.echo(json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2))


def note(text: str) -> None:
    """Say something beside the answer, on standard error."""
    click.echo(text, err=True)


def console() -> "Console":
    """Standard output; without a terminal there is no width to ask for, and narrow lines break tables."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 160, highlight=False)


def print_table(titles: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Sequence[str] = ()) -> None:
    """Print rows under their titles, columns named in `right` to the right; None and empty text are a dash."""
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for title in titles:
        table.add_column(escape(title), justify="right" if title in right else "left")
    for row in rows:
        table.add_row(*(escape(UNDEFINED if cell is None or cell == "" else str(cell)) for cell in row))
    console().print(table)
