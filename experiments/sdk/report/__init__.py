"""One self-contained HTML file of a run, or of a run against a baseline. `write` makes it; nothing in it is fetched."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt

    from experiments.sdk.transport.client import Client


def report_html(client: "Client", run: str, baseline: str | None = None, *, now: "dt.datetime | None" = None) -> str:
    """The report of a run as HTML text; `run` and `baseline` are references as `find_run` takes them.

    Works on any server of the protocol; intervals, verdicts and pass-rate intervals come from hhweb alone. Raises the
    errors of experiments.sdk.errors.
    """
    import datetime as dt

    from experiments.sdk.report.material import gathered
    from experiments.sdk.report.page import page

    return page(gathered(client, run, baseline), now=now or dt.datetime.now(dt.UTC))


def write(client: "Client", run: str, output: Path, baseline: str | None = None) -> int:
    """Write the report to a file, whole or not at all; its size in bytes. Raises OSError."""
    raw = report_html(client, run, baseline).encode(errors="replace")
    partial = output.with_name(output.name + ".part")
    try:
        partial.write_bytes(raw)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    return len(raw)
