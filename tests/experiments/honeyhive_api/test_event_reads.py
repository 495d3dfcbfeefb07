"""Pages, ranges, projections, schemas and comparisons of events, and what they cost in queries."""

import uuid
from urllib.parse import quote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from experiments.models import Event, Run
from tests.experiments.honeyhive_api.test_events import export, send
from tests.factories import make_project

pytestmark = pytest.mark.django_db


def stored(project, **fields) -> Event:
    key = fields.pop("event_key", uuid.uuid4())
    metadata = fields.get("metadata", {})
    return Event(
        project=project,
        event_key=key,
        **{
            "session_key": key if fields.get("event_type") == "session" else uuid.uuid4(),
            "event_type": "tool",
            "event_name": "e",
            "source": "dev",
            "start_time": 0.0,
            "end_time": 0.0,
            "duration": 0.0,
            "run_key": metadata.get("run_id"),
            "datapoint_key": metadata.get("datapoint_id"),
            **fields,
        },
    )


def names(page) -> list[str]:
    return [event["event_name"] for event in page["events"]]


def ids(events) -> dict[str, str]:
    return {event.event_name: str(event.event_key) for event in events}


@pytest.fixture
def ten(project) -> None:
    # The same start time twice: the id breaks the tie.
    Event.objects.bulk_create([stored(project, event_name=f"e{n}", start_time=1000.0 * (n // 2)) for n in range(10)])
    Event.objects.bulk_create([stored(make_project(), event_name="foreign")])


def test_pages_are_ordered_and_count_every_match(api, ten) -> None:
    first, second, behind = (export(api, limit=4, page=page) for page in (1, 3, 9))

    assert names(first) == ["e0", "e1", "e2", "e3"]
    assert names(second) == ["e8", "e9"]
    assert (first["totalEvents"], second["totalEvents"], behind["totalEvents"], behind["events"]) == (10, 10, 10, [])


@pytest.mark.parametrize(
    ("path", "given", "expected"),
    [
        ("export", {"$gte": "1970-01-01T00:00:02Z", "$lte": "1970-01-01T00:00:03Z"}, 4),
        ("search", {"start_time": "1970-01-01T00:00:02Z", "end_time": "1970-01-01T00:00:03Z"}, 4),
        ("export", {"$gte": 3000}, 4),
        ("export", {"$lte": 999.5}, 2),
        ("export", {}, 10),
        ("export", None, 10),
    ],
)
def test_ranges_include_their_bounds(api, ten, path, given, expected) -> None:
    status, body = send(api, "POST", f"/v1/events/{path}", {"dateRange": given, "limit": 100.0})

    assert (status, body["count"], len(body["events"])) == (200, expected, expected)


def test_the_unversioned_alias_and_unknown_keys_work(api, ten) -> None:
    status, body = send(api, "POST", "/events/export", {"filters": [], "project": "x", "ignore_order": True, "new": 1})

    assert (status, body["count"]) == (200, 10)


def test_a_run_is_found_by_name_and_by_its_list_of_sessions(api, project) -> None:
    listed = stored(project, event_type="session", event_name="listed")
    named = stored(project, event_name="named", metadata={"run_id": "r"})
    child = stored(project, event_name="child", session_key=listed.event_key)
    Event.objects.bulk_create([listed, named, child, stored(project, event_name="other")])
    Run.objects.create(project=project, run_key="r", event_ids=[str(listed.event_key), "no uuid", 5])

    assert set(names(export(api, evaluation_id="r"))) == {"listed", "named", "child"}


@pytest.mark.parametrize("count", [3, 60])
def test_an_export_costs_the_same_queries_for_any_number_of_rows(api, project, count) -> None:
    sessions = [stored(project, event_type="session", start_time=float(n)) for n in range(count)]
    children = [stored(project, session_key=s.event_key, metadata={"total_tokens": 2}) for s in sessions]
    Event.objects.bulk_create([*sessions, *children])
    send(api, "POST", "/v1/events/export", {})  # the key's last use is noted once a minute

    with CaptureQueriesContext(
        connection,
    ) as whole:
        page = export(api)
    with CaptureQueriesContext(connection) as part:
        export(api, limit=count)

    assert page["totalEvents"] == 2 * count
    assert len(whole) == 3  # key, page, sums of the sessions
    assert len(part) == 4  # and the count, because the page is full


def test_the_schema_names_properties_with_their_event_types(api, project) -> None:
    Event.objects.bulk_create(
        [
            stored(project, event_type="chain", metrics={"accuracy": 1}, inputs={"q": {"text": "x", "list": [1]}}),
            stored(project, metadata={"run_id": "r", "empty": {}}, start_time=5000.0),
        ]
    )
    Run.objects.create(project=project, run_key="r", offline_dataset_id="EXT-d")
    late = quote(str({"$gte": "1970-01-01T00:00:05Z"}))
    of_run = [{"name": "metadata.empty", "event_type": "tool"}, {"name": "metadata.run_id", "event_type": "tool"}]
    all_fields = [
        {"name": "inputs.q.list", "event_type": "chain"},
        {"name": "inputs.q.text", "event_type": "chain"},
        *of_run,
        {"name": "metrics.accuracy", "event_type": "chain"},
    ]

    def schema(path):
        status, body = send(api, "GET", path)
        assert (status, body["datasets"], body["mappings"]) == (200, ["EXT-d"], {})
        return body["fields"]

    assert schema("/v1/events/schema") == sorted(all_fields, key=lambda field: field["name"])
    assert schema("/v1/events/schema?dateRange=nonsense") == sorted(all_fields, key=lambda field: field["name"])
    assert schema(f"/v1/events/schema?dateRange={late}") == of_run
    assert schema("/v1/events/schema?evaluation_id=r") == of_run
    assert schema("/v1/runs/schema") == of_run
    assert schema("/v1/runs/r/schema") == of_run


def pair(project, run, datapoint, **fields) -> Event:
    return stored(
        project, event_type="session", event_name=run, metadata={"run_id": run, "datapoint_id": datapoint}, **fields
    )


@pytest.fixture
def two_runs(project) -> None:
    for run in ("new", "old"):
        Run.objects.create(project=project, run_key=run)
    events = [pair(project, run, f"d{n}", start_time=100.0 - n) for run in ("new", "old") for n in range(3)]
    events += [
        pair(project, "new", "only new"),
        pair(project, "old", "only old"),
        pair(project, "new", "d0", start_time=500.0, event_key=uuid.UUID(int=7)),
        stored(project, event_type="chain", event_name="fn", metadata={"run_id": "new", "datapoint_id": "d1"}),
        stored(project, event_type="chain", event_name="fn", metadata={"run_id": "old", "datapoint_id": "d1"}),
        stored(project, event_type="chain", event_name="other", metadata={"run_id": "old", "datapoint_id": "d2"}),
    ]
    Event.objects.bulk_create(events)


@pytest.mark.parametrize(
    "path", ["/v1/runs/compare/events?run_id_1=new&run_id_2=old", "/v1/runs/new/compare/old/events?x=1"]
)
def test_events_of_two_runs_are_paired_by_datapoint(api, two_runs, path) -> None:
    status, body = send(api, "GET", path)

    assert (status, body["totalEvents"]) == (200, 3)
    assert [item["datapoint_id"] for item in body["events"]] == ["d2", "d1", "d0"]
    for item in body["events"]:
        assert (item["event_1"]["event_name"], item["event_2"]["event_name"]) == ("new", "old")
        for side in ("event_1", "event_2"):
            assert item[side]["metadata"]["datapoint_id"] == item["datapoint_id"]
            assert item[side]["event_type"] == "session"
            assert item[side]["event_id"] != str(uuid.UUID(int=7))


BEFORE_99 = {"field": "start_time", "operator": "less than", "value": "99", "type": "number"}


@pytest.mark.parametrize(
    ("query", "expected", "total"),
    [
        ("&limit=2", ["d2", "d1"], 3),
        ("&limit=2&page=2", ["d0"], 3),
        ("&limit=2&page=3", [], 3),
        ("&event_type=chain", ["d1"], 1),
        ("&event_type=chain&event_name=other", [], 0),
        ("&event_name=new", [], 0),
        (
            f"&filter={quote(str({'field': 'start_time', 'operator': 'less than', 'value': '99', 'type': 'number'}))}",
            ["d2"],
            1,
        ),
        ("&filter=nonsense", ["d2", "d1", "d0"], 3),
    ],
)
def test_comparisons_are_paged_and_filtered(api, two_runs, query, expected, total) -> None:
    status, body = send(api, "GET", f"/v1/runs/compare/events?run_id_1=new&run_id_2=old{query}")

    assert (status, body["totalEvents"]) == (200, total)
    assert [item["datapoint_id"] for item in body["events"]] == expected


def test_a_run_compared_with_itself(api, two_runs) -> None:
    _, body = send(api, "GET", "/v1/runs/new/compare/new/events")

    assert body["totalEvents"] == 4
    assert all(item["event_1"] == item["event_2"] for item in body["events"])


@pytest.mark.parametrize("limit", [1, 3])
def test_a_comparison_costs_the_same_queries_for_any_number_of_pairs(api, two_runs, limit) -> None:
    path = f"/v1/runs/compare/events?run_id_1=new&run_id_2=old&limit={limit}"
    send(api, "GET", path)

    with CaptureQueriesContext(connection) as queries:
        assert len(send(api, "GET", path)[1]["events"]) == limit

    # the key; per side the run, its list and its events; rows, their keys, sums of the sessions
    assert len(queries) == 10


def test_two_texts_of_one_field_are_shown_as_stored(api, project) -> None:
    content = {"a": 1.0, "b": [True, None, "é\n"], "c": {"d": 12345678901234567}, "e": 1e-7}
    Event.objects.bulk_create([stored(project, inputs=content)])

    (event,) = export(api)["events"]

    assert event["inputs"] == content


def test_absurd_numbers_of_one_event_do_not_cost_the_others(api, project) -> None:
    session = uuid.uuid4()
    event = {"event_type": "tool", "session_id": str(session), "inputs": {}}
    for tokens in (1e308, 1e308, 7):
        said = {"metadata": {"total_tokens": tokens}, "metrics": {"cost": tokens}}
        assert send(api, "POST", "/events", {"event": {**event, **said}})[0] == 200
    (shown,) = (found for found in export(api)["events"] if found["event_id"] == str(session))
    assert (shown["metadata"]["num_events"], shown["metadata"]["total_tokens"]) == (3, 7)
    assert shown["metadata"]["cost"] == 7.0


def test_a_run_may_list_more_sessions_than_a_statement_takes_parameters(api, project) -> None:
    key = uuid.uuid4()
    listed = [str(uuid.UUID(int=number)) for number in range(260_000)]
    Run.objects.create(project=project, run_key="long", event_ids=[*listed, str(key)])
    stored(project, event_name="mine", event_type="session", event_key=key).save()
    assert names(export(api, evaluation_id="long")) == ["mine"]
