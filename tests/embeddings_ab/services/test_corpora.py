"""Corpora: what an import stores, when it stores nothing, and who may delete."""

from dataclasses import replace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from embeddings_ab.domain.importing.faults import Faults
from embeddings_ab.domain.importing.json_lines import read_documents
from embeddings_ab.domain.importing.rows import DocumentRow
from embeddings_ab.models import Collection, Corpus, Document
from embeddings_ab.selectors.corpora import CorpusDifference, diff_corpora, find_corpus, iter_documents, known_documents
from embeddings_ab.services import versions
from embeddings_ab.services.corpora import delete_corpus, import_corpus
from governance.domain.errors import Conflict, Forbidden, InvalidInput, NotFound, QuotaExceeded
from governance.models import AuditEntry, Quota
from tests.embeddings_ab.factories import TEXTS, documents, make_caller, make_corpus, make_query_set, make_test_row
from tests.governance.threads import at_once

pytestmark = pytest.mark.django_db


def used(caller):
    return Quota.objects.get(project_id=caller.project_id, resource="corpus_documents").used


def entries(caller, action):
    return AuditEntry.objects.filter(chain=caller.project_public_id, action=action)


def nothing_stored(caller):
    return not Corpus.objects.exists() and used(caller) == 0 and not entries(caller, "corpus.import").exists()


def test_an_import_stores_documents_by_the_bytes_of_their_ids(caller):
    corpus, summary = import_corpus(
        caller=caller,
        name=" docs ",
        description="d",
        documents=[
            DocumentRow("b", "t", "x", {"k": 1}),
            DocumentRow("B", text="é"),
            DocumentRow("10"),
            DocumentRow("9"),
        ],
        source={"format": "beir"},
    )

    rows = Document.objects.filter(corpus=corpus).values_list("ordinal", "external_id", "title", "text", "metadata")
    assert list(rows) == [
        (0, "10", "", "", {}),
        (1, "9", "", "", {}),
        (2, "B", "", "é", {}),
        (3, "b", "t", "x", {"k": 1}),
    ]
    assert (corpus.name, corpus.version, corpus.description, corpus.source) == ("docs", 1, "d", {"format": "beir"})
    assert (corpus.document_count, corpus.empty_count, corpus.character_count) == (4, 2, 3)
    assert summary.to_json() == {
        "is_new": True,
        "counts": {"documents": 4, "empty_documents": 2, "characters": 3, "nul_replaced": 0},
        "warnings": ["2 documents have no text, for example 10, 9."],
    }
    assert used(caller) == 4
    assert entries(caller, "corpus.import").get().after == {
        "name": "docs",
        "version": 1,
        "documents": 4,
        "hash": corpus.content_hash,
    }


def test_the_same_content_in_any_order_is_stored_once(caller):
    first = make_corpus(caller, name="docs")

    again, summary = import_corpus(caller=caller, name="docs", documents=reversed(documents(TEXTS)))

    assert (again.pk, summary.is_new) == (first.pk, False)
    assert (Document.objects.count(), used(caller), entries(caller, "corpus.import").count()) == (4, 4, 1)


def test_a_change_makes_a_version_and_a_return_makes_another(caller):
    first = make_corpus(caller, name="docs")
    second = make_corpus(caller, name="docs", texts={**TEXTS, "d1": "changed"})
    third = make_corpus(caller, name="docs")

    assert [corpus.version for corpus in (first, second, third)] == [1, 2, 3]
    assert first.content_hash == third.content_hash != second.content_hash
    assert list(iter_documents(first)) == list(iter_documents(third))


def test_metadata_is_content(caller):
    first, _ = import_corpus(caller=caller, name="docs", documents=[DocumentRow("a", text="x")])
    second, _ = import_corpus(caller=caller, name="docs", documents=[DocumentRow("a", text="x", metadata={"k": 1})])

    assert (first.version, second.version) == (1, 2)


def test_references_are_names_versions_and_ids(caller):
    first = make_corpus(caller, name="docs")
    second = make_corpus(caller, name="docs", texts={"a": "x"})

    assert find_corpus(caller, "docs") == second
    assert find_corpus(caller, " docs@1 ") == first
    assert find_corpus(caller, first.public_id) == first
    for text in ("docs@3", "docs@0", "nobody", "", "a\x00", "docs@" + "9" * 30):
        with pytest.raises(NotFound, match="this project has no corpus"):
            find_corpus(caller, text)
    with pytest.raises(NotFound):
        find_corpus(make_caller(), first.public_id)


@pytest.mark.parametrize("name", ["", "  ", "x" * 121, "a@2", "a\nb"])
def test_names_that_could_not_be_referred_to_are_refused(caller, name):
    with pytest.raises(InvalidInput) as raised:
        import_corpus(caller=caller, name=name, documents=documents(TEXTS))

    assert raised.value.details["field"] == "name"
    assert nothing_stored(caller)


def test_faults_of_the_parser_and_of_the_checks_are_counted_together(caller):
    source = b'{"_id": "a", "text": "x"}\n{"_id": "a", "text": "y"}\n{\n'
    faults = Faults()

    with pytest.raises(InvalidInput) as raised:
        import_corpus(
            caller=caller, name="docs", documents=read_documents(source, faults, name="corpus.jsonl"), faults=faults
        )

    assert raised.value.details["faults"] == {"duplicate_document": 1, "not_json": 1}
    assert (raised.value.details["file"], raised.value.details["line"]) == ("corpus.jsonl", 2)
    assert nothing_stored(caller)


def test_a_quota_that_is_too_small_leaves_nothing(caller):
    Quota.objects.filter(project_id=caller.project_id, resource="corpus_documents").update(ceiling=3)

    with pytest.raises(QuotaExceeded):
        make_corpus(caller)

    assert nothing_stored(caller)
    assert Document.objects.count() == 0


def test_who_may_not_write_is_refused_before_anything_is_read(caller):
    def never():
        raise AssertionError("was read")
        yield

    with pytest.raises(Forbidden):
        import_corpus(caller=replace(caller, allowed=frozenset()), name="docs", documents=never())
    with pytest.raises(Forbidden):
        delete_corpus(caller=replace(caller, allowed=frozenset()), corpus_id="docs")


def test_statements_grow_by_thousands_of_documents(caller):
    def statements(name, count):
        with CaptureQueriesContext(connection) as done:
            make_corpus(caller, name=name, texts={f"d{number}": "x" for number in range(count)})
        inserts = [query for query in done if query["sql"].startswith('INSERT INTO "embeddings_ab_document"')]
        return len(done) - len(inserts), len(inserts)

    statements("warm", 1)
    few, one_insert = statements("one", 1)
    many, inserts = statements("many", 2001)
    again, none = statements("many", 2001)

    # Each thousand has a savepoint of its own; SQLite takes fewer values in one statement.
    assert (few, one_insert, many) == (10, 1, few)
    assert inserts == 3 or (connection.vendor == "sqlite" and inserts < 50)
    assert (again, none) == (3, 0)
    assert known_documents(find_corpus(caller, "many"), {"d0", "d2000", "d2001"}) == {"d0", "d2000"}


@pytest.mark.django_db(transaction=True)
def test_equal_imports_at_once_make_one_version():
    caller = make_caller()

    results = at_once(6, lambda number: import_corpus(caller=caller, name="docs", documents=documents(TEXTS)))

    assert [result for result in results if isinstance(result, Exception)] == []
    assert sorted(summary.is_new for _, summary in results) == [False] * 5 + [True]
    assert len({corpus.pk for corpus, _ in results}) == 1
    assert (Corpus.objects.count(), Document.objects.count(), used(caller)) == (1, 4, 4)


@pytest.mark.django_db(transaction=True)
def test_different_imports_at_once_make_versions_without_gaps():
    caller = make_caller()

    results = at_once(4, lambda number: make_corpus(caller, name="docs", texts={"d": f"text {number}"}))

    assert [result for result in results if isinstance(result, Exception)] == []
    assert sorted(corpus.version for corpus in results) == [1, 2, 3, 4]
    assert used(caller) == 4


def test_an_import_that_always_loses_the_race_is_a_conflict(caller):
    corpus = make_corpus(caller, name="docs")

    def again(version):
        fields = {f.attname: getattr(corpus, f.attname) for f in Corpus._meta.concrete_fields if not f.primary_key}
        return Corpus.objects.create(**fields)

    with pytest.raises(Conflict, match="Too many imports"):
        versions.newest_or_next(lambda: None, lambda found: False, again)


def test_a_deleted_corpus_gives_its_quota_back(caller):
    make_corpus(caller, name="docs")
    second = make_corpus(caller, name="docs", texts={"a": "x"})

    assert delete_corpus(caller=caller, corpus_id="docs") == second.public_id

    assert used(caller) == 4
    assert find_corpus(caller, "docs").version == 1
    assert not Document.objects.filter(corpus_id=second.pk).exists()
    assert entries(caller, "corpus.delete").get().before == {"name": "docs", "version": 2, "documents": 1}
    with pytest.raises(NotFound):
        delete_corpus(caller=make_caller(), corpus_id=second.public_id)


def test_a_corpus_in_use_is_not_deleted_and_says_by_whom(caller):
    corpus = make_corpus(caller, name="docs")
    query_set = make_query_set(caller, corpus, name="questions")
    make_test_row(query_set, name="first test")
    Collection.objects.create(
        project_id=caller.project_id, kind="lexical", content_hash="0" * 64, recipe={}, corpus=corpus, status="ready"
    )

    with pytest.raises(Conflict) as raised:
        delete_corpus(caller=caller, corpus_id="docs")

    said = raised.value.message
    assert said.startswith(
        "The corpus docs@1 is used by query sets (questions@1) and tests (first test) and collections ("
    )
    assert raised.value.details["used_by"] == ["query sets", "tests", "collections"]
    assert (Document.objects.count(), used(caller)) == (4, 4)


def test_deleted_collections_hold_no_corpus(caller):
    corpus = make_corpus(caller)
    Collection.objects.create(
        project_id=caller.project_id, kind="lexical", content_hash="0" * 64, recipe={}, corpus=corpus, status="deleted"
    )

    delete_corpus(caller=caller, corpus_id=corpus.public_id)

    assert not Corpus.objects.exists()


def test_the_difference_of_two_versions_is_counted(caller):
    old = make_corpus(caller, name="docs", texts={"a": "1", "b": "2", "c": "3", "e": "5"})
    new = make_corpus(caller, name="docs", texts={"b": "2", "c": "changed", "d": "4", "e": "5", "f": "6"})

    assert diff_corpora(old, new) == CorpusDifference(added=2, removed=1, changed=1, unchanged=2)
    assert diff_corpora(new, old) == CorpusDifference(added=1, removed=2, changed=1, unchanged=2)
    assert diff_corpora(old, old) == CorpusDifference(0, 0, 0, 4)
