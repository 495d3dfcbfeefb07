"""Malformed bodies of the event and session endpoints: 400 naming the field, nothing stored."""

import uuid
from urllib.parse import quote

import pytest

from experiments.models import Event, Run
from tests.experiments.honeyhive_api.test_events import create, send

pytestmark = pytest.mark.django_db

GOOD = {"event_type": "tool", "inputs": {}}
KEY = "6b0c9b1e-3a31-4e8c-9f3e-2f2b8f7f0a11"


def event(**wrong):
    return {"event": {**GOOD, **wrong}}


def wanted(**wrong):
    return {"filters": [], **wrong}


MALFORMED = [
    ("POST", "/events", {}, "event"),
    ("POST", "/events", [], "event"),
    ("POST", "/events", {"event": "x"}, "event"),
    ("POST", "/events", {"event": {"inputs": {}}}, "event_type"),
    ("POST", "/events", {"event": {"event_type": "tool"}}, "inputs"),
    ("POST", "/events", event(event_type="generic"), "event_type"),
    ("POST", "/events", event(event_type=5), "event_type"),
    ("POST", "/events", event(inputs=None), "inputs"),
    ("POST", "/events", event(inputs=[]), "inputs"),
    ("POST", "/events", event(outputs="text"), "outputs"),
    ("POST", "/events", event(event_id="no-uuid"), "event_id"),
    ("POST", "/events", event(session_id=7), "session_id"),
    ("POST", "/events", event(parent_id="x"), "parent_id"),
    ("POST", "/events", event(event_name=7), "event_name"),
    ("POST", "/events", event(start_time="yesterday"), "start_time"),
    ("POST", "/events", event(duration=True), "duration"),
    ("POST", "/events", event(start_time=1e308, duration=1e308), "start_time"),
    ("POST", "/events", event(metadata="x"), "metadata"),
    ("POST", "/events", event(metrics=[1]), "metrics"),
    ("POST", "/events", event(children_ids="x"), "children_ids"),
    ("POST", "/events", event(error={"a": 1}), "error"),
    ("POST", "/events", b"{", "body"),
    ("POST", "/events", b'{"event": {"event_type": "tool", "inputs": {}, "start_time": 1e999}}', None),
    ("POST", "/v1/events", [], "body"),
    ("POST", "/v1/events", {"event_type": "tool"}, "inputs"),
    ("POST", "/events/batch", {}, "events"),
    ("POST", "/events/batch", {"events": {}}, "events"),
    ("POST", "/events/batch", {"events": [GOOD, {"event_type": "x"}]}, "events.1.event_type"),
    ("POST", "/events/batch", {"events": [GOOD], "session_properties": []}, "session_properties"),
    ("POST", "/events/batch", {"events": [GOOD], "single_session": "maybe"}, "single_session"),
    ("POST", "/v1/events/batch", {"events": [{"event_type": "tool"}]}, "events.0.inputs"),
    ("POST", "/events/model", {}, "model_event"),
    ("POST", "/events/model", {"model_event": {"messages": "x"}}, "model_event.messages"),
    ("POST", "/events/model/batch", {"model_events": 5}, "model_events"),
    ("PUT", "/events", {}, "event_id"),
    ("PUT", "/events", [], "body"),
    ("PUT", "/events", {"event_id": "x"}, "event_id"),
    ("PUT", "/events", {"event_id": KEY, "metadata": []}, "metadata"),
    ("PUT", "/events", {"event_id": KEY, "outputs": "text"}, "outputs"),
    ("PUT", "/events", {"event_id": KEY, "duration": "long"}, "duration"),
    ("PUT", "/v1/events/no-uuid", {}, "event_id"),
    ("PUT", f"/v1/events/{KEY}", {"metrics": 5}, "metrics"),
    ("POST", "/v1/events/export", [], "body"),
    ("POST", "/v1/events/export", wanted(filters="x"), "filters"),
    ("POST", "/v1/events/export", wanted(filters=[{}]), "filters.0.field"),
    (
        "POST",
        "/v1/events/export",
        wanted(filters=[{"field": "session_id", "operator": "is", "value": "x", "type": "id"}]),
        "filters.0.type",
    ),
    ("POST", "/v1/events/export", wanted(filters=[{"field": "source", "operator": "like"}]), "filters.0.operator"),
    ("POST", "/v1/events/export", wanted(limit=0), "limit"),
    ("POST", "/v1/events/export", wanted(limit=7501), "limit"),
    ("POST", "/v1/events/export", wanted(limit=1.5), "limit"),
    ("POST", "/v1/events/export", wanted(limit=True), "limit"),
    ("POST", "/v1/events/export", wanted(page=0), "page"),
    ("POST", "/v1/events/export", wanted(page=10**12), "page"),
    ("POST", "/v1/events/export", wanted(projections="x"), "projections"),
    ("POST", "/v1/events/export", wanted(dateRange="x"), "dateRange"),
    ("POST", "/v1/events/export", wanted(dateRange={"$gte": "x"}), "dateRange.$gte"),
    ("POST", "/v1/events/export", wanted(evaluation_id=5), "evaluation_id"),
    ("POST", "/v1/events/search", {"dateRange": {"end_time": []}}, "dateRange.end_time"),
    ("POST", "/session/start", {}, "session"),
    ("POST", "/session/start", {"session": None}, "session"),
    ("POST", "/session/start", {"session": []}, "session"),
    ("POST", "/session/start", {"session": "{"}, "session"),
    ("POST", "/session/start", {"session": '"text"'}, "session"),
    ("POST", "/session/start", {"session": '{"metadata": ' + '{"a":' * 90 + "1" + "}" * 91}, "session"),
    ("POST", "/session/start", {"session": {"session_id": "x"}}, "session_id"),
    ("POST", "/session/start", {"session": {"metadata": "x"}}, "metadata"),
    ("POST", "/v1/sessions", [], "session"),
    ("POST", "/v1/sessions", {"start_time": {}}, "start_time"),
    ("POST", "/session/no-uuid/traces", {"events": [GOOD]}, "session_id"),
    ("POST", f"/session/{KEY}/traces", {"events": "x"}, "events"),
    ("POST", f"/v1/sessions/{KEY}/events/batch", {"events": [{}]}, "events.0.event_type"),
    ("GET", "/v1/runs/compare/events", None, "run_id_1"),
    ("GET", "/v1/runs/compare/events?run_id_1=a", None, "run_id_2"),
    ("GET", "/v1/runs/compare/events?run_id_1=a&run_id_2=b&limit=1001", None, "limit"),
    ("GET", "/v1/runs/compare/events?run_id_1=a&run_id_2=b&page=x", None, "page"),
    ("GET", "/v1/runs/compare/events?run_id_1=a&run_id_2=b&event_type=x", None, "event_type"),
    ("GET", "/v1/runs/compare/events?run_id_1=a&run_id_2=b&filter={'field':'x'}", None, "filter.0.field"),
    ("GET", "/v1/events/schema?dateRange={'$gte':'x'}", None, "dateRange.$gte"),
]


@pytest.mark.parametrize(("method", "path", "body", "field"), MALFORMED)
def test_a_malformed_request_is_refused_by_name_and_stores_nothing(api, method, path, body, field) -> None:
    status, answer = send(api, method, path, body)

    assert (status, answer["errorCode"]) == (400, "invalid_input"), answer
    if field is not None:
        assert answer["details"]["field"] == field
    assert Event.objects.count() == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/runs/nope/schema"),
        ("GET", f"/v1/events/{KEY}"),
        ("GET", f"/v1/sessions/{KEY}"),
        ("GET", "/v1/sessions/no-uuid"),
        ("DELETE", f"/v1/sessions/{KEY}"),
        ("DELETE", "/v1/sessions/no-uuid"),
        ("GET", "/v1/runs/compare/events?run_id_1=a&run_id_2=b"),
        ("GET", "/v1/runs/a/compare/b/events"),
    ],
)
def test_what_does_not_exist_is_404(api, method, path) -> None:
    status, answer = send(api, method, path, {})

    assert (status, answer["errorCode"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/events", "/session/start", "/v1/events/export", "/v1/events/schema"])
def test_an_unsupported_method_is_405(api, path) -> None:
    assert send(api, "PATCH", path, {})[0] == 405


HARD = {
    "nul \x00 key": "nul \x00",
    "deep": {"a": [[[[{"b": 1}]]]]},
    "": "empty key",
    "big": 2**64 - 1,
    "huge": 1e300,
    "text": "x" * 100_000,
    "ключ": "значение 🎉",
    "run_id": 5,
    "dataset_id": {"not": "text"},
    "datapoint_id": "d" * 1000,
}


def test_odd_content_is_stored_or_refused_but_never_breaks(api) -> None:
    hard = {key: value for key, value in HARD.items() if key not in {"run_id", "dataset_id", "datapoint_id"}}
    key = create(api, inputs=hard, metadata=hard, metrics={"m" * 500: 1, "huge": 1e308, "": 2, "big": 2**64 - 1})

    status, answer = send(api, "GET", f"/v1/events/{key}")

    assert status == 200
    assert answer["event"]["inputs"]["ключ"] == "значение 🎉"
    assert answer["event"]["inputs"]["big"] == 2**64 - 1
    for name in ("run_id", "dataset_id", "datapoint_id"):
        assert send(api, "POST", "/events", event(metadata={name: HARD[name]}))[0] in {200, 400}
        assert send(api, "PUT", "/events", {"event_id": key, "metadata": {name: HARD[name]}})[0] in {200, 400}
    assert send(api, "PUT", "/events", {"event_id": key, "metrics": {"m" * 500: 2, "": 3}})[0] in {200, 400}
    assert send(api, "PUT", "/events", {"event_id": str(uuid.uuid4()), "metadata": hard})[0] == 200


@pytest.mark.parametrize(
    "text",
    [
        "[" * 3000,
        "{'field':'metadata.a','operator':'is','value':'\\x00','type':'string'}",
        "{'field':'metadata.\\x00','operator':'is','value':'x'}",
        '{"field":"event_name","operator":"contains","value":"\\ud800"}',
        "{'field':'metadata.a','operator':'is','value':b'x'}",
        "{'field':'metadata.a','operator':'is','value':{1,2}}",
        "{1:2}",
    ],
)
def test_odd_filters_in_the_address_never_break(api, project, text) -> None:
    Run.objects.create(project=project, run_key="a")

    status, _ = send(api, "GET", f"/v1/runs/a/compare/a/events?filter={quote(text)}")

    assert status in {200, 400}
