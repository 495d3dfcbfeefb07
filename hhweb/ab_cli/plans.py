"""A plan as a table: what each arm would embed, call and cost."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from governance.domain.formats import UNDEFINED, exact, latency
from hhweb.ab_cli.tables import console

_COUNTS = {
    "documents": "documents",
    "chunks": "chunks",
    "texts_to_embed": "to embed",
    "cached": "cached",
    "provider_calls": "calls",
    "tokens": "tokens",
}


def print_plan(plan: dict[str, Any]) -> None:
    """One row an arm; embeddings that are cached cost nothing."""
    table = Table(title=f"Plan for {exact(plan.get('queries'))} queries; nothing was started", title_justify="left")
    table.add_column("arm")
    for title in (*_COUNTS.values(), "cost", "time"):
        table.add_column(title, justify="right")
    for name, arm in plan["arms"].items():
        minutes = arm.get("minutes")
        table.add_row(
            escape(name),
            *(exact(arm.get(key)) for key in _COUNTS),
            cost(arm.get("cost"), arm.get("currency")),
            UNDEFINED if minutes is None else latency(float(minutes) * 60_000),
        )
    out = console()
    out.print(table)
    for warning in plan.get("warnings") or []:
        out.print(f"Beware: {warning}", markup=False, soft_wrap=True)


def cost(amount: str | float | None, currency: str | None) -> str:
    """`0.42 USD`; `no price` where the project has none for this model."""
    if amount is None:
        return "no price"
    text = f"{float(amount):.6f}".rstrip("0").rstrip(".")
    return f"{text} {currency}" if currency else text
