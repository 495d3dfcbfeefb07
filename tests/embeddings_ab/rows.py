"""One row of each model of embeddings A/B testing, a change it accepts, and what its constraints refuse.

Read by tests/project/test_persistence.py, whose guard asks for every model and every named constraint.
"""

import datetime as dt
from collections.abc import Callable
from typing import Any

from django.db import models

from embeddings_ab.models import (
    AbTest,
    Arm,
    Collection,
    CollectionUse,
    Corpus,
    Document,
    Embedding,
    EmbeddingSpace,
    JudgingItem,
    JudgingPool,
    Judgment,
    Label,
    Query,
    QueryResult,
    QuerySet,
    Tuning,
    UploadedRun,
)
from governance.models import Project

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
HASH = "0" * 64
Factory = Callable[..., models.Model]


def a_project() -> Project:
    return Project.objects.get_or_create(name="persistence")[0]


def a_corpus(**over: Any) -> Corpus:
    given = {"project": a_project(), "name": "docs", "version": 1, **over}
    return Corpus.objects.get_or_create(
        **given, defaults={"content_hash": HASH, "document_count": 1, "character_count": 3}
    )[0]


def a_query_set() -> QuerySet:
    return QuerySet.objects.get_or_create(
        project=a_project(),
        name="questions",
        version=1,
        defaults={
            "corpus": a_corpus(),
            "content_hash": HASH,
            "query_count": 1,
            "judged_query_count": 1,
            "judgment_count": 1,
        },
    )[0]


def a_query() -> Query:
    return Query.objects.get_or_create(query_set=a_query_set(), external_id="q", ordinal=0, defaults={"text": "why"})[0]


def a_space() -> EmbeddingSpace:
    return EmbeddingSpace.objects.get_or_create(
        project=a_project(), identity_hash=HASH, generation=1, defaults=space_fields()
    )[0]


def space_fields() -> dict[str, Any]:
    return {
        "identity": {"provider": "synthetic"},
        "provider": "synthetic",
        "model": "m",
        "revision": "1",
        "dimensions": 2,
        "canary": b"\x00" * 8,
        "canary_checked_at": NOW,
    }


def a_collection() -> Collection:
    return Collection.objects.get_or_create(
        project=a_project(), content_hash="c" * 64, defaults={"kind": "documents", "recipe": {}, "corpus": a_corpus()}
    )[0]


def test_fields() -> dict[str, Any]:
    return {
        "project": a_project(),
        "name": "first",
        "corpus": a_corpus(),
        "query_set": a_query_set(),
        "spec": {"arms": {}},
        "registration_hash": HASH,
        "primary_metric": "nDCG@10",
        "control": "bm25",
        "seed": 7,
    }


def a_test() -> AbTest:
    return AbTest.objects.filter(name="first").first() or AbTest.objects.create(**test_fields())


def an_arm() -> Arm:
    return Arm.objects.get_or_create(test=a_test(), name="bm25", defaults={"position": 0, "spec": {}})[0]


def a_pool() -> JudgingPool:
    return JudgingPool.objects.get_or_create(
        project=a_project(), name="pool", defaults={"query_set": a_query_set(), "scale": [{"grade": 0}]}
    )[0]


def an_item() -> JudgingItem:
    return JudgingItem.objects.get_or_create(
        pool=a_pool(), query=a_query(), document_id="d", defaults={"priority": 0.5}
    )[0]


def _maker(model: type[models.Model], given: Callable[[], dict[str, Any]]) -> Factory:
    return lambda **over: model._default_manager.create(**{**given(), **over})


MAKE: dict[type[models.Model], Factory] = {
    Corpus: _maker(
        Corpus,
        lambda: {
            "project": a_project(),
            "name": "other",
            "version": 1,
            "content_hash": HASH,
            "document_count": 1,
            "character_count": 3,
        },
    ),
    Document: _maker(Document, lambda: {"corpus": a_corpus(), "external_id": "d", "ordinal": 0, "text": "é"}),
    QuerySet: _maker(
        QuerySet,
        lambda: {
            "project": a_project(),
            "corpus": a_corpus(),
            "name": "other",
            "version": 1,
            "content_hash": HASH,
            "query_count": 1,
            "judged_query_count": 0,
            "judgment_count": 0,
        },
    ),
    Query: _maker(Query, lambda: {"query_set": a_query_set(), "external_id": "other", "ordinal": 1, "text": "why"}),
    Judgment: _maker(Judgment, lambda: {"query": a_query(), "document_id": "d", "grade": 1}),
    EmbeddingSpace: _maker(
        EmbeddingSpace, lambda: {"project": a_project(), "identity_hash": "1" * 64, **space_fields()}
    ),
    Embedding: _maker(Embedding, lambda: {"space": a_space(), "text_hash": HASH, "vector": b"\x00" * 8}),
    Collection: _maker(
        Collection,
        lambda: {
            "project": a_project(),
            "kind": "documents",
            "content_hash": HASH,
            "recipe": {},
            "corpus": a_corpus(),
        },
    ),
    AbTest: _maker(AbTest, test_fields),
    Arm: _maker(Arm, lambda: {"test": a_test(), "name": "minilm", "position": 1, "spec": {}}),
    CollectionUse: _maker(CollectionUse, lambda: {"test": a_test(), "collection": a_collection()}),
    QueryResult: _maker(QueryResult, lambda: {"test": a_test(), "arm": an_arm(), "query": a_query()}),
    UploadedRun: _maker(
        UploadedRun,
        lambda: {
            "project": a_project(),
            "query_set": a_query_set(),
            "name": "run",
            "content_hash": HASH,
            "rankings": {"q": [["d", 1.5]]},
        },
    ),
    JudgingPool: _maker(
        JudgingPool,
        lambda: {"project": a_project(), "query_set": a_query_set(), "name": "other", "scale": [{"grade": 0}]},
    ),
    JudgingItem: _maker(
        JudgingItem, lambda: {"pool": a_pool(), "query": a_query(), "document_id": "other", "priority": 0.5}
    ),
    Label: _maker(Label, lambda: {"item": an_item(), "source": "human", "labeller": "ada", "grade": 1}),
    Tuning: _maker(Tuning, lambda: {"test": a_test(), "spec": {}}),
}

CHANGE: dict[type[models.Model], dict[str, Any]] = {
    Corpus: {"description": "changed"},
    Document: {"metadata": {"k": [1, None, "é"]}},
    QuerySet: {"greatest_grade": 4},
    Query: {"metadata": {"kind": "hard"}},
    Judgment: {"grade": -1},
    EmbeddingSpace: {"is_current": False},
    Embedding: {"latency_ms": 0.1},
    Collection: {"status": "ready", "byte_count": 2**40},
    AbTest: {"status": "completed", "report": {"schema": 1}},
    Arm: {"stats": {"cost": None}},
    CollectionUse: {},
    QueryResult: {"metrics": {"nDCG@10": None, "AP": 0.1}},
    UploadedRun: {"rankings": {"q": [["d", -1e-9]]}},
    JudgingPool: {"labels_per_item": 2},
    JudgingItem: {"held_by": "ada", "held_until": NOW},
    Label: {"comment": "changed"},
    Tuning: {"result": {"gap": 0.1}},
}

TWICE: dict[str, tuple[type[models.Model], dict[str, Any]]] = {
    "corpus_version_is_unique": (Corpus, {}),
    "query_set_version_is_unique": (QuerySet, {}),
    "judgment_once_per_document": (Judgment, {}),
    "embedding_space_generation_is_unique": (EmbeddingSpace, {"is_current": False}),
    "embedding_once_per_text": (Embedding, {}),
    "collection_is_live_once_per_content": (Collection, {}),
    "arm_name_is_unique_in_test": (Arm, {}),
    "collection_use_is_unique": (CollectionUse, {}),
    "query_result_is_unique": (QueryResult, {}),
    "uploaded_run_name_is_unique": (UploadedRun, {}),
    "judging_pool_name_is_unique": (JudgingPool, {}),
    "judging_item_is_unique_in_pool": (JudgingItem, {}),
    "label_once_per_labeller": (Label, {}),
}

BROKEN: dict[str, tuple[type[models.Model], dict[str, Any]]] = {
    "corpus_version_starts_at_one": (Corpus, {"version": 0}),
    "query_set_version_starts_at_one": (QuerySet, {"version": 0}),
    "judgment_source_is_known": (Judgment, {"source": "rumour"}),
    "collection_status_is_known": (Collection, {"status": "lost"}),
    "collection_kind_is_known": (Collection, {"kind": "stamps"}),
    "ab_test_status_is_known": (AbTest, {"status": "lost"}),
    "ab_test_ends_with_a_report": (AbTest, {"status": "completed"}),
    "arm_status_is_known": (Arm, {"status": "lost"}),
    "label_source_is_known": (Label, {"source": "imported"}),
    "tuning_status_is_known": (Tuning, {"status": "lost"}),
}

# Constraints beside another one of the same model: what differs from the row of MAKE, first and second time.
CLASHES: dict[str, tuple[type[models.Model], Callable[[], dict[str, Any]], dict[str, Any]]] = {
    "document_once_per_corpus": (Document, dict, {"ordinal": 1}),
    "document_ordinal_is_unique": (Document, dict, {"external_id": "other"}),
    "query_once_per_set": (Query, dict, {"ordinal": 2}),
    "query_ordinal_is_unique": (Query, dict, {"external_id": "third"}),
    "embedding_space_has_one_current_generation": (EmbeddingSpace, dict, {"generation": 2}),
    "collection_builds_once_per_space": (
        Collection,
        lambda: {"space": a_space(), "status": "building"},
        {"content_hash": "2" * 64},
    ),
}
