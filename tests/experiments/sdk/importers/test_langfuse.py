"""Exports of Langfuse."""

from pathlib import Path
from typing import Any

import pytest

from experiments.sdk.importers.things import Datapoint, Dataset, Run, Score, our_id
from tests.experiments.sdk.importers.reading import SAMPLES, bad, events, kinds, lines, scores, things

OBSERVATION = {"id": "o", "traceId": "t", "type": "SPAN", "name": "step", "startTime": "2026-11-21T10:00:00Z"}
TRACE = {"id": "t", "timestamp": "2026-11-21T10:00:00Z", "name": "visit"}


def test_the_pages_of_the_api_become_a_run_over_a_dataset():
    found = things("langfuse", SAMPLES / "langfuse")
    assert kinds(found) == {"Dataset": 1, "Datapoint": 3, "Run": 1, "Event": 12, "Score": 8}
    assert found[0] == Dataset("cmkds1", "capitals", "Countries")
    first = found[1]
    assert isinstance(first, Datapoint)
    assert (first.inputs, first.ground_truth) == ({"question": "France"}, {"answer": "Paris"})
    run = next(each for each in found if isinstance(each, Run))
    assert (run.name, run.dataset, run.metadata["model"]) == ("capitals-1", "cmkds1", "toy-1")
    session = next(each for each in events(found) if each.source_id == "trace-0")
    assert (session.kind, session.dataset, session.datapoint) == ("sessions", "cmkds1", "item-0")
    assert session.body["metadata"]["run_id"] == run.run_id
    assert session.body["start_time"] + 500 == session.body["end_time"]
    model = next(each for each in events(found) if each.source_id == "obs-0-gen")
    assert model.body["event_type"] == "model"
    assert model.body["inputs"] == {"chat_history": [{"role": "user", "content": "Capital of France?"}]}
    assert model.body["outputs"] == {"role": "assistant", "content": "Paris"}
    assert model.body["config"] == {"temperature": 0.0, "model": "toy-1"}
    assert model.body["metadata"]["total_tokens"] == 13
    assert model.body["metadata"]["cost"] == 0.001
    failed = next(each for each in events(found) if each.source_id == "obs-2-gen")
    assert failed.body["error"] == "no such country"
    judged = {each.source_id: (each.name, each.value, each.explanation) for each in scores(found)}
    assert judged["s-0-len"] == ("length", 5.0, "letters")
    assert judged["s-0-ok"] == ("exact", True, None)
    assert judged["s-1-ok"] == ("exact", False, None)
    assert judged["s-0-tone"] == ("tone", "polite", None)


def test_a_trace_with_details_brings_its_observations(tmp_path: Path):
    found = events(things("langfuse", SAMPLES / "langfuse" / "trace_with_details.jsonl"))
    assert [each.source_id for each in found] == ["trace-0", "obs-0-gen", "obs-0-root"]


def test_batch_exports_write_snake_case_and_texts(tmp_path: Path):
    (tmp_path / "observations.csv").write_text(
        "id,trace_id,type,parent_observation_id,start_time,end_time,name,input,output,provided_model_name,usage_details\n"
        'o1,t1,GENERATION,,2026-11-21 10:00:00.000,2026-11-21 10:00:01.000,chat,hello,world,toy,"{""input"":""3""}"\n'
    )
    (tmp_path / "scores.csv").write_text(
        "id,timestamp,trace_id,observation_id,name,value,source,comment,data_type,string_value\n"
        "s1,2026-11-21 10:00:02.000,t1,o1,good,0.5,API,,NUMERIC,\n"
        "s2,2026-11-21 10:00:02.000,t1,,kind,,API,because,CATEGORICAL,fine\n"
    )
    found = things("langfuse", tmp_path)
    session, event = events(found)
    assert (session.kind, session.body["event_name"]) == ("sessions", "chat")
    assert session.body["end_time"] - session.body["start_time"] == 1000
    assert event.body["inputs"] == {"input": "hello"}
    assert event.body["outputs"] == {"content": "world"}
    assert event.body["config"] == {"model": "toy"}
    assert event.body["metadata"]["prompt_tokens"] == 3
    assert scores(found) == [
        Score("s1", event.event_id, session.event_id, "good", 0.5),
        Score("s2", session.event_id, session.event_id, "kind", "fine", "because"),
    ]


def test_a_table_of_items_without_ids_becomes_a_dataset_of_its_own(tmp_path: Path):
    (tmp_path / "items.csv").write_text('input,expectedOutput,metadata\n"{""q"": 1}",yes,\nplain,,{}\n')
    dataset, first, second = things("langfuse", tmp_path / "items.csv", name="mine")
    assert dataset == Dataset("mine (items)", "mine")
    assert isinstance(first, Datapoint)
    assert isinstance(second, Datapoint)
    assert (first.inputs, first.ground_truth) == ({"q": 1}, {"expected_output": "yes"})
    assert (second.inputs, second.ground_truth) == ({"input": "plain"}, None)
    again = things("langfuse", tmp_path / "items.csv", name="mine")
    assert [first, second] == again[1:]


def test_experiment_items_of_the_newer_api_are_runs_and_sessions(tmp_path: Path):
    item = {"id": "x", "traceId": "t", "experimentId": "e", "experimentName": "first", "experimentItemId": "i"}
    item |= {"experimentDatasetId": "d", "startTime": "2026-11-21T10:00:00Z", "input": "q", "output": "a"}
    item |= {"expectedOutput": "b", "experimentMetadata": {"m": 1}, "level": "DEFAULT"}
    item["scores"] = [{"id": "s", "name": "ok", "value": True, "dataType": "BOOLEAN", "source": "API"}]
    found = things("langfuse", lines(tmp_path / "a.jsonl", item, item))
    run, session = found[0], events(found)[0]
    assert isinstance(run, Run)
    assert (run.run_id, run.name, run.dataset) == (our_id("langfuse", "run", "e"), "first", "d")
    assert run.metadata == {"m": 1}
    assert len(events(found)) == 1
    assert (session.dataset, session.datapoint) == ("d", "i")
    assert session.body["feedback"] == {"ground_truth": {"expected_output": "b"}}
    assert scores(found)[0] == Score("s", session.event_id, session.event_id, "ok", True)


def test_runs_are_made_of_their_items_when_they_have_no_row(tmp_path: Path):
    item = {"id": "ri", "datasetRunId": "r", "datasetRunName": "first", "datasetItemId": "i", "traceId": "t"}
    run_row = {"id": "r2", "name": "second", "datasetId": "d", "datasetRunItems": [{**item, "datasetRunId": "r2"}]}
    found = things("langfuse", lines(tmp_path / "a.jsonl", item, run_row, TRACE))
    runs = [each for each in found if isinstance(each, Run)]
    assert [(run.name, run.dataset) for run in runs] == [("first", None), ("second", "d")]
    assert events(found)[0].body["metadata"]["run_id"] == runs[1].run_id


def test_a_trace_without_root_and_row_gets_a_session_once(tmp_path: Path):
    rows = [{**OBSERVATION, "id": f"o{n}", "parentObservationId": "gone", "traceName": "visit"} for n in range(2)]
    found = events(things("langfuse", lines(tmp_path / "a.jsonl", *rows)))
    assert [each.kind for each in found] == ["sessions", "events", "events"]
    assert found[0].body["event_name"] == "visit"
    assert found[1].body["parent_id"] == our_id("langfuse", "observation", "gone")


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        ({"subject": {"kind": "trace", "id": "t"}, "value": 1}, 1),
        ({"subject": {"kind": "observation", "id": "o", "traceId": "t"}, "value": "0.5"}, 0.5),
        ({"traceId": "t", "value": "good", "dataType": "CATEGORICAL"}, "good"),
        ({"traceId": "t", "value": 0, "dataType": "BOOLEAN"}, False),
        ({"traceId": "t", "value": "words"}, "words"),
        ({"traceId": "t", "value": None, "stringValue": "text", "dataType": "TEXT"}, "text"),
    ],
)
def test_values_of_scores(tmp_path: Path, score: dict[str, Any], expected: Any):
    rows = (TRACE, OBSERVATION, {"id": "s", "name": "n", "source": "API", **score})
    (found,) = scores(things("langfuse", lines(tmp_path / "a.jsonl", *rows)))
    assert found.value == expected
    assert type(found.value) is type(expected)
    about_observation = score.get("subject", {}).get("kind") == "observation"
    assert found.event_id == our_id("langfuse", *(("observation", "o") if about_observation else ("trace", "t")))


def test_a_status_message_without_an_error_is_kept(tmp_path: Path):
    row = {**OBSERVATION, "statusMessage": "slow", "userId": "ann"}
    session, event = events(things("langfuse", lines(tmp_path / "a.jsonl", row)))
    assert event.body["metadata"]["status_message"] == "slow"
    assert "error" not in event.body
    assert session.body["user_properties"] == {"user_id": "ann"}


def test_bad_rows_are_told_with_their_place_and_kind(tmp_path: Path):
    path = lines(
        tmp_path / "a.jsonl",
        "{",
        {"data": [7], "meta": {}},
        {"odd": 1},
        {"id": "t1", "timestamp": "soon"},
        {"id": "t2", "timestamp": None},
        {**OBSERVATION, "id": ""},
        {"id": "s1", "name": "n", "value": 1, "source": "API", "sessionId": "v"},
        {"id": "s2", "name": "n", "value": None, "source": "API", "traceId": "t"},
    )
    found = [(each.where, each.kind, each.source_id, each.reason) for each in bad(things("langfuse", path))]
    assert found[0][3].startswith("not JSON")
    assert found[1:] == [
        ("a.jsonl:2 data[0]", "", "", "is no row of an export of Langfuse."),
        ("a.jsonl:3", "", "", "is no row of an export of Langfuse."),
        ("a.jsonl:4", "sessions", "t1", "cannot be read: Invalid isoformat string: 'soon'."),
        ("a.jsonl:5", "sessions", "t2", "cannot be read: the trace has no timestamp."),
        ("a.jsonl:6", "events", "", "cannot be read: the observation has no id, traceId or startTime."),
        (
            "a.jsonl:7",
            "scores",
            "s1",
            "cannot be read: it judges a session or a run of Langfuse, not a trace or an observation.",
        ),
        ("a.jsonl:8", "scores", "s2", "cannot be read: a score needs a name and a value, this has 'n' and None."),
    ]
