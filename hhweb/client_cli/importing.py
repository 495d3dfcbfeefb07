"""`hhweb import`: experiments of other tools, from their export files, with a report of what arrived."""

import sys
from pathlib import Path

import click

from hhweb.client_cli.connection import EXIT_DONE, EXIT_NOT_PASSED, find_settings, open_client, translated
from hhweb.client_cli.output import JSON, echo_json, note, print_table

FORMATS = ("honeyhive", "langfuse", "phoenix", "mlflow")
SHOWN_DIFFERENCES = 50
PROGRESS_STEP = 5_000


@click.command("import", short_help="Bring experiments from other tools.")
@click.argument("tool", type=click.Choice(FORMATS), metavar="TOOL")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--name", help="Name of datasets and runs that have none in the files; else the name of PATH.")
@click.option("--dry-run", is_flag=True, help="Read and check the files; send nothing, need no server.")
@JSON
@click.option("--url", help="Address of the server (or HH_API_URL).")
@click.option("--api-key", help="Project key (or HH_API_KEY).")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Data folder of a running `hhweb up`, whose credentials.json is used.",
)
def import_command(
    tool: str,
    path: Path,
    name: str | None,
    dry_run: bool,
    as_json: bool,
    url: str | None,
    api_key: str | None,
    data: Path | None,
) -> None:
    """Bring experiments from other tools.

    TOOL is honeyhive, langfuse, phoenix or mlflow; PATH is an export file of it, or a folder of such files. Datasets,
    datapoints, runs, traces and scores become ours; ids from there stay in the metadata. Importing again stores
    nothing twice, so an interrupted import is simply repeated.

    Exit codes: 0 the server has everything the files have, 1 it has not, 2 refused or out of reach.
    """
    from experiments.sdk.importers.importing import import_export

    with translated():
        if dry_run:
            outcome = import_export(None, tool, path, name=name)
        else:
            with open_client(find_settings(url, api_key, data)) as client:
                outcome = import_export(client, tool, path, name=name, on_progress=_Progress())
    if as_json:
        echo_json(outcome.document())
    else:
        titles = ("", "in the file", "sent", "on the server")
        rows = [
            (kind, count.in_file, *((None, None) if dry_run else (count.sent, count.on_server)))
            for kind, count in outcome.counts.items()
        ]
        print_table(titles, rows, right=titles[1:], title=f"Import from {tool}", fact=str(path))
        for each in outcome.differences[:SHOWN_DIFFERENCES]:
            click.echo(" ".join(part for part in (each.kind, each.source_id, each.where and f"({each.where})") if part))
            click.echo(f"  {each.reason}")
        if len(outcome.differences) > SHOWN_DIFFERENCES:
            click.echo(f"… and {len(outcome.differences) - SHOWN_DIFFERENCES} more; --json lists all.")
        note(_sentence(outcome.is_reconciled, len(outcome.differences), dry_run))
    click.get_current_context().exit(EXIT_DONE if outcome.is_reconciled else EXIT_NOT_PASSED)


def _sentence(is_reconciled: bool, differences: int, is_dry: bool) -> str:
    if is_reconciled:
        return "Everything can be imported." if is_dry else "Reconciled: the server has everything that the files have."
    count = "One difference" if differences == 1 else f"{differences} differences"
    return (
        f"{count}: what is listed above {'cannot be imported' if is_dry else 'is not on the server as in the files'}."
    )


class _Progress:
    """Says on a terminal how far a long import is."""

    def __init__(self) -> None:
        self._next = PROGRESS_STEP

    def __call__(self, sent: int) -> None:
        if sent >= self._next and sys.stderr.isatty():
            note(f"{sent} events sent")
            self._next = sent + PROGRESS_STEP
