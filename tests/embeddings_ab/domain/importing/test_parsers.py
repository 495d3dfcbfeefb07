"""Parsers: what each format says, where its faults are, and that nothing is told by a file's name."""

import gzip
import json

import pytest

from embeddings_ab.domain.importing import json_lines, objects, tables, text_lines, trec
from embeddings_ab.domain.importing.beir import read_qrels
from embeddings_ab.domain.importing.faults import Faults
from embeddings_ab.domain.importing.rows import DocumentRow, JudgmentRow, Place, QueryRow, RankedRow
from governance.domain.errors import InvalidInput, NotFound


def read(reader, source, **options):
    """Rows of a good source."""
    faults = Faults()
    rows = list(reader(source if isinstance(source, bytes) else source.encode(), faults, **options))
    faults.refuse()
    return rows


def fault(reader, source, **options):
    """The refusal of a bad one, after all of it was read."""
    faults = Faults()
    list(reader(source if isinstance(source, bytes) else source.encode(), faults, **options))
    with pytest.raises(InvalidInput) as raised:
        faults.refuse()
    return raised.value


DOCUMENT = '{"_id": 7, "title": "t", "text": "x", "metadata": {"a": 1}, "url": "u"}\n'


@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.jsonl.gz"])
@pytest.mark.parametrize("is_packed", [False, True])
def test_gzip_is_told_by_content_not_by_name(tmp_path, name, is_packed):
    raw = DOCUMENT.encode()
    (tmp_path / name).write_bytes(gzip.compress(raw) if is_packed else raw)

    rows = list(json_lines.read_documents(tmp_path / name, Faults()))

    assert rows == [DocumentRow("7", "t", "x", {"a": 1, "url": "u"})]
    assert rows[0].place == Place(file=name, line=1)


def test_a_byte_order_mark_and_windows_line_ends_are_no_content():
    assert read(json_lines.read_documents, b"\xef\xbb\xbf" + DOCUMENT.replace("\n", "\r\n").encode())[0].text == "x"
    assert read(read_qrels, b"\xef\xbb\xbfquery-id\tcorpus-id\tscore\r\n1\td\t1\r\n") == [JudgmentRow("1", "d", 1)]


def test_lines_end_at_line_feeds_alone():
    line = json.dumps({"_id": "a", "text": "one\u2028two\x85three"}, ensure_ascii=False)

    assert read(json_lines.read_documents, line)[0].text == "one\u2028two\x85three"


def test_bytes_that_are_no_utf8_are_named_by_line_and_byte():
    error = fault(json_lines.read_documents, DOCUMENT.encode() + b'{"_id": "\xff"}\n', name="corpus.jsonl")

    assert error.message == (
        "corpus.jsonl, line 2: Byte 10 of the line is 0xff, which is no UTF-8. "
        "Convert the file to UTF-8, for example with iconv."
    )


def test_a_damaged_gzip_file_is_refused_with_the_line_it_ends_after():
    packed = gzip.compress(DOCUMENT.encode() * 10_000)

    with pytest.raises(InvalidInput, match=r"after line [0-9]+: the gzip stream is damaged"):
        list(json_lines.read_documents(packed[: len(packed) // 2], Faults()))
    with pytest.raises(InvalidInput, match="damaged"):
        list(json_lines.read_documents(packed[:40] + b"\x00" * 40 + packed[80:], Faults()))


def test_endless_lines_are_noted_and_skipped(monkeypatch):
    monkeypatch.setattr(text_lines, "LINE_LIMIT", 100)
    source = "x" * 1000 + "\n" + DOCUMENT

    faults = Faults()
    rows = list(json_lines.read_documents(source.encode(), faults))

    assert [row.id for row in rows] == ["7"]
    assert dict(faults.counts) == {"line_too_long": 1}


def test_files_that_cannot_be_opened_are_named(tmp_path):
    with pytest.raises(NotFound, match=r"There is no file 'gone.jsonl'"):
        list(json_lines.read_documents(tmp_path / "gone.jsonl", Faults()))
    with pytest.raises(InvalidInput, match="cannot be read"):
        list(json_lines.read_documents(tmp_path, Faults()))


@pytest.mark.parametrize("line", ["{", '{"_id": "a", "text": NaN}', '{"_id": "a", "text": "\\ud800"}', "{'_id': 1}"])
def test_lines_that_are_no_json_are_noted(line):
    error = fault(json_lines.read_documents, f"{DOCUMENT}\n{line}\n", name="c")

    assert error.message.startswith("c, line 3: The line is no JSON")
    assert error.details["faults"] == {"not_json": 1}


@pytest.mark.parametrize(
    ("item", "field", "said"),
    [
        ({"text": "x"}, "id", "Field 'id' is missing; there are 'text'."),
        ({"id": "a", "txt": "x"}, "text", "Field 'text' is missing; there are 'id', 'txt'."),
        ({"id": 1.5, "text": "x"}, "id", "Field 'id' is a number; ids are texts."),
        ({"id": True, "text": "x"}, "id", "Field 'id' is a boolean; ids are texts."),
        ({"id": "a", "text": ["x"]}, "text", "Field 'text' is a list; give a text."),
        ({"id": "a", "text": "x", "title": 1}, "title", "Field 'title' is a number; give a text."),
        ({"id": "a", "text": "x", "metadata": "m"}, "metadata", "Field 'metadata' is a text; give an object."),
        ([], "", "a list; every row is a JSON object."),
        (None, "", "a null; every row is a JSON object."),
    ],
)
def test_objects_that_are_no_documents_are_noted_once(item, field, said):
    faults = Faults()
    rows = list(objects.document_rows(objects.elements([{"id": "ok", "text": ""}, item], "documents"), faults))

    assert [row.id for row in rows] == ["ok"]
    with pytest.raises(InvalidInput) as raised:
        faults.refuse()
    assert raised.value.message == f"documents.1: {said}"
    assert raised.value.details["field"] == f"documents.1.{field}".rstrip(".")


def test_documents_may_have_null_texts():
    rows = objects.document_rows(objects.elements([{"id": "a", "title": None, "text": None}], "documents"), Faults())

    assert list(rows) == [DocumentRow("a")]


def test_queries_and_judgments_of_jsonl():
    assert read(json_lines.read_queries, '{"_id": 1, "text": "why", "kind": "hard"}') == [
        QueryRow("1", "why", {"kind": "hard"})
    ]
    assert read(json_lines.read_judgments, '{"query_id": 1, "document_id": "d", "grade": 2.0}') == [
        JudgmentRow("1", "d", 2)
    ]


@pytest.mark.parametrize("grade", [1.5, "high", None, True, 1e300, [1]])
def test_grades_are_whole_numbers(grade):
    rows = [{"query_id": "q", "document_id": "d", "grade": grade}]
    faults = Faults()

    assert list(objects.judgment_rows(objects.elements(rows, "judgments"), faults)) == []
    assert dict(faults.counts) == {"bad_grade": 1}


def test_rankings_of_a_body():
    rankings = {"q1": [{"document_id": "d", "score": 1}], "q2": "x", "q3": [{"document_id": "d", "score": "1"}]}
    faults = Faults()

    assert list(objects.ranked_rows(rankings, faults)) == [RankedRow("q1", "d", 1.0)]
    with pytest.raises(InvalidInput) as raised:
        faults.refuse()
    assert raised.value.details["field"] == "rankings.q2"
    assert raised.value.details["faults"] == {"wrong_type": 2}


def test_a_score_beyond_doubles_is_refused_later_not_lost():
    rows = list(objects.ranked_rows({"q": [{"document_id": "d", "score": 10**400}]}, Faults()))

    assert rows == [RankedRow("q", "d", float("inf"))]


def test_csv_with_quoted_lines_and_other_columns():
    source = 'id,title,text,year\r\n1,t,"one, ""two""\nthree",1999\r\n\r\n2,,x,\r\n'

    rows = read(tables.read_documents, source, name="d.csv")

    assert rows == [
        DocumentRow("1", "t", 'one, "two"\nthree', {"year": "1999"}),
        DocumentRow("2", "", "x", {"year": ""}),
    ]
    assert [row.place.line for row in rows] == [2, 5]


def test_tab_separated_tables_and_long_fields():
    long = "x" * 200_000

    assert read(tables.read_queries, f"id\ttext\n1\t{long}\n")[0].text == long
    assert read(tables.read_judgments, "query_id\tdocument_id\tgrade\n1\td, e\t2.0\n") == [JudgmentRow("1", "d, e", 2)]


def test_tables_without_their_columns_are_refused_before_any_row():
    with pytest.raises(InvalidInput, match=r"q.csv, line 1: column 'text' is missing. The header names 'id', 'query'"):
        read(tables.read_queries, "id,query\n1,x\n", name="q.csv")
    with pytest.raises(InvalidInput, match="named twice"):
        read(tables.read_queries, "id,text,id\n1,x,2\n")
    with pytest.raises(InvalidInput, match="The table is empty"):
        read(tables.read_queries, "\n")
    with pytest.raises(InvalidInput, match="no UTF-8"):
        read(tables.read_queries, b"id,text\xff\n1,x\n")


def test_records_with_too_few_fields_and_broken_quotes_are_noted():
    error = fault(tables.read_queries, 'id,text\n1\n2,x,y\n3,"a"b\n4,"open\n', name="q.csv")

    assert error.message.startswith("q.csv, line 2: The record has 1 fields, the header 2.")
    assert error.details["faults"] == {"not_csv": 2, "wrong_columns": 2}


def test_beir_judgments_with_and_without_header():
    rows = [JudgmentRow("1", "d", 1), JudgmentRow("2", "e", -1)]

    assert read(read_qrels, "query-id\tcorpus-id\tscore\n1\td\t1\n\n2\te\t-1\n") == rows
    assert read(read_qrels, "1\td\t1\n2\te\t-1") == rows


def test_beir_judgments_that_are_something_else_are_noted():
    error = fault(read_qrels, "1 0 d 1\n", name="qrels/test.tsv")
    assert error.message.endswith("This looks like TREC's four columns; import it as TREC.")
    assert fault(read_qrels, "1\td\thigh\n").details["faults"] == {"bad_grade": 1}


TOPICS = """<top>
<num> Number: 301
<title> International Organized
Crime &amp; AT&T

<desc> Description:
Identify organizations.

<narr> Narrative:
A relevant document must, &c.
</top>

<top>
<num>302</num><title>Poliomyelitis</title>
</top>
"""


def test_tagged_topics_with_and_without_closing_tags():
    rows = read(trec.read_topics, TOPICS, name="topics")

    assert rows == [
        QueryRow(
            "301",
            "International Organized Crime & AT&T",
            {"description": "Identify organizations.", "narrative": "A relevant document must, &c."},
        ),
        QueryRow("302", "Poliomyelitis", {}),
    ]
    assert [row.place.line for row in rows] == [1, 13]


def test_topics_numbered_by_attribute():
    source = (
        '<?xml version="1.0"?>\n<topics>\n<topic number="1">\n<query>coronavirus origin</query>\n'
        "<question>what is the origin</question></topic>\n<topic number='2'><query>b</query></topic></topics>"
    )

    assert read(trec.read_topics, source) == [
        QueryRow("1", "coronavirus origin", {"description": "what is the origin"}),
        QueryRow("2", "b", {}),
    ]


def test_the_last_topic_may_lack_its_end():
    assert read(trec.read_topics, "<top><num> 9 <title> x") == [QueryRow("9", "x", {})]


def test_tab_separated_topics():
    assert read(trec.read_topics, "\n1\tone: two\n\n2\tb\tc\n") == [QueryRow("1", "one: two"), QueryRow("2", "b\tc")]
    assert read(trec.read_topics, "") == []
    assert fault(trec.read_topics, "1 no tab\n").details["faults"] == {"wrong_columns": 1}


def test_topics_without_a_number_are_noted():
    error = fault(trec.read_topics, "<top>\n<title> x\n</top>\n<top><num>1<title>y</top>", name="t")

    assert error.message.startswith("t, line 1: The topic has no number")


def test_trec_judgments_and_runs():
    assert read(trec.read_qrels, "1 0 d 2\n\n1\t0\te\t-1\n") == [JudgmentRow("1", "d", 2), JudgmentRow("1", "e", -1)]
    assert read(trec.read_run, "1 Q0 d 1 1.5e1 tag\n1 Q0 e 2 -3 tag\n") == [
        RankedRow("1", "d", 15.0),
        RankedRow("1", "e", -3.0),
    ]


@pytest.mark.parametrize(
    ("reader", "line", "kind"),
    [
        (trec.read_qrels, "1\td\t1", "wrong_columns"),
        (trec.read_qrels, "1 0 d x", "bad_grade"),
        (trec.read_run, "1 Q0 d 1 2.5", "wrong_columns"),
        (trec.read_run, "1 Q0 d 1 high tag", "bad_score"),
    ],
)
def test_other_columns_than_trecs_are_noted(reader, line, kind):
    assert fault(reader, line).details["faults"] == {kind: 1}


def test_what_trec_writes_is_read_back():
    judgments = [JudgmentRow("q1", "d1", 2), JudgmentRow("q2", "d2", -1)]
    ranking = [("d2", 0.1 + 0.2), ("d1", -1e-9)]

    assert read(trec.read_qrels, "".join(trec.qrels_lines(judgments))) == judgments
    written = "".join(trec.run_lines([("q1", ranking)], tag="my run"))
    assert written.splitlines()[0] == "q1 Q0 d2 1 0.30000000000000004 my_run"
    assert [(row.document_id, row.score) for row in read(trec.read_run, written)] == ranking
    assert "".join(trec.run_lines([("q1", [("d", 1.0)])], tag=" ")) == "q1 Q0 d 1 1.0 run\n"
