"""`hhweb runs …`: list, show, compare, export."""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from hhweb.client_cli.connection import Refused, with_client
from hhweb.client_cli.output import JSON, echo_json, moment, note, print_table, to_file, to_standard_output

if TYPE_CHECKING:
    from experiments.sdk.models import ExperimentRun
    from experiments.sdk.transport.client import Client

STATUSES = ("pending", "running", "completed", "failed", "cancelled")
AGGREGATE = click.option(
    "--aggregate-function", default="average", show_default=True, help="How a metric's values become one figure."
)
KINDS = ("datapoints", "metrics")
_PAGE_SIZE = 100


@click.group("runs")
def runs_command() -> None:
    """List, show, compare and export runs.

    RUN is a run id or the beginning of one, a name (its newest run), `latest` (the newest completed run) or
    `latest:BRANCH` (the newest completed run of a git branch).
    """


@runs_command.command("list")
@click.option("--name", help="Only runs whose name contains this.")
@click.option("--status", type=click.Choice(STATUSES))
@click.option("--dataset", "dataset_id", help="Only runs of the dataset with this id.")
@click.option("--branch", help="Only runs made on this git branch.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 2000), help="Runs shown.")
@JSON
@with_client
def list_command(
    client: "Client",
    name: str | None,
    status: str | None,
    dataset_id: str | None,
    branch: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List runs, newest first."""
    from experiments.sdk.run_references import branch_of, runs_newest_first

    filters = {"name": name, "status": status, "dataset_id": dataset_id}
    given = {key: value for key, value in filters.items() if value is not None}
    page_size = _PAGE_SIZE if branch else min(limit, _PAGE_SIZE)
    found = runs_newest_first(client, page_size=page_size, **given)
    runs = list(itertools.islice((run for run in found if branch is None or branch_of(run) == branch), limit))
    if as_json:
        echo_json({"runs": [described(run) for run in runs]})
        return
    rows = [
        (run.run_id, run.name, run.status, len(run.event_ids) or None, branch_of(run), moment(run.created_at))
        for run in runs
    ]
    columns = ("run", "name", "status", "sessions", "branch", "created")
    fact = f"the newest {limit}; --limit shows more" if len(runs) == limit else ""
    drop = ("branch", "sessions", "created")
    print_table(columns, rows, title="Runs", right=("sessions",), ids=("run",), drop=drop, fact=fact)


@runs_command.command("show")
@click.argument("reference", metavar="RUN")
@AGGREGATE
@JSON
@with_client
def show_command(client: "Client", reference: str, aggregate_function: str, as_json: bool) -> None:
    """Show the result of RUN: its metrics, and what passed and failed."""
    from experiments.sdk.rendering import print_result
    from experiments.sdk.results import get_run_result
    from experiments.sdk.run_references import find_run

    run = find_run(client, reference)
    result = get_run_result(client, run.run_id, aggregate_function=aggregate_function)
    if as_json:
        echo_json({**result.model_dump(mode="json"), "run": described(run)})
        return
    print_result(result, name=run.name)


@runs_command.command("compare")
@click.argument("new", metavar="NEW")
@click.argument("old", metavar="OLD")
@AGGREGATE
@JSON
@with_client
def compare_command(client: "Client", new: str, old: str, aggregate_function: str, as_json: bool) -> None:
    """Compare run NEW with run OLD on the datapoints that both have."""
    from experiments.sdk.rendering import print_comparison
    from experiments.sdk.results import compare_runs
    from experiments.sdk.run_references import find_run

    new_run = find_run(client, new)
    old_run = find_run(client, old, exclude=new_run.run_id)
    comparison = compare_runs(client, new_run.run_id, old_run.run_id, aggregate_function=aggregate_function)
    if as_json:
        echo_json(comparison.model_dump(mode="json"))
        return
    print_comparison(comparison)
    if not comparison.common_datapoints:
        note("The runs have no datapoint in common: were they made on the same dataset?")


@runs_command.command("export")
@click.argument("reference", metavar="RUN")
@click.option("--format", "form", default="csv", show_default=True, type=click.Choice(["csv", "json"]))
@click.option(
    "--kind",
    default="datapoints",
    show_default=True,
    type=click.Choice(["datapoints", "metrics"]),
    help="What a row is.",
)
@click.option("--aggregate-function", help="metrics: how a metric's values become one figure.")
@click.option(
    "-o", "--output", default="-", type=click.Path(dir_okay=False, path_type=Path), help="File; - is standard output."
)
@JSON
@with_client
def export_command(
    client: "Client",
    reference: str,
    form: str,
    kind: str,
    aggregate_function: str | None,
    output: Path,
    as_json: bool,
) -> None:
    """Download the result of RUN as CSV or JSON.

    docs/exports.md has the columns. Needs hhweb.
    """
    from experiments.sdk.run_references import find_run

    run = find_run(client, reference)
    if not client.is_hhweb:
        raise Refused(
            f"{client.settings.server_url} is no hhweb and offers no export. `hhweb runs show {run.run_id} --json` "
            "gives the result as JSON from every server."
        )
    to_stdout = str(output) == "-"
    parameters = {"format": "json" if as_json and to_stdout else form, "kind": kind}
    if aggregate_function is not None and kind == "metrics":
        parameters["aggregate_function"] = aggregate_function
    with client.download(f"/api/v1/runs/{quote(run.run_id, safe='')}/export", **parameters) as pieces:
        written = to_standard_output(pieces) if to_stdout else to_file(pieces, output)
    if as_json and not to_stdout:
        echo_json({"run_id": run.run_id, "kind": kind, "format": form, "file": str(output), "bytes": written})
    else:
        note(f"Wrote {output}" if not to_stdout else f"{written:,} bytes of run {run.run_id}")


def described(run: "ExperimentRun") -> dict[str, Any]:
    """A run as JSON, with the number of its sessions instead of their ids."""
    return {**run.model_dump(mode="json", exclude={"event_ids"}), "sessions": len(run.event_ids)}
