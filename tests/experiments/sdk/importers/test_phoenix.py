"""Exports of Arize Phoenix."""

from pathlib import Path

from experiments.sdk.importers.things import Datapoint, Dataset, Run, Score, our_id
from tests.experiments.sdk.importers.reading import SAMPLES, bad, events, kinds, lines, scores, things

EXPORT, TABLES = SAMPLES / "phoenix" / "export", SAMPLES / "phoenix" / "tables"
SPAN = {"name": "step", "context": {"trace_id": "a", "span_id": "b"}, "span_kind": "TOOL", "attributes": {}}
SPAN |= {"start_time": "2026-11-21T10:00:00Z", "end_time": "2026-11-21T10:00:01Z", "status_code": "OK"}


def test_dataset_experiment_spans_and_annotations_are_tied_together():
    found = things("phoenix", EXPORT)
    assert kinds(found) == {"Dataset": 1, "Datapoint": 3, "Run": 1, "Event": 15, "Score": 11}
    assert found[0] == Dataset("RGF0YXNldDox", "capitals")
    first = found[1]
    assert isinstance(first, Datapoint)
    assert (first.inputs, first.ground_truth, first.metadata) == (
        {"question": "France"},
        {"answer": "Paris"},
        {"continent": "Europe"},
    )
    run = next(each for each in found if isinstance(each, Run))
    assert (run.name, run.dataset) == ("capitals", "RGF0YXNldDox")
    executions = [each for each in events(found) if each.body["event_name"] == "execution"]
    assert [each.datapoint for each in executions] == [each.source_id for each in found[1:4]]  # type: ignore[union-attr]
    assert {each.body["metadata"]["run_id"] for each in executions} == {run.run_id}
    assert executions[2].body["error"] == "ValueError('no such country')"
    assert executions[0].body["feedback"] == {"ground_truth": {"answer": "Paris"}}
    names = [(each.name, each.value) for each in scores(found) if each.event_id == executions[0].event_id]
    assert names == [("exact", 1.0), ("kind", 0.5), ("kind_label", "long")]
    tasks = [each for each in events(found) if each.kind == "events" and each.body["source"] == "evaluation"]
    assert [each.body["event_name"] for each in tasks] == ["Task: task"] * 3  # retries of the failed one are not of it
    assert {each.body["session_id"] for each in tasks} == {each.event_id for each in executions}
    assert Score(
        "U3BhbkFubm90YXRpb246Mg==",
        our_id("phoenix", "span", "00f067aa0ba902b7"),
        our_id("phoenix", "trace", "0af7651916cd43dd8448eb211c80319c"),
        "helpful",
        1.0,
        "good",
    ) in scores(found)


def test_openinference_is_read_as_the_server_reads_it():
    found = {each.source_id: each for each in events(things("phoenix", EXPORT / "spans.json"))}
    model, root = found["00f067aa0ba902b8"].body, found["00f067aa0ba902b7"].body
    assert (model["event_type"], model["error"]) == ("model", "cut off")
    assert model["inputs"] == {"chat_history": [{"role": "user", "content": "Capital of France?"}]}
    assert model["outputs"] == {"role": "assistant", "content": "Paris"}
    assert (model["config"]["model"], model["config"]["temperature"]) == ("toy-1", 0.0)
    assert model["metadata"]["total_tokens"] == 13
    assert model["parent_id"] == root["event_id"]
    session = found["0af7651916cd43dd8448eb211c80319c"].body
    assert (root["event_type"], root["parent_id"]) == ("chain", session["event_id"])
    assert (session["inputs"], session["outputs"]) == ({"question": "France"}, {"result": "Paris"})
    assert session["metadata"]["phoenix_session"] == "visit-1"


def test_the_frame_of_spans_says_the_same_in_every_form():
    pages = {each.event_id: each.body for each in events(things("phoenix", EXPORT / "spans.json"))}
    for name in ("spans_frame.csv", "spans_frame.jsonl"):
        table = {each.event_id: each.body for each in events(things("phoenix", TABLES / name))}
        assert table.keys() == pages.keys()
        for key in pages:
            for part in ("inputs", "outputs", "start_time", "end_time", "event_type", "parent_id"):
                assert table[key].get(part) == pages[key].get(part)


def test_the_tables_of_an_experiment_say_the_same_as_its_json():
    pages, table = things("phoenix", EXPORT / "experiment.json"), things("phoenix", TABLES / "experiment.csv")
    assert [(s.name, s.value) for s in scores(table)] == [(s.name, s.value) for s in scores(pages)]
    assert [each.event_id for each in events(table)] == [each.event_id for each in events(pages)]
    assert table[0] == pages[0]
    assert isinstance(table[0], Run)
    assert table[0].dataset == events(table)[0].dataset == "EXT-phoenix-856ad3a2915e0fd6"
    assert events(table)[0].datapoint == "EXT-RGF0YXNldEV4YW1wbGU6MQ=="


def test_a_table_of_examples_is_a_dataset():
    dataset, first, second, _ = things("phoenix", TABLES / "dataset.csv", name="mine")
    assert dataset == Dataset("mine (examples)", "mine")
    assert isinstance(first, Datapoint)
    assert isinstance(second, Datapoint)
    assert (first.inputs, first.ground_truth, first.metadata) == (
        {"question": "France"},
        {"answer": "Paris"},
        {"continent": "Europe"},
    )
    assert second.metadata == {}


def test_annotations_of_the_frame_are_read():
    (tied,) = [each for each in scores(things("phoenix", TABLES)) if each.name == "helpful"]
    assert (tied.value, tied.explanation) == (1.0, "good")
    assert tied.session_id == our_id("phoenix", "trace", "0af7651916cd43dd8448eb211c80319c")


def test_a_trace_without_its_root_still_has_a_session(tmp_path: Path):
    rows = [{**SPAN, "parent_id": "gone", "context": {"trace_id": "a", "span_id": str(n)}} for n in range(2)]
    found = events(things("phoenix", lines(tmp_path / "a.jsonl", *rows)))
    assert [each.kind for each in found] == ["sessions", "events", "events"]


def test_two_experiments_in_a_folder_get_names_of_their_own(tmp_path: Path):
    for name in ("one", "two"):
        row = {"example_id": "x", "reference_output": {}, "input": "q", "output": "a", "trace_id": name}
        row |= {"annotations": [{"name": "n", "label": "good"}, {"name": "broken", "error": "no"}, {"score": 1}]}
        lines(tmp_path / f"{name}.jsonl", row)
    found = things("phoenix", tmp_path)
    assert [each.name for each in found if isinstance(each, Run)] == ["capitals one", "capitals two"]
    assert [(each.name, each.value) for each in scores(found)] == [("n", "good"), ("n", "good")]
    assert [each.reason for each in bad(found)] == ["the annotation has no name."] * 2


def test_an_execution_without_a_trace_gets_an_id_from_what_it_is(tmp_path: Path):
    row = {"example_id": "x", "reference_output": {}, "input": "q", "output": "a", "repetition_number": 2}
    path = lines(tmp_path / "a.jsonl", row)
    (first,) = events(things("phoenix", path))
    (again,) = events(things("phoenix", path))
    assert first == again
    assert first.body["metadata"]["repetition"] == 1


def test_bad_rows_are_told_with_their_place_and_kind(tmp_path: Path):
    path = lines(
        tmp_path / "a.jsonl",
        "{",
        {"data": [{"odd": 1}, 7]},
        {**SPAN, "start_time": None},
        {**SPAN, "context": {"trace_id": "a", "span_id": "c"}, "start_time": "soon", "attributes": {"x": float("nan")}},
    )
    found = [(each.where, each.kind, each.source_id, each.reason) for each in bad(things("phoenix", path))]
    assert found[0][3].startswith("not JSON")
    assert found[1:] == [
        ("a.jsonl:2 data[0]", "", "", "is no span, annotation, example or execution of Phoenix."),
        ("a.jsonl:2 data[1]", "", "", "is no span, annotation, example or execution of Phoenix."),
        ("a.jsonl:3", "events", "b", "cannot be read: the span has no span_id, trace_id or start_time."),
        ("a.jsonl:4", "events", "c", "cannot be read: Invalid isoformat string: 'soon'."),
    ]
