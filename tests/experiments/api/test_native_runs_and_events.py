"""`/api/v1/runs…` and `/api/v1/events`: filters, key-set pages, constant queries, foreign ids."""

import datetime as dt
import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from experiments.models import Dataset, Event, Run
from governance.domain.actions import KeyKind
from tests.factories import make_client, make_project, make_token


def make_run(project, key, **fields):
    finished = timezone.now() if fields.get("status") == "completed" else None
    return Run.objects.create(project=project, run_key=key, **{"name": key, "finished_at": finished, **fields})


def make_event(project, number, **fields):
    key = uuid.UUID(int=number)
    values = {"event_type": "tool", "event_name": "call", "source": "test", "session_key": key}
    times = {"start_time": float(number // 2), "end_time": 9.5, "duration": 1.0}
    return Event.objects.create(project=project, event_key=key, **{**values, **times, **fields})


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["b1", "a2", "a1"]),
        ({"status": "completed"}, ["a2"]),
        ({"name_prefix": "a"}, ["a2", "a1"]),
        ({"dataset": "EXT-1"}, ["a1"]),
        ({"dataset": "managed"}, ["b1"]),
        ({"created_after": "2100-01-01T00:00:00Z"}, []),
        ({"created_before": "2100-01-01T00:00:00Z"}, ["b1", "a2", "a1"]),
    ],
)
def test_runs_are_filtered(api, project, query, found):
    dataset = Dataset.objects.create(project=project, name="d")
    make_run(project, "a1", offline_dataset_id="EXT-1")
    make_run(project, "a2", status="completed")
    make_run(project, "b1", dataset=dataset)
    make_run(make_project(), "foreign")
    if query.get("dataset") == "managed":
        query = {"dataset": dataset.public_id}
    answer = api.get("/api/v1/runs", query)
    assert [each["run_id"] for each in answer.json()["results"]] == found


def test_a_run_is_shown_with_its_dataset(api, project):
    dataset = Dataset.objects.create(project=project, name="d")
    make_run(project, "a", dataset=dataset, event_ids=["x"])
    make_run(project, "b", offline_dataset_id="EXT-1")
    shown = api.get("/api/v1/runs/a").json()
    assert (shown["dataset_id"], shown["event_ids"], shown["status"]) == (dataset.public_id, ["x"], "pending")
    assert api.get("/api/v1/runs/b").json()["dataset_id"] == "EXT-1"
    assert api.get("/api/v1/runs/c").status_code == 404
    other = make_client(make_token(make_project()))
    assert other.get("/api/v1/runs/a").status_code == 404


@pytest.mark.parametrize("query", [{"status": "done"}, {"created_after": "soon"}, {"limit": 501}])
def test_wrong_run_filters_are_refused_by_name(api, query):
    answer = api.get("/api/v1/runs", query)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == next(iter(query))


def test_runs_take_as_many_queries_for_sixty_as_for_one(api, project):
    make_run(project, "first")
    api.get("/api/v1/runs")
    with CaptureQueriesContext(connection) as queries:
        api.get("/api/v1/runs")
        count = len(queries)
    Run.objects.bulk_create([Run(project=project, run_key=f"r{n}") for n in range(60)])
    with CaptureQueriesContext(connection) as queries:
        assert len(api.get("/api/v1/runs").json()["results"]) == 50
        assert len(queries) == count == 3  # key, count, page


def test_event_pages_join_without_gap_or_double(api, project):
    for number in range(1, 8):  # pairs share their start time
        make_event(project, number)
    make_event(make_project(), 99)
    seen, cursor = [], ""
    while True:
        answer = api.get("/api/v1/events", {"limit": 3, "cursor": cursor}).json()
        seen += [uuid.UUID(each["event_id"]).int for each in answer["results"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert seen == list(range(1, 8))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"event_type": "model"}, [2]),
        ({"event_name": "other"}, [3]),
        ({"session_id": str(uuid.UUID(int=1))}, [1]),
        ({"run_id": "r"}, [2]),
        ({"start_after_ms": 1}, [2, 3]),
        ({"start_before_ms": 0.5}, [1]),
    ],
)
def test_events_are_filtered(api, project, query, found):
    make_event(project, 1)
    make_event(project, 2, event_type="model", run_key="r")
    make_event(project, 3, event_name="other")
    answer = api.get("/api/v1/events", query).json()
    assert [uuid.UUID(each["event_id"]).int for each in answer["results"]] == found


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"event_type": "x"}, "event_type"),
        ({"session_id": "x"}, "session_id"),
        ({"start_after_ms": "x"}, "start_after_ms"),
        ({"cursor": "x"}, "cursor"),
        ({"limit": "501"}, "limit"),
        ({"evnt": "x"}, "evnt"),
        ({"event_name": "\x00"}, "event_name"),
    ],
)
def test_wrong_event_filters_are_refused_by_name(api, query, field):
    answer = api.get("/api/v1/events", query)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == field


def test_events_take_as_many_queries_for_sixty_as_for_one(api, project):
    make_event(project, 1)
    api.get("/api/v1/events")
    with CaptureQueriesContext(connection) as queries:
        api.get("/api/v1/events")
        count = len(queries)
    for number in range(2, 62):
        make_event(project, number)
    with CaptureQueriesContext(connection) as queries:
        assert len(api.get("/api/v1/events").json()["results"]) == 50
        assert len(queries) == count == 2  # key, page


def test_times_are_in_utc(api, project):
    make_run(project, "a")
    created = dt.datetime.fromisoformat(api.get("/api/v1/runs/a").json()["created_at"])
    assert created.utcoffset() == dt.timedelta(0)


@pytest.mark.parametrize(
    "path", ["runs", "runs/a", "events", "datasets", "datasets/x", "runs/a/export", "events/export"]
)
def test_head_needs_the_right_of_get(project, path):
    make_run(project, "a")
    sender = make_client(make_token(project, kind=KeyKind.INGESTION))
    assert sender.head(f"/api/v1/{path}").status_code == sender.get(f"/api/v1/{path}").status_code == 403


@pytest.mark.parametrize(
    "query",
    [
        "runs?created_after=9999-12-31T23:59:59-12:00",
        "runs?created_before=0001-01-01T00:00:00%2B12:00",
        "audit?since=9999-12-31T23:59:59-12:00",
        "usage?until=0001-01-01T00:00:00%2B12:00",
    ],
)
def test_times_that_utc_has_no_word_for_are_refused(api, query):
    answer = api.get(f"/api/v1/{query}")
    field = query.partition("?")[2].partition("=")[0]
    assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (400, field)


def test_answers_outside_every_door_tell_the_request_id_too(api):
    answer = api.get("/v1/nowhere")
    assert answer.status_code == 404
    assert answer.json()["requestId"] == answer.headers["X-Request-ID"]
