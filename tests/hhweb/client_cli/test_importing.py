"""`hhweb import` on a real server: everything arrives once, and what does not is told."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.sdk.errors import InvalidRequest, Unavailable
from experiments.sdk.importers.importing import import_export
from experiments.sdk.importers.things import our_id
from experiments.sdk.transport.client import Client
from hhweb.client_cli import importing
from tests.experiments.sdk.importers.reading import SAMPLES, lines
from tests.hhweb.client_cli.conftest import Run

ROOT = Path(__file__).parents[3]
SAMPLE_PATHS = {
    "honeyhive": SAMPLES / "honeyhive",
    "langfuse": SAMPLES / "langfuse",
    "phoenix": SAMPLES / "phoenix" / "export",
    "mlflow": SAMPLES / "mlflow" / "traces.jsonl",
}
COUNTS = {
    "honeyhive": {"datasets": 1, "datapoints": 3, "runs": 1, "sessions": 3, "events": 6, "scores": 2},
    "langfuse": {"datasets": 1, "datapoints": 3, "runs": 1, "sessions": 3, "events": 6, "scores": 8},
    "phoenix": {"datasets": 1, "datapoints": 3, "runs": 1, "sessions": 7, "events": 8, "scores": 11},
    "mlflow": {"datasets": 0, "datapoints": 0, "runs": 1, "sessions": 3, "events": 6, "scores": 6},
}


def event(number: int, **more: Any) -> dict[str, Any]:
    """A session event of HoneyHive, numbered."""
    key = f"{number:08d}-0000-4000-8000-0000000000aa"
    found = {"event_id": key, "session_id": key, "event_type": "session", "event_name": "s", "inputs": {"n": number}}
    return {**found, "start_time": 1_700_000_000_000 + number, **more}


def stored(client: Client, tool: str) -> int:
    """How many events of that tool the server has."""
    filters = [{"field": "metadata.import_format", "operator": "is", "value": tool, "type": "string"}]
    return sum(1 for _ in client.events(filters, projections=["event_id"]))


@pytest.mark.parametrize("tool", SAMPLE_PATHS)
def test_an_export_reconciles_and_importing_it_again_doubles_nothing(
    document: Callable[..., Any], client: Client, tool: str
):
    path = SAMPLE_PATHS[tool]
    first = document("import", tool, path, "--name", f"capitals of {tool}")
    assert first["reconciled"] is True
    assert first["differences"] == []
    assert first["counts"] == {
        kind: dict.fromkeys(("in_file", "sent", "on_server"), n) for kind, n in COUNTS[tool].items()
    }
    before = (stored(client, tool), len(client.datasets()), client.list_runs()[1]["total"], len(client.datapoints()))
    assert document("import", tool, path, "--name", f"capitals of {tool}") == first
    after = (stored(client, tool), len(client.datasets()), client.list_runs()[1]["total"], len(client.datapoints()))
    assert after == before


def test_an_imported_run_has_its_dataset_its_verdicts_and_its_metrics(document: Callable[..., Any], client: Client):
    document("import", "langfuse", SAMPLE_PATHS["langfuse"])
    run = client.get_run(our_id("langfuse", "run", "cmkrun1"))
    assert (run.name, run.status) == ("capitals-1", "completed")
    # "capitals", or "capitals (2)" where another test of this server has that name already.
    assert run.dataset_name is not None
    assert run.dataset_name.startswith("capitals")
    assert run.metadata["import_id"] == "cmkrun1"
    members = {each["metadata"]["import_id"]: each for each in client.datapoints(dataset_name=run.dataset_name)}
    assert sorted(members) == ["item-0", "item-1", "item-2"]
    assert members["item-1"]["ground_truth"] == {"expected_output": "Rome"}
    result = client.result(run.run_id)
    assert {each["datapoint_id"] for each in result["datapoints"]} == {each["id"] for each in members.values()}
    figures = {each["metric_name"]: each["aggregate"] for each in result["metrics"]["details"]}
    assert figures["exact"] == pytest.approx(1 / 3)
    assert figures["length"] == pytest.approx(10 / 3)


def test_an_interrupted_import_is_simply_repeated(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("experiments.sdk.importers.sending.BATCH_EVENTS", 2)
    rows = [{"run_id": "interrupted", "status": "failed"}, *(event(number) for number in range(10, 20))]
    rows += [{"datasets": [{"id": "dx", "name": "interrupted", "datapoints": [{"id": "p", "inputs": {"q": 1}}]}]}]
    path = lines(tmp_path / "a.jsonl", *rows)

    def stop(sent: int) -> None:
        if sent >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_export(client, "honeyhive", path, on_progress=stop)
    assert client.get_run("interrupted").status == "running"
    outcome = import_export(client, "honeyhive", path)
    assert outcome.is_reconciled
    assert {kind: count.on_server for kind, count in outcome.counts.items()} == {
        "datasets": 1,
        "datapoints": 1,
        "runs": 1,
        "sessions": 10,
        "events": 0,
        "scores": 0,
    }
    assert client.get_run("interrupted").status == "failed"
    assert len(client.datapoints(dataset_name="interrupted")) == 1


def test_bad_rows_and_refused_ones_are_told_and_the_rest_arrives(run: Run, client: Client, tmp_path: Path):
    rows = [event(number, duration=1e30 if number == 33 else 1) for number in range(30, 36)]
    result = run("import", "honeyhive", lines(tmp_path / "a.jsonl", *rows, "{"))
    assert result.exit_code == 1
    assert "rows (a.jsonl:7)\n  not JSON: " in result.stdout
    assert f"sessions {rows[3]['event_id']}\n  " in result.stdout
    assert "duration" in result.stdout
    assert "2 differences: what is listed above is not on the server as in the files." in result.stderr
    assert [line.split() for line in result.stdout.splitlines() if "sessions  " in line] == [
        ["sessions", "6", "5", "5"]
    ]


def test_scores_of_a_refused_event_are_refused_with_it(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("experiments.sdk.importers.sending.BATCH_EVENTS", 1)
    trace = {"id": "huge", "timestamp": "2026-11-21T10:00:00Z", "latency": 1e30}
    fine = {"id": "fine", "timestamp": "2026-11-21T10:00:00Z"}
    score = {"id": "s-huge", "name": "n", "value": 1, "source": "API", "traceId": "huge"}
    orphan = {**score, "id": "s-orphan", "traceId": "nowhere"}
    outcome = import_export(client, "langfuse", lines(tmp_path / "a.jsonl", trace, fine, score, score, orphan))
    found = {each.source_id: each.reason for each in outcome.differences}
    assert found.pop("huge").startswith("Field 'events.0.")
    assert found == {
        "s-huge": "the event that it judges was refused.",
        "s-orphan": "the event that it judges is not in the file.",
    }
    assert (outcome.counts["scores"].in_file, outcome.counts["scores"].on_server) == (2, 0)


def test_a_score_that_came_in_a_later_file_is_added_to_its_event(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("experiments.sdk.importers.sending.BATCH_EVENTS", 1)
    traces = [{"id": f"late-{n}", "name": "kept", "timestamp": "2026-11-21T10:00:00Z"} for n in range(2)]
    row = {"source": "API", "traceId": "late-0", "name": "good", "comment": "why"}
    scores = [{**row, "id": f"late-s{n}", "value": n} for n in range(2)]
    outcome = import_export(client, "langfuse", lines(tmp_path / "a.jsonl", *traces, *scores))
    assert outcome.is_reconciled
    answer = client.request("GET", f"/v1/events/{our_id('langfuse', 'trace', 'late-0')}")["event"]
    assert answer["event_name"] == "kept"
    assert answer["metrics"] == {"good": 0, "good_explanation": "why", "good_2": 1, "good_2_explanation": "why"}


def test_what_the_server_keeps_otherwise_is_a_difference(client: Client, tmp_path: Path):
    path = lines(tmp_path / "a.jsonl", event(50, metrics={"m": 0.5, "m_explanation": "so"}))
    assert import_export(client, "honeyhive", path).is_reconciled
    lines(path, event(50, metrics={"m": 0.75}, start_time=1_600_000_000_000))
    outcome = import_export(client, "honeyhive", path)
    (difference,) = outcome.differences
    assert difference.kind == "scores"
    assert difference.reason == "the server has 0.5 for 'm', the file 0.75."
    # Found by asking for it singly: the server has it at another time than the file.
    assert outcome.counts["sessions"].on_server == 1


def test_what_vanished_meanwhile_is_a_difference(client: Client, tmp_path: Path):
    rows = [{"run_id": "vanished", "status": "pending"}, {"datasets": [{"id": "dv", "name": "vanished"}]}]
    path = lines(tmp_path / "a.jsonl", *rows, event(60))

    class Forgetful(Client):
        """A server that loses things between the last write and the first look."""

        def update_run(self, run_id: str, *arguments: Any, **options: Any) -> Any:
            return self.get_run(run_id)

        def datasets(self, **options: Any) -> Any:
            found = super().datasets(**options)
            for each in found:
                if each["name"] == "vanished":
                    self.delete_run("vanished")
                    self.delete_dataset(each["id"])
            return [each for each in found if each["name"] != "vanished"]

    with Forgetful(client.settings) as forgetful:
        outcome = import_export(forgetful, "honeyhive", path)
    assert [(each.kind, each.source_id, each.reason) for each in outcome.differences] == [
        ("datasets", "dv", "sent, but the server does not show it."),
        ("runs", "vanished", "sent, but the server does not show it."),
    ]


def test_a_run_that_is_somebody_elses_is_not_touched(client: Client, tmp_path: Path):
    client.create_run({"run_id": "taken", "name": "mine", "status": "running"})
    outcome = import_export(client, "honeyhive", lines(tmp_path / "a.jsonl", {"run_id": "taken"}))
    assert [each.reason for each in outcome.differences] == [
        "Run 'taken' exists already and was not imported from honeyhive; delete one of the two."
    ]
    assert client.get_run("taken").status == "running"


def test_a_status_that_somebody_changed_is_a_difference(client: Client, tmp_path: Path):
    path = lines(tmp_path / "a.jsonl", {"run_id": "reopened", "status": "pending"})
    assert import_export(client, "honeyhive", path).is_reconciled
    client.update_run("reopened", {"status": "cancelled"})
    (difference,) = import_export(client, "honeyhive", path).differences
    assert difference.reason == "the server has status 'cancelled', the file 'pending'."


def test_datasets_keep_order_history_and_keys_that_are_in_two_parts(client: Client, tmp_path: Path):
    turns = [{"role": "user", "content": "hi"}]
    points = [
        {"id": "a", "inputs": {"x": 1}, "ground_truth": {"y": 1}, "metadata": {"m": 1}},
        {"id": "b", "inputs": {"x": 2}, "ground_truth": {"x": 3}},
        {"id": "c", "inputs": {"y": 4}, "history": turns},
        {"id": "d", "inputs": {"x": 5}},
        {"id": "d", "inputs": {"x": 5}},
    ]
    other = [{"id": "a", "inputs": {"x": "other"}}]
    rows = [{"datasets": [{"id": "k1", "name": "parts", "description": "Of all", "datapoints": points}]}]
    rows += [{"datasets": [{"id": "k2", "name": "parts", "datapoints": other}]}]
    outcome = import_export(client, "honeyhive", lines(tmp_path / "a.jsonl", *rows))
    assert outcome.is_reconciled
    assert outcome.counts["datapoints"].on_server == 5
    found = client.datapoints(dataset_name="parts")
    assert [(each["inputs"], each["ground_truth"], each["history"]) for each in found] == [
        ({"x": 1}, {"y": 1}, []),
        ({"x": 2}, {"x": 3}, []),
        ({"y": 4}, None, turns),
        ({"x": 5}, None, []),
    ]
    assert found[0]["metadata"] == {"m": 1, "import_format": "honeyhive", "import_id": "a"}
    assert client.datasets(name="parts")[0]["description"] == "Of all\n\nImported from honeyhive: k1"
    assert [each["inputs"] for each in client.datapoints(dataset_name="parts (2)")] == [{"x": "other"}]


def test_datapoints_that_are_refused_are_told_one_by_one(client: Client, tmp_path: Path):
    rows: list[dict[str, Any]] = [{"id": str(n), "inputs": {"q": "odd" if n == 1 else n}} for n in range(3)]
    rows += [{"id": "both", "inputs": {"q": "odd"}, "ground_truth": {"q": 1}}]
    path = lines(tmp_path / "a.jsonl", {"datasets": [{"id": "st", "name": "strict", "datapoints": rows}]})

    class Strict(Client):
        """A server that does not take everything."""

        def request(self, method: str, path: str, **options: Any) -> Any:
            if method == "POST" and "datapoints" in path and "odd" in json.dumps(options["json"]):
                raise InvalidRequest("Field 'inputs' is odd.")
            return super().request(method, path, **options)

    with Strict(client.settings) as strict:
        outcome = import_export(strict, "honeyhive", path)
    assert [(each.kind, each.source_id, each.reason) for each in outcome.differences] == [
        ("datapoints", "1", "Field 'inputs' is odd."),
        ("datapoints", "both", "Field 'inputs' is odd."),
    ]
    assert [each["inputs"] for each in client.datapoints(dataset_name="strict")] == [{"q": 0}, {"q": 2}]


def test_a_dataset_that_grew_on_both_sides_is_completed(client: Client, tmp_path: Path):
    points = [{"id": f"p{n}", "inputs": {"q": n}} for n in range(220)]
    path = lines(tmp_path / "a.jsonl", {"datasets": [{"id": "g", "name": "grown", "datapoints": points[:10]}]})
    assert import_export(client, "honeyhive", path).is_reconciled
    dataset = client.datasets(name="grown")[0]["id"]
    client.add_datapoints(dataset, [{"q": "our own"}], {"inputs": ["q"]})
    lines(path, {"datasets": [{"id": "g", "name": "grown", "datapoints": points}]})
    outcome = import_export(client, "honeyhive", path)
    assert (outcome.is_reconciled, outcome.counts["datapoints"].on_server) == (True, 220)
    expected = [*range(10), "our own", *range(10, 220)]
    assert [each["inputs"]["q"] for each in client.datapoints(dataset_name="grown")] == expected


def test_runs_find_a_dataset_that_was_imported_before(client: Client, tmp_path: Path):
    dataset = {"datasets": [{"id": "early", "name": "early", "datapoints": [{"id": "p", "inputs": {"q": 1}}]}]}
    import_export(client, "honeyhive", lines(tmp_path / "a.jsonl", dataset))
    runs = [{"run_id": "after", "dataset_id": "early"}, {"run_id": "without", "dataset_id": "unknown"}]
    places = {"run_id": "after", "dataset_id": "early", "datapoint_id": "p"}
    strangers = {"run_id": "without", "dataset_id": "unknown", "datapoint_id": "q"}
    rows = [*runs, event(70, metadata=places), event(71, metadata=strangers)]
    assert import_export(client, "honeyhive", lines(tmp_path / "b.jsonl", *rows)).is_reconciled
    assert client.get_run("after").dataset_name == "early"
    (point,) = client.datapoints(dataset_name="early")
    (session,) = client.result("after")["datapoints"]
    assert session["datapoint_id"] == point["id"]
    assert client.get_run("without").metadata["import_dataset_id"] == "unknown"
    assert client.result("without")["datapoints"][0]["datapoint_id"] == "q"


def test_a_dry_run_needs_no_server_and_tells_what_is_wrong(lonely: Run, tmp_path: Path):
    path = lines(tmp_path / "a.jsonl", event(1), "{")
    result = lonely("import", "honeyhive", path, "--dry-run")
    assert result.exit_code == 1
    assert [line.split() for line in result.stdout.splitlines() if "sessions" in line] == [["sessions", "1", "–", "–"]]
    assert "One difference: what is listed above cannot be imported." in result.stderr
    result = lonely("import", "mlflow", SAMPLE_PATHS["mlflow"], "--dry-run")
    assert (result.exit_code, result.stderr) == (0, "Everything can be imported.\n")
    found = json.loads(lonely("import", "langfuse", SAMPLE_PATHS["langfuse"], "--dry-run", "--json").stdout)
    assert found["dry_run"] is True
    assert found["counts"]["scores"] == {"in_file": 8, "sent": 0, "on_server": 0}


def test_long_lists_of_differences_end_with_their_number(lonely: Run, tmp_path: Path):
    result = lonely("import", "honeyhive", lines(tmp_path / "a.jsonl", *["{"] * 60), "--dry-run")
    assert "… and 10 more; --json lists all." in result.stdout


def test_refusals_have_exit_code_2(lonely: Run, tmp_path: Path):
    (tmp_path / "a.parquet").write_text("")
    result = lonely("import", "phoenix", tmp_path / "a.parquet")
    assert result.exit_code == 2
    assert "No API key" in result.stderr
    result = lonely("import", "phoenix", tmp_path / "a.parquet", "--dry-run")
    assert result.exit_code == 2
    assert "write it as JSON lines first" in result.stderr
    assert lonely("import", "excel", tmp_path).exit_code == 2


def test_a_server_that_is_away_ends_the_import(tmp_path: Path):
    from experiments.sdk.transport.retries import RetryPolicy

    policy = RetryPolicy(attempts=1)
    with (
        Client(server_url="http://127.0.0.1:9", api_key="k", retries=policy) as client,
        pytest.raises(Unavailable),
    ):
        import_export(client, "honeyhive", lines(tmp_path / "a.jsonl", event(1)))


def test_progress_is_told_on_a_terminal_only(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    progress = importing._Progress()
    progress(importing.PROGRESS_STEP)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    progress(importing.PROGRESS_STEP + 1)
    progress(importing.PROGRESS_STEP + 2)
    assert capsys.readouterr().err == f"{importing.PROGRESS_STEP + 1} events sent\n"


def test_memory_does_not_grow_with_the_file(tmp_path: Path):
    import tracemalloc

    def peak(rows: int) -> int:
        path = lines(tmp_path / "a.jsonl", *(event(number, outputs={"text": "x" * 2000}) for number in range(rows)))
        tracemalloc.start()
        import_export(None, "honeyhive", path)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(1000) < 1.5 * peak(250)


def commands() -> Iterator[str]:
    """The commands of docs/importing.md that import something."""
    text = (ROOT / "docs" / "importing.md").read_text()
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        yield from (line.partition("#")[0] for line in block.splitlines() if line.startswith("hhweb import"))


@pytest.mark.parametrize("command", [*commands()])
def test_the_commands_of_the_documentation_work(run: Run, alone: Path, command: str):
    import shutil

    for name, target in (("honeyhive", "honeyhive-export"), ("langfuse", "langfuse-export")):
        shutil.copytree(SAMPLES / name, alone / target)
    shutil.copytree(SAMPLES / "phoenix" / "export", alone / "phoenix-export")
    shutil.copy(SAMPLES / "mlflow" / "traces.jsonl", alone / "traces.jsonl")
    shutil.copy(SAMPLES / "mlflow" / "eval_results_table.json", alone / "eval_results_table.json")
    result = run(*command.split()[1:])
    assert result.exit_code == 0, result.output
