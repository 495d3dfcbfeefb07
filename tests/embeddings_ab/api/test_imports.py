"""`/api/v1/ab/corpora`, `/query-sets` and `/runs`: bodies, answers, pages, idempotency, constant queries."""

import gzip
import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from embeddings_ab.models import Corpus, Document, QuerySet, UploadedRun
from tests.embeddings_ab.factories import QUERIES, TEXTS, make_corpus, make_query_set, make_run, make_test_row
from tests.factories import make_client, make_token

CORPORA, QUERY_SETS, RUNS = "/api/v1/ab/corpora", "/api/v1/ab/query-sets", "/api/v1/ab/runs"
DOCUMENTS = [{"id": id, "text": text} for id, text in TEXTS.items()]


def post(api, path, body, **headers):
    return api.post(path, body, content_type="application/json", headers=headers)


def error_of(answer, status):
    assert answer.status_code == status, answer.content
    return answer.json()["error"]


def query_set_body(**over):
    return {
        "name": "questions",
        "corpus": "docs",
        "queries": [{"id": id, "text": text} for id, text in QUERIES.items()],
        "judgments": [{"query_id": "q1", "document_id": "d1", "grade": 2}],
        **over,
    }


def test_a_corpus_is_imported_once_and_shown(api, caller):
    first = post(api, CORPORA, {"name": "docs", "description": "d", "documents": DOCUMENTS})

    assert first.status_code == 201
    body = first.json()
    assert first["Location"] == f"{CORPORA}/{body['id']}"
    assert body["imported"]["counts"]["documents"] == 4
    assert (body["name"], body["version"], body["document_count"], body["source"]) == ("docs", 1, 4, {"format": "rest"})
    again = post(api, CORPORA, {"name": "docs", "documents": DOCUMENTS[::-1]})
    assert (again.status_code, again.json()["id"], again.json()["imported"]["is_new"]) == (200, body["id"], False)
    for reference in (body["id"], "docs", "docs@1"):
        assert api.get(f"{CORPORA}/{reference}").json() == {k: v for k, v in body.items() if k != "imported"}
    assert Document.objects.count() == 4


def test_other_keys_of_a_document_are_metadata(api):
    rows = [{"id": 7, "title": "t", "text": "x", "metadata": {"a": 1}, "url": "u"}]

    post(api, CORPORA, {"name": "docs", "documents": rows})

    assert api.get(f"{CORPORA}/docs/documents").json()["results"] == [
        {"id": "7", "ordinal": 0, "title": "t", "text": "x", "metadata": {"a": 1, "url": "u"}}
    ]


def test_bodies_may_be_packed(api):
    raw = json.dumps({"name": "docs", "documents": DOCUMENTS}).encode()

    answer = api.post(
        CORPORA, gzip.compress(raw), content_type="application/json", headers={"Content-Encoding": "gzip"}
    )

    assert answer.status_code == 201
    for body, encoding, status in ((raw, "gzip", 400), (gzip.compress(raw)[:-9], "gzip", 400), (raw, "zstd", 415)):
        refused = api.post(CORPORA, body, content_type="application/json", headers={"Content-Encoding": encoding})
        assert error_of(refused, status)["details"]["field"] in ("body", "Content-Encoding")
    assert Corpus.objects.count() == 1


def test_a_packed_body_beyond_the_limit_is_refused(api, settings):
    settings.MAX_INFLATED_BYTES = 1000
    raw = json.dumps({"name": "docs", "documents": [{"id": "a", "text": "x" * 1000}]}).encode()

    answer = api.post(
        CORPORA, gzip.compress(raw), content_type="application/json", headers={"Content-Encoding": "gzip"}
    )

    assert error_of(answer, 413)["code"] == "payload_too_large"
    assert not Corpus.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"documents": DOCUMENTS}, "name"),
        ({"name": "docs"}, "documents"),
        ({"name": "docs", "documents": []}, "documents"),
        ({"name": "docs", "documents": {}}, "documents"),
        ({"name": "a@b", "documents": DOCUMENTS}, "name"),
        ({"name": "docs", "documents": DOCUMENTS, "nme": 1}, "nme"),
        ({"name": "docs", "documents": [*DOCUMENTS, {"id": "d1", "text": "again"}]}, "documents.4.id"),
        ({"name": "docs", "documents": [{"id": "x" * 256, "text": ""}]}, "documents.0.id"),
        ({"name": "docs", "documents": [{"id": "a"}]}, "documents.0.text"),
    ],
)
def test_wrong_corpora_are_refused_by_field(api, body, field):
    assert error_of(post(api, CORPORA, body), 400)["details"]["field"] == field
    assert not Corpus.objects.exists()


def test_a_query_set_is_imported_once_and_shown(api, caller):
    corpus = make_corpus(caller, name="docs")

    first = post(api, QUERY_SETS, query_set_body())

    assert first.status_code == 201
    body = first.json()
    assert (body["corpus"], body["corpus_name"], body["corpus_version"]) == (corpus.public_id, "docs", 1)
    assert (body["query_count"], body["judged_query_count"], body["greatest_grade"]) == (3, 1, 2)
    assert body["imported"]["counts"]["unjudged_queries"] == 2
    assert post(api, QUERY_SETS, query_set_body()).status_code == 200
    assert api.get(f"{QUERY_SETS}/questions").json()["id"] == body["id"]
    shown = api.get(f"{QUERY_SETS}/questions/queries").json()
    assert [(row["id"], row["ordinal"], row["judgment_count"]) for row in shown["results"]] == [
        ("q1", 0, 1),
        ("q2", 1, 0),
        ("q3", 2, 0),
    ]


def test_grade_maps_and_dangling_ids_of_a_body(api, caller):
    make_corpus(caller, name="docs")
    rows = [
        {"query_id": "q1", "document_id": "d1", "grade": -1},
        {"query_id": "q1", "document_id": "d2", "grade": 1},
        {"query_id": "q1", "document_id": "gone", "grade": 1},
    ]

    refused = error_of(post(api, QUERY_SETS, query_set_body(judgments=rows)), 400)
    assert refused["details"]["faults"] == {"dangling_document": 1, "negative_grade": 1}
    assert refused["details"]["field"] == "judgments.0.grade"
    assert "grade_map" in refused["message"]
    mapped = post(api, QUERY_SETS, query_set_body(judgments=rows, grade_map={"-1": 0, "1": 4}, drop_dangling=True))

    assert mapped.status_code == 201
    assert (mapped.json()["greatest_grade"], mapped.json()["judgment_count"]) == (4, 2)
    assert mapped.json()["imported"]["counts"]["dangling_documents"] == 1


@pytest.mark.parametrize(
    ("over", "status", "field"),
    [
        ({"corpus": "nothing"}, 404, "corpus"),
        ({"queries": []}, 400, "queries"),
        ({"queries": [{"id": "q1", "text": " "}]}, 400, "queries.0.text"),
        ({"judgments": [{"query_id": "q1", "document_id": "d1", "grade": "high"}]}, 400, "judgments.0.grade"),
        ({"grade_map": {"high": 1}}, 400, "grade_map.high.[key]"),
        ({"name": ""}, 400, "name"),
    ],
)
def test_wrong_query_sets_are_refused_by_field(api, caller, over, status, field):
    make_corpus(caller, name="docs")

    assert error_of(post(api, QUERY_SETS, query_set_body(**over)), status)["details"]["field"] == field
    assert not QuerySet.objects.exists()


@pytest.mark.parametrize(
    "form",
    [
        {"rankings": {"q1": [{"document_id": "d2", "score": 1}, {"document_id": "d1", "score": 2.5}]}},
        {"trec": "q1 Q0 d2 1 1 tag\nq1 Q0 d1 2 2.5 tag\n"},
    ],
)
def test_a_run_is_uploaded_as_objects_or_as_trec(api, caller, form):
    make_query_set(caller, name="questions")

    answer = post(api, RUNS, {"name": "theirs", "query_set": "questions", **form})

    assert answer.status_code == 201
    assert UploadedRun.objects.get().rankings == {"q1": [["d1", 2.5], ["d2", 1.0]]}
    assert answer.json()["imported"]["counts"]["queries_without_ranking"] == 2
    assert post(api, RUNS, {"name": "theirs", "query_set": "questions", **form}).status_code == 200
    assert api.get(f"{RUNS}/theirs").json()["query_set_name"] == "questions"


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({}, "body"),
        ({"rankings": {}, "trec": ""}, "body"),
        ({"rankings": {}}, "rankings"),
        ({"trec": "q1 Q0 d2 1 1\n"}, "line"),
        ({"rankings": {"q1": [{"document_id": "gone", "score": 1}]}}, "rankings.q1.0.document_id"),
        ({"rankings": {"q9": [{"document_id": "d1", "score": 1}]}}, "rankings.q9.0.query_id"),
    ],
)
def test_wrong_runs_are_refused_by_field(api, caller, form, field):
    make_query_set(caller, name="questions")

    answer = post(api, RUNS, {"name": "theirs", "query_set": "questions", **form})

    assert error_of(answer, 400)["details"]["field"] == field
    assert not UploadedRun.objects.exists()


def test_a_repeated_create_with_its_key_is_answered_as_the_first(api, caller):
    make_query_set(caller, make_corpus(caller, name="docs"), name="others")
    bodies = {
        CORPORA: {"name": "more", "documents": DOCUMENTS},
        QUERY_SETS: query_set_body(),
        RUNS: {"name": "theirs", "query_set": "others", "trec": "q1 Q0 d1 1 1 x"},
    }
    for path, body in bodies.items():
        first = post(api, path, body, **{"Idempotency-Key": "k"})
        again = post(api, path, body, **{"Idempotency-Key": "k"})
        assert (first.status_code, again.status_code, again["Idempotency-Replayed"]) == (201, 201, "true")
        assert again.json() == first.json()
        other = post(api, path, {**body, "name": "different"}, **{"Idempotency-Key": "k"})
        assert error_of(other, 409)["code"] == "conflict"


def test_things_are_deleted_unless_something_refers_to_them(api, caller):
    corpus = make_corpus(caller, name="docs")
    query_set = make_query_set(caller, corpus, name="questions")
    run = make_run(caller, query_set, name="theirs")

    assert "used by query sets (questions@1)" in error_of(api.delete(f"{CORPORA}/docs"), 409)["message"]
    assert "used by uploaded runs (theirs)" in error_of(api.delete(f"{QUERY_SETS}/questions"), 409)["message"]
    for path in (f"{RUNS}/{run.public_id}", f"{QUERY_SETS}/questions@1", f"{CORPORA}/docs"):
        assert api.delete(path).status_code == 204
        assert error_of(api.delete(path), 404)["code"] == "not_found"
    assert not Corpus.objects.exists()


def test_lists_are_filtered_by_name_and_owner(api, caller):
    corpus = make_corpus(caller, name="docs")
    make_corpus(caller, name="docs", texts={"a": "x"})
    make_corpus(caller, name="dolls")
    query_set = make_query_set(caller, corpus, name="questions")
    make_query_set(caller, name="others")
    make_run(caller, query_set, name="theirs")

    def found(path, **query):
        return [f"{row['name']}@{row.get('version', '')}" for row in api.get(path, query).json()["results"]]

    assert found(CORPORA, name="docs") == ["docs@2", "docs@1"]
    assert found(CORPORA, name_prefix="dol") == ["dolls@1"]
    assert found(QUERY_SETS, corpus="docs") == ["questions@1"]
    assert found(QUERY_SETS, name="others") == ["others@1"]
    assert found(RUNS, query_set="questions") == ["theirs@"]
    assert found(RUNS, query_set="others") == []
    for path in (CORPORA, QUERY_SETS, RUNS):
        assert error_of(api.get(path, {"nme": "x"}), 400)["details"]["field"] == "nme"


def test_pages_of_documents_and_queries_follow_ordinals(api, caller):
    corpus = make_corpus(caller, name="docs", texts={f"d{number:02}": "x" for number in range(7)})
    make_query_set(caller, corpus, name="questions", queries={f"q{number}": "x" for number in range(5)}, grades={})

    for path, ids, total in (
        (f"{CORPORA}/docs/documents", ["d03", "d04", "d05"], 7),
        (f"{QUERY_SETS}/questions/queries", ["q3", "q4"], 5),
    ):
        page = api.get(path, {"page": 2, "limit": 3}).json()
        assert [row["id"] for row in page["results"]] == ids
        assert page["pagination"]["total"] == total
        assert api.get(path, {"page": 9, "limit": 3}).json()["results"] == []
        assert error_of(api.get(path, {"limit": 501}), 400)["details"]["field"] == "limit"


def test_versions_are_compared(api, caller):
    make_corpus(caller, name="docs")
    make_corpus(caller, name="docs", texts={**TEXTS, "d1": "changed", "d9": "new"})

    assert api.get(f"{CORPORA}/docs/changes-since/docs@1").json() == {
        "added": 1,
        "removed": 0,
        "changed": 1,
        "unchanged": 3,
    }
    assert error_of(api.get(f"{CORPORA}/docs/changes-since/docs@7"), 404)["details"]["field"] == "old_corpus_id"


def test_lists_take_as_many_queries_for_sixty_rows_as_for_one(api, caller):
    corpus = make_corpus(caller, name="docs", texts={"d1": "x"})
    query_set = make_query_set(caller, corpus, name="questions", queries={"q": "x"}, grades={"q": {"d1": 1}})
    make_run(caller, query_set, rankings={"q": [("d1", 1.0)]})
    paths = {
        CORPORA: 3,
        QUERY_SETS: 3,
        RUNS: 3,
        f"{CORPORA}/docs/documents": 3,
        f"{QUERY_SETS}/questions/queries": 3,
    }

    def queries():
        counts = {}
        for path in paths:
            with CaptureQueriesContext(connection) as done:
                assert api.get(path).status_code == 200
            counts[path] = len(done)
        return counts

    api.get(CORPORA)
    assert queries() == paths

    texts = {f"d{number}": "x" for number in range(1, 61)}
    corpus = make_corpus(caller, name="docs", texts=texts)
    many = {f"q{number}": "x" for number in range(60)}
    query_set = make_query_set(caller, corpus, name="questions", queries=many, grades={id: {"d1": 1} for id in many})
    for number in range(60):
        make_corpus(caller, texts={"a": str(number)})
        make_query_set(caller, corpus, queries={"q": str(number)}, grades={})
        make_run(caller, query_set, rankings={"q0": [("d1", float(number))]})

    assert queries() == paths
    assert len(api.get(RUNS).json()["results"]) == 50


def test_a_list_of_runs_does_not_read_their_rankings(api, caller):
    make_run(caller, make_query_set(caller))

    with CaptureQueriesContext(connection) as done:
        api.get(RUNS)

    assert not any("rankings" in query["sql"] for query in done)


def test_a_key_that_may_only_read_cannot_import(api, project, caller):
    make_test_row(make_query_set(caller, make_corpus(caller, name="docs")))
    reader = make_client(make_token(project, scopes=["ab.read"]))

    assert reader.get(f"{CORPORA}/docs").status_code == 200
    for path in (CORPORA, QUERY_SETS, RUNS):
        assert error_of(post(reader, path, {}), 403)["details"]["action"] == "ab.write"
    assert error_of(reader.delete(f"{CORPORA}/docs"), 403)["details"]["action"] == "ab.write"
