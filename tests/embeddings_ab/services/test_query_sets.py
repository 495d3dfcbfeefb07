"""Query sets and uploaded runs: what an import stores, what it refuses, and who may delete."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from embeddings_ab.domain.importing.rows import JudgmentRow, QueryRow, RankedRow
from embeddings_ab.models import Arm, Collection, JudgingPool, Judgment, Query, QuerySet, UploadedRun
from embeddings_ab.selectors import query_sets as selectors
from embeddings_ab.services.corpora import delete_corpus
from embeddings_ab.services.query_sets import delete_query_set, import_query_set
from embeddings_ab.services.uploaded_runs import delete_run, import_run
from governance.domain.errors import Conflict, InvalidInput, NotFound
from governance.models import AuditEntry
from tests.embeddings_ab.factories import (
    GRADES,
    QUERIES,
    TEXTS,
    judgments,
    make_caller,
    make_corpus,
    make_query_set,
    make_run,
    make_test_row,
)
from tests.governance.threads import at_once

pytestmark = pytest.mark.django_db


def entries(caller, action):
    return AuditEntry.objects.filter(chain=caller.project_public_id, action=action)


def rows_of(queries):
    return [QueryRow(id, text) for id, text in queries.items()]


def test_an_import_stores_queries_judgments_and_counts(caller):
    corpus = make_corpus(caller, name="docs")

    query_set, summary = import_query_set(
        caller=caller,
        name="docs/test",
        corpus="docs",
        queries=[QueryRow("q10", "ten"), QueryRow("q2", "two", {"kind": "hard"}), QueryRow("q1", "one")],
        judgments=[JudgmentRow("q2", "d2", 2), JudgmentRow("q10", "d1", 0), JudgmentRow("q2", "d10", 1, "llm")],
        source={"format": "beir"},
    )

    stored = Query.objects.filter(query_set=query_set).values_list("ordinal", "external_id", "text", "metadata")
    assert list(stored) == [(0, "q1", "one", {}), (1, "q10", "ten", {}), (2, "q2", "two", {"kind": "hard"})]
    assert list(selectors.iter_judgments(query_set)) == [
        JudgmentRow("q10", "d1", 0),
        JudgmentRow("q2", "d10", 1, "llm"),
        JudgmentRow("q2", "d2", 2),
    ]
    assert selectors.grades_by_query(query_set) == {"q10": {"d1": 0}, "q2": {"d10": 1, "d2": 2}}
    assert (query_set.corpus, query_set.version, query_set.greatest_grade) == (corpus, 1, 2)
    assert (query_set.query_count, query_set.judged_query_count, query_set.judgment_count) == (3, 2, 3)
    assert summary.counts == {
        "queries": 3,
        "judged_queries": 2,
        "unjudged_queries": 1,
        "judgments": 3,
        "nul_replaced": 0,
        "dangling_documents": 0,
        "dangling_queries": 0,
        "repeated_judgments": 0,
    }
    assert summary.warnings == ("1 queries have no judgment; they are left out of every mean.",)
    assert entries(caller, "query_set.import").get().after["judgments"] == 3


def test_the_same_queries_over_a_later_version_of_the_corpus_are_the_same_query_set(caller):
    first = make_query_set(caller, make_corpus(caller, name="docs"), name="questions")
    later = make_corpus(caller, name="docs", texts={**TEXTS, "d9": "new"})
    other = make_corpus(caller, name="others")

    again = make_query_set(caller, later, name="questions")
    elsewhere = make_query_set(caller, other, name="questions")

    assert again == first
    assert (elsewhere.version, elsewhere.content_hash) == (2, first.content_hash)
    assert entries(caller, "query_set.import").count() == 2


def test_one_changed_grade_makes_a_version(caller):
    corpus = make_corpus(caller)
    make_query_set(caller, corpus, name="questions")

    changed = make_query_set(caller, corpus, name="questions", grades={**GRADES, "q2": {"d2": 2}})

    assert changed.version == 2
    assert selectors.find_query_set(caller, "questions@1").judgment_count == 4
    assert selectors.find_query_set(caller, "questions") == changed
    with pytest.raises(NotFound, match="this project has no query set"):
        selectors.find_query_set(make_caller(), changed.public_id)


def test_dangling_judgments_are_refused_whole_or_dropped_and_told(caller):
    corpus = make_corpus(caller)
    given = judgments({"q1": {"d1": 1, "gone": 1}, "q7": {"d1": 1}})
    arguments = {"caller": caller, "name": "questions", "corpus": corpus.public_id, "queries": rows_of(QUERIES)}

    with pytest.raises(InvalidInput, match="Field 'document_id' is 'gone'"):
        import_query_set(**arguments, judgments=given)
    assert not QuerySet.objects.exists()
    query_set, summary = import_query_set(**arguments, judgments=given, drop_dangling=True)

    assert query_set.judgment_count == 1
    assert summary.warnings[1:] == (
        "1 judgments were left out (dangling documents).",
        "1 judgments were left out (dangling queries).",
    )


def test_an_unknown_corpus_is_named(caller):
    with pytest.raises(NotFound) as raised:
        import_query_set(caller=caller, name="x", corpus="nothing", queries=rows_of(QUERIES), judgments=[])

    assert raised.value.details["field"] == "corpus"


def test_statements_grow_by_thousands_of_rows(caller):
    corpus = make_corpus(caller)
    tables = ('INSERT INTO "embeddings_ab_query" ', 'INSERT INTO "embeddings_ab_judgment" ')

    def statements(name, count):
        queries = {f"q{number}": "x" for number in range(count)}
        with CaptureQueriesContext(connection) as done:
            make_query_set(caller, corpus, name=name, queries=queries, grades={id: {"d1": 1} for id in queries})
        inserts = [query for query in done if query["sql"].startswith(tables)]
        return len(done) - len(inserts), len(inserts)

    statements("warm", 1)
    few, two_inserts = statements("one", 1)
    many, inserts = statements("many", 2001)

    assert (two_inserts, many) == (2, few)
    assert inserts == 6 or (connection.vendor == "sqlite" and inserts < 50)


@pytest.mark.django_db(transaction=True)
def test_equal_imports_at_once_make_one_version():
    caller = make_caller()
    corpus = make_corpus(caller)

    results = at_once(6, lambda number: make_query_set(caller, corpus, name="questions"))

    assert [result for result in results if isinstance(result, Exception)] == []
    assert len({query_set.pk for query_set in results}) == 1
    assert (QuerySet.objects.count(), Query.objects.count(), Judgment.objects.count()) == (1, 3, 4)


@pytest.mark.django_db(transaction=True)
def test_a_corpus_deleted_at_once_with_an_import_over_it_leaves_one_of_the_two():
    caller = make_caller()
    corpus = make_corpus(caller, name="docs")

    def act(number):
        if number == 0:
            return delete_corpus(caller=caller, corpus_id="docs")
        return make_query_set(caller, corpus, name=f"questions {number}")

    results = at_once(3, act)

    wrong = [
        result for result in results if isinstance(result, Exception) and not isinstance(result, Conflict | NotFound)
    ]
    assert wrong == []
    is_deleted = isinstance(results[0], str)
    assert QuerySet.objects.count() == (0 if is_deleted else 2)


def test_a_deleted_query_set_takes_its_rows_and_nothing_else(caller):
    corpus = make_corpus(caller)
    make_query_set(caller, corpus, name="questions")
    second = make_query_set(caller, corpus, name="questions", grades={})
    Collection.objects.create(
        project_id=caller.project_id,
        kind="queries",
        content_hash="0" * 64,
        recipe={},
        corpus=corpus,
        query_set=second,
        status="deleted",
    )

    assert delete_query_set(caller=caller, query_set_id="questions") == second.public_id

    assert (QuerySet.objects.count(), Query.objects.count(), Judgment.objects.count()) == (1, 3, 4)
    assert entries(caller, "query_set.delete").get().target_label == "questions@2"


def test_a_query_set_in_use_is_not_deleted_and_says_by_whom(caller):
    query_set = make_query_set(caller, name="questions")
    make_test_row(query_set, name="first test")
    make_run(caller, query_set, name="theirs")
    JudgingPool.objects.create(project_id=caller.project_id, query_set=query_set, name="pool", scale=[])

    with pytest.raises(Conflict) as raised:
        delete_query_set(caller=caller, query_set_id="questions")

    assert raised.value.message == (
        "The query set questions@1 is used by tests (first test) and uploaded runs (theirs) and judging pools (pool). "
        "Delete those first."
    )
    assert Query.objects.count() == 3


def test_a_run_is_stored_in_canonical_order(caller):
    query_set = make_query_set(caller, name="questions")
    rows = [
        RankedRow("q2", "d2", 0.5),
        RankedRow("q1", "d10", 1.0),
        RankedRow("q1", "d1", 1.0),
        RankedRow("q1", "d2", 1.5),
        RankedRow("q1", "d2", 9.0),
    ]

    run, summary = import_run(caller=caller, name="theirs", query_set="questions", rankings=rows)

    assert UploadedRun.objects.get(pk=run.pk).rankings == {
        "q1": [["d2", 1.5], ["d1", 1.0], ["d10", 1.0]],
        "q2": [["d2", 0.5]],
    }
    assert (run.query_set, summary.is_new) == (query_set, True)
    assert summary.counts == {
        "queries": 2,
        "queries_without_ranking": 1,
        "ranked": 4,
        "dangling_documents": 0,
        "dangling_queries": 0,
        "repeated_documents": 1,
    }
    assert summary.warnings == (
        "1 of 3 queries have no ranking in this run.",
        "1 documents stood in a ranking more than once; the first score was kept.",
    )
    assert entries(caller, "run.import").get().after["queries"] == 2


def test_the_same_run_is_stored_once_and_another_under_its_name_is_a_conflict(caller):
    query_set = make_query_set(caller, name="questions")
    first = make_run(caller, query_set, name="theirs")

    assert make_run(caller, query_set, name="theirs") == first
    with pytest.raises(Conflict, match="'theirs' with other rankings exists"):
        make_run(caller, query_set, name="theirs", rankings={"q1": [("d1", 7.0)]})

    assert (UploadedRun.objects.count(), entries(caller, "run.import").count()) == (1, 1)


def test_a_run_over_foreign_documents_is_refused_or_told(caller):
    make_query_set(caller, name="questions")
    rows = [RankedRow("q1", "d1", 1.0), RankedRow("q1", "gone", 1.0), RankedRow("q8", "d1", 1.0)]

    with pytest.raises(InvalidInput, match="'gone', which the corpus does not have"):
        import_run(caller=caller, name="theirs", query_set="questions", rankings=rows)
    assert not UploadedRun.objects.exists()
    _, summary = import_run(caller=caller, name="theirs", query_set="questions", rankings=rows, drop_dangling=True)

    assert (summary.counts["dangling_documents"], summary.counts["dangling_queries"]) == (1, 1)


def test_a_run_that_an_arm_names_is_not_deleted(caller):
    corpus = make_corpus(caller)
    query_set = make_query_set(caller, corpus, name="questions")
    later = make_query_set(caller, corpus, name="questions", grades={})
    make_run(caller, query_set, name="theirs")
    test = make_test_row(later, name="first test")

    Arm.objects.filter(test=test, name="minilm").update(spec={"retrieval": "run", "run": "theirs"})
    with pytest.raises(Conflict, match=r"The run theirs is used by tests \(first test\). Delete those first."):
        delete_run(caller=caller, run_id="theirs")
    Arm.objects.filter(test=test, name="minilm").update(spec={"retrieval": "run", "run": "others"})

    delete_run(caller=caller, run_id="theirs")

    assert not UploadedRun.objects.exists()
    assert entries(caller, "run.delete").get().before == {"name": "theirs"}
    with pytest.raises(NotFound, match="this project has no uploaded run"):
        delete_run(caller=caller, run_id="theirs")


@pytest.mark.django_db(transaction=True)
def test_equal_runs_at_once_are_stored_once():
    caller = make_caller()
    query_set = make_query_set(caller)

    results = at_once(4, lambda number: make_run(caller, query_set, name="theirs").pk)

    assert len(set(results)) == 1
    assert UploadedRun.objects.count() == 1
