"""Rows of export files: where they stood, and what is wrong with them."""

import gzip
import json
from pathlib import Path

import pytest

from experiments.sdk.errors import ConfigurationError
from experiments.sdk.importers.files import Row, cell_value, export_files, read_rows


def test_lines_are_told_by_their_number_and_a_bad_one_does_not_stop_the_others(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n\n{"a": \n[2]\n')
    first, second, third = read_rows([path])
    assert (first, third) == (Row("a.jsonl:1", {"a": 1}), Row("a.jsonl:4", [2]))
    assert second.where == "a.jsonl:3"
    assert second.fault is not None
    assert second.fault.startswith("not JSON: ")


def test_a_document_is_its_elements_or_itself(tmp_path: Path):
    listed, whole = tmp_path / "a.json", tmp_path / "b.json"
    listed.write_text("[1, 2]")
    whole.write_text('{"data": []}')
    assert list(read_rows([listed, whole])) == [Row("a.json[0]", 1), Row("a.json[1]", 2), Row("b.json", {"data": []})]


def test_lines_under_the_name_of_a_document_are_read_as_lines(tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_text('\n{"a": 1}\n{"a": 2}\n')
    assert [row.value for row in read_rows([path])] == [{"a": 1}, {"a": 2}]


def test_a_document_that_is_no_json_is_one_bad_row(tmp_path: Path):
    for text in ("{", ""):
        (tmp_path / "a.json").write_text(text)
        (row,) = read_rows([tmp_path / "a.json"])
        assert row.where == "a.json"
        assert row.fault is not None


def test_packed_files_are_read_as_they_would_be_unpacked(tmp_path: Path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": 1}\n'))
    assert list(read_rows(export_files(path))) == [Row("a.jsonl.gz:1", {"a": 1})]


def test_cells_are_texts_objects_or_nothing(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text('\ufeffid,input,empty,two\n1,"{""q"": ""a\nb""}",,"[{\'x\': 1.5}]"\n2,x,y\n3,x,y,z,too much\n')
    first, second, third = read_rows([path])
    # A raw line break makes it no JSON: the text stays.
    assert first.value == {"id": "1", "input": '{"q": "a\nb"}', "empty": None, "two": [{"x": 1.5}]}
    assert second.value == {"id": "2", "input": "x", "empty": "y", "two": None}
    assert third.fault == "has more cells than the first line has names"


def test_broken_csv_is_told_and_the_rest_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("experiments.sdk.importers.files._LONGEST_CELL", 20)
    path = tmp_path / "a.csv"
    path.write_text("id\n" + "x" * 100 + "\n2\n")
    first, second = read_rows([path])
    assert first.fault == "not CSV: field larger than field limit (20)"
    assert second.value == {"id": "2"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (None, None),
        ("", None),
        ("a", "a"),
        ("[1", "[1"),
        ("{1, 2}", {1, 2}),
        ("{x}", "{x}"),
        ('{"a": null}', {"a": None}),
    ],
)
def test_one_cell(text: str | None, value: object):
    assert cell_value(text) == value


def test_a_folder_is_its_export_files_by_name(tmp_path: Path):
    for name in ("b.csv", "a.json", "notes.txt", "c.ndjson.gz"):
        (tmp_path / name).write_text("")
    (tmp_path / "d.json").mkdir()
    assert [path.name for path in export_files(tmp_path)] == ["a.json", "b.csv", "c.ndjson.gz"]


@pytest.mark.parametrize(("name", "remedy"), [("a.parquet", "to_json"), ("a.txt", ".jsonl"), ("a.gz", ".jsonl")])
def test_other_files_are_refused_with_the_remedy(tmp_path: Path, name: str, remedy: str):
    (tmp_path / name).write_text("")
    with pytest.raises(ConfigurationError, match=remedy):
        export_files(tmp_path / name)


def test_a_folder_without_export_files_is_refused(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="holds no export file"):
        export_files(tmp_path)


def test_numbers_beyond_64_bits_and_nan_are_read(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"a": 10**30}) + "\n" + '{"a": NaN}\n')
    first, second = read_rows([tmp_path / "a.jsonl"])
    assert first.value["a"] == pytest.approx(1e30)
    assert second.value["a"] != second.value["a"]
