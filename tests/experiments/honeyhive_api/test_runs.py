"""Runs over the wire: create, list, read, merge, delete; and comparisons of two of them."""

import uuid

import pytest

from experiments.models import Dataset, Run, RunRevision
from experiments.services.event_writer import bump_revisions
from governance.models import AuditEntry, Quota, Resource
from tests.experiments.factories import make_metric, make_run, make_session, moment
from tests.factories import make_project

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_cache(settings, tmp_path):
    settings.DATA_DIR = tmp_path


def post(api, body, path="/v1/runs"):
    answer = api.post(path, body, content_type="application/json")
    return answer.status_code, answer.json()


def put(api, run_id, body):
    answer = api.put(f"/v1/runs/{run_id}", body, content_type="application/json")
    return answer.status_code, answer.json()


def create(api, **body):
    status, answer = post(api, body)
    assert status == 200, answer
    assert answer["run_id"] == answer["evaluation"]["run_id"]
    return answer["evaluation"]


def revision(run_key) -> int:
    return sum(RunRevision.objects.filter(run_key=run_key).values_list("revision", flat=True))


def used(project) -> int:
    return Quota.objects.get(project=project, resource=Resource.RUNS).used


def test_created_run_has_every_required_key(api, project) -> None:
    run = create(api)

    assert uuid.UUID(run["run_id"]).version == 4
    wanted = {"name": "", "description": "", "status": "pending", "metadata": {}, "results": {}, "event_ids": []}
    wanted |= {"configuration": {}, "dataset_id": None, "dataset_name": None, "is_active": True}
    wanted |= {"scope_type": "project", "scope_id": project.public_id}
    assert {key: run[key] for key in wanted} == wanted
    assert run["id"] != run["run_id"]
    assert run["created_at"].endswith("Z")
    assert used(project) == 1
    assert revision(run["run_id"]) == 1
    entry = AuditEntry.objects.get(action="run.create")
    assert (entry.target_id, entry.after["status"]) == (run["run_id"], "pending")


def test_the_evaluate_request_round_trips(api) -> None:
    given = {
        "run_id": "ci-17",
        "name": "n",
        "status": "pending",
        "metadata": {"git": {"branch": "main"}, "offline_dataset_id": "EXT-7693f5b14a7e78ad"},
        "event_ids": [],
        "datapoint_ids": ["EXT-1", "EXT-2"],
        "configuration": {"function": "fn", "evaluators": ["exact"]},
    }

    run = create(api, **given)

    assert run["run_id"] == "ci-17"
    assert run["dataset_id"] == "EXT-7693f5b14a7e78ad"
    assert run["metadata"] == {"git": {"branch": "main"}, "datapoint_ids": ["EXT-1", "EXT-2"]}
    stored = Run.objects.get(run_key="ci-17")
    assert (stored.dataset_id, stored.offline_dataset_id) == (None, "EXT-7693f5b14a7e78ad")
    assert api.get("/v1/runs/ci-17").json() == {"evaluation": run}


def test_old_wrapper_and_legacy_fields(api) -> None:
    body = {"run": {"name": "old", "evaluators": ["e"], "session_ids": [], "passing_ranges": {"m": {"min": 1}}}}

    status, answer = post(api, body, path="/runs")

    assert status == 200
    assert answer["evaluation"]["name"] == "old"
    assert answer["evaluation"]["metadata"] == {"evaluators": ["e"], "passing_ranges": {"m": {"min": 1}}}


def test_managed_dataset_is_shown_with_its_name_and_unknown_ones_are_refused(api, project) -> None:
    dataset = Dataset.objects.create(project=project, name="shelf")
    foreign = Dataset.objects.create(project=make_project(), name="shelf")

    run = create(api, dataset_id=dataset.public_id)

    assert (run["dataset_id"], run["dataset_name"]) == (dataset.public_id, "shelf")
    for unknown in ("nothing", foreign.public_id):
        status, answer = post(api, {"dataset_id": unknown})
        assert (status, answer["details"]["field"]) == (400, "dataset_id")
    assert Run.objects.count() == used(project) == 1


def test_taken_run_id_is_a_conflict_that_changes_nothing(api, project) -> None:
    create(api, run_id="same", name="first")

    status, answer = post(api, {"run_id": "same", "name": "second"})

    assert (status, answer["errorCode"]) == (409, "conflict")
    assert Run.objects.get().name == "first"
    assert used(project) == 1
    assert AuditEntry.objects.filter(action="run.create").count() == 1
    make_run(make_project(), run_key="elsewhere")
    assert create(api, run_id="elsewhere")["run_id"] == "elsewhere"


def test_full_quota_refuses_and_stores_nothing(api, project) -> None:
    Quota.objects.filter(project=project, resource=Resource.RUNS).update(ceiling=0)

    status, answer = post(api, {"run_id": "x"})

    assert (status, answer["errorCode"]) == (429, "quota_exceeded")
    assert (Run.objects.count(), revision("x")) == (0, 0)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"status": "odd"}, "status"),
        ({"metadata": []}, "metadata"),
        ({"event_ids": "x"}, "event_ids"),
        ({"event_ids": [1]}, "event_ids.0"),
        ({"name": "n" * 256}, "name"),
        ({"run_id": "a/b"}, "run_id"),
        ({"run_id": "schema"}, "run_id"),
        ({"run_id": 5}, "run_id"),
        ({"dataset_id": "EXT-" + "x" * 300}, "dataset_id"),
        ({"metadata": {"offline_dataset_id": "EXT-" + "x" * 300}}, "metadata.offline_dataset_id"),
    ],
)
def test_bad_fields_are_named(api, body, field) -> None:
    status, answer = post(api, body)

    assert (status, answer["details"]["field"]) == (400, field)
    assert Run.objects.count() == 0


def test_body_that_is_no_object_is_refused(api) -> None:
    assert post(api, [1])[0] == 400
    answer = api.post("/v1/runs", b"{", content_type="application/json")
    assert answer.status_code == 400


# --- update


def test_update_merges_objects_and_replaces_the_rest(api) -> None:
    run = create(
        api, run_id="r", name="a", metadata={"k": 1, "l": {"x": 1}}, results={"r": 1}, event_ids=["1"], description="d"
    )

    status, answer = put(
        api,
        "r",
        {
            "name": "b",
            "metadata": {"l": {"y": 2}, "n": None, "offline_dataset_id": "EXT-1"},
            "configuration": {"c": 1},
            "event_ids": [],
            "datapoint_ids": ["d"],
            "dataset_id": "ignored",
        },
    )

    assert status == 200
    seen = answer["evaluation"]
    assert seen["metadata"] == {"k": 1, "l": {"y": 2}, "n": None, "datapoint_ids": ["d"]}
    assert (seen["results"], seen["configuration"], seen["event_ids"]) == ({"r": 1}, {"c": 1}, [])
    assert (seen["name"], seen["description"], seen["dataset_id"]) == ("b", "d", "EXT-1")
    assert seen["updated_at"] > run["updated_at"]
    assert api.get("/v1/runs/r").json()["evaluation"] == seen
    assert revision("r") == 2
    assert AuditEntry.objects.get(action="run.update").after["name"] == "b"


def test_statuses_and_finish_times_move_together(api) -> None:
    create(api, run_id="r")

    for status in ("running", "completed", "failed", "running", "cancelled"):
        assert put(api, "r", {"status": status})[0] == 200
        run = Run.objects.get()
        assert run.status == status
        assert (run.finished_at is None) == (status == "running")
    status, answer = put(api, "r", {"status": "pending", "name": "not stored"})
    assert (status, answer["details"]["field"]) == (409, "status")
    assert Run.objects.get().name == ""
    assert put(api, "r", {"status": "odd"})[0] == 400


def test_finish_time_stays_when_a_finished_run_is_finished_again(api) -> None:
    create(api, run_id="r", status="completed")
    first = Run.objects.get().finished_at

    put(api, "r", {"status": "completed"})

    assert Run.objects.get().finished_at == first is not None


def test_foreign_and_unknown_runs_are_404_for_every_method(api) -> None:
    foreign = make_run(make_project(), run_key="foreign", name="theirs")

    for key in ("foreign", "unknown"):
        assert api.get(f"/v1/runs/{key}").status_code == 404
        assert put(api, key, {"name": "x"})[0] == 404
        assert api.delete(f"/v1/runs/{key}").status_code == 404
        for path in ("result", "summary", "metrics", f"compare-with/{key}"):
            assert api.get(f"/v1/runs/{key}/{path}").status_code == 404
    foreign.refresh_from_db()
    assert foreign.name == "theirs"


def test_delete_gives_the_quota_back_and_keeps_events(api, project) -> None:
    create(api, run_id="r", name="n")
    session = make_session(project, "r", "d")

    answer = api.delete("/v1/runs/r")

    assert (answer.status_code, answer.json()) == (200, {"id": "r", "deleted": True})
    assert used(project) == 0
    assert api.get("/v1/runs/r").status_code == 404
    assert api.get(f"/v1/events/{session}").status_code == 200
    assert AuditEntry.objects.get(action="run.delete").before["name"] == "n"
    assert api.delete("/v1/runs/r").status_code == 404


# --- lists


def listed(api, **query):
    answer = api.get("/v1/runs", query)
    assert answer.status_code == 200, answer.content
    return answer.json()


def keys(body):
    return [run["run_id"] for run in body["evaluations"]]


def test_pages(api, project) -> None:
    for number in range(5):
        make_run(project, run_key=f"r{number}")
    make_run(make_project(), run_key="foreign")

    body = listed(api, limit=2, page=2, name="")

    assert keys(body) == ["r2", "r1"]
    assert body["pagination"] == {
        "page": 2,
        "limit": 2,
        "total": 5,
        "total_unfiltered": 5,
        "total_pages": 3,
        "has_next": True,
        "has_prev": True,
    }
    assert body["metrics"] == []
    assert keys(listed(api, page=9)) == []


def test_filters_and_order(api, project) -> None:
    dataset = Dataset.objects.create(project=project, name="shelf")
    first = make_run(project, run_key="a", name="sweep_1", dataset=dataset)
    make_run(project, run_key="b", name="sweep_0", offline_dataset_id="EXT-1", status="running")
    make_run(project, run_key="c", name="other%")
    Run.objects.filter(pk=first.pk).update(created_at=moment("2024-05-01 12:00"))
    make_session(project, "b", "d", metrics={"m2": 1, "m1": 2, "text": "x"})

    assert keys(listed(api, name="sweep", sort_by="name", sort_order="asc")) == ["b", "a"]
    assert keys(listed(api, name="%")) == ["c"]
    assert keys(listed(api, dataset_id=dataset.public_id)) == ["a"]
    assert keys(listed(api, dataset_id="EXT-1")) == ["b"]
    assert keys(listed(api, dataset_id="unknown")) == []
    assert keys(listed(api, status="running")) == ["b"]
    assert sorted(keys(listed(api, **{"run_ids[]": ["a", "c"]}))) == ["a", "c"]
    assert sorted(keys(listed(api, run_ids=["a", "b"]))) == ["a", "b"]
    assert keys(listed(api, dateRange="{'$gte': '2024-01-01', '$lte': '2024-12-31'}")) == ["a"]
    assert keys(listed(api, dateRange='{"$lte": "2024-12-31"}')) == ["a"]
    assert len(keys(listed(api, dateRange="nonsense"))) == 3
    assert listed(api)["metrics"] == ["m1", "m2"]


def test_named_runs_come_all_at_once(api, project) -> None:
    names = [make_run(project).run_key for _ in range(30)]

    assert len(keys(listed(api, **{"run_ids[]": names}))) == 30
    assert len(keys(listed(api))) == 20


@pytest.mark.parametrize(
    "query",
    [
        "limit=101",
        "limit=0",
        "limit=x",
        "page=0",
        "sort_by=id",
        "sort_order=up",
        "status=odd",
        "dateRange={'$gte':'soon'}",
        "dateRange={'$gte':1e300}",
    ],
)
def test_bad_queries_are_named(api, query) -> None:
    answer = api.get(f"/v1/runs?{query}")

    assert answer.status_code == 400
    assert answer.json()["details"]["field"].startswith(query.partition("=")[0])


def test_queries_of_lists_do_not_grow(api, project, django_assert_num_queries) -> None:
    dataset = Dataset.objects.create(project=project, name="shelf")
    make_run(project, dataset=dataset)
    api.get("/v1/runs")
    for _ in range(2):
        with django_assert_num_queries(5):  # key, page, two totals, names of metrics
            listed(api)
        for _ in range(10):
            make_run(project, dataset=dataset)


# --- comparison


def test_comparison_of_two_runs(api, project) -> None:
    make_metric(project, "latency", direction="lower")
    old = make_run(project, configuration={"function": "fn"})
    new = make_run(project, configuration={"function": "fn"})
    for key, score, latency in (("a", 1, 10), ("b", 2, 20), ("c", 3, 30), ("only old", 4, 0)):
        make_session(project, old.run_key, key, metrics={"score": score, "latency": latency})
    for key, score, latency in (("c", 3, 40), ("a", 5, 5), ("b", 0, 20)):
        make_session(project, new.run_key, key, metrics={"score": score, "latency": latency, "fresh": True})

    body = api.get(f"/v1/runs/{new.run_key}/compare-with/{old.run_key}").json()

    assert body["commonDatapoints"] == ["a", "b", "c"]
    assert body["event_details"] == [
        {"event_name": "a run's name", "event_type": "session", "presence": "both"},
        {"event_name": "fn", "event_type": "chain", "presence": "both"},
    ]
    assert (body["old_run"]["run_id"], body["new_run"]["run_id"]) == (old.run_key, new.run_key)
    found = {entry["metric_name"]: entry for entry in body["metrics"]}
    score = found["score"]
    assert (score["old_aggregate"], score["new_aggregate"]) == (2.5, pytest.approx(8 / 3))
    assert (score["improved"], score["degraded"], score["same"]) == (["a"], ["b"], ["c"])
    assert (score["old_values"], score["new_values"]) == ([1.0, 2.0, 3.0], [5.0, 0.0, 3.0])
    assert score["found_count"] == 3
    assert (found["latency"]["improved"], found["latency"]["degraded"]) == (["a"], ["c"])
    assert (found["fresh"]["old_aggregate"], found["fresh"]["found_count"]) == (None, 0)
    twin = api.get(f"/v1/runs/{new.run_key}/compare/{old.run_key}")
    assert twin.json() == body


def test_comparison_uses_one_function_and_the_runs_directions(api, project) -> None:
    old = make_run(project, metadata={"metric_directions": {"m": "higher"}})
    new = make_run(project, metadata={"metric_directions": {"m": "lower"}})
    for run, values in ((old, (1, 2)), (new, (3, 1))):
        for number, value in enumerate(values):
            make_session(project, run.run_key, f"d{number}", metrics={"m": value})

    (entry,) = api.get(f"/v1/runs/{new.run_key}/compare-with/{old.run_key}?aggregate_function=max").json()["metrics"]

    assert (entry["old_aggregate"], entry["new_aggregate"], entry["direction"]) == (2.0, 3.0, "lower")
    assert (entry["improved"], entry["degraded"]) == (["d1"], ["d0"])
    bad = api.get(f"/v1/runs/{new.run_key}/compare-with/{old.run_key}?aggregate_function=mode")
    assert bad.status_code == 400


def test_several_values_of_a_datapoint_are_compared_by_their_mean(api, project) -> None:
    old, new = make_run(project), make_run(project)
    for value in (1, 3):
        make_session(project, old.run_key, "d", metrics={"m": value})
    make_session(project, new.run_key, "d", metrics={"m": 2})

    (entry,) = api.get(f"/v1/runs/{new.run_key}/compare-with/{old.run_key}").json()["metrics"]

    assert (entry["same"], entry["old_values"], entry["old_aggregate"]) == (["d"], [2.0], 2.0)


def test_queries_of_comparisons_do_not_grow(api, project, django_assert_num_queries) -> None:
    old, new = make_run(project), make_run(project)
    api.get("/v1/runs")
    for count in (1, 10):
        for number in range(count):
            for run in (old, new):
                make_session(project, run.run_key, f"d{count}-{number}", metrics={"m": number})
        bump_revisions(project_id=project.pk, run_keys=[old.run_key, new.run_key])  # or the kept answer would do
        # key, two runs, and for each: two revisions, metrics, sessions, measurements, event details
        with django_assert_num_queries(15):
            api.get(f"/v1/runs/{new.run_key}/compare-with/{old.run_key}")


def test_numbers_beyond_64_bits_are_shown_as_they_were_sent(api) -> None:
    fields = {"metadata": {"x": 1e22}, "results": {"y": [1e30, True, 2**63]}, "configuration": {"z": {"deep": -1e25}}}
    status, made = post(api, {"run_id": "huge", **fields})
    assert status == 200
    shown = [
        made["evaluation"],
        api.get("/v1/runs/huge").json()["evaluation"],
        api.get("/v1/runs/huge/result").json()["run_object"],
    ]
    assert [{name: run[name] for name in fields} for run in shown] == [fields] * 3
