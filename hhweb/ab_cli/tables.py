"""The tables that the commands print. Undefined is a dash; every mean stands with its interval and its number."""

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from governance.domain.formats import UNDEFINED, difference, exact, latency, score
from hhweb.ab_cli.documents import decisions

DECIMALS = 4


def console() -> Console:
    """Standard output; without a terminal there is no width to ask for, and narrow lines break tables."""
    return Console(width=None if sys.stdout.isatty() else 160, highlight=False)


def interval(low: float | None, high: float | None, *, signed: bool = False) -> str:
    """`[0.3712, 0.4274]`, or a dash."""
    if low is None or high is None:
        return UNDEFINED
    show = difference if signed else score
    return f"[{show(low, DECIMALS)}, {show(high, DECIMALS)}]"


def p_value(p: float | None) -> str:
    """Three decimals, `<0.001` below."""
    if p is None:
        return UNDEFINED
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def arms_table(found: dict[str, Any]) -> Table:
    """Arms with the primary metric and its interval first, then the other means, then the latency of a query."""
    primary = found["primary_metric"]
    names = list(dict.fromkeys(name for arm in found["arms"].values() for name in arm["metrics"]))
    others = [name for name in names if name != primary]
    table = Table(title=escape(f"{found['name']}: {found['status']}"), title_justify="left")
    table.add_column("arm")
    table.add_column("status")
    if primary:
        table.add_column(escape(primary), justify="right")
        table.add_column("95 % interval", justify="right")
        table.add_column("queries", justify="right")
    for name in others:
        table.add_column(escape(name), justify="right")
    table.add_column("p50", justify="right")
    table.add_column("p95", justify="right")
    for name, arm in found["arms"].items():
        cells = [name + (" (control)" if name == found["control"] else ""), str(arm["status"] or UNDEFINED)]
        if primary:
            figure = arm["metrics"].get(primary, {})
            cells.append(score(figure.get("mean"), DECIMALS))
            cells.append(interval(figure.get("low"), figure.get("high")))
            cells.append(exact(figure.get("n")))
        cells += [score(arm["metrics"].get(other, {}).get("mean"), DECIMALS) for other in others]
        total = arm["latency"].get("total") or {}
        cells += [latency(total.get("p50")), latency(total.get("p95"))]
        table.add_row(*map(escape, cells))
    return table


def comparisons_table(rows: Iterable[dict[str, Any]]) -> Table:
    """Each arm against the control on one metric: difference, interval, adjusted p, record, verdict."""
    table = Table()
    for title in ("arm", "against", "metric", "role"):
        table.add_column(title)
    for title in ("difference", "95 % interval", "p", "adjusted p", "won / tied / lost", "pairs"):
        table.add_column(title, justify="right")
    table.add_column("verdict")
    for row in rows:
        record = " / ".join(exact(row.get(key)) for key in ("wins", "ties", "losses"))
        cells = [
            *(str(row.get(key) or UNDEFINED) for key in ("arm", "control", "metric", "role")),
            difference(row.get("difference"), DECIMALS),
            interval(row.get("interval_low"), row.get("interval_high"), signed=True),
            p_value(row.get("p")),
            p_value(row.get("adjusted_p")),
            record,
            exact(row.get("n_common")),
            str(row.get("verdict") or UNDEFINED),
        ]
        table.add_row(*map(escape, cells))
    return table


def sentence(row: dict[str, Any]) -> str:
    """The finding of a comparison, with the arm in front where the sentence does not begin with it."""
    found = str(row.get("sentence") or row.get("verdict") or "undecided")
    return found if found.startswith(row["arm"]) else f"{row['arm']}: {found}"


def print_outcome(found: dict[str, Any]) -> None:
    """Verdict sentences first, then the arms, then what to beware of."""
    out = console()
    for row in decisions(found):
        out.print(sentence(row), markup=False, soft_wrap=True)
    out.print(arms_table(found))
    if found["error"]:
        out.print(found["error"], markup=False, soft_wrap=True)
    for name, arm in found["arms"].items():
        if arm["error"]:
            out.print(f"{name}: {arm['error']}", markup=False, soft_wrap=True)
    for warning in found["warnings"]:
        out.print(f"Beware: {warning}", markup=False, soft_wrap=True)
    if found["report_hash"]:
        out.print(f"report {found['report_hash']}", markup=False, soft_wrap=True)
