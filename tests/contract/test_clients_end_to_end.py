"""The client's collections against the real server, one walk through each, figures exact."""

import httpx
import pytest

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def answers(stack, run_scenario_once):
    """What one program saw that used every collection."""
    return run_scenario_once(stack, "clients")


def test_datasets_and_datapoints(answers):
    seen = answers["datasets"]
    (datapoint,) = seen["seen"]
    assert datapoint["id"] == seen["datapoint_id"]
    assert datapoint["inputs"] == {"q": "1+1"}
    assert datapoint["history"] == [{"role": "user", "content": "hi"}]
    assert datapoint["ground_truth"] == {"a": 2}
    assert datapoint["metadata"] == {"m": 1}
    assert datapoint["linked_datasets"] == [seen["dataset_id"]]
    assert seen["updated"] == {"updated": True, "result": {"modifiedCount": 1}}
    assert seen["after"][0]["inputs"] == {"q": "2+2"}
    assert seen["after"][0]["ground_truth"] == {"a": 4}
    assert seen["after"][0]["metadata"] == {"m": 1}
    assert seen["renamed"]["name"] == "shelf two"
    assert seen["renamed"]["description"] == "first"
    assert seen["renamed"]["datapoints"] == [seen["datapoint_id"]]
    assert seen["by_name"] == [seen["dataset_id"]]
    assert seen["dereferenced"] is True
    assert seen["emptied"] == [[]]
    assert seen["deleted"] is True
    assert seen["gone"] == []
    assert seen["gone_datapoint"] == 404


def test_runs(answers):
    seen = answers["runs"]
    assert seen["first_status"] == "pending"
    updated = seen["updated"]
    assert updated["status"] == "running"
    assert updated["metadata"] == {"i": 0, "j": 5}
    assert updated["results"] == {"note": "half"}
    assert updated["configuration"] == {"k": {"a": 0}, "l": 1}
    assert seen["listed"] == ["sweep_0", "sweep_1"]
    assert seen["pagination"]["total"] == 2
    assert seen["pagination"]["total_unfiltered"] >= 2
    assert (seen["pagination"]["has_next"], seen["pagination"]["has_prev"]) == (False, False)
    assert seen["by_ids"] == sorted(seen["run_ids"])
    assert seen["deleted"]["deleted"] is True
    assert (seen["gone"], seen["gone_update"]) == (404, 404)
    assert (seen["bad_status"], seen["bad_function"]) == (400, 400)


def test_metrics(answers):
    seen = answers["metrics"]
    (metric,) = seen["seen"]
    assert (metric["name"], metric["type"], metric["scale"]) == ("tone", "HUMAN", 5)
    assert metric["threshold"]["min"] == 3
    assert metric["description"] == "kindness"
    assert metric["criteria"] == "Is it kind?"
    assert (seen["updated"], seen["deleted"], seen["left"]) == (True, True, [])


def test_sessions_and_events(answers):
    seen = answers["events"]
    by_name = {event["event_name"]: event for event in seen["events"]}
    assert sorted(by_name) == ["by hand", "step"]
    session, step = by_name["by hand"], by_name["step"]
    assert session["event_id"] == session["session_id"] == seen["session_id"]
    assert session["inputs"] == {"x": 1}
    assert step["event_id"] == seen["event_id"]
    assert step["parent_id"] == seen["session_id"]
    assert (step["inputs"], step["outputs"]) == ({"a": 1}, {"b": 2})
    assert step["metrics"] == {"m": 0.5, "n": 2}
    assert step["feedback"] == {"good": True}
    assert step["metadata"]["k"] == 1
    assert (step["start_time"], step["end_time"], step["duration"]) == (1700000000000, 1700000000250, 250)
    assert seen["batch"]["success"] is True
    assert len(seen["batch"]["event_ids"]) == 2
    assert sorted(seen["batched"]) == ["batched", "one", "two"]
    assert seen["unknown_filter"] == "export() failed with status code: 400"


def test_async_methods(answers):
    assert answers["awaited"] == {
        "name": "awaited",
        "result": {"status": "pending", "passed": [], "failed": [], "datapoints": []},
        "exported": 1,
        "datasets": [],
    }


def test_a_hundred_datapoints_are_asked_for_in_one_line(stack):
    """As `datapoints.list` of the client does it: 4.5 kB of request line."""
    ids = "&".join(f"datapoint_ids[]={number:024x}" for number in range(100))
    answer = httpx.get(
        f"{stack.url}/v1/datapoints?{ids}",
        headers={"Authorization": f"Bearer {stack.credentials['api_key']}"},
        timeout=30,
        trust_env=False,
    )
    assert (answer.status_code, answer.json()) == (200, {"datapoints": []})
