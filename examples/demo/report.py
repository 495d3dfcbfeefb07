"""What the demo prints: progress, result tables and the comparison, all from the server's answers."""

import sys
import threading
from typing import Any

from rich.console import Console
from rich.table import Table

COLUMNS = ("average", "median", "min", "max", "p90", "p95", "p99", "sum", "count")

# Without a terminal there is no width to ask for, and lines of 80 columns break the tables.
console = Console(width=None if sys.stdout.isatty() else 118, highlight=False)


def number(value: float | None) -> str:
    """At most four significant decimals; a dash for what is undefined."""
    return "–" if value is None else f"{value:.4f}".rstrip("0").rstrip(".")


class Progress:
    """A line whenever another quarter of the datapoints is done; safe to call from the SDK's threads."""

    def __init__(self, name: str, total: int) -> None:
        self.name, self.total, self.done, self.raised = name, total, 0, 0
        self.lock = threading.Lock()

    def advance(self, raised: bool) -> None:
        """Count one datapoint."""
        with self.lock:
            self.done += 1
            self.raised += raised
            if self.done * 4 // self.total > (self.done - 1) * 4 // self.total:
                console.print(f"  {self.name}: {self.done} of {self.total} datapoints done, {self.raised} raised")


def print_result(name: str, figures: dict[str, Any]) -> None:
    """One run's table: each metric under all nine aggregate functions, and who failed."""
    table = Table(title=f"{name}: result as the server computed it", title_justify="left")
    table.add_column("metric")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    table.add_column("below rule", justify="right")
    for metric, row in figures["metrics"].items():
        cells = [number(row["aggregates"][column]) for column in COLUMNS]
        table.add_row(metric, *cells, str(len(row["failed"])))
    console.print(table)
    total = len(figures["datapoints"])
    console.print(f"  passed {len(figures['passed'])} of {total}, failed {len(figures['failed'])}")
    crashed = [key for key, row in figures["datapoints"].items() if not row["scores"]]
    if crashed:
        console.print(f"  raised, therefore failed and without scores: {', '.join(sorted(crashed))}")
    console.print()


def print_comparison(figures: dict[str, Any]) -> None:
    """The comparison of two runs under the average."""
    title = f"Comparison as the server computed it, {len(figures['common'])} common datapoints"
    table = Table(title=title, title_justify="left")
    table.add_column("metric")
    columns = ("old", "new", "difference", "change %", "in both", "improved", "degraded", "same")
    for column in columns:
        table.add_column(column, justify="right")
    for metric, row in figures["metrics"].items():
        numbers = [row[key] for key in ("old_aggregate", "new_aggregate", "difference", "percentage_change")]
        counts = [row[key] for key in ("found_count", "improved_count", "degraded_count", "same_count")]
        table.add_row(metric, *map(number, numbers), *map(str, counts))
    console.print(table)
    for move in ("improved", "degraded"):
        keys = figures["metrics"].get("f1", {}).get(move, [])
        shown = ", ".join(keys[:8]) + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")
        console.print(f"  f1 {move}: {shown or 'none'}")
    console.print()
