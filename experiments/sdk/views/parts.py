"""What a table is made of, before anyone decides how it looks, and how figures read in it. Pure.

The terminal and the notebook show the same views, so that a figure reads the same everywhere.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from experiments.sdk.models import PassingRange
from governance.domain.formats import UNDEFINED, difference, exact

MAX_ROWS = 10
LONGEST_ID = 36  # a UUID

Tone = Literal["", "good", "bad", "warn", "dim"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A piece of text and how it is meant."""

    text: str
    tone: Tone = ""


ColumnKind = Literal["text", "word", "number", "id"]


@dataclass(frozen=True, slots=True)
class Column:
    """Figures and words are never broken. A narrow terminal leaves out the highest `drop` first, 0 never."""

    title: str
    kind: ColumnKind = "text"
    drop: int = 0


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table; `more` says how many rows are not shown."""

    title: str
    columns: list[Column]
    rows: list[list[Cell]]
    more: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """A title, facts for one line, sentences, tables."""

    title: str
    facts: list[Cell]
    sheets: list[Sheet]
    sentences: list[Cell] = field(default_factory=list)


def has_events(names: list[str]) -> bool:
    """Whether names alone do not tell the metrics apart."""
    return any(count > 1 for count in Counter(names).values())


def figure(text: str, tone: Tone = "") -> Cell:
    return Cell(text, "dim" if text == UNDEFINED else tone)


def more(count: int) -> str:
    return f"and {exact(count - MAX_ROWS)} more" if count > MAX_ROWS else ""


def range_text(bounds: PassingRange | None) -> str:
    """`≥ 0.5`, `≤ 2`, `0.5 to 2`, or a dash."""
    if bounds is None or (bounds.min is None and bounds.max is None):
        return UNDEFINED
    if bounds.max is None:
        return f"≥ {bounds.min:g}"
    return f"≤ {bounds.max:g}" if bounds.min is None else f"{bounds.min:g} to {bounds.max:g}"


def percentage(value: float | None) -> str:
    """`+4.2 %`, or a dash."""
    text = difference(value, 1)
    return text if text == UNDEFINED else f"{text} %"


def shortened(text: str, longest: int = LONGEST_ID) -> str:
    """An id cut in the middle: both ends tell ids apart."""
    return text if len(text) <= longest else f"{text[: longest - 7]}…{text[-6:]}"
