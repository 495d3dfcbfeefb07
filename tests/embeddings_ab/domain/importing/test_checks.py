"""What every import must satisfy: which rows are refused, in which words, and what order and counts the others get."""

import pytest

from embeddings_ab.domain.importing.checks import check_documents, check_query_set, check_run
from embeddings_ab.domain.importing.faults import Faults
from embeddings_ab.domain.importing.rows import DocumentRow, JudgmentRow, Place, QueryRow, RankedRow
from governance.domain.errors import InvalidInput


def line(number, file="qrels/test.tsv"):
    return Place(file=file, line=number)


def refused(function):
    with pytest.raises(InvalidInput) as raised:
        function()
    return raised.value


def known(ids):
    return lambda wanted: wanted & set(ids)


def query_set(judgments, *, queries=("q1", "q2"), documents=("d1", "d2"), grade_map=None, drop_dangling=False):
    return check_query_set(
        [QueryRow(id, f"text of {id}") for id in queries],
        judgments,
        known_documents=known(documents),
        grade_map=grade_map,
        drop_dangling=drop_dangling,
        faults=Faults(),
    )


def run(rows, *, drop_dangling=False):
    return check_run(
        rows, known_queries={"q1"}, known_documents=known(["d1", "d2"]), drop_dangling=drop_dangling, faults=Faults()
    )


def test_documents_are_ordered_by_the_bytes_of_their_ids():
    # U+FF5E is before U+1F600 by code point and in UTF-8, but after it in UTF-16.
    ids = ["b", "B", "10", "9", "é", "\U0001f600", "\uff5e"]

    checked = check_documents([DocumentRow(id, text="x") for id in ids], Faults())

    assert [row.id for row in checked.documents] == sorted(ids, key=str.encode)
    assert [row.id for row in checked.documents] == ["10", "9", "B", "b", "é", "\uff5e", "\U0001f600"]


def test_empty_documents_and_nul_are_counted():
    checked = check_documents(
        [
            DocumentRow("a", title=" ", text="\n"),
            DocumentRow("b", title="t"),
            DocumentRow("c", text="x\x00y", metadata={"k": ["\x00"]}),
        ],
        Faults(),
    )

    assert (checked.empty_count, checked.nul_count, checked.character_count) == (1, 1, 6)
    assert checked.documents[2] == DocumentRow("c", text="x\ufffdy", metadata={"k": ["\ufffd"]})


def test_the_first_fault_is_named_and_all_are_counted():
    rows = [
        DocumentRow("a", place=line(1, "corpus.jsonl")),
        DocumentRow("a", place=line(2, "corpus.jsonl")),
        DocumentRow("a", place=line(3, "corpus.jsonl")),
        DocumentRow("", place=line(4, "corpus.jsonl")),
        DocumentRow("x" * 256, place=line(5, "corpus.jsonl")),
        DocumentRow("x y", place=line(6, "corpus.jsonl")),
    ]

    error = refused(lambda: check_documents(rows, Faults()))

    assert error.message == (
        "corpus.jsonl, line 2: Field 'id' is 'a', which another document has (corpus.jsonl, line 1). "
        "Ids are unique; leave one of them out. "
        "In all: 2 x duplicate document, 1 x empty id, 1 x id too long, 1 x unfit id."
    )
    assert error.details == {
        "field": "id",
        "value": "a",
        "file": "corpus.jsonl",
        "line": 2,
        "faults": {"duplicate_document": 2, "empty_id": 1, "id_too_long": 1, "unfit_id": 1},
    }


def test_places_in_bodies_are_fields():
    error = refused(lambda: check_documents([DocumentRow("", place=Place(element="documents.17"))], Faults()))

    assert error.details["field"] == "documents.17.id"
    assert error.message.startswith("documents.17: Field 'id' is empty")


@pytest.mark.parametrize("id", ["a\x00", "a\tb", "a\u2028b", "a\x7f", " a"])
def test_ids_that_no_trec_file_could_hold_are_refused(id):
    assert refused(lambda: check_documents([DocumentRow(id)], Faults())).details["faults"] == {"unfit_id": 1}


def test_an_id_of_255_characters_fits():
    assert len(check_documents([DocumentRow("é" * 255)], Faults()).documents) == 1


@pytest.mark.parametrize("metadata", [{"k": float("nan")}, {"k": {1: 2}}, {"k": object()}])
def test_metadata_that_is_no_json_is_refused(metadata):
    error = refused(lambda: check_documents([DocumentRow("a", metadata=metadata)], Faults()))

    assert error.details["faults"] == {"unfit_metadata": 1}


def test_metadata_too_deep_for_the_database_is_refused():
    deep: dict = {}
    for _ in range(70):
        deep = {"k": deep}

    assert "nested deeper" in refused(lambda: check_documents([DocumentRow("a", metadata=deep)], Faults())).message
    rows = [QueryRow("q", "x", deep)]
    error = refused(
        lambda: check_query_set(
            rows, [], known_documents=known([]), grade_map=None, drop_dangling=False, faults=Faults()
        )
    )
    assert error.details["faults"] == {"unfit_metadata": 1}


def test_a_corpus_without_documents_and_a_set_without_queries_are_refused():
    assert refused(lambda: check_documents([], Faults())).details["field"] == "documents"
    assert refused(lambda: query_set([], queries=())).details["field"] == "queries"


def test_queries_are_counted_with_and_without_judgments():
    checked = query_set([JudgmentRow("q2", "d2", 3), JudgmentRow("q2", "d1", 0)])

    assert [row.id for row in checked.queries] == ["q1", "q2"]
    assert [(row.query_id, row.document_id, row.grade) for row in checked.judgments] == [
        ("q2", "d1", 0),
        ("q2", "d2", 3),
    ]
    assert (checked.judged_count, checked.greatest_grade, checked.warnings) == (1, 3, ())


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ([QueryRow("a", "x"), QueryRow("a", "y")], "duplicate_query"),
        ([QueryRow("a", " \n")], "empty_query"),
        ([QueryRow("", "x")], "empty_id"),
    ],
)
def test_faulty_queries_are_refused(rows, kind):
    error = refused(
        lambda: check_query_set(
            rows, [], known_documents=known([]), grade_map=None, drop_dangling=False, faults=Faults()
        )
    )

    assert error.details["faults"] == {kind: 1}


def test_dangling_judgments_are_refused_naming_the_first_in_reading_order():
    rows = [
        JudgmentRow("q1", "d1", 1, place=line(1)),
        JudgmentRow("q1", "zz", 1, place=line(2)),
        JudgmentRow("nobody", "d1", 1, place=line(3)),
        JudgmentRow("q1", "aa", 1, place=line(4)),
    ]

    error = refused(lambda: query_set(rows))

    assert error.message.startswith(
        "qrels/test.tsv, line 2: Field 'document_id' is 'zz', which the corpus does not have."
    )
    assert "drop_dangling" in error.message
    assert error.details["faults"] == {"dangling_document": 2, "dangling_query": 1}


def test_dangling_judgments_are_dropped_and_counted_on_request():
    rows = [JudgmentRow("q1", "d1", 1), JudgmentRow("q1", "zz", 1), JudgmentRow("nobody", "zz", 1)]

    checked = query_set(rows, drop_dangling=True)

    assert len(checked.judgments) == 1
    assert checked.dropped == {"dangling_documents": 1, "dangling_queries": 1, "repeated_judgments": 0}


def test_negative_grades_need_a_grade_map_and_the_refusal_shows_one():
    error = refused(lambda: query_set([JudgmentRow("q1", "d1", -1, place=line(30))]))

    assert error.message.startswith("qrels/test.tsv, line 30: Field 'grade' is -1. Grades are gains")
    assert '{"-1": 0, "1": 4, "2": 3, "3": 2, "4": 1}' in error.message


def test_a_grade_map_turns_a_backward_scale_round():
    rows = [JudgmentRow("q1", "d1", -1), JudgmentRow("q1", "d2", 1), JudgmentRow("q2", "d1", 4)]

    checked = query_set(rows, grade_map={-1: 0, 1: 4, 4: 1})

    assert [row.grade for row in checked.judgments] == [0, 4, 1]
    assert checked.greatest_grade == 4


def test_a_grade_map_must_name_every_grade():
    error = refused(lambda: query_set([JudgmentRow("q1", "d1", 2)], grade_map={1: 1}))

    assert error.details["faults"] == {"unmapped_grade": 1}


@pytest.mark.parametrize(("grade", "fits"), [(1000, True), (1001, False)])
def test_grades_have_a_limit(grade, fits):
    if fits:
        assert query_set([JudgmentRow("q1", "d1", grade)]).greatest_grade == grade
    else:
        assert refused(lambda: query_set([JudgmentRow("q1", "d1", grade)])).details["faults"] == {
            "grade_out_of_range": 1
        }


def test_the_same_judgment_twice_is_one_and_two_grades_are_refused():
    same = [JudgmentRow("q1", "d1", 1), JudgmentRow("q1", "d1", 1)]
    checked = query_set(same)
    assert (len(checked.judgments), checked.dropped["repeated_judgments"]) == (1, 1)

    error = refused(
        lambda: query_set([JudgmentRow("q1", "d1", 1, place=line(1)), JudgmentRow("q1", "d1", 2, place=line(2))])
    )
    assert error.message == (
        "qrels/test.tsv, line 2: Document 'd1' has the grade 1 for query 'q1' already (qrels/test.tsv, line 1), "
        "and here 2. Leave one of them out."
    )


def test_grades_that_say_little_are_warned_of():
    assert "no judgments" in query_set([]).warnings[0]
    assert "No judgment is above 0" in query_set([JudgmentRow("q1", "d1", 0)]).warnings[0]
    three = [JudgmentRow("q1", "d1", 1), JudgmentRow("q1", "d2", 2), JudgmentRow("q2", "d1", 3)]
    assert query_set(three).warnings == (
        "Grades run from 1 to 3 and greater is taken as more relevant. "
        "If this scale runs backwards, import it again with a grade_map.",
    )


def test_runs_are_put_in_canonical_order_whatever_their_ranks():
    checked = run([RankedRow("q1", "d2", 1.0), RankedRow("q1", "d1", 1.0)])

    assert checked.rankings == {"q1": [("d1", 1.0), ("d2", 1.0)]}
    assert run([RankedRow("q1", "d2", 2), RankedRow("q1", "d1", 1.0)]).rankings == {"q1": [("d2", 2), ("d1", 1.0)]}


def test_a_document_twice_in_a_ranking_keeps_its_first_score():
    checked = run([RankedRow("q1", "d1", 1.0), RankedRow("q1", "d2", 2.0), RankedRow("q1", "d1", 9.0)])

    assert checked.rankings == {"q1": [("d2", 2.0), ("d1", 1.0)]}
    assert checked.dropped["repeated_documents"] == 1


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
def test_scores_that_order_nothing_are_refused(score):
    assert refused(lambda: run([RankedRow("q1", "d1", score)])).details["faults"] == {"bad_score": 1}


def test_runs_over_foreign_documents_are_refused_or_dropped():
    rows = [RankedRow("q1", "d1", 1.0), RankedRow("q1", "x", 2.0), RankedRow("q9", "d1", 2.0)]

    error = refused(lambda: run(rows))
    assert error.details["faults"] == {"dangling_document": 1, "dangling_query": 1}
    assert error.details["value"] == "x"
    checked = run(rows, drop_dangling=True)
    assert checked.rankings == {"q1": [("d1", 1.0)]}
    assert checked.dropped == {"dangling_documents": 1, "dangling_queries": 1, "repeated_documents": 0}


def test_an_empty_run_is_refused():
    assert refused(lambda: run([])).details["field"] == "rankings"
