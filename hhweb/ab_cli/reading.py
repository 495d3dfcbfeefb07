"""Commands that read: list, results, compare, export."""

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from governance.domain.formats import UNDEFINED, exact, score
from hhweb.ab_cli.connection import Api, segment, with_api
from hhweb.ab_cli.documents import document
from hhweb.ab_cli.running import JSON, TEST_ID
from hhweb.ab_cli.tables import DECIMALS, comparisons_table, console, sentence

LIMIT = click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 500), help="Rows shown.")
SHOWN_DOCUMENTS = 3


@click.command("list")
@LIMIT
@JSON
@with_api
def list_command(api: Api, limit: int, as_json: bool) -> None:
    """List tests, newest first."""
    page = api.get("/tests", limit=limit)
    if as_json:
        click.echo(json.dumps(page["results"], ensure_ascii=False, indent=2))
        return
    table = Table()
    for title in ("test", "name", "status", "primary metric", "control", "created"):
        table.add_column(title)
    for test in page["results"]:
        keys = ("id", "name", "status", "primary_metric", "control", "created_at")
        table.add_row(*(escape(str(test.get(key) or UNDEFINED)) for key in keys))
    console().print(table)
    _say_what_is_left(page)


@click.command("results")
@TEST_ID
@click.option("--arm", help="Only this arm.")
@LIMIT
@click.option("--page", default=1, type=click.IntRange(min=1), help="Which page of so many rows.")
@JSON
@with_api
def results_command(api: Api, test_id: str, arm: str | None, limit: int, page: int, as_json: bool) -> None:
    """Show what each arm found for each query, with its measures."""
    answer = api.get(f"/tests/{segment(test_id)}/results", arm=arm, limit=limit, page=page)
    if as_json:
        click.echo(json.dumps(answer["results"], ensure_ascii=False, indent=2))
        return
    rows = answer["results"]
    names = list(dict.fromkeys(name for row in rows for name in row.get("metrics") or {} if " " not in name))
    table = Table()
    table.add_column("query")
    table.add_column("arm")
    for name in names:
        table.add_column(escape(name), justify="right")
    table.add_column(f"first {SHOWN_DOCUMENTS} documents")
    for row in rows:
        found = ", ".join((row.get("ranked_ids") or [])[:SHOWN_DOCUMENTS])
        if row.get("is_failed"):
            found = f"failed: {(row.get('error') or {}).get('message', 'no reason')}"
        figures = [score((row.get("metrics") or {}).get(name), DECIMALS) for name in names]
        table.add_row(*map(escape, [row["query_id"], row["arm"], *figures, found or UNDEFINED]))
    console().print(table)
    _say_what_is_left(answer)


@click.command("compare")
@TEST_ID
@click.option("--metric", help="A metric of the test; the primary one when nothing is said.")
@JSON
@with_api
def compare_command(api: Api, test_id: str, metric: str | None, as_json: bool) -> None:
    """Show each arm against the control: difference, interval, p-values, verdict."""
    found = document(api.get(f"/tests/{segment(test_id)}"))
    if not found["comparisons"]:
        raise click.ClickException(f"Test {test_id} is {found['status']} and has no comparisons.")
    wanted = metric or found["primary_metric"]
    rows = [row for row in found["comparisons"] if row["metric"] == wanted]
    if not rows:
        known = ", ".join(dict.fromkeys(row["metric"] for row in found["comparisons"]))
        raise click.UsageError(f"Option --metric: {wanted!r} is not compared; choose one of {known}.")
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    out = console()
    for row in rows:
        mark = "" if row.get("role") == "primary" else "Exploratory: "
        out.print(mark + sentence(row), markup=False, soft_wrap=True)
    out.print(comparisons_table(rows))


@click.command("export")
@TEST_ID
@click.option(
    "--format", "form", default="csv", show_default=True, type=click.Choice(["csv", "json", "trec", "qrels", "html"])
)
@click.option("--arm", help="Only this arm (trec: needed when the test has several).")
@click.option(
    "-o", "--output", default="-", type=click.Path(dir_okay=False, path_type=Path), help="File; - is standard output."
)
@with_api
def export_command(api: Api, test_id: str, form: str, arm: str | None, output: Path) -> None:
    """Download the results (csv, json, trec), the judgments (qrels) or the report (html)."""
    if form == "html":
        if arm is not None:
            raise click.UsageError("Option --arm: the report shows all arms.")
        path, parameters = f"/tests/{segment(test_id)}/report.html", {}
    else:
        path, parameters = f"/tests/{segment(test_id)}/export", {"format": form, "arm": arm}
    with api.download(path, **parameters) as pieces:
        if str(output) == "-":
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return
        # Half a file never stands under the name that was asked for.
        partial = output.with_name(output.name + ".part")
        try:
            with partial.open("wb") as file:
                for piece in pieces:
                    file.write(piece)
            partial.replace(output)
        except OSError as error:
            raise click.ClickException(f"{output} cannot be written: {error.strerror}.") from None
        finally:
            with contextlib.suppress(OSError):
                partial.unlink()
    click.echo(f"Wrote {output}", err=True)


def _say_what_is_left(page: dict[str, Any]) -> None:
    total = (page.get("pagination") or {}).get("total")
    if total is not None and total > len(page["results"]):
        click.echo(f"{len(page['results'])} of {exact(total)} rows; --limit takes up to 500.", err=True)
