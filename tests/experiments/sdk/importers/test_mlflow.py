"""Exports of MLflow."""

from pathlib import Path
from typing import Any

from experiments.sdk.importers.things import Datapoint, Dataset, Run, our_id
from tests.experiments.sdk.importers.reading import SAMPLES, bad, events, kinds, lines, scores, things

FOLDER = SAMPLES / "mlflow"
RUN = "483d2ca8b1014bd6813777e89af41a0c"


def test_traces_become_sessions_of_their_run_with_spans_and_judgments():
    found = things("mlflow", FOLDER / "traces.jsonl")
    assert kinds(found) == {"Run": 1, "Event": 9, "Score": 6}
    assert found[0] == Run(RUN, our_id("mlflow", "run", RUN), "capitals")
    rome = next(each for each in events(found) if each.source_id == "tr-268e3eeb104d74da8f4a640730f66345")
    assert (rome.kind, rome.body["event_name"], rome.body["source"]) == ("sessions", "predict_fn", "evaluation")
    assert (rome.body["inputs"], rome.body["outputs"]) == ({"question": "Italy"}, {"answer": "Roma"})
    assert rome.body["feedback"] == {"ground_truth": {"expected_response": "Rome"}}
    assert rome.body["metadata"]["run_id"] == our_id("mlflow", "run", RUN)
    assert (rome.dataset, rome.datapoint) == (None, "EXT-4580e84c8081000b")
    assert (rome.body["start_time"], rome.body["duration"]) == (1795273888055.0, 59)
    spans = [each for each in events(found) if each.body["session_id"] == rome.event_id and each.kind == "events"]
    root, model = spans
    assert (root.body["event_type"], root.body["parent_id"]) == ("chain", rome.event_id)
    assert (model.body["event_type"], model.body["parent_id"]) == ("model", root.event_id)
    assert (model.body["outputs"], model.body["metadata"]["model"]) == ({"output": "Roma"}, "toy-1")
    judged = [(each.name, each.value, each.explanation) for each in scores(found) if each.event_id == root.event_id]
    assert judged == [("exact", False, None), ("length", 4.0, "letters")]
    failed = next(each for each in events(found) if each.kind == "sessions" and "error" in each.body)
    assert failed.body["error"] == "no such country"


def test_tables_of_traces_say_the_same_as_the_traces():
    pages = {each.event_id: each.body for each in events(things("mlflow", FOLDER / "traces.jsonl"))}
    for name in ("search_traces.csv", "eval_results.json"):
        assert {each.event_id: each.body for each in events(things("mlflow", FOLDER / name))} == pages


def test_columns_without_the_trace_column_are_put_together(tmp_path: Path):
    import csv

    with (FOLDER / "search_traces.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (tmp_path / "a.csv").open("w") as file:
        names = [name for name in rows[0] if name != "trace"]
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    whole, parts = things("mlflow", FOLDER / "search_traces.csv"), things("mlflow", tmp_path / "a.csv")
    assert [each.event_id for each in events(parts)] == [each.event_id for each in events(whole)]
    assert scores(parts) == scores(whole)


def test_a_result_table_becomes_a_run_with_one_session_per_row():
    found = things("mlflow", FOLDER / "eval_results_table.json")
    run, first = found[0], events(found)[0]
    assert isinstance(run, Run)
    assert run.source_id == "capitals:3bb16d2390b859cd"
    assert (first.body["inputs"], first.body["outputs"]) == ({"inputs": "France"}, {"outputs": "Paris"})
    assert first.body["feedback"] == {"ground_truth": {"truth": "Paris"}}
    assert [(each.name, each.value) for each in scores(found)] == [("same", 1), ("same", 0)]


def test_versions_and_justifications_of_metrics_in_tables(tmp_path: Path):
    table = {"columns": ["q", "toxicity/v1/score", "toxicity/v1/justification", "none/score", "list/value"]}
    table["data"] = [["x", 0.25, "mild", None, [1]], ["too", "short"]]
    found = things("mlflow", lines(tmp_path / "a.jsonl", table))
    assert [(each.name, each.value, each.explanation) for each in scores(found)] == [
        ("toxicity", 0.25, "mild"),
        ("list", "[1]", None),
    ]
    assert bad(found)[0].where == "a.jsonl:1 data[1]"


def test_records_of_a_dataset_are_tied_to_traces_by_their_inputs(tmp_path: Path):
    record = {"dataset_record_id": "dr-1", "inputs": {"question": "Italy"}, "expectations": {"e": "Rome"}}
    lines(tmp_path / "a.jsonl", record)
    (tmp_path / "b.jsonl").write_text((FOLDER / "traces.jsonl").read_text())
    found = things("mlflow", tmp_path)
    assert found[0] == Dataset("capitals", "capitals")
    assert found[1] == Datapoint(
        "4580e84c8081000b", "capitals", {"question": "Italy"}, {"e": "Rome"}, metadata={"dataset_record_id": "dr-1"}
    )
    places = {(each.dataset, each.datapoint) for each in events(found) if each.kind == "sessions"}
    assert ("capitals", "4580e84c8081000b") in places


def trace(**info: Any) -> dict[str, Any]:
    """A trace as MLflow 2 wrote it."""
    span = {"name": "root", "context": {"span_id": "0x1f", "trace_id": "0xaa"}, "parent_id": None}
    span |= {"start_time": 1_795_255_200_000_000_000, "end_time": 1_795_255_200_500_000_000, "status_code": "OK"}
    span["attributes"] = {"mlflow.spanInputs": '{"q": 1}', "mlflow.spanOutputs": '"a"', "mlflow.spanType": '"TOOL"'}
    info = {"request_id": "r1", "timestamp_ms": 1_795_255_200_000, "execution_time_ms": 500, "status": "OK", **info}
    return {"info": info, "data": {"spans": [span]}}


def test_traces_of_version_2_are_read(tmp_path: Path):
    found = events(things("mlflow", lines(tmp_path / "a.jsonl", {"traces": [trace()]})))
    session, span = found
    assert (session.source_id, session.body["source"], session.datapoint) == ("r1", "mlflow", None)
    assert (session.body["start_time"], session.body["duration"]) == (1_795_255_200_000.0, 500)
    assert (span.source_id, span.body["event_type"], span.body["parent_id"]) == ("r1/1f", "tool", session.event_id)


def test_judgments_of_every_kind(tmp_path: Path):
    assessments: list[dict[str, Any]] = [
        {"assessment_id": "a1", "assessment_name": "words", "feedback": {"value": "fine"}},
        {"assessment_id": "a2", "assessment_name": "old", "feedback": {"value": 1}, "valid": False},
        {"assessment_name": "list", "feedback": {"value": [1, 2]}, "span_id": "elsewhere"},
        {"assessment_name": "none", "feedback": {"value": None, "error": {"error_message": "judge away"}}},
        {"assessment_name": "odd", "feedback": {"error": "broken"}},
        {"assessment_name": "truth", "expectation": {"serialized_value": {"value": '["a"]'}}},
        {"assessment_name": "empty", "feedback": {"value": ""}},
    ]
    found = things("mlflow", lines(tmp_path / "a.jsonl", trace(assessments=assessments)))
    session = events(found)[0]
    assert [(each.source_id, each.name, each.value, each.event_id) for each in scores(found)] == [
        ("a1", "words", "fine", session.event_id),
        ("r1/list", "list", "[1, 2]", session.event_id),
    ]
    assert session.body["feedback"] == {"ground_truth": {"truth": ["a"]}}
    assert session.body["metadata"]["assessment_errors"] == {"none": "judge away", "odd": "broken"}


def test_errors_are_told_by_the_exception_else_by_the_status(tmp_path: Path):
    by_message, by_nothing, rootless = trace(status="ERROR"), trace(status="ERROR"), trace(status="ERROR")
    by_message["data"]["spans"][0]["status"] = {"code": "STATUS_CODE_ERROR", "message": "timed out"}
    by_nothing["data"]["spans"][0] |= {"status_code": "ERROR", "events": [{"name": "x"}]}
    rootless["data"]["spans"][0] |= {"parent_id": "0x2", "attributes": {"note": "{"}}
    for number, each in enumerate((by_message, by_nothing, rootless)):
        each["info"]["request_id"] = f"r{number}"
    found = events(things("mlflow", lines(tmp_path / "a.jsonl", by_message, by_nothing, rootless)))
    assert [each.body["error"] for each in found if each.kind == "sessions"] == ["timed out", "ERROR", "ERROR"]
    assert found[5].body["metadata"]["note"] == "{"


def test_ids_of_spans_that_only_look_like_base64_stay(tmp_path: Path):
    odd = trace()
    odd["data"]["spans"][0]["context"]["span_id"] = "?odd?odd?od="
    assert events(things("mlflow", lines(tmp_path / "a.jsonl", odd)))[1].source_id == "r1/?odd?odd?od="


def test_several_runs_get_names_of_their_own(tmp_path: Path):
    rows = [trace(request_id=f"r{n}", request_metadata={"mlflow.sourceRun": f"{n}" * 32}) for n in (1, 2)]
    found = things("mlflow", lines(tmp_path / "a.jsonl", *rows))
    assert [each.name for each in found if isinstance(each, Run)] == ["capitals 11111111", "capitals 22222222"]


def test_bad_rows_are_told_with_their_place_and_kind(tmp_path: Path):
    broken = trace(trace_id="broken")
    broken["data"]["spans"][0]["start_time"] = None
    path = lines(tmp_path / "a.jsonl", "{", "7", trace(request_id=None), broken)
    found = [(each.where, each.kind, each.source_id, each.reason) for each in bad(things("mlflow", path))]
    assert found[0][3].startswith("not JSON")
    assert found[1:] == [
        ("a.jsonl:2", "", "", "is no trace, record or table row of MLflow."),
        ("a.jsonl:3", "sessions", "", "the trace cannot be read: ValueError('it has no trace_id')."),
        (
            "a.jsonl:4",
            "sessions",
            "broken",
            "the trace cannot be read: ValueError(\"span 'root' has no id or no start\").",
        ),
    ]
