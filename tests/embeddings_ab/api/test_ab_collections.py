"""`/api/v1/ab/collections…`: lists, filters, constant queries."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from embeddings_ab.models import Collection, CollectionUse, EmbeddingSpace
from governance.models import AuditEntry
from tests.embeddings_ab.factories import make_query_set, make_test_row
from tests.embeddings_ab.rows import space_fields
from tests.factories import make_client, make_project, make_token

COLLECTIONS = "/api/v1/ab/collections"


def make_collections(query_set, count=1, **fields):
    space = EmbeddingSpace.objects.filter(project_id=query_set.project_id).first() or EmbeddingSpace.objects.create(
        project_id=query_set.project_id, identity_hash="1" * 64, **space_fields()
    )
    start = Collection.objects.count()
    return Collection.objects.bulk_create(
        Collection(
            **{
                "project_id": query_set.project_id,
                "kind": "documents",
                "content_hash": f"{start + n:064}",
                "recipe": {"chunking": {"method": "none"}},
                "corpus": query_set.corpus,
                "space": space,
                "status": "ready",
                "document_count": 4,
                "chunk_count": 4,
                "cost": "0.00000012",
                "currency": "USD",
                **fields,
            }
        )
        for n in range(count)
    )


def test_a_collection_says_what_it_is_made_of_and_who_holds_it(api, caller):
    query_set = make_query_set(caller)
    (made,) = make_collections(query_set)
    CollectionUse.objects.create(test=make_test_row(query_set), collection=made)
    (row,) = api.get(COLLECTIONS).json()["results"]
    assert "recipe" not in row
    shown = api.get(f"{COLLECTIONS}/{made.public_id}").json()
    assert shown == {**row, "recipe": {"chunking": {"method": "none"}}}
    assert (shown["provider"], shown["model"], shown["revision"], shown["dimensions"]) == ("synthetic", "m", "1", 2)
    assert (shown["holders"], shown["chunk_count"], shown["cost"], shown["currency"]) == (1, 4, "0.00000012", "USD")
    assert shown["query_set"] is None
    assert shown["corpus"]["name"] == query_set.corpus.name


def test_a_lexical_index_has_no_model_and_a_failed_build_tells_why(api, caller):
    make_collections(
        make_query_set(caller), kind="lexical", space=None, status="failed", error_code="timeout", error_message="late"
    )
    (row,) = api.get(COLLECTIONS).json()["results"]
    assert (row["provider"], row["model"], row["revision"], row["dimensions"]) == (None, None, None, None)
    assert row["error"] == {"code": "timeout", "message": "late"}


def test_collections_are_found_by_status_and_kind_newest_first(api, caller):
    query_set = make_query_set(caller)
    old, new = make_collections(query_set, 2)
    make_collections(query_set, kind="queries", status="pending")
    assert [row["id"] for row in api.get(COLLECTIONS, {"status": "ready"}).json()["results"]] == [
        new.public_id,
        old.public_id,
    ]
    assert len(api.get(COLLECTIONS, {"kind": "queries"}).json()["results"]) == 1


@pytest.mark.parametrize(("parameters", "field"), [({"status": "x"}, "status"), ({"knd": "x"}, "knd")])
def test_wrong_filters_are_refused_by_name(api, db, parameters, field):
    answer = api.get(COLLECTIONS, parameters)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == field


def test_lists_take_as_many_queries_for_sixty_rows_as_for_one(api, caller):
    query_set = make_query_set(caller)
    counts = []
    api.get(COLLECTIONS)
    for rows in (1, 60):
        make_collections(query_set, rows)
        with CaptureQueriesContext(connection) as captured:
            assert api.get(COLLECTIONS, {"limit": 500}).status_code == 200
        counts.append(len(captured))
    assert counts[0] == counts[1] <= 6


def test_a_collection_that_nobody_holds_is_deleted_and_a_held_one_is_not(
    api, caller, monkeypatch, django_capture_on_commit_callbacks
):
    sent = []
    monkeypatch.setattr("governance.dispatch._send", lambda task, pk, _: sent.append(pk))
    query_set = make_query_set(caller)
    free, held = make_collections(query_set, 2)
    test = make_test_row(query_set)
    CollectionUse.objects.create(test=test, collection=held)
    refused = api.delete(f"{COLLECTIONS}/{held.public_id}")
    assert refused.status_code == 409
    assert test.public_id in refused.json()["error"]["message"]
    with django_capture_on_commit_callbacks(execute=True):
        answer = api.delete(f"{COLLECTIONS}/{free.public_id}")
    assert (answer.status_code, answer.json()["status"]) == (202, "deleting")
    assert sent == [free.pk]
    assert AuditEntry.objects.get(action="collection.delete").target_id == free.public_id
    assert Collection.objects.get(pk=held.pk).status == "ready"


def test_another_project_finds_nothing(caller):
    (made,) = make_collections(make_query_set(caller))
    stranger = make_client(make_token(make_project()))
    assert stranger.get(COLLECTIONS).json()["results"] == []
    assert stranger.get(f"{COLLECTIONS}/{made.public_id}").status_code == 404
    assert stranger.delete(f"{COLLECTIONS}/{made.public_id}").status_code == 404
    assert Collection.objects.get().status == "ready"
