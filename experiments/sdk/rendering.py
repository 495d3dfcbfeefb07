"""Results and comparisons for people: tables on a terminal, HTML in notebooks, data frames. One look for all of them.

rich and pandas are imported when something is shown, not before.
"""

import sys
from dataclasses import replace
from typing import IO, TYPE_CHECKING

from experiments.sdk.models import ExperimentResultSummary, RunComparisonResult
from experiments.sdk.views.comparison import comparison_view
from experiments.sdk.views.frames import comparison_frame as comparison_frame
from experiments.sdk.views.frames import result_frame as result_frame
from experiments.sdk.views.html import html_of
from experiments.sdk.views.parts import LONGEST_ID, Cell, Sheet, View, shortened
from experiments.sdk.views.result import result_view

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

WIDTH_OF_FILES = 160  # without a terminal there is no width to ask for, and narrow lines break tables
SHORT_ID, SHORTEST_ID = 20, 13
WIDEST_TEXT, NARROWEST_TEXT = 70, 24
GAP = 3  # between columns

_STYLES = {"": "", "good": "green", "bad": "red", "warn": "yellow", "dim": "dim"}
_PLAIN = str.maketrans({"–": "-", "−": "-", "…": "~", "≥": ">=", "≤": "<=", "·": "|"})


def print_result(result: ExperimentResultSummary, name: str | None = None, *, file: IO[str] | None = None) -> None:
    """Print a result as tables, to standard output unless `file` is given."""
    print_view(result_view(result, name), file=file)


def print_comparison(comparison: RunComparisonResult, *, file: IO[str] | None = None) -> None:
    """Print a comparison as tables, to standard output unless `file` is given."""
    print_view(comparison_view(comparison), file=file)


def result_html(result: ExperimentResultSummary, name: str | None = None) -> str:
    """A result as one self-contained, escaped HTML element."""
    return html_of(result_view(result, name))


def comparison_html(comparison: RunComparisonResult) -> str:
    """A comparison as one self-contained, escaped HTML element."""
    return html_of(comparison_view(comparison))


def print_view(view: View, *, file: IO[str] | None = None) -> None:
    """Print any view: title, facts, tables, sentences. Columns give way on a narrow terminal, figures are never cut."""
    from rich.console import Console
    from rich.text import Text

    stream = file or sys.stdout
    is_terminal = bool(getattr(stream, "isatty", lambda: False)())
    console = Console(file=file, width=None if is_terminal else WIDTH_OF_FILES, highlight=False)
    facts = Text(_fitting(" · ", console)).join(_text(cell, console) for cell in view.facts)
    console.print(Text(_fitting(view.title, console), style="bold"), facts, sep="\n")
    for sheet in (_fitting_sheet(sheet, console) for sheet in view.sheets):
        if sheet.title:
            console.print()
            console.print(Text(sheet.title, style="bold"))
        console.print(_table(sheet, console))
        if sheet.more:
            console.print(Text(sheet.more, style="dim"))
    if view.sheets:
        console.print()
    for sentence in view.sentences:
        # Paths and addresses are copied from here: a line break of ours would break them.
        console.print(_text(sentence, console), soft_wrap=True)


def _table(sheet: Sheet, console: "Console") -> "Table":
    from rich import box
    from rich.table import Table

    kept, longest_id = _fitted(sheet, console.width)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, show_header=True)
    for index in kept:
        column = sheet.columns[index]
        widest = {"text": 0, "id": longest_id}.get(column.kind, sys.maxsize)
        table.add_column(
            _text(Cell(column.title), console),
            justify="right" if column.kind == "number" else "left",
            no_wrap=column.kind != "text",
            min_width=min(_natural(sheet, index), widest),
            overflow="fold",
        )
    for row in sheet.rows:
        cells = [row[index] for index in kept]
        kinds = [sheet.columns[index].kind for index in kept]
        table.add_row(
            *(
                _text(
                    Cell(shortened(cell.text, longest_id), cell.tone) if kind == "id" else cell,
                    console,
                )
                for kind, cell in zip(kinds, cells, strict=True)
            )
        )
    return table


def _fitted(sheet: Sheet, width: int) -> tuple[list[int], int]:
    """(columns to show, letters of an id): first ids give way, then columns by their `drop`."""
    kept = list(range(len(sheet.columns)))
    if _needed(sheet, kept, WIDEST_TEXT, LONGEST_ID) <= width:
        return kept, LONGEST_ID
    while _needed(sheet, kept, NARROWEST_TEXT, SHORT_ID) > width:
        last = max(kept, key=lambda index: sheet.columns[index].drop)
        if sheet.columns[last].drop == 0:
            return kept, SHORTEST_ID
        kept.remove(last)
    return kept, SHORT_ID


def _needed(sheet: Sheet, kept: list[int], widest_text: int, widest_id: int) -> int:
    limits = {"text": widest_text, "id": widest_id}
    natural = [(_natural(sheet, index), limits.get(sheet.columns[index].kind, sys.maxsize)) for index in kept]
    return sum(min(pair) + GAP for pair in natural)


def _natural(sheet: Sheet, index: int) -> int:
    from rich.cells import cell_len

    texts = [sheet.columns[index].title, *(row[index].text for row in sheet.rows)]
    return max(cell_len(line) for text in texts for line in text.split("\n"))


def _fitting_sheet(sheet: Sheet, console: "Console") -> Sheet:
    columns = [replace(column, title=_fitting(column.title, console)) for column in sheet.columns]
    rows = [[replace(cell, text=_fitting(cell.text, console)) for cell in row] for row in sheet.rows]
    return replace(sheet, columns=columns, rows=rows)


def _text(cell: Cell, console: "Console") -> "Text":
    from rich.text import Text

    return Text(_fitting(cell.text, console), style=_STYLES[cell.tone])


def _fitting(text: str, console: "Console") -> str:
    """What the stream can show: no control characters of somebody's data, nothing its encoding has not."""
    shown = "".join(letter if letter.isprintable() or letter == "\n" else "�" for letter in text)
    try:
        shown.encode(console.encoding)
    except UnicodeEncodeError:
        return shown.translate(_PLAIN).encode(console.encoding, "replace").decode(console.encoding)
    return shown
