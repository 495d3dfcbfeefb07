"""Whole datapoints in one OTLP body: sessions as marked spans beside the spans of their functions."""

import itertools
import uuid

import orjson
import pytest

from experiments.domain.spans import SESSION_MARK
from experiments.models import Event, Measurement
from tests.experiments.factories import make_run
from tests.experiments.honeyhive_api.test_traces import stored
from tests.experiments.otlp_bodies import SESSION, START, json_body, make_span, proto_body, send, span_id

pytestmark = pytest.mark.django_db
DATAPOINTS = 64
CRASHED = {3, 40}


@pytest.fixture(autouse=True)
def own_cache(settings, tmp_path):
    settings.DATA_DIR = tmp_path


def session_span(session_id: str, number: int, **buckets) -> dict:
    attributes = {
        "honeyhive.session_id": session_id,
        SESSION_MARK: True,
        "honeyhive_event_type": "session",
        "honeyhive_event_name": "the run",
        "honeyhive.source": "evaluation",
        **{
            name: value if name == "honeyhive_error" else orjson.dumps(value).decode()
            for name, value in buckets.items()
        },
    }
    return make_span(number, attributes)


def datapoint_spans(index: int) -> list[dict]:
    """A session and its main event, which names the session's span as its parent and no run."""
    session_id = str(uuid.UUID(int=index + 1))
    ids = {"run_id": "r", "dataset_id": "EXT-d", "datapoint_id": f"EXT-{index:02}"}
    error = {"honeyhive_error": "ValueError: boom"} if index in CRASHED else {}
    session = session_span(
        session_id, 2 * index + 1, honeyhive_metadata=ids, honeyhive_inputs={"n": index}, honeyhive_outputs={}, **error
    )
    metrics = (
        {} if index in CRASHED else {"honeyhive_metrics.score": index / 64, "honeyhive_metrics.even": index % 2 == 0}
    )
    attributes = {
        "honeyhive.session_id": session_id,
        "honeyhive_event_type": "chain",
        "honeyhive_event_name": "fn",
        **metrics,
    }
    return [session, make_span(2 * index + 2, attributes, parent=span_id(2 * index + 1))]


def test_a_body_of_datapoints_sent_twice_gives_each_once_with_exact_metrics(api, project) -> None:
    make_run(project, run_key="r", configuration={"function": "fn"})
    spans = list(itertools.chain.from_iterable(datapoint_spans(index) for index in range(DATAPOINTS)))
    for body in (json_body(spans), json_body(spans[::-1])):
        assert send(api, body).content == b"{}"

    sessions = Event.objects.filter(project=project, event_type="session")
    assert (sessions.count(), Event.objects.count()) == (DATAPOINTS, 2 * DATAPOINTS)
    assert set(Event.objects.values_list("run_key", "dataset_key")) == {("r", "EXT-d")}
    assert Measurement.objects.count() == 2 * (DATAPOINTS - len(CRASHED))
    for main in Event.objects.filter(event_type="chain"):
        assert main.parent_key == main.session_key
    result = orjson.loads(api.get("/v1/runs/r/result").content)
    assert [row["datapoint_id"] for row in result["datapoints"]] == [f"EXT-{index:02}" for index in range(DATAPOINTS)]
    assert result["failed"] == [f"EXT-{index:02}" for index in sorted(CRASHED)]
    assert len(result["passed"]) == DATAPOINTS - len(CRASHED)
    kept = [index for index in range(DATAPOINTS) if index not in CRASHED]
    details = {detail["metric_name"]: detail for detail in result["metrics"]["details"]}
    assert details["score"]["values"] == [index / 64 for index in kept]
    assert details["even"]["aggregate"] == sum(index % 2 == 0 for index in kept) / len(kept)


def arrivals() -> list:
    """What may happen to one session, as independent calls."""
    marked = session_span(
        SESSION, 1, honeyhive_metadata={"run_id": "r", "datapoint_id": "dp"}, honeyhive_outputs={"a": "span"}
    )
    child = make_span(2, {"honeyhive_metrics.m": 1}, parent=span_id(1))
    put = {"event_id": SESSION, "outputs": {"a": "put"}, "feedback": {"rating": 1}}
    return [
        lambda api: send(api, json_body([marked])),
        lambda api: send(api, proto_body([child]), protobuf=True),
        lambda api: api.put("/events", data=orjson.dumps(put), content_type="application/json"),
        lambda api: send(api, proto_body([child, marked]), protobuf=True),
    ]


def test_the_order_of_arrival_does_not_matter_to_a_marked_session(api, project) -> None:
    outcomes = []
    for order in itertools.permutations(range(3)):
        Event.objects.all().delete()
        Measurement.objects.all().delete()
        calls = arrivals()
        for index in (*order, 3):
            assert calls[index](api).status_code == 200
        outcomes.append((stored(project), list(Measurement.objects.values_list("name", "run_key"))))

    assert all(outcome == outcomes[0] for outcome in outcomes)
    events, measurements = outcomes[0]
    session, child = events["the run"], events["span 2"]
    assert (session["outputs"], session["feedback"]) == ({"a": "put"}, {"rating": 1})
    assert session["metadata"] == {"run_id": "r", "datapoint_id": "dp", "source": "evaluation"}
    assert (session["start_time"], session["is_stub"]) == ((START + 1) / 1e6, False)
    assert (child["parent_key"], child["run_key"], child["datapoint_key"]) == (uuid.UUID(SESSION), "r", "dp")
    assert measurements == [("m", "r")]


def test_a_started_session_keeps_what_it_said(api, project) -> None:
    session = {"session_id": SESSION, "session_name": "started", "start_time": 5.0, "metadata": {"k": "start"}}
    api.post("/session/start", data=orjson.dumps({"session": session}), content_type="application/json")
    send(api, json_body([session_span(SESSION, 1, honeyhive_metadata={"k": "span", "run_id": "r"})]))
    send(api, json_body([make_span(2, parent=span_id(1))]))

    events = stored(project)
    assert set(events) == {"started", "span 2"}
    assert events["started"]["metadata"] == {"k": "start", "run_id": "r", "source": "evaluation"}
    assert events["started"]["start_time"] == 5.0
    assert (events["span 2"]["parent_key"], events["span 2"]["run_key"]) == (uuid.UUID(SESSION), "r")
