"""The client's evaluate() against the real server: figures, lists, events and comparisons, all exact."""

import pytest

pytestmark = pytest.mark.process

IDS = ["EXT-n1", "EXT-n2", "EXT-n3", "EXT-n4"]
VALUES = {
    "correct": {"EXT-n1": 1, "EXT-n2": 1, "EXT-n4": 0},
    "distance": {"EXT-n1": 0.0, "EXT-n2": 0.0, "EXT-n4": 1.0},
    "graded": {"EXT-n1": 0.25, "EXT-n2": 0.5, "EXT-n4": 1.0},
    "graded_tries": {"EXT-n1": 2, "EXT-n2": 2, "EXT-n4": 2},
}
AGGREGATES = {
    "graded": {
        "average": 1.75 / 3,
        "min": 0.25,
        "max": 1.0,
        "median": 0.5,
        "p90": 0.9,
        "p95": 0.95,
        "p99": 0.99,
        "sum": 1.75,
        "count": 3,
    },
    "correct": {
        "average": 2 / 3,
        "min": 0,
        "max": 1,
        "median": 1,
        "p90": 1,
        "p95": 1,
        "p99": 1,
        "sum": 2,
        "count": 3,
    },
}


@pytest.fixture(scope="module", params=["http/json", "http/protobuf"])
def external(request, stack, run_scenario_once):
    """The answers of one pair of runs over an external dataset, per transport."""
    environment = {"HH_OTLP_PROTOCOL": request.param}
    if request.param == "http/protobuf":
        environment["OTEL_EXPORTER_OTLP_COMPRESSION"] = "gzip"
    return run_scenario_once(stack, "external_dataset", **environment)


@pytest.fixture(scope="module")
def managed(stack, run_scenario_once):
    """The answers of one run over a managed dataset."""
    return run_scenario_once(stack, "managed_dataset")


def details_of(result):
    return {detail["metric_name"]: detail for detail in result["metrics"]["details"]}


def test_evaluate_returns_what_the_server_computed(external):
    returned = external["returned"]["old"]
    assert returned == external["results"]["average"]
    assert returned["status"] == "completed"
    assert returned["success"] is False
    assert sorted(returned["passed"]) == ["EXT-n1", "EXT-n2", "EXT-n4"]
    assert returned["failed"] == ["EXT-n3"]
    new = external["returned"]["new"]
    assert new["success"] is True
    assert sorted(new["passed"]) == IDS
    assert new["failed"] == []


def test_result_holds_each_numeric_metric_and_nothing_else(external):
    details = details_of(external["results"]["average"])
    assert sorted(details) == ["correct", "distance", "graded", "graded_tries"]
    for name, values in VALUES.items():
        assert sorted(details[name]["values"]) == sorted(values.values())
        assert (details[name]["event_name"], details[name]["event_type"]) == ("double", "chain")
        assert sorted(details[name]["datapoints"]["passed"]) == sorted(values)
        assert details[name]["datapoints"]["failed"] == []
    rows = {row["datapoint_id"]: row for row in external["results"]["average"]["datapoints"]}
    assert sorted(rows) == IDS
    assert rows["EXT-n3"]["metrics"] == []
    assert rows["EXT-n3"]["passed"] is False
    for key in ("EXT-n1", "EXT-n2", "EXT-n4"):
        assert {metric["name"]: metric["value"] for metric in rows[key]["metrics"]} == {
            name: values[key] for name, values in VALUES.items()
        }
        assert all(metric["passed"] for metric in rows[key]["metrics"])


def test_result_aggregates_by_all_nine_functions(external):
    for function, result in external["results"].items():
        assert result["metrics"]["aggregation_function"] == function
        details = details_of(result)
        for name, aggregates in AGGREGATES.items():
            assert details[name]["aggregate"] == pytest.approx(aggregates[function], rel=1e-12), (name, function)


def test_run_metrics_are_the_raw_result(external):
    raw = external["raw"]
    assert raw["run_object"]["run_id"] == external["returned"]["old"]["run_id"]
    assert sorted((event["event_type"], event["event_name"]) for event in raw["event_details"]) == [
        ("chain", "double"),
        ("session", "old"),
        ("tool", "double_error"),
    ]


def test_run_object_ends_completed_with_its_sessions(external):
    for name in ("old", "new"):
        run = external["runs"][name]
        assert (run["name"], run["status"]) == (name, "completed")
        assert run["dataset_id"].startswith("EXT-")
        assert "offline_dataset_id" not in run["metadata"]
        assert run["configuration"] == {
            "function": "double",
            "evaluators": ["correct", "distance", "graded", "absent", "broken"],
            "max_workers": 2,
            "aggregate_function": "average",
        }
        sessions = {event["event_id"] for event in external["events"][name] if event["event_type"] == "session"}
        assert set(run["event_ids"]) == sessions
        assert len(sessions) == 4
    assert external["runs"]["old"]["dataset_id"] == external["runs"]["new"]["dataset_id"]


def test_every_event_carries_the_four_fields(external):
    for name in ("old", "new"):
        run = external["runs"][name]
        datapoints = {}
        for event in external["events"][name]:
            assert event["metadata"]["run_id"] == run["run_id"]
            assert event["metadata"]["dataset_id"] == run["dataset_id"]
            assert event["metadata"]["source"] == "evaluation"
            assert event["source"] == "evaluation"
            datapoints.setdefault(event["metadata"]["datapoint_id"], []).append(event["event_type"])
        expected = {key: ["chain", "session"] for key in IDS}
        if name == "old":
            expected["EXT-n3"] = ["chain", "session", "tool"]
        assert {key: sorted(types) for key, types in datapoints.items()} == expected


def test_sessions_and_spans_hold_outputs_explanations_and_errors(external):
    by_datapoint = {}
    for event in external["events"]["old"]:
        by_datapoint.setdefault(event["metadata"]["datapoint_id"], {})[event["event_type"]] = event
    fine, raised = by_datapoint["EXT-n1"], by_datapoint["EXT-n3"]
    assert fine["session"]["outputs"] == {"double": 2, "by": "sync"}
    assert fine["session"]["feedback"] == {"ground_truth": {"double": 2}}
    assert fine["session"]["inputs"] == {"n": 1}
    assert fine["chain"]["parent_id"] == fine["session"]["event_id"]
    assert fine["chain"]["outputs"] == {"result": {"double": 2, "by": "sync"}}
    assert fine["chain"]["metrics"] == {
        "correct": True,
        "distance": 0.0,
        "graded": 0.25,
        "graded_explanation": "graded 1",
        "graded_tries": 2,
    }
    assert fine["chain"]["error"] is None
    assert raised["chain"]["error"] == "ValueError: three is refused"
    assert not raised["chain"]["metrics"]
    assert raised["tool"]["error"] == "three is refused"
    assert raised["session"]["feedback"] == {"ground_truth": {"double": 6}}


def test_compare_runs_counts_what_moved(external):
    comparison = external["comparison"]
    assert comparison["common_datapoints"] == 4
    deltas = comparison["metric_deltas"]
    assert sorted(deltas) == ["correct", "distance", "graded", "graded_tries"]
    correct = deltas["correct"]
    assert correct["old_aggregate"] == pytest.approx(2 / 3)
    assert correct["new_aggregate"] == pytest.approx(3 / 4)
    assert (correct["found_count"], correct["improved"], correct["degraded"], correct["same"]) == (
        3,
        ["EXT-n4"],
        ["EXT-n1"],
        ["EXT-n2"],
    )
    assert (correct["improved_count"], correct["degraded_count"], correct["same_count"]) == (1, 1, 1)
    pairs = sorted(zip(correct["old_values"], correct["new_values"], strict=True))
    assert pairs == [(0, 1), (1, 0), (1, 1)]
    assert deltas["graded"]["same_count"] == 3


def test_comparison_document_has_both_runs_and_differences(external):
    document = external["comparison_document"]
    assert sorted(document["commonDatapoints"]) == IDS
    assert document["old_run"]["run_id"] == external["runs"]["old"]["run_id"]
    assert document["new_run"]["run_id"] == external["runs"]["new"]["run_id"]
    entry = next(entry for entry in document["metrics"] if entry["metric_name"] == "distance")
    # old: 0, 0, 1 (n3 raised); new: 3, 0, 0, 0
    assert entry["old_aggregate"] == pytest.approx(1 / 3)
    assert entry["new_aggregate"] == pytest.approx(3 / 4)
    assert entry["difference"] == pytest.approx(3 / 4 - 1 / 3)
    assert entry["percentage_change"] == pytest.approx(125)
    presence = {(item["event_name"], item["event_type"]): item["presence"] for item in document["event_details"]}
    assert presence[("double", "chain")] == "both"
    assert presence[("double_error", "tool")] == "old"


def test_compare_events_pairs_one_session_per_datapoint(external):
    pairs = external["pairs"]
    assert pairs["totalEvents"] == 4
    assert sorted(pair["datapoint_id"] for pair in pairs["events"]) == IDS
    for pair in pairs["events"]:
        assert pair["event_1"]["metadata"]["run_id"] == external["runs"]["new"]["run_id"]
        assert pair["event_2"]["metadata"]["run_id"] == external["runs"]["old"]["run_id"]
        for side in ("event_1", "event_2"):
            assert pair[side]["metadata"]["datapoint_id"] == pair["datapoint_id"]
            assert pair[side]["event_type"] == "session"


def test_managed_dataset_keeps_its_ids_and_order(managed):
    ids = managed["linked"] + managed["mapped"]
    assert managed["dataset"]["datasets"][0]["datapoints"] == ids
    assert managed["run"]["dataset_id"] == managed["dataset_id"]
    assert managed["summary"]["success"] is False
    # Two workers: which datapoint ends first is chance, and the rows stand in that order.
    assert sorted(managed["summary"]["passed"]) == sorted(ids[:3])
    assert managed["summary"]["failed"] == ids[3:]


def test_managed_dataset_metrics_follow_the_project_rule(managed):
    details = details_of(managed["summary"])
    assert sorted(details) == ["letters", "right_length"]
    rule = details["right_length"]
    assert sorted(rule["values"]) == [0, 1, 1, 1]
    assert rule["aggregate"] == 0.75
    assert rule["metric_type"] == "PYTHON"
    assert rule["datapoints"]["failed"] == managed["mapped"][1:]
    assert (details["letters"]["event_type"], sorted(details["letters"]["values"])) == ("session", [1, 2, 5, 5])


def test_outputs_that_are_no_dictionaries_stay_on_the_span(managed):
    sessions = [event for event in managed["events"] if event["event_type"] == "session"]
    chains = [event for event in managed["events"] if event["event_type"] == "chain"]
    assert sorted(event["outputs"]["result"] for event in chains) == [1, 2, 5, 5]
    assert [event["outputs"] or {} for event in sessions] == [{}] * 4
    assert {event["metadata"]["dataset_id"] for event in managed["events"]} == {managed["dataset_id"]}
