"""`hhweb datasets …`: push, pull, list."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hhweb.client_cli.connection import Refused, with_client
from hhweb.client_cli.output import JSON, echo_json, moment, note, print_table, to_file, to_standard_output

if TYPE_CHECKING:
    from experiments.sdk.transport.client import Client

Json = dict[str, Any]
FORMATS = ("jsonl", "json", "csv")
NESTED = ("inputs", "ground_truth", "metadata")


@click.group("datasets")
def datasets_command() -> None:
    """Push, pull and list datasets."""


@datasets_command.command("list")
@JSON
@with_client
def list_command(client: "Client", as_json: bool) -> None:
    """List the datasets of the project."""
    found: list[Json] = []
    for row in client.datasets():
        known = {key: row.get(key) for key in ("id", "name", "description", "created_at", "updated_at")}
        found.append({**known, "rows": len(row.get("datapoints") or ())})
    if as_json:
        echo_json({"datasets": found})
        return
    rows = [(row["id"], row["name"], row["rows"], moment(row["updated_at"])) for row in found]
    columns = ("dataset", "name", "rows", "changed")
    print_table(columns, rows, title="Datasets", right=("rows",), ids=("dataset",), drop=("changed",))


@datasets_command.command("push")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", required=True, help="Name of the dataset.")
@click.option("--inputs", default="", help="Columns that are inputs, like question,context; else as above.")
@click.option("--ground-truth", default="", help="Columns that are ground truth, like answer.")
@click.option("--description", default="", help="Words for the list of datasets.")
@click.option("--replace", is_flag=True, help="Put these rows in the place of all that the dataset holds.")
@JSON
@with_client
def push_command(
    client: "Client",
    file: Path,
    name: str,
    inputs: str,
    ground_truth: str,
    description: str,
    replace: bool,
    as_json: bool,
) -> None:
    """Store the rows of FILE (JSON, JSONL or CSV) as a dataset.

    A row is {"inputs": {...}, "ground_truth": {...}}, or flat: then everything but ground_truth, metadata and ids is
    input, unless --inputs and --ground-truth name columns.

    Pushing again is safe: rows that are there are not sent again, rows that are missing are added. A dataset that
    holds other rows is left alone, unless --replace says otherwise; its former rows stay with the runs made on them.
    """
    from experiments.sdk.datasets import read_file
    from hhweb.client_cli.rows import content_of_datapoint, contents_of, missing

    contents = contents_of(read_file(file), _names(inputs), _names(ground_truth))
    known = client.datasets(name=name)
    there = [content_of_datapoint(row) for row in client.datapoints(dataset_name=name)] if known else []
    to_add, others = missing(contents, there)
    if known:
        dataset_id = str(known[0]["id"])
        if others and not replace:
            raise Refused(
                f"Dataset {name!r} is there and holds {others:,} rows that {file.name} has not; nothing was sent. "
                "Choose another --name, or put these rows in their place with --replace."
            )
        if others:
            client.request("PUT", "/v1/datasets", json={"dataset_id": dataset_id, "datapoints": []})
            to_add = contents
    else:
        dataset_id = client.create_dataset({"name": name, "description": description})
    _send(client, dataset_id, to_add)
    if as_json:
        counts = {"rows": len(contents), "added": len(to_add), "replaced": others}
        echo_json({"dataset_id": dataset_id, "name": name, "created": not known, **counts})
    else:
        click.echo(_told(name, dataset_id, created=not known, added=len(to_add), total=len(contents), replaced=others))


@datasets_command.command("pull")
@click.argument("reference", metavar="NAME|ID")
@click.option("-o", "--output", default="-", type=click.Path(dir_okay=False, path_type=Path), help="File; - is stdout.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="Else by the file's ending; jsonl without one.")
@JSON
@with_client
def pull_command(client: "Client", reference: str, output: Path, form: str | None, as_json: bool) -> None:
    """Write a dataset to a file that evaluate() and push take: rows of inputs and ground truth, in order."""
    from hhweb.client_cli.rows import content_of_datapoint

    dataset = _find(client, reference)
    place = {datapoint_id: index for index, datapoint_id in enumerate(dataset.get("datapoints") or ())}
    found = client.datapoints(dataset_name=dataset["name"])
    ordered = sorted(found, key=lambda datapoint: place.get(datapoint["id"], len(place)))
    rows = [{key: value for key, value in content_of_datapoint(row).items() if value} for row in ordered]
    to_stdout = str(output) == "-"
    if as_json and to_stdout:
        form = "json"
    suffix = output.suffix.removeprefix(".").lower()
    form = form or (suffix if suffix in FORMATS else "jsonl")
    pieces = [_text(rows, form).encode()]
    written = to_standard_output(pieces) if to_stdout else to_file(pieces, output)
    if as_json and not to_stdout:
        told = {"dataset_id": dataset["id"], "name": dataset["name"], "rows": len(rows)}
        echo_json({**told, "format": form, "file": str(output), "bytes": written})
    else:
        note(f"{len(rows):,} rows of {dataset['name']}" + ("" if to_stdout else f" written to {output}"))


def _send(client: "Client", dataset_id: str, contents: Sequence[Json]) -> None:
    """Add rows in pieces. What was sent before an interruption stays; the next push goes on behind it."""
    from hhweb.client_cli.rows import as_flat_rows, chunks

    for chunk in chunks(contents):
        flat = as_flat_rows(chunk)
        if flat is not None:
            client.add_datapoints(dataset_id, *flat)
            continue
        for content in chunk:
            body = {key: value for key, value in content.items() if value} | {"linked_datasets": [dataset_id]}
            client.request("POST", "/v1/datapoints", json=body, idempotent=False)


def _find(client: "Client", reference: str) -> Json:
    found = client.datasets(name=reference) or client.datasets(dataset_id=reference)
    if not found:
        raise Refused(f"There is no dataset {reference!r}. `hhweb datasets list` shows what is there.")
    return dict(found[0])


def _text(rows: Sequence[Json], form: str) -> str:
    if form == "json":
        return json.dumps(rows, ensure_ascii=False, indent=2) + "\n"
    if form == "csv":
        return _csv(rows)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _csv(rows: Sequence[Json]) -> str:
    """Columns `inputs.x`, `ground_truth.x`, `metadata.x`; a cell is text, what is no text stands there as JSON."""
    import csv
    import io

    flat = [
        {f"{place}.{key}": value for place in NESTED for key, value in (row.get(place) or {}).items()} for row in rows
    ]
    if any(row.get("history") for row in rows):
        note("CSV has no place for chat histories: they are left out. Choose jsonl to keep them.")
    file = io.StringIO()
    writer = csv.DictWriter(file, list(dict.fromkeys(name for row in flat for name in row)))
    writer.writeheader()
    for row in flat:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return file.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _names(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]


def _told(name: str, dataset_id: str, *, created: bool, added: int, total: int, replaced: int) -> str:
    where = f"dataset {name} ({dataset_id})"
    if created:
        return f"Created {where} with {added:,} rows"
    if replaced:
        return f"Replaced the rows of {where}: {added:,} rows"
    if added:
        return f"Added {added:,} rows to {where}; {total - added:,} were there"
    return f"Nothing to do: {where} has these {total:,} rows"
