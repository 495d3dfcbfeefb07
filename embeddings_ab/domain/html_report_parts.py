"""Pieces of the HTML report: escaped texts, sections, tables, verdict chips. Plain functions from values to markup."""

from collections.abc import Iterable, Sequence
from html import escape

from governance.domain.formats import UNDEFINED, difference, score

MARKS = {"better": "▲", "worse": "▼", "equivalent": "■"}


def p_value(p: float | None) -> str:
    """Three decimals, `<0.001` below; never 0."""
    return UNDEFINED if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def text(value: object) -> str:
    """Escaped."""
    return escape(str(value))


def section(title: str, note: str, body: str) -> str:
    """A headed section with a note; nothing for an empty body."""
    said = f'<p class="note">{text(note)}</p>' if note else ""
    return f"<section>\n<h2>{text(title)}</h2>\n{said}{body}\n</section>" if body else ""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[int] = ()) -> str:
    """Rows of finished HTML, the first cell of each its head; nothing for no rows. `numbers`: columns set right."""
    right = set(numbers)

    def cell(tag: str, index: int, content: str, extra: str = "") -> str:
        kind = ' class="n"' if index in right else ""
        return f"<{tag}{kind}{extra}>{content}</{tag}>"

    lines = [
        "<tr>"
        + "".join(
            cell("td" if index else "th", index, content, "" if index else ' scope="row"')
            for index, content in enumerate(row)
        )
        + "</tr>"
        for row in rows
    ]
    if not lines:
        return ""
    head = "".join(cell("th", index, content, ' scope="col"') for index, content in enumerate(heads))
    body = "\n".join(lines)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def spread(low: float | None, high: float | None, *, signed: bool = False) -> str:
    """` [low, high]` in small print; nothing where undefined."""
    if low is None or high is None:
        return ""
    show = difference if signed else score
    return f" <small>[{show(low)}, {show(high)}]</small>"


def chip(verdict: object) -> str:
    """A verdict as mark and word; what is no verdict word is shown as undecided."""
    word = str(verdict or "undecided")
    kind = word if word in MARKS else "undecided"
    return f'<span class="chip {kind}">{MARKS.get(word, "○")} {text(word)}</span>'
