"""BEIR folders: the data sets of record with their traps, and what is written is read back."""

import gzip
from pathlib import Path

import pytest

from embeddings_ab.domain.importing.beir import BeirFolder, write_folder
from embeddings_ab.domain.importing.checks import check_documents, check_query_set
from embeddings_ab.domain.importing.faults import Faults
from embeddings_ab.domain.importing.rows import DocumentRow, JudgmentRow, QueryRow
from governance.domain.errors import InvalidInput, NotFound

DATA = Path(__file__).resolve().parents[5] / "shared" / "data"


def data_set(name):
    if not (DATA / name).is_dir():
        pytest.skip(f"the data set {name} is not beside this checkout (../shared/data)")
    return BeirFolder(DATA / name)


def corpus_of(folder):
    faults = Faults()
    return check_documents(folder.documents(faults), faults)


def query_set_of(folder, split, documents, **options):
    faults = Faults()
    ids = {row.id for row in documents}
    return check_query_set(
        folder.queries(faults),
        folder.judgments(split, faults),
        known_documents=lambda wanted: wanted & ids,
        faults=faults,
        **{"grade_map": None, "drop_dangling": False, **options},
    )


def test_cranfield_has_two_empty_documents_and_graded_splits():
    folder = data_set("cranfield")
    corpus = corpus_of(folder)

    assert folder.splits == ("test", "test_all", "test_graded", "test_rawcode")
    assert (len(corpus.documents), corpus.empty_count) == (1400, 2)
    assert [row.id for row in corpus.documents if not row.text] == ["471", "995"]
    for split, relevant, greatest in (("test", 1612, 1), ("test_all", 1837, 1), ("test_graded", 1612, 4)):
        checked = query_set_of(folder, split, corpus.documents)
        assert (len(checked.queries), checked.judged_count, len(checked.judgments)) == (225, 225, 1837)
        assert (sum(row.grade > 0 for row in checked.judgments), checked.greatest_grade) == (relevant, greatest)


def test_cranfields_own_codes_are_refused_and_mapped_give_the_graded_split():
    folder = data_set("cranfield")
    corpus = corpus_of(folder)

    with pytest.raises(InvalidInput, match=r"qrels/test_rawcode.tsv.gz, line 30: Field 'grade' is -1.*grade_map"):
        query_set_of(folder, "test_rawcode", corpus.documents)

    mapped = query_set_of(folder, "test_rawcode", corpus.documents, grade_map={-1: 0, 1: 4, 2: 3, 3: 2, 4: 1})
    assert mapped.content_hash == query_set_of(folder, "test_graded", corpus.documents).content_hash


def test_cisi_has_36_queries_without_judgments():
    folder = data_set("cisi")
    corpus = corpus_of(folder)
    checked = query_set_of(folder, "test", corpus.documents)

    assert (len(corpus.documents), corpus.empty_count) == (1460, 0)
    assert (len(checked.queries), checked.judged_count, len(checked.judgments)) == (112, 76, 3114)
    assert len(list(folder.queries_of("test", Faults()))) == 76


@pytest.mark.parametrize("packed", [False, True])
def test_a_data_set_survives_writing_and_reading(tmp_path, packed):
    folder = data_set("cisi")
    corpus = corpus_of(folder)
    checked = query_set_of(folder, "test", corpus.documents)

    write_folder(tmp_path, corpus.documents, checked.queries, {"test": checked.judgments}, packed=packed)

    again = BeirFolder(tmp_path)
    assert corpus_of(again).content_hash == corpus.content_hash
    assert query_set_of(again, "test", corpus.documents).content_hash == checked.content_hash


def test_written_files_are_beirs_own_layout(tmp_path):
    documents = [DocumentRow("d", "t", "é\u2028\n", {"k": 1})]
    write_folder(tmp_path, documents, [QueryRow("q", "x")], {"dev": [JudgmentRow("q", "d", 2)]})

    assert (tmp_path / "corpus.jsonl").read_text() == (
        '{"_id":"d","title":"t","text":"é\u2028\\n","metadata":{"k":1}}\n'
    )
    assert (tmp_path / "queries.jsonl").read_text() == '{"_id":"q","text":"x","metadata":{}}\n'
    assert (tmp_path / "qrels" / "dev.tsv").read_text() == "query-id\tcorpus-id\tscore\nq\td\t2\n"
    assert list(BeirFolder(tmp_path).documents(Faults())) == documents


def test_packed_files_are_equal_for_equal_content(tmp_path):
    for name in ("one", "two"):
        write_folder(tmp_path / name, [DocumentRow("d", text="x")], [QueryRow("q", "x")], {}, packed=True)

    first, second = ((tmp_path / name / "corpus.jsonl.gz").read_bytes() for name in ("one", "two"))
    assert first == second
    assert gzip.decompress(first).startswith(b'{"_id":"d"')


def test_folders_that_are_none_are_named(tmp_path):
    with pytest.raises(NotFound, match="There is no folder"):
        BeirFolder(tmp_path / "gone")
    with pytest.raises(InvalidInput, match=r"neither corpus.jsonl nor corpus.jsonl.gz"):
        BeirFolder(tmp_path)
    write_folder(tmp_path, [DocumentRow("d")], [QueryRow("q", "x")], {})
    assert BeirFolder(tmp_path).splits == ()
    with pytest.raises(NotFound, match="no split 'test'; it has none"):
        BeirFolder(tmp_path).judgments("test", Faults())
