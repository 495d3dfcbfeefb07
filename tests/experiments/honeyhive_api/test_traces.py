"""OTLP over HTTP: both encodings, compression, refusals of bodies and of single spans, idempotence, order."""

import gzip
import itertools
import json
import uuid

import orjson
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from experiments.models import Event, Measurement, RunRevision
from governance.domain.actions import KeyKind
from governance.models import IngestionCount, Quota
from tests.experiments.otlp_bodies import (
    COMPRESSIONS,
    SESSION,
    deflate_raw,
    json_body,
    json_span,
    make_span,
    proto_body,
    send,
    span_id,
)
from tests.factories import make_client, make_project, make_token

pytestmark = pytest.mark.django_db


def stored(project) -> dict[str, dict]:
    """Stored events without what only the database knows, by span name (sessions by 'session')."""
    hidden = ("id", "project_id", "created_at", "updated_at")
    rows = Event.objects.filter(project=project).values()
    return {row["event_name"]: {k: v for k, v in row.items() if k not in hidden} for row in rows}


EVERY_KIND = {
    "honeyhive_inputs.text": "é😀",
    "honeyhive_metadata.whole": -5,
    "honeyhive_metadata.float": 2.0,
    "honeyhive_metrics.yes": True,
    "honeyhive_metrics.score": 0.25,
    "list": ["a", 1, True, 2.5, [1], {"k": "v"}],
    "object": {"a": {"b": 1}},
    "empty": [],
}


@pytest.mark.parametrize("encoding", COMPRESSIONS)
@pytest.mark.parametrize("protobuf", [False, True], ids=["json", "protobuf"])
@pytest.mark.parametrize("path", ["/opentelemetry/v1/traces", "/v1/traces"])
def test_both_encodings_store_the_same_event(api, project, protobuf, encoding, path) -> None:
    spans = [make_span(1, EVERY_KIND, error="broken", events=[("note", {"a": 1})], parent=span_id(9))]
    body = (proto_body if protobuf else json_body)(spans)
    answer = send(api, COMPRESSIONS[encoding](body), protobuf=protobuf, encoding=encoding, path=path)

    assert answer.status_code == 200
    assert answer["Content-Type"] == ("application/x-protobuf" if protobuf else "application/json")
    assert answer.content == (b"" if protobuf else b"{}")
    event = stored(project)["span 1"]
    assert event["inputs"] == {"text": "é😀"}
    assert event["metrics"] == {"yes": True, "score": 0.25}
    assert event["metadata"]["list"] == ["a", 1, True, 2.5, [1], {"k": "v"}]
    assert event["metadata"]["object"] == {"a": {"b": 1}}
    assert event["metadata"]["empty"] == []
    assert (event["metadata"]["whole"], repr(event["metadata"]["float"])) == (-5, "2.0")
    assert event["metadata"]["_event.note.0.a"] == 1
    assert event["metadata"]["parent_span_id"] == span_id(9)
    assert event["metadata"]["service.name"] == "tests"
    assert (event["error"], event["duration"]) == ("broken", 5.0)
    assert set(Measurement.objects.values_list("name", "value")) == {("yes", 1.0), ("score", 0.25)}


def test_bare_deflate_and_joined_gzip_members_are_understood(api, project) -> None:
    body = json_body([make_span(1)])
    assert send(api, deflate_raw(body), encoding="deflate").status_code == 200
    half = len(body) // 2
    assert send(api, gzip.compress(body[:half]) + gzip.compress(body[half:]), encoding="gzip").status_code == 200
    assert set(stored(project)) == {"span 1", "session"}


def test_the_source_header_fills_in(api, project) -> None:
    send(api, json_body([make_span(1), make_span(2, {"honeyhive.source": "own"})]), **{"X-Source": "header"})
    assert (stored(project)["span 1"]["source"], stored(project)["span 2"]["source"]) == ("header", "own")


def test_other_exporters_spellings_are_understood(api, project) -> None:
    import base64

    raw = json_span(make_span(1))
    raw["traceId"] = base64.b64encode(bytes.fromhex(raw["traceId"])).decode()
    raw["spanId"] = raw["spanId"].upper()
    raw["parentSpanId"] = "0000000000000000"
    raw["startTimeUnixNano"] = int(raw["startTimeUnixNano"])
    raw["kind"], raw["status"] = 1, {"code": 2, "message": "m"}
    raw["attributes"] += [
        {"key": "i", "value": {"intValue": 42}},
        {"key": "d", "value": {"doubleValue": 1}},
        {"key": "nan", "value": {"doubleValue": "NaN"}},
        {"key": "huge", "value": {"intValue": "99999999999999999999999999"}},
        {"key": "bytes", "value": {"bytesValue": "AQI="}},
        {"key": "nothing", "value": {}},
        {"key": "null", "value": None},
        {"key": "list", "value": {"arrayValue": {}}},
    ]
    assert send(api, json_body([raw])).content == b"{}"
    event = stored(project)["span 1"]
    found = event["metadata"]
    assert event["error"] == "m"
    assert (found["i"], repr(found["d"]), found["nan"], found["huge"]) == (42, "1.0", "NaN", "9" * 26)
    assert (found["bytes"], found["nothing"], found["null"], found["list"]) == ("AQI=", None, None, [])
    assert found["parent_span_id"] == ""


def test_a_body_without_spans_is_fine(api, project) -> None:
    for body in (b"{}", b'{"resourceSpans": []}', b'{"resourceSpans": null}', json_body([])):
        assert send(api, body).content == b"{}"
    assert send(api, proto_body([]), protobuf=True).status_code == 200
    assert stored(project) == {}


@pytest.mark.parametrize(
    ("body", "extra", "status", "word"),
    [
        (b"", {}, 400, "empty"),
        (b"not json", {}, 400, "JSON"),
        (b'{"resourceSpans": [', {}, 400, "JSON"),
        (b"[]", {}, 400, "object"),
        (b'{"resourceSpans": {"a": 1}}', {}, 400, "resourceSpans"),
        (b'{"resourceSpans": [1]}', {}, 400, "resourceSpans"),
        (b'{"resourceSpans": [{"scopeSpans": 1}]}', {}, 400, "scopeSpans"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": {"a": 1}}]}]}', {}, 400, "spans"),
        (b'{"a": 1e999}', {}, 400, "JSON"),
        (b'{"a": "\\ud800", "b": 1e999}', {}, 400, "JSON"),
        (b"\xff\xfe{}", {}, 400, "JSON"),
        (b'{"a":' + b"[" * 100_000, {}, 400, "JSON"),
        (b"{}", {"encoding": "br"}, 415, "Content-Encoding"),
        (b"{}", {"encoding": "gzip, gzip"}, 415, "Content-Encoding"),
        (b"{}", {"encoding": "gzip"}, 400, "gzip"),
        (b"", {"encoding": "gzip"}, 400, "empty"),
        (gzip.compress(json_body([make_span(1)]))[:-9], {"encoding": "gzip"}, 400, "early"),
        (b"\x78\x9c", {"encoding": "deflate"}, 400, "early"),
        (b"\xff" * 50, {"protobuf": True}, 400, "ExportTraceServiceRequest"),
        (proto_body([make_span(1)])[:-3], {"protobuf": True}, 400, "ExportTraceServiceRequest"),
        (b"{}", {"protobuf": True}, 400, "ExportTraceServiceRequest"),
    ],
)
def test_bad_bodies_are_refused_with_a_reason_and_store_nothing(api, project, body, extra, status, word) -> None:
    answer = send(api, body, **extra)

    assert answer.status_code == status
    assert word in answer.json()["message"]
    assert stored(project) == {}
    assert not IngestionCount.objects.exists()


def test_unknown_content_types_are_refused(api, project) -> None:
    answer = api.post("/v1/traces", data=b"a=b", content_type="application/x-www-form-urlencoded")
    assert (answer.status_code, answer.json()["errorCode"]) == (415, "unsupported_media_type")
    assert stored(project) == {}


def test_a_bomb_is_refused_before_it_goes_off(api, project) -> None:
    bomb = gzip.compress(b" " * 64 * 1024 * 1024, 9)
    assert 64 * 1024 * 1024 / len(bomb) > 900
    answer = send(api, bomb, encoding="gzip")
    assert (answer.status_code, answer.json()["errorCode"]) == (413, "payload_too_large")


def test_bodies_over_the_limits_are_refused(api, project, settings) -> None:
    body = json_body([make_span(n) for n in range(1, 9)])
    settings.MAX_INFLATED_BYTES = 1000
    assert send(api, gzip.compress(body), encoding="gzip").status_code == 413
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    assert send(api, body).status_code == 413
    assert stored(project) == {}


def test_bodies_sent_in_chunks_are_read(project, api_key, settings) -> None:
    import io

    from django.test import RequestFactory

    from experiments.honeyhive_api.traces import urlpatterns

    def chunked(body: bytes):
        request = RequestFactory().generic("POST", "/v1/traces", b"", content_type="application/json")
        request.META |= {
            "HTTP_TRANSFER_ENCODING": "chunked",
            "HTTP_AUTHORIZATION": f"Bearer {api_key}",
            "wsgi.input": io.BytesIO(body),
        }
        return urlpatterns[1].callback(request)

    assert chunked(json_body([make_span(1)])).status_code == 200
    assert set(stored(project)) == {"span 1", "session"}
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    assert chunked(json_body([make_span(2)])).status_code == 413


def spoiled(**fields) -> dict:
    return json_span(make_span(99)) | fields


BAD_SPANS = [
    spoiled(traceId="00" * 16),
    spoiled(traceId="xyz"),
    spoiled(traceId=None),
    spoiled(spanId="ab"),
    spoiled(spanId=5),
    spoiled(parentSpanId="zz"),
    spoiled(startTimeUnixNano="soon"),
    spoiled(startTimeUnixNano=None),
    spoiled(startTimeUnixNano="0"),
    spoiled(startTimeUnixNano=1.5),
    spoiled(startTimeUnixNano=True),
    spoiled(endTimeUnixNano="9" * 20),
    spoiled(endTimeUnixNano="5"),
    spoiled(attributes={"a": 1}),
    spoiled(attributes=[1]),
    spoiled(attributes=[{"value": {"stringValue": "x"}}]),
    spoiled(attributes=[{"key": 1, "value": {"stringValue": "x"}}]),
    spoiled(attributes=[{"key": "k", "value": 5}]),
    spoiled(attributes=[{"key": "k", "value": {"intValue": "one"}}]),
    spoiled(attributes=[{"key": "k", "value": {"intValue": 1.5}}]),
    spoiled(attributes=[{"key": "k", "value": {"intValue": True}}]),
    spoiled(attributes=[{"key": "k", "value": {"doubleValue": "x"}}]),
    spoiled(attributes=[{"key": "k", "value": {"doubleValue": None}}]),
    spoiled(attributes=[{"key": "k", "value": {"boolValue": "yes"}}]),
    spoiled(attributes=[{"key": "k", "value": {"stringValue": 5}}]),
    spoiled(attributes=[{"key": "k", "value": {"strangeValue": 5}}]),
    spoiled(attributes=[{"key": "k", "value": {"arrayValue": [1]}}]),
    spoiled(status=5),
    spoiled(events=[5]),
    spoiled(events={"a": 1}),
]


@pytest.mark.parametrize("number", range(len(BAD_SPANS)))
def test_a_bad_span_is_refused_alone(api, project, number) -> None:
    answer = send(api, json_body([make_span(1), {"traceId": None, **BAD_SPANS[number]}, make_span(2)]))

    assert answer.status_code == 200
    partial = answer.json()["partialSuccess"]
    assert partial["rejectedSpans"] == "1"
    assert "resourceSpans[0].scopeSpans[0].spans[1]" in partial["errorMessage"]
    assert set(stored(project)) == {"span 1", "span 2", "session"}
    assert list(IngestionCount.objects.values_list("events", "rejected")) == [(2, 1)]


def test_a_bad_span_in_protobuf_is_refused_alone(api, project) -> None:
    spans = [make_span(1), make_span(2, span="00"), make_span(3, trace="00" * 16), make_span(4, end=5)]
    answer = send(api, proto_body(spans), protobuf=True)

    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert partial.rejected_spans == 3
    assert "spans[1]" in partial.error_message
    assert set(stored(project)) == {"span 1", "session"}


def test_many_bad_spans_make_a_short_message(api) -> None:
    answer = send(api, json_body([BAD_SPANS[0]] * 50))
    partial = answer.json()["partialSuccess"]
    assert partial["rejectedSpans"] == "50"
    assert "(and 45 more)" in partial["errorMessage"]


def test_deep_attributes_are_refused_alone(api, project) -> None:
    deep = {"stringValue": "x"}
    for _ in range(200):
        deep = {"arrayValue": {"values": [deep]}}
    body = json_body([make_span(1), json_span(make_span(2)) | {"attributes": "HERE"}])
    body = body.replace(b'"HERE"', json.dumps([{"key": "k", "value": deep}]).encode())
    assert send(api, body).json()["partialSuccess"]["rejectedSpans"] == "1"
    nested: list = []
    for _ in range(80):
        nested = [nested]
    assert send(api, proto_body([make_span(3, {"k": nested})]), protobuf=True).status_code in {200, 400}
    assert set(stored(project)) == {"span 1", "session"}


def test_a_clock_set_back_a_little_costs_no_span(api, project) -> None:
    span = make_span(1)
    send(api, json_body([span | {"end": span["start"] - 500_000_000}, make_span(2) | {"end": 0}]))
    assert [event["duration"] for event in stored(project).values()] == [0.0, 0.0, 0.0]


def test_text_that_databases_cannot_hold_is_replaced(api, project) -> None:
    body = json_body([make_span(1, {"a": "x\x00y", "honeyhive_inputs.j": '{"k": "\\u0000"}'}, name="n\x00")])
    assert send(api, body).status_code == 200
    assert send(api, proto_body([make_span(2, {"a": "x\x00y"})]), protobuf=True).status_code == 200
    assert stored(project)["n\ufffd"]["metadata"]["a"] == "x\ufffdy"
    assert stored(project)["n\ufffd"]["inputs"] == {"j": {"k": "\ufffd"}}
    assert stored(project)["span 2"]["metadata"]["a"] == "x\ufffdy"

    lone = json_body([make_span(3, {"a": "HERE"})]).replace(b"HERE", b"x\\ud83d")
    assert send(api, lone).status_code == 200
    assert stored(project)["span 3"]["metadata"]["a"] == "x\ufffd"


def test_a_megabyte_in_one_attribute_is_kept(api, project) -> None:
    text = "é" * 1_000_000
    assert send(api, json_body([make_span(1, {"honeyhive_outputs.result": text})])).status_code == 200
    assert stored(project)["span 1"]["outputs"]["result"] == text


def test_sending_again_stores_nothing_twice(api, project) -> None:
    spans = [make_span(n, {"honeyhive_metrics.m": n}) for n in range(1, 20)]
    send(api, json_body(spans))
    before = stored(project)
    for body, protobuf in ((json_body(spans), False), (proto_body(spans), True), (json_body(spans[::-1] * 2), False)):
        assert send(api, body, protobuf=protobuf).status_code == 200

    assert stored(project) == before
    assert Measurement.objects.count() == 19
    assert sum(IngestionCount.objects.values_list("events", flat=True)) == 19


def test_the_same_trace_in_two_projects_makes_two_events(api, project) -> None:
    other = make_project()
    body = json_body([make_span(1)])
    assert send(api, body).content == send(make_client(make_token(other)), body).content == b"{}"
    assert stored(project).keys() == stored(other).keys() == {"span 1", "session"}


def test_spans_are_counted_by_key_and_taken_from_the_quota(project) -> None:
    key = make_token(project, kind=KeyKind.INGESTION)
    send(make_client(key), json_body([make_span(n) for n in range(1, 4)]))
    count = IngestionCount.objects.get()
    assert (count.events, count.requests, count.rejected, count.api_key.kind) == (3, 1, 0, "ingestion")
    assert Quota.objects.get(project=project, resource="events").used >= 3


def test_over_quota_is_429_and_stores_nothing(api, project) -> None:
    Quota.objects.filter(project=project, resource="events").update(ceiling=1)
    answer = send(api, json_body([make_span(1), make_span(2)]))
    assert (answer.status_code, answer.json()["errorCode"]) == (429, "quota_exceeded")
    assert stored(project) == {}


def test_a_span_fills_the_revision_of_its_run(api, project) -> None:
    send(api, json_body([make_span(1, {"honeyhive_metadata.run_id": "r"})]))
    assert RunRevision.objects.get(project=project, run_key="r").revision == 1


CHOSEN = str(uuid.UUID(int=4242))


def arrivals() -> list:
    """Everything that may happen to one session, as independent calls."""
    parent = make_span(1, {"honeyhive_event_id": CHOSEN, "honeyhive_metrics.m": 1, "honeyhive_metadata.a": "span"})
    child = make_span(2, {"honeyhive_metrics.n": True}, parent=span_id(1))
    session = {
        "session_id": SESSION,
        "session_name": "session",
        "source": "evaluation",
        "start_time": 1_600_000_000_000,
        "metadata": {"run_id": "r", "dataset_id": "ds", "datapoint_id": "dp"},
        "inputs": {"q": 1},
    }
    put_parent = {"event_id": CHOSEN, "metadata": {"a": "put"}, "metrics": {"k": 2}, "duration": 7.5}
    put_session = {"event_id": SESSION, "outputs": {"answer": "A"}, "feedback": {"ground_truth": {"x": 1}}}
    return [
        lambda api: send(api, json_body([parent])),
        lambda api: send(api, proto_body([child]), protobuf=True),
        lambda api: api.post(
            "/session/start", data=orjson.dumps({"session": session}), content_type="application/json"
        ),
        lambda api: api.put("/events", data=orjson.dumps(put_parent), content_type="application/json"),
        lambda api: api.put("/events", data=orjson.dumps(put_session), content_type="application/json"),
        lambda api: send(api, json_body([child, parent])),
    ]


def test_the_order_of_arrival_does_not_matter(api, project) -> None:
    outcomes = []
    orders = list(itertools.permutations(range(5)))[::5]
    for order in orders:
        Event.objects.all().delete()
        Measurement.objects.all().delete()
        calls = arrivals()
        for index in (*order, 5):
            answer = calls[index](api)
            assert answer.status_code == 200, answer.content
        measurements = set(
            Measurement.objects.values_list("name", "value", "is_boolean", "run_key", "session_key", "event_name")
        )
        outcomes.append((stored(project), measurements))

    for order, outcome in zip(orders, outcomes, strict=True):
        assert outcome == outcomes[0], order
    parent = outcomes[0][0]["span 1"]
    assert parent["metadata"]["a"] == "put"
    assert parent["metadata"]["run_id"] == "r"
    assert (parent["duration"], parent["metrics"]) == (7.5, {"m": 1, "k": 2})
    assert outcomes[0][0]["span 2"]["parent_key"] == uuid.UUID(CHOSEN)
    assert outcomes[0][0]["session"]["outputs"] == {"answer": "A"}


def test_the_number_of_queries_does_not_grow_with_spans(api, project, django_assert_num_queries) -> None:
    from django.db import connection

    send(api, json_body([make_span(10_000)]))  # quota and session are known from here on
    # key; begin and end; session; parents; events; the end: measurements, count, revision
    expected = 10 if connection.vendor == "sqlite" else 7
    numbers = itertools.count(20_000)
    for size in (1, 300):
        attributes = {"honeyhive_metrics.m": 1, "honeyhive_metadata.run_id": "r"}
        spans = [make_span(next(numbers), attributes, parent=span_id(77_777)) for _ in range(size)]
        with django_assert_num_queries(expected):
            assert send(api, json_body(spans)).status_code == 200
