"""Views as self-contained HTML for notebooks: no script, nothing fetched, legible on light and on dark pages.

Colours are tints laid over the page's own; text keeps the colour of the page, whichever that is.
"""

from html import escape

from experiments.sdk.views.parts import Cell, Sheet, View, shortened

_STYLE = """
.hhweb-view{font:13px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;color:inherit;margin:.5em 0;max-width:100%}
.hhweb-view h3{font-size:15px;font-weight:600;margin:0 0 .4em;overflow-wrap:anywhere}
.hhweb-view h4{font-size:13px;font-weight:600;margin:1em 0 .3em}
.hhweb-view p{margin:.3em 0;overflow-wrap:anywhere}
.hhweb-view .fact{display:inline-block;padding:.05em .6em;margin:0 .4em .4em 0;border-radius:1em;
background:rgba(128,128,128,.16)}
.hhweb-view .scroll{overflow-x:auto}
.hhweb-view table{border-collapse:collapse;margin:.4em 0;font-size:13px;border:0}
.hhweb-view th,.hhweb-view td{padding:.3em .8em;text-align:left;vertical-align:top;background:none;color:inherit;
border:0;border-bottom:1px solid rgba(128,128,128,.3);white-space:pre-line;max-width:36em;overflow-wrap:anywhere}
.hhweb-view th{font-weight:600;white-space:nowrap;border-bottom-width:2px}
.hhweb-view .number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;overflow-wrap:normal}
.hhweb-view td.id{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:12px;white-space:nowrap}
.hhweb-view .word{white-space:nowrap;overflow-wrap:normal}
.hhweb-view a{color:inherit;text-decoration:underline}
.hhweb-view .good{background:rgba(46,160,67,.22)}
.hhweb-view .bad{background:rgba(229,72,77,.24)}
.hhweb-view .warn{background:rgba(217,160,20,.26)}
.hhweb-view p.warn,.hhweb-view p.bad{padding:.3em .8em;border-radius:.4em}
.hhweb-view .dim{opacity:.72}
"""


def html_of(view: View) -> str:
    """One element with its own style; every text of the view is escaped."""
    facts = "".join(f'<span class="{_classes("fact", cell)}">{escape(cell.text)}</span>' for cell in view.facts)
    first = [cell for cell in view.sentences if cell.tone != "dim"]
    last = [cell for cell in view.sentences if cell.tone == "dim"]
    parts = [
        f'<div class="hhweb-view"><style>{_STYLE}</style><h3>{escape(view.title)}</h3><div>{facts}</div>',
        *map(_sentence, first),
        *map(_sheet, view.sheets),
        *map(_sentence, last),
        "</div>",
    ]
    return "".join(parts)


def _sheet(sheet: Sheet) -> str:
    kinds = [column.kind for column in sheet.columns]
    head = "".join(f'<th class="{column.kind}" scope="col">{escape(column.title)}</th>' for column in sheet.columns)
    rows = []
    for row in sheet.rows:
        rows.append(f"<tr>{''.join(map(_cell, kinds, row))}</tr>")
    title = f"<h4>{escape(sheet.title)}</h4>" if sheet.title else ""
    more = f'<p class="dim">{escape(sheet.more)}</p>' if sheet.more else ""
    return (
        f'{title}<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        f"{more}"
    )


def _cell(kind: str, cell: Cell) -> str:
    shown = shortened(cell.text) if kind == "id" else cell.text
    whole = f' title="{escape(cell.text)}"' if shown != cell.text else ""
    return f'<td class="{_classes(kind, cell)}"{whole}>{escape(shown)}</td>'


def _sentence(cell: Cell) -> str:
    if cell.text.startswith(("http://", "https://")):
        link = escape(cell.text)
        return f'<p class="{cell.tone}"><a href="{link}" target="_blank" rel="noopener">{link}</a></p>'
    return f'<p class="{cell.tone}">{escape(cell.text)}</p>'


def _classes(kind: str, cell: Cell) -> str:
    return f"{kind} {cell.tone}".strip()
