"""`/api/v1/ab/plan` and `/api/v1/ab/tests…`: create, list, move, delete."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from embeddings_ab.models import AbTest, Arm, QueryResult
from governance.models import AuditEntry, IdempotentAnswer, Quota
from tests.embeddings_ab.factories import make_corpus, make_query_set, make_test_row
from tests.embeddings_ab.finished import REPORT, make_finished_test
from tests.embeddings_ab.pipeline import ARMS
from tests.factories import make_client, make_project, make_token

TESTS = "/api/v1/ab/tests"


@pytest.fixture
def sent(monkeypatch):
    """What was dispatched; nothing runs."""
    waiting = []
    monkeypatch.setattr("governance.dispatch._send", lambda task, pk, _: waiting.append((task, pk)))
    return waiting


@pytest.fixture
def body(caller):
    """A good specification over a corpus and queries that are there."""
    corpus = make_corpus(caller, name="wings")
    make_query_set(caller, corpus, name="wings/test")
    return {
        "name": "first",
        "corpus": "wings",
        "query_set": "wings/test",
        "metrics": ["nDCG@3", "recall@2"],
        "arms": ARMS,
        "draws": 1000,
    }


def post(api, path, body=None, key=None):
    headers = {"Idempotency-Key": key} if key else {}
    return api.post(path, body, content_type="application/json", headers=headers)


def test_a_test_is_created_with_every_default_written_out(api, body):
    answer = post(api, TESTS, body)
    assert answer.status_code == 201, answer.content
    made = answer.json()
    assert answer["Location"] == f"{TESTS}/{made['id']}"
    assert (made["name"], made["status"], made["primary_metric"], made["control"]) == (
        "first",
        "created",
        "nDCG@3",
        "lexical",
    )
    assert made["spec"]["metrics"] == ["nDCG@3", "R@2"]
    assert made["spec"]["arms"]["hybrid"]["fusion"]["k"] == 60
    assert [(arm["name"], arm["status"], arm["error"]) for arm in made["arms"]] == [
        ("lexical", "pending", None),
        ("vector", "pending", None),
        ("hybrid", "pending", None),
    ]
    assert len(made["registration_hash"]) == 64
    assert made["report"] is None
    assert made["corpus"]["name"] == "wings"
    assert api.get(f"{TESTS}/{made['id']}").json() == made
    assert AuditEntry.objects.get(action="ab_test.create").target_id == made["id"]


def test_a_repeated_create_returns_the_first_answer_and_creates_once(api, body):
    first = post(api, TESTS, body, key="k1")
    again = post(api, TESTS, body, key="k1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again["Idempotency-Replayed"] == "true"
    assert AbTest.objects.count() == 1
    other = post(api, TESTS, {**body, "name": "second"}, key="k1")
    assert other.status_code == 409
    assert AbTest.objects.count() == 1


def test_a_refused_create_keeps_no_key_so_that_the_mended_one_succeeds(api, body):
    assert post(api, TESTS, {**body, "metrics": ["nDGC@3"]}, key="k1").status_code == 400
    assert not IdempotentAnswer.objects.exists()
    assert post(api, TESTS, body, key="k1").status_code == 201


def test_tests_are_listed_newest_first_without_their_reports(api, caller):
    query_set = make_query_set(caller)
    names = ["a", "ab", "b"]
    for name in names:
        make_test_row(query_set, name=name, status="completed", report=REPORT)
    answer = api.get(TESTS).json()
    assert [row["name"] for row in answer["results"]] == names[::-1]
    assert answer["pagination"]["total"] == 3
    assert not {"report", "spec", "arms"} & set(answer["results"][0])


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"status": "running"}, ["b"]),
        ({"name": "ab"}, ["ab"]),
        ({"name_prefix": "a"}, ["ab", "a"]),
        ({"limit": 1, "page": 3}, ["a"]),
    ],
)
def test_tests_are_found_by_status_and_name(api, caller, parameters, found):
    query_set = make_query_set(caller)
    for name, status in (("a", "created"), ("ab", "failed"), ("b", "running")):
        make_test_row(query_set, name=name, status=status)
    assert [row["name"] for row in api.get(TESTS, parameters).json()["results"]] == found


@pytest.mark.parametrize(
    ("parameters", "field"), [({"status": "done"}, "status"), ({"nam": "x"}, "nam"), ({"limit": 501}, "limit")]
)
def test_wrong_filters_are_refused_by_name(api, db, parameters, field):
    answer = api.get(TESTS, parameters)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == field


def test_lists_take_as_many_queries_for_sixty_rows_as_for_one(api, caller):
    query_set = make_query_set(caller)
    counts = []
    first = make_test_row(query_set, arms=["a"])
    api.get(TESTS)
    for rows in (0, 60):
        for _ in range(rows):
            make_test_row(query_set, arms=["a"])
        with CaptureQueriesContext(connection) as captured:
            assert len(api.get(TESTS, {"limit": 500}).json()["results"]) == rows + 1
        counts.append(len(captured))
    assert counts[0] == counts[1] <= 6
    detail = []
    for arms in (1, 32):
        test = first if arms == 1 else make_test_row(query_set, arms=[f"arm {n}" for n in range(arms)])
        for path in ("", "/progress"):
            with CaptureQueriesContext(connection) as captured:
                assert api.get(f"{TESTS}/{test.public_id}{path}").status_code == 200
            detail.append(len(captured))
    assert detail[:2] == detail[2:]


def test_a_test_is_started_cancelled_and_resumed(api, body, sent, django_capture_on_commit_callbacks):
    test_id = post(api, TESTS, body).json()["id"]
    with django_capture_on_commit_callbacks(execute=True):
        started = post(api, f"{TESTS}/{test_id}/start")
    assert (started.status_code, started.json()["status"]) == (202, "queued")
    assert len(sent) == 1
    assert post(api, f"{TESTS}/{test_id}/start").status_code == 409
    cancelled = post(api, f"{TESTS}/{test_id}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    assert cancelled.json()["error"]["code"] == "cancelled"
    assert {arm["status"] for arm in cancelled.json()["arms"]} == {"cancelled"}
    again = post(api, f"{TESTS}/{test_id}/cancel")
    assert again.status_code == 409
    assert "cancelled" in again.json()["error"]["message"]
    resumed = post(api, f"{TESTS}/{test_id}/resume")
    assert (resumed.status_code, resumed.json()["status"]) == (202, "queued")
    assert resumed.json()["error"] is None
    assert list(AuditEntry.objects.filter(target_id=test_id).order_by("pk").values_list("action", flat=True)) == [
        "ab_test.create",
        "ab_test.start",
        "ab_test.cancel",
        "ab_test.start",
    ]


def test_a_finished_test_is_not_started_again(api, caller, sent):
    test = make_finished_test(caller)
    assert post(api, f"{TESTS}/{test.public_id}/resume").status_code == 409
    assert AbTest.objects.get().status == "completed"
    assert sent == []


def test_a_whole_test_through_the_api(api, body, jobs, django_capture_on_commit_callbacks):
    test_id = post(api, TESTS, body).json()["id"]
    with django_capture_on_commit_callbacks(execute=True):
        post(api, f"{TESTS}/{test_id}/start")
    for _ in range(200):
        if not jobs.waiting:
            break
        with django_capture_on_commit_callbacks(execute=True):
            jobs.run_one()
    progress = api.get(f"{TESTS}/{test_id}/progress").json()
    assert (progress["status"], progress["fraction"], progress["error"]) == ("completed", 1.0, None), progress
    found = api.get(f"{TESTS}/{test_id}").json()
    assert len(found["report_hash"]) == 64
    assert set(found["report"]["arms"]) == set(ARMS)
    assert {row["control"] for row in found["report"]["comparisons"]} == {"lexical"}
    page = api.get(f"{TESTS}/{test_id}/results").json()
    assert page["pagination"]["total"] == 9 == len(page["results"])
    significance = api.get(f"{TESTS}/{test_id}/significance").json()
    assert [row["arm"] for row in significance["comparisons"]] == ["vector", "hybrid"]
    assert all(row["verdict"] in ("better", "worse", "equivalent", "undecided") for row in significance["comparisons"])
    assert api.get(f"{TESTS}/{test_id}/report.html").status_code == 200


def test_a_plan_tells_what_each_arm_takes_and_stores_nothing(api, body):
    answer = post(api, "/api/v1/ab/plan", body)
    assert answer.status_code == 200, answer.content
    plan = answer.json()
    assert plan["queries"] == 3
    assert plan["arms"]["lexical"]["texts_to_embed"] == 0
    assert plan["arms"]["vector"]["texts_to_embed"] == 7  # four documents and three queries
    assert plan["arms"]["hybrid"]["texts_to_embed"] == 0  # the same vectors
    assert not AbTest.objects.exists()


def test_a_test_is_deleted_with_its_results_unless_it_is_under_way(api, caller):
    test = make_finished_test(caller)
    Quota.objects.filter(resource="ab_tests").update(used=1)
    AbTest.objects.update(status="running")
    refused = api.delete(f"{TESTS}/{test.public_id}")
    assert refused.status_code == 409
    assert "cancel it" in refused.json()["error"]["message"]
    AbTest.objects.update(status="completed")
    assert api.delete(f"{TESTS}/{test.public_id}").status_code == 204
    assert [model.objects.count() for model in (AbTest, Arm, QueryResult)] == [0, 0, 0]
    assert Quota.objects.get(resource="ab_tests").used == 0
    assert api.get(f"{TESTS}/{test.public_id}").status_code == 404


def test_another_projects_test_is_not_found(caller):
    test = make_finished_test(caller)
    stranger = make_client(make_token(make_project()))
    base = f"{TESTS}/{test.public_id}"
    assert stranger.get(TESTS).json()["results"] == []
    answers = [stranger.get(base), stranger.get(f"{base}/progress"), stranger.delete(base)]
    answers += [post(stranger, f"{base}/{move}") for move in ("start", "cancel", "resume")]
    assert {answer.status_code for answer in answers} == {404}
    assert AbTest.objects.get().status == "completed"


def test_reading_needs_the_right_to_read_and_the_rest_the_right_to_write(project, caller, body):
    test = make_finished_test(caller)
    base = f"{TESTS}/{test.public_id}"
    reader = make_client(make_token(project, scopes=["ab.read"]))
    assert {reader.get(path).status_code for path in (TESTS, base, f"{base}/progress")} == {200}
    answers = [post(reader, TESTS, body), reader.delete(base)]
    answers += [post(reader, f"{base}/{move}") for move in ("start", "cancel", "resume")]
    assert {answer.status_code for answer in answers} == {403}
    assert post(reader, "/api/v1/ab/plan", body).status_code == 200
    assert AbTest.objects.count() == 1
