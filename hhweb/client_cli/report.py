"""`hhweb report`: a run, or a run against a baseline, as one HTML file to look at, keep or send."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hhweb.client_cli.connection import Refused, with_client
from hhweb.client_cli.output import JSON, echo_json, note

if TYPE_CHECKING:
    from experiments.sdk.transport.client import Client


@click.command("report")
@click.argument("run", default="latest")
@click.option("--baseline", help="The run to compare with: id, name, latest, latest:BRANCH.")
@click.option(
    "-o",
    "--output",
    default="report.html",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write.",
)
@JSON
@with_client
def report_command(client: "Client", run: str, baseline: str | None, output: Path, as_json: bool) -> None:
    """Write one self-contained HTML file of a run or comparison.

    RUN is a run id or the beginning of one, a name, latest (the default) or latest:BRANCH. The file needs no network
    and no server: metrics with their distributions, failing datapoints with inputs and outputs, and with --baseline
    differences with intervals and verdicts.
    """
    from experiments.sdk.report import write

    try:
        written = write(client, run, output, baseline)
    except OSError as error:
        raise Refused(f"{output} cannot be written: {error.strerror}.") from None
    if as_json:
        echo_json({"file": str(output), "bytes": written})
    else:
        note(f"Wrote {output}")
