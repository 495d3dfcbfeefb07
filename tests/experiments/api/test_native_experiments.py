"""`/api/v1/experiments…`: creation, shapes, filters, moves, cheap progress, pages, constant queries, foreign ids."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from experiments.domain.wire_datasets import DatapointContent
from experiments.models import DatapointRun, Experiment, ExperimentSchedule, Run
from experiments.services.datasets import add_rows, create_dataset
from governance.services.providers import create_rule
from tests.experiments.executed import make_datapoint_runs, make_experiment, make_version
from tests.factories import make_client, make_project, make_token

URL = "/api/v1/experiments"


@pytest.fixture
def spec(caller):
    """A specification that the server takes: a dataset of two datapoints, an allowed endpoint."""
    create_rule(caller=caller, effect="allow", provider="http")
    dataset = create_dataset(caller=caller, name="questions")
    contents = [DatapointContent(inputs={"q": number}) for number in range(2)]
    add_rows(caller=caller, dataset_id=dataset.public_id, contents=contents)
    return {
        "name": "nightly",
        "dataset_id": dataset.public_id,
        "target": {"kind": "http", "url": "https://target.example/answer"},
        "evaluators": [{"name": "exact_match"}],
        "repetitions": 3,
        "tags": ["a"],
    }


def post(api, path, body=None, **headers):
    return api.post(path, body, content_type="application/json", headers=headers)


def test_creating_answers_202_with_the_run_and_where_to_go_on(api, spec):
    answer = post(api, URL, spec)

    said = answer.json()
    run = Run.objects.get()
    assert answer.status_code == 202
    assert answer.headers["Location"] == said["links"]["experiment"] == f"{URL}/{run.run_key}"
    assert (said["run_id"], said["name"], said["status"], run.status) == (run.run_key, "nightly", "queued", "pending")
    assert (said["dataset"]["id"], said["dataset"]["version"]) == (spec["dataset_id"], 1)
    assert said["progress"]["counts"] == {"pending": 6, "running": 0, "completed": 0, "failed": 0, "cancelled": 0}
    assert (said["datapoint_runs"], said["spec"]["concurrency"], said["errors_by_cause"]) == (6, 8, [])
    for link in said["links"].values():
        assert api.get(link).status_code == 200


def test_the_run_shows_the_version_that_it_is_pinned_to(api, project, django_assert_num_queries):
    experiment = make_experiment(project, run_key="r")
    Run.objects.create(project=project, run_key="own")
    api.get("/api/v1/runs/r")

    with django_assert_num_queries(2):  # key, run
        shown = api.get("/api/v1/runs/r").json()

    assert shown["dataset_version"]["version_id"] == experiment.dataset_version.public_id
    assert api.get("/api/v1/runs/own").json()["dataset_version"] is None


def test_a_repeated_create_makes_one_run(api, spec):
    key = {"idempotency-key": "once"}
    first, second = (post(api, URL, spec, **key) for _ in range(2))

    assert (first.status_code, second.status_code, second.headers["Idempotency-Replayed"]) == (202, 202, "true")
    assert first.json() == second.json()
    assert Experiment.objects.count() == Run.objects.count() == 1
    assert post(api, URL, {**spec, "name": "other"}, **key).status_code == 409


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"target": {"kind": "http"}}, 400, "target.url"),
        ({"target": {"kind": "http", "url": "ftp://target.example/"}}, 400, "target.url"),
        ({"target": {"kind": "callable", "name": "no"}}, 400, "target.name"),
        ({"evaluators": [{"name": "exact_mach"}]}, 400, "evaluators.0.name"),
        ({"dataset_id": "nobody"}, 404, "dataset_id"),
        ({"dataset_version": 7}, 404, "dataset_version"),
        ({"baseline_run_id": "nobody"}, 400, "baseline_run_id"),
        ({"repetitons": 2}, 400, "repetitons"),
    ],
)
def test_a_faulty_request_is_refused_by_the_field_that_was_typed(api, spec, changes, status, field):
    answer = post(api, URL, {**spec, **changes})

    assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (status, field), answer.content
    assert not Run.objects.exists()


def test_a_run_can_be_started_again_once_for_each_key(api, spec):
    first = post(api, URL, spec).json()

    said = [post(api, f"{URL}/{first['run_id']}/rerun", **{"idempotency-key": "k"}).json() for _ in range(2)]
    named = post(api, f"{URL}/{first['id']}/rerun", {"name": "again"}).json()

    assert said[0]["run_id"] == said[1]["run_id"] != first["run_id"]
    assert (said[0]["name"], named["name"]) == ("nightly", "again")
    assert {each["dataset"]["version_id"] for each in (first, *said, named)} == {first["dataset"]["version_id"]}
    assert {each["seed"] for each in (first, *said, named)} == {first["seed"]}
    assert Experiment.objects.count() == 3
    refused = post(api, f"{URL}/{first['run_id']}/rerun", {"nam": "x"})
    assert (refused.status_code, refused.json()["error"]["details"]["field"]) == (400, "nam")


def test_moves_are_answered_with_the_new_state_and_refused_in_clear_words(api, project):
    make_datapoint_runs(make_experiment(project, run_key="r"), "pending", "running")

    def status(move):
        answer = post(api, f"{URL}/r/{move}")
        return answer.json().get("status") if answer.status_code == 202 else answer.status_code

    assert [status(move) for move in ("resume", "pause", "pause", "resume", "cancel")] == [
        409,
        "paused",
        409,
        "running",
        "cancelled",
    ]
    for move in ("cancel", "pause", "resume", "retry-failed"):
        answer = post(api, f"{URL}/r/{move}")
        assert answer.status_code == 409
        assert "is cancelled and cannot be" in answer.json()["error"]["message"]
    assert set(DatapointRun.objects.values_list("status", flat=True)) == {"cancelled"}


def test_failed_ones_are_tried_again_and_counted(api, project):
    experiment = make_experiment(project, status="completed", version=make_version(project, datapoints=4))
    make_datapoint_runs(experiment, "completed", "failed", "failed", "completed")

    answer = post(api, f"{URL}/{experiment.public_id}/retry-failed")

    said = answer.json()
    assert (answer.status_code, said["set_back"], said["status"]) == (202, 2, "running")
    assert said["progress"]["waiting_for_retry"] == 2
    assert post(api, f"{URL}/{experiment.public_id}/retry-failed").status_code == 409


def test_runs_of_clients_and_of_other_projects_are_no_experiments(api, project):
    Run.objects.create(project=project, run_key="own")
    make_experiment(project, run_key="r")
    stranger = make_client(make_token(make_project()))

    for path in ("", "/progress", "/datapoints", "/export"):
        assert api.get(f"{URL}/own{path}").status_code == 404
        assert stranger.get(f"{URL}/r{path}").status_code == 404
    for move in ("cancel", "pause", "resume", "retry-failed", "rerun"):
        assert post(stranger, f"{URL}/r/{move}").status_code == 404
        answer = post(api, f"{URL}/own/{move}")
        assert answer.status_code == 409
        assert "not executed by the server" in answer.json()["error"]["message"]


def test_progress_is_not_counted_again_after_the_end(api, project):
    experiment = make_experiment(project, status="completed", run_key="r")
    make_datapoint_runs(experiment, "completed", "completed", "failed")
    first = api.get(f"{URL}/r/progress")
    tag = first.headers["ETag"]

    with CaptureQueriesContext(connection) as queries:
        second = api.get(f"{URL}/r/progress", headers={"if-none-match": tag})

    assert (first.json()["finished"], first.json()["fraction"], first.json()["cost"]) == (3, 1.0, "0.000050000")
    assert (second.status_code, second.content, second.headers["ETag"]) == (304, b"", tag)
    assert len(queries) == 2  # key, experiment
    Experiment.objects.update(status="running", finished_at=None)
    assert api.get(f"{URL}/r/progress", headers={"if-none-match": tag}).status_code == 200


def test_progress_under_way_has_a_tag_of_its_content(api, project):
    experiment = make_experiment(project, status="paused", run_key="r")
    make_datapoint_runs(experiment, "completed", "pending", "pending")
    tag = api.get(f"{URL}/r/progress").headers["ETag"]

    assert api.get(f"{URL}/r/progress", headers={"if-none-match": f"W/{tag}"}).status_code == 304
    DatapointRun.objects.filter(status="pending").update(attempts=1)
    assert api.get(f"{URL}/r/progress", headers={"if-none-match": tag}).status_code == 200


def test_detail_groups_errors_by_cause(api, project):
    experiment = make_experiment(project, status="failed", error_code="http_500", error_message="No datapoint …")
    make_datapoint_runs(experiment, "failed", "failed", {"status": "failed", "error_class": "time_out"})

    said = api.get(f"{URL}/{experiment.run.run_key}").json()

    assert said["error"] == {"code": "http_500", "message": "No datapoint …"}
    assert [(each["error_class"], each["failed"]) for each in said["errors_by_cause"]] == [
        ("http_500", 2),
        ("time_out", 1),
    ]
    assert said["errors_by_cause"][0]["example"] == "The target answered 500."


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["c", "b", "a"]),
        ({"status": "completed"}, ["b"]),
        ({"tag": "release"}, ["c", "a"]),
        ({"tag": "rel"}, []),
        ({"name": "second"}, ["b"]),
        ({"name_prefix": "fir"}, ["a"]),
        ({"dataset": "of-a"}, ["a"]),
        ({"schedule": "of-c"}, ["c"]),
        ({"created_after": "2100-01-01T00:00:00Z"}, []),
        ({"limit": 1, "page": 2}, ["b"]),
    ],
)
def test_experiments_are_filtered(api, project, query, found):
    schedule = ExperimentSchedule.objects.create(
        project=project, name="s", spec={}, crontab="0 3 * * *", is_enabled=False
    )
    a = make_experiment(project, run_key="a", name="first", tags=("release", "x"))
    make_experiment(project, run_key="b", name="second", status="completed")
    make_experiment(project, run_key="c", name="third", tags=("release",), schedule=schedule)
    make_experiment(make_project(), name="foreign", tags=("release",))
    names = {"of-a": a.dataset_version.dataset_key, "of-c": schedule.public_id}
    query = {key: names.get(value, value) for key, value in query.items()}

    assert [each["run_id"] for each in api.get(URL, query).json()["results"]] == found


@pytest.mark.parametrize("query", [{"status": "done"}, {"created_after": "soon"}, {"limit": 501}, {"tags": "x"}])
def test_wrong_filters_are_refused_by_name(api, query):
    answer = api.get(URL, query)
    assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (400, next(iter(query)))


def test_experiments_take_as_many_queries_for_twelve_as_for_one(api, project):
    version = make_version(project)
    make_experiment(project, version=version)
    api.get(URL)
    for expected in (1, 12):
        with CaptureQueriesContext(connection) as queries:
            assert len(api.get(URL).json()["results"]) == expected
        assert len(queries) == 3  # key, count, page
        for _ in range(11):
            make_experiment(project, version=version)


def test_one_experiment_takes_as_many_queries_for_sixty_executions_as_for_two(api, project):
    experiment = make_experiment(project, version=make_version(project, datapoints=2))
    make_datapoint_runs(experiment, "failed", "completed")
    path = f"{URL}/{experiment.run.run_key}"
    api.get(path)
    for expected in (2, 62):
        with CaptureQueriesContext(connection) as queries:
            assert api.get(path).json()["progress"]["total"] == expected
        assert len(queries) == 5  # key, experiment, progress, causes, their examples
        with CaptureQueriesContext(connection) as queries:
            assert len(api.get(f"{path}/datapoints").json()["results"]) == min(expected, 50)
        assert len(queries) == 4  # key, experiment, count, page
        make_datapoint_runs(experiment, *["failed"] * 30, *["completed"] * 30)


@pytest.mark.parametrize(
    ("query", "ranks"),
    [
        ({}, [0, 1, 2, 3]),
        ({"status": "failed"}, [1, 2]),
        ({"error_class": "time_out"}, [2, 3]),
        ({"status": "failed", "error_class": "time_out"}, [2]),
        ({"limit": 2, "page": 2}, [2, 3]),
    ],
)
def test_executions_are_listed_in_their_random_order(api, project, query, ranks):
    experiment = make_experiment(project, run_key="r", version=make_version(project, datapoints=4))
    late = {"error_class": "time_out", "error_message": "Too slow."}
    kinds = ["completed", "failed", {"status": "failed", **late}, {"status": "pending", "attempts": 1, **late}]
    rows = make_datapoint_runs(experiment, *kinds)

    answer = api.get(f"{URL}/r/datapoints", query).json()

    assert [each["rank"] for each in answer["results"]] == ranks
    by_rank = {each["rank"]: each for each in answer["results"]}
    if 0 in by_rank:
        assert (by_rank[0]["session_id"], by_rank[0]["error"]) == (str(rows[0].session_key), None)
        assert (by_rank[0]["latency_ms"], by_rank[0]["cost"]) == (12.5, "0.000025000")
    if 2 in by_rank:
        assert by_rank[2]["error"] == {"error_class": "time_out", "message": "Too slow."}


def test_executions_of_one_datapoint(api, project):
    experiment = make_experiment(project, run_key="r", version=make_version(project, datapoints=2))
    rows = make_datapoint_runs(experiment, *["pending"] * 4)
    answer = api.get(f"{URL}/r/datapoints", {"datapoint": rows[1].datapoint_key}).json()
    assert [(each["rank"], each["repetition"]) for each in answer["results"]] == [(1, 0), (3, 1)]
