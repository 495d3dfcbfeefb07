"""`hhweb runs` against a real server."""

import csv
import io
import json
import uuid

import pytest

from tests.experiments.sdk.fault_server import FaultServer
from tests.hhweb.client_cli.seeding import store_run

pytestmark = pytest.mark.process


@pytest.fixture
def name():
    return f"run {uuid.uuid4()}"


@pytest.fixture
def pair(client, name):
    """Run ids (new, old) on the same three datapoints."""
    old = store_run(client, f"{name} old", {"exact": [1, 0, 1]}, branch="main")
    new = store_run(client, f"{name} new", {"exact": [1, 1, 1]}, branch="feature")
    return new, old


def test_runs_are_listed_newest_first_and_filtered(document, client, pair, name):
    new, old = pair
    going = store_run(client, f"{name} going", {"exact": [1]}, status="running")

    listed = document("runs", "list", "--name", name)["runs"]

    assert [run["run_id"] for run in listed] == [going, new, old]
    assert [run["status"] for run in listed] == ["running", "completed", "completed"]
    assert "event_ids" not in listed[0]
    only = [
        run["run_id"]
        for options in (["--status", "running"], ["--branch", "main"], ["--limit", "1"], ["--dataset", "EXT-none"])
        for run in document("runs", "list", "--name", name, *options)["runs"]
    ]
    assert only == [going, old, going]


def test_the_list_is_a_table_for_people(run, pair, name):
    shown = run("runs", "list", "--name", name).stdout

    assert shown.splitlines()[:2] == ["Runs", "2 shown"]
    cells = shown.splitlines()[4].split()
    assert (cells[0], " ".join(cells[1:4]), cells[4], cells[6]) == (pair[0], f"{name} new", "completed", "feature")
    assert "the newest 1; --limit shows more" in run("runs", "list", "--name", name, "--limit", 1).stdout


def test_a_run_is_shown_by_its_id_its_beginning_its_name_and_as_the_latest(document, run, pair, name):
    new, old = pair

    references = [new, new[:12], f"{name} new", "latest", "latest:feature"]
    assert {document("runs", "show", reference)["run_id"] for reference in references} == {new}
    assert document("runs", "show", "latest:main")["run_id"] == old
    shown = document("runs", "show", old)
    assert shown["run"]["name"] == f"{name} old"
    assert [(row["metric_name"], row["values"]) for row in shown["metrics"]["details"]] == [("exact", [1, 0, 1])]
    table = run("runs", "show", old).stdout
    assert table.splitlines()[0] == f"{name} old"
    assert "exact" in table
    assert "0.667" in table
    assert document("runs", "show", old, "--aggregate-function", "min")["metrics"]["details"][0]["aggregate"] == 0


def test_runs_are_compared_on_their_common_datapoints(document, run, pair, name):
    new, old = pair

    compared = document("runs", "compare", "latest", f"{name} old")

    assert (compared["new_run_id"], compared["old_run_id"], compared["common_datapoints"]) == (new, old, 3)
    assert [(each["metric_name"], each["improved_count"]) for each in compared["metrics"]] == [("exact", 1)]
    assert "3 common datapoints" in run("runs", "compare", new, "latest:main").stdout


def test_runs_without_a_common_datapoint_are_said_to_have_none(run, client, pair, name):
    store_run(client, name, {"exact": [1]}, prefix="elsewhere")

    result = run("runs", "compare", name, pair[1])

    assert result.exit_code == 0
    assert "no datapoint in common" in result.stderr


def test_an_unknown_run_is_refused_with_the_way_to_look(run):
    result = run("runs", "show", "no such run")

    assert result.exit_code == 2
    assert result.stdout == ""
    assert "No run has the id or name 'no such run'" in result.stderr


def test_a_run_is_exported_to_standard_output_and_to_a_file(run, document, alone, pair):
    old = pair[1]

    shown = run("runs", "export", old)
    rows = list(csv.DictReader(io.StringIO(shown.stdout)))
    assert [(row["datapoint_id"], row["value"]) for row in rows] == [
        ("datapoint-0", "1.0"),
        ("datapoint-1", "0.0"),
        ("datapoint-2", "1.0"),
    ]
    assert f"bytes of run {old}" in shown.stderr
    told = document("runs", "export", old, "--kind", "metrics", "--aggregate-function", "min", "-o", "metrics.csv")
    file = alone / "metrics.csv"
    assert told == {
        "run_id": old,
        "kind": "metrics",
        "format": "csv",
        "file": "metrics.csv",
        "bytes": file.stat().st_size,
    }
    assert [row["aggregate"] for row in csv.DictReader(io.StringIO(file.read_text()))] == ["0.0"]
    assert document("runs", "export", old)["schema"] == "run-datapoints"
    assert run("runs", "export", old, "--format", "json", "-o", "run.json").stderr == "Wrote run.json\n"
    assert len(json.loads((alone / "run.json").read_text())["rows"]) == 3


def test_a_file_that_cannot_be_written_is_named_and_leaves_nothing(run, alone, pair):
    result = run("runs", "export", pair[0], "-o", "no/such/folder.csv")

    assert result.exit_code == 2
    assert "no/such/folder.csv cannot be written: No such file or directory." in result.stderr


def test_a_refused_export_leaves_no_file(run, alone, pair):
    result = run("runs", "export", pair[0], "--kind", "metrics", "--aggregate-function", "best", "-o", "metrics.csv")

    assert result.exit_code == 2
    assert "best" in result.stderr
    assert list(alone.iterdir()) == []


def test_a_server_without_exports_is_said_to_have_none(lonely):
    with FaultServer(is_hhweb=False) as other:
        other.runs["run-1"] = {"run_id": "run-1", "name": "run", "status": "completed"}
        result = lonely("runs", "export", "run-1", "--url", other.url, "--api-key", "any")

    assert result.exit_code == 2
    assert f"{other.url} is no hhweb and offers no export. `hhweb runs show run-1 --json`" in result.stderr
