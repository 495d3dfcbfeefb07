"""Results as typed objects: from servers of all ages, by a client, settings or the environment."""

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from experiments.sdk.configuration import Settings
from experiments.sdk.errors import ConfigurationError, NotFound
from experiments.sdk.models import Metrics
from experiments.sdk.results import (
    compare_runs,
    comparison_from_wire,
    get_run_metrics,
    get_run_result,
    metrics_from_wire,
    result_from_wire,
)
from experiments.sdk.transport.client import Client
from tests.experiments.sdk.fault_server import FaultServer, answer

KEY = "hh_key"
RESULT: dict[str, Any] = {
    "status": "completed",
    "success": False,
    "passed": ["EXT-a"],
    "failed": ["EXT-b"],
    "metrics": {
        "aggregation_function": "average",
        "details": [
            {
                "metric_name": "accuracy",
                "metric_type": "CLIENT_SIDE",
                "event_name": "answer",
                "event_type": "chain",
                "direction": "higher",
                "aggregate": 0.5,
                "values": [1, 0.0],
                "passing_range": {"min": 0.5, "max": None},
                "datapoints": {"passed": ["EXT-a"], "failed": ["EXT-b"]},
            }
        ],
    },
    "datapoints": [
        {
            "datapoint_id": "EXT-b",
            "session_id": "s2",
            "passed": False,
            "metrics": [{"name": "accuracy", "event_name": "answer", "value": False, "passed": False}],
        }
    ],
    "event_details": [{"event_name": "answer", "event_type": "chain"}],
    "run_object": {"run_id": "r1", "name": "first", "status": "completed", "metadata": {"git": {}}},
}
COMPARISON: dict[str, Any] = {
    "metrics": [
        {
            "metric_name": "accuracy",
            "event_name": "answer",
            "direction": "higher",
            "old_aggregate": 0.5,
            "new_aggregate": 0.75,
            "difference": 0.25,
            "percentage_change": 50.0,
            "found_count": 4,
            "improved_count": 2,
            "degraded_count": 1,
            "same_count": 1,
            "improved": ["a", "b"],
            "degraded": ["c"],
            "same": ["d"],
            "old_values": [0, 0, 1, 1],
            "new_values": [1, 1, 0, 1],
        },
        {"metric_name": "new only", "old_aggregate": None, "new_aggregate": 1.0, "found_count": 0},
    ],
    "commonDatapoints": ["a", "b", "c", "d"],
    "event_details": [],
    "old_run": {"run_id": "old", "name": "before"},
    "new_run": {"run_id": "new", "name": "after"},
    "aggregation_function": "average",
}


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture
def client(server: FaultServer) -> Iterator[Client]:
    with Client(server_url=server.url, api_key=KEY) as opened:
        yield opened


# --- by the client


def test_a_result_is_typed_and_keeps_what_it_does_not_know(server: FaultServer, client: Client) -> None:
    server.plan(answer(200, body={**RESULT, "tomorrow": [1]}), path="/v1/runs/r1/result")
    result = get_run_result(client, "r1", aggregate_function="max")
    assert server.requests[-1].query == {"aggregate_function": ["max"]}
    assert (result.run_id, result.name, result.status, result.success) == ("r1", "first", "completed", False)
    assert (result.passed, result.failed, result.server_url) == (["EXT-a"], ["EXT-b"], server.url)
    accuracy: Any = result.metrics.get_metric("accuracy")
    assert (accuracy.aggregate, accuracy.values, accuracy.passing_range.min) == (0.5, [1, 0.0], 0.5)
    assert accuracy.direction == "higher"  # not among the fields, kept nevertheless
    assert result.datapoints[0].metrics[0].value is False
    assert result.run_object is not None
    assert result.run_object.metadata == {"git": {}}
    assert result.model_extra == {"tomorrow": [1]}


def test_raw_metrics_are_typed_and_readable_like_the_wire(server: FaultServer, client: Client) -> None:
    event = {"event_name": "answer", "event_type": "chain", "session_id": "s", "metadata": {"datapoint_id": "d"}}
    body = {"events": [{**event, "metrics": {"accuracy": 1, "note": "x"}}], "totalEvents": 1}
    server.plan(answer(200, body=body), path="/v1/runs/r1/metrics")
    found = get_run_metrics(client, "r1")
    assert found.total_events == 1
    assert found.events[0].metrics == {"accuracy": 1, "note": "x"}
    assert found["events"] == body["events"]
    assert found["totalEvents"] == 1


def test_a_comparison_has_everything_the_official_object_has(server: FaultServer, client: Client) -> None:
    server.plan(answer(200, body=COMPARISON), path="/v1/runs/new/compare-with/old")
    found = compare_runs(client, "new", "old")
    assert (found.new_run_id, found.old_run_id, found.common_datapoints) == ("new", "old", 4)
    assert (found.new_only_datapoints, found.old_only_datapoints) == (0, 0)
    assert found.list_improved_metrics() == ["accuracy"]
    assert found.list_degraded_metrics() == ["accuracy"]
    delta = found.get_metric_delta("accuracy")
    assert delta is not None
    official = {key: value for key, value in COMPARISON["metrics"][0].items() if key not in ("metric_name",)}
    assert {key: delta[key] for key in official} == official
    assert found.metric_deltas["new only"]["difference"] is None
    assert found.metric_deltas["new only"]["old_values"] == []
    assert found.get_metric_delta("no such") is None
    assert found.new_run is not None
    assert found.new_run.name == "after"


def test_settings_and_the_environment_open_a_client_of_their_own(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.plan(answer(200, body=RESULT), answer(200, body=RESULT), path="/v1/runs/r1/result")
    assert get_run_result(Settings(server.url, KEY), "r1").failed == ["EXT-b"]
    monkeypatch.setenv("HH_API_URL", server.url)
    monkeypatch.setenv("HH_API_KEY", KEY)
    assert get_run_result(None, "r1").failed == ["EXT-b"]


def test_another_client_is_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigurationError, match=r"client is a builtins\.dict; give experiments\.Client"):
        get_run_result({}, "r1")  # type: ignore[arg-type]


def test_an_unknown_run_is_not_found(server: FaultServer, client: Client) -> None:
    server.plan(answer(404), path="/v1/runs/r1/result")
    with pytest.raises(NotFound):
        get_run_result(client, "r1")


@pytest.mark.parametrize(
    ("path", "body", "call"),
    [
        ("/v1/runs/r1/result", RESULT, lambda client: get_run_result(client, "r1", "p1", "min")),
        ("/v1/runs/r1/metrics", {"events": []}, lambda client: get_run_metrics(client, "r1", "p1")),
        ("/v1/runs/n/compare-with/o", COMPARISON, lambda client: compare_runs(client, "n", "o", "p1", "min")),
    ],
)
def test_the_official_order_of_arguments_is_kept_and_project_id_is_told_off(
    server: FaultServer, client: Client, path: str, body: Any, call: Any
) -> None:
    server.plan(answer(200, body=body), path=path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(client)
    assert [(warning.category, warning.filename) for warning in caught] == [(DeprecationWarning, __file__)]
    assert "project_id='p1' is ignored: the API key decides the project" in str(caught[0].message)


# --- servers of all ages


def test_metrics_keyed_by_name_are_kept() -> None:
    body = {"metrics": {"accuracy": {"aggregate": 0.85, "values": [0.8, 0.9]}, "latency": 12}}
    result = result_from_wire(body, run_id="r", server_url=None)
    assert result.metrics.get_metric("accuracy") == {"aggregate": 0.85, "values": [0.8, 0.9]}
    assert result.metrics.list_metrics() == ["accuracy", "latency"]
    assert (result.status, result.success, result.name, result.run_object) == ("unknown", False, None, None)


def test_details_keyed_by_name_become_a_list() -> None:
    body = {"metrics": {"details": {"accuracy": {"aggregate": 0.85}, "broken": 3}}}
    result = result_from_wire(body, run_id="r", server_url=None)
    assert [(detail.metric_name, detail.aggregate) for detail in result.metrics.details] == [("accuracy", 0.85)]


def test_what_does_not_fit_is_absent_and_the_rest_is_kept() -> None:
    body = {
        "status": None,
        "success": None,
        "passed": None,
        "failed": ["a", None, 3],
        "metrics": {
            "aggregation_function": 3,
            "details": [
                None,
                {"aggregate": 1.0},
                {"metric_name": "m", "aggregate": {"no": "number"}, "values": [1, None, "x", True], "datapoints": []},
            ],
        },
        "datapoints": [None, {"session_id": "s", "passed": None, "metrics": None}, {"passed": {}, "datapoint_id": "d"}],
        "event_details": None,
        "run_object": {"id": "x", "metadata": None, "name": "named"},
        "outcomes": "not the server's to say",
    }
    result = result_from_wire(body, run_id="r", server_url="http://server")
    assert (result.status, result.success, result.passed, result.failed) == ("unknown", False, [], ["a", "3"])
    (detail,) = result.metrics.details
    assert (detail.metric_name, detail.aggregate, detail.values, detail.datapoints) == ("m", None, [1, True], None)
    assert result.metrics.aggregation_function is None
    assert [(row.session_id, row.datapoint_id, row.passed) for row in result.datapoints] == [
        ("s", None, None),
        (None, "d", None),
    ]
    assert result.event_details == []
    assert result.outcomes == []
    assert result.run_object is not None
    assert (result.run_object.run_id, result.name, result.run_object.metadata) == ("r", "named", {})


def test_a_result_without_any_shape_is_an_empty_one() -> None:
    result = result_from_wire({"metrics": "none", "datapoints": {}}, run_id="r", server_url=None)
    assert (result.run_id, result.status, result.metrics, result.datapoints) == ("r", "unknown", Metrics(), [])


def test_raw_metrics_of_odd_servers() -> None:
    found = metrics_from_wire({"events": [None, {"event_name": "a", "metrics": None}], "totalEvents": "many"})
    assert [(event.event_name, event.metrics) for event in found.events] == [("a", {})]
    assert found.total_events is None


def test_comparisons_of_odd_servers() -> None:
    body = {
        "metrics": {"accuracy": {"improved_count": None, "improved": None, "old_values": [1, None]}},
        "common_datapoints": 7,
        "new_only_datapoints": ["a", "b"],
        "old_only_datapoints": "?",
        "new_run": None,
    }
    found = comparison_from_wire(body, "n", "o")
    assert (found.common_datapoints, found.new_only_datapoints, found.old_only_datapoints) == (7, 2, 0)
    assert found.metric_deltas["accuracy"]["improved_count"] == 0
    assert found.metric_deltas["accuracy"]["found_count"] == 0
    assert found.metric_deltas["accuracy"]["old_values"] == [1]
    assert found.list_improved_metrics() == []
    assert comparison_from_wire({}, "n", "o").metric_deltas == {}


def test_of_several_events_the_last_one_gives_the_delta() -> None:
    metrics = [
        {"metric_name": "m", "event_name": event, "new_aggregate": value} for event, value in (("a", 1), ("b", 2))
    ]
    found = comparison_from_wire({"metrics": metrics}, "n", "o")
    assert found.metric_deltas["m"]["event_name"] == "b"
    assert [metric.event_name for metric in found.metrics] == ["a", "b"]


def test_an_answer_that_cannot_be_a_run_at_all_raises() -> None:
    with pytest.raises(ValueError, match="run_id"):
        result_from_wire({"run_object": {}}, run_id=None, server_url=None)  # type: ignore[arg-type]
