"""Exports of hosted HoneyHive."""

from pathlib import Path

from experiments.sdk.importers.things import BadRow, Datapoint, Dataset, Event, Run, our_id
from tests.experiments.sdk.importers.reading import SAMPLES, bad, events, kinds, lines, things

EVENT = {"event_id": "5f0a9a4e-5d0c-4f0b-8a53-2f9b4a2c7d11", "session_id": "6f0a9a4e-5d0c-4f0b-8a53-2f9b4a2c7d11"}
EVENT |= {"event_type": "tool", "event_name": "step", "start_time": 1_700_000_000_000, "inputs": {"a": 1}}


def test_the_sample_is_read_whole_and_in_an_order_in_which_it_can_be_sent():
    found = things("honeyhive", SAMPLES / "honeyhive")
    assert kinds(found) == {"Dataset": 1, "Datapoint": 3, "Run": 1, "Event": 9}
    assert [type(each).__name__ for each in found] == ["Dataset", *["Datapoint"] * 3, "Run", *["Event"] * 9]
    dataset, datapoint, run = found[0], found[1], found[4]
    assert isinstance(dataset, Dataset)
    assert isinstance(datapoint, Datapoint)
    assert isinstance(run, Run)
    assert (datapoint.dataset, run.dataset) == (dataset.source_id, dataset.source_id)
    assert datapoint.inputs == {"question": "France"}
    assert datapoint.ground_truth == {"answer": "Paris"}
    assert (run.name, run.status, run.configuration["function"]) == ("capitals-1", "completed", "fn")
    sessions = [each for each in events(found) if each.kind == "sessions"]
    assert {each.datapoint for each in sessions} == {each.source_id for each in found if isinstance(each, Datapoint)}
    assert {each.body["metadata"]["run_id"] for each in events(found)} == {run.run_id}


def test_ids_that_are_uuids_stay_and_others_get_one(tmp_path: Path):
    path = lines(tmp_path / "a.jsonl", EVENT, {**EVENT, "event_id": "65f0", "parent_id": EVENT["event_id"]})
    first, second = events(things("honeyhive", path))
    assert first.event_id == EVENT["event_id"]
    assert (second.event_id, second.body["parent_id"]) == (our_id("honeyhive", "event", "65f0"), EVENT["event_id"])
    assert second.body["metadata"] == {"import_format": "honeyhive", "import_id": "65f0"}


def test_all_parts_of_an_event_are_kept(tmp_path: Path):
    parts = {"outputs": "text", "config": {"c": 1}, "metrics": {"m": 0.5}, "feedback": {"f": 1}, "error": "no"}
    parts |= {"user_properties": {"u": 1}, "metadata": {"dataset_id": "d", "datapoint_id": "p", "k": 1}}
    parts |= {"end_time": "2026-11-21T10:00:00Z", "duration": 5, "source": "prod", "children_ids": ["x"]}
    (event,) = events(things("honeyhive", lines(tmp_path / "a.jsonl", {**EVENT, **parts})))
    assert (event.dataset, event.datapoint) == ("d", "p")
    assert event.body == {
        **EVENT,
        "start_time": 1.7e12,
        "end_time": 1_795_255_200_000.0,
        "duration": 5,
        "parent_id": EVENT["session_id"],
        "outputs": {"outputs": "text"},
        "config": {"c": 1},
        "metrics": {"m": 0.5},
        "feedback": {"f": 1},
        "user_properties": {"u": 1},
        "metadata": {"k": 1, "import_format": "honeyhive", "import_id": EVENT["event_id"]},
        "source": "prod",
        "error": "no",
        "children_ids": [our_id("honeyhive", "event", "x")],
    }


def test_a_session_may_be_known_by_its_session_id_alone(tmp_path: Path):
    path = lines(tmp_path / "a.jsonl", {"session_id": EVENT["session_id"], "event_type": "session"})
    (event,) = events(things("honeyhive", path))
    assert (event.kind, event.event_id, event.body.get("parent_id")) == ("sessions", EVENT["session_id"], None)


def test_bad_rows_are_told_with_their_place_and_kind(tmp_path: Path):
    path = lines(
        tmp_path / "a.jsonl",
        "{",
        "7",
        {**EVENT, "event_type": "generic"},
        {**EVENT, "start_time": "soon"},
        {"event_type": "tool", "event_id": "x"},
        {"run_id": "", "name": "r"},
        {"run_id": "r", "status": "odd"},
        {"name": "d", "datapoints": []},
        {"inputs": {"q": 1}},
        {"events": [3]},
    )
    found = {(each.where, each.kind): each.reason for each in bad(things("honeyhive", path))}
    assert found.pop(("a.jsonl:1", "")).startswith("not JSON")
    assert found == {
        ("a.jsonl:2", ""): "7 is no event, run, dataset or datapoint.",
        ("a.jsonl:3", "events"): "event_type 'generic' is unknown; model, tool, chain, session are known.",
        ("a.jsonl:4", "events"): "a time cannot be read: Invalid isoformat string: 'soon'.",
        ("a.jsonl:5", "events"): "the event has no event_id or no session_id.",
        ("a.jsonl:6", "runs"): "the run has no run_id.",
        ("a.jsonl:7", "runs"): "status 'odd' is unknown; pending, running, completed, failed, cancelled are known.",
        ("a.jsonl:8", "datasets"): "the dataset has no id.",
        ("a.jsonl:9", "datapoints"): "the datapoint has no id.",
        ("a.jsonl:10 events[0]", ""): "3 is no event, run, dataset or datapoint.",
    }


def test_datapoints_find_their_dataset_in_every_way_it_is_told(tmp_path: Path):
    path = lines(
        tmp_path / "a.jsonl",
        {"datasets": [{"id": "d1", "name": "one", "datapoints": ["p1", {"id": "p2", "inputs": {"q": 2}}]}]},
        {"datapoint": {"_id": "p1", "inputs": {"q": 1}, "history": [{"role": "user"}, "no turn"]}},
        {"id": "p3", "inputs": "q", "linked_datasets": ["d3"], "ground_truth": "t", "metadata": {"m": 1}},
        {"id": "p4", "inputs": {"q": 4}},
    )
    found = things("honeyhive", path)
    assert [each for each in found if not isinstance(each, BadRow)] == [
        Dataset("d1", "one"),
        Dataset("honeyhive-datapoints", "capitals"),
        Datapoint("p2", "d1", {"q": 2}),
        Datapoint("p1", "d1", {"q": 1}, history=[{"role": "user"}]),
        Dataset("d3", "capitals d3"),
        Datapoint("p3", "d3", {"input": "q"}, {"ground_truth": "t"}, metadata={"m": 1}),
        Datapoint("p4", "honeyhive-datapoints", {"q": 4}),
    ]


def test_a_run_keeps_what_it_has_beside_the_known_fields(tmp_path: Path):
    row = {"run_id": "ci-7", "event_ids": [EVENT["event_id"]], "metadata": {"offline_dataset_id": "EXT-a"}}
    row |= {"passing_ranges": {"m": {"min": 1}}, "description": "d", "results": {"r": 1}}
    (run,) = things("honeyhive", lines(tmp_path / "a.jsonl", {"evaluation": row}))
    assert run == Run(
        "ci-7",
        "ci-7",
        "ci-7",
        description="d",
        dataset="EXT-a",
        metadata={"passing_ranges": {"m": {"min": 1}}, "offline_dataset_id": "EXT-a"},
        results={"r": 1},
        event_ids=[EVENT["event_id"]],
    )


def test_events_come_last_whichever_file_they_are_in(tmp_path: Path):
    lines(tmp_path / "a.jsonl", EVENT)
    lines(tmp_path / "b.jsonl", {"run_id": "r"})
    assert [type(each) for each in things("honeyhive", tmp_path)] == [Run, Event]
