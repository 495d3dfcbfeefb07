"""The dataset argument: lists, files and frames, and what is said when one cannot be used."""

import math

import pandas as pd
import pytest

from experiments.sdk import datasets
from experiments.sdk.errors import ConfigurationError


def test_lists_come_back_as_they_are():
    rows = [{"inputs": {"q": 1}}, {"q": 2}]
    assert datasets.load(rows) == rows
    assert datasets.load(tuple(rows)) == rows


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (5, "must be a list of dicts, a path to .json"),
        ({"a": 1}, "must be a list of dicts"),
        ([{"a": 1}, "x"], "Item 1 of dataset is str; every datapoint must be a dict"),
        ([], "dataset has no datapoints"),
    ],
)
def test_what_is_no_dataset_is_refused_with_the_remedy(dataset, message):
    with pytest.raises(ValueError, match=message):
        datasets.load(dataset)


def test_files_of_all_kinds_give_the_same_rows(tmp_path):
    expected = [
        {"id": "a", "inputs": {"q": "x"}, "ground_truth": {"a": "1"}},
        {"id": "b", "inputs": {"q": "y\nz"}, "ground_truth": {"a": None}},
    ]
    (tmp_path / "rows.csv").write_text('id,inputs.q,ground_truth.a\na,x,1\nb,"y\nz",\n', encoding="utf-8-sig")
    (tmp_path / "rows.jsonl").write_text(
        '{"id":"a","inputs":{"q":"x"},"ground_truth":{"a":"1"}}\n\n'
        '{"id":"b","inputs":{"q":"y\\nz"},"ground_truth":{"a":null}}\n'
    )
    (tmp_path / "rows.json").write_text(
        '[{"id":"a","inputs":{"q":"x"},"ground_truth":{"a":"1"}},'
        '{"id":"b","inputs":{"q":"y\\nz"},"ground_truth":{"a":null}}]'
    )
    for kind in ("csv", "jsonl", "json"):
        assert datasets.load(str(tmp_path / f"rows.{kind}")) == expected, kind


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"x", "is of no known kind"),
        ("a.json", b"{", "is no JSON"),
        ("a.json", b"{}", "holds dict; it must be a list"),
        ("a.json", b"[]", "has no datapoints"),
        ("a.jsonl", b'{"a":1}\n{', "line 2, is no JSON"),
        ("a.jsonl", b"[1]\n", "Item 0 of .* is list"),
        ("a.csv", b"a,b\n1,2,3\n", "line 2, has more cells"),
        ("a.csv", b'a\n"x\n', "is no CSV"),
        ("a.csv", b"inputs,inputs.q\n1,2\n", "contradict each other"),
        ("a.json", b"\xff", "is not UTF-8"),
    ],
)
def test_broken_files_are_named_with_the_place(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=message):
        datasets.load(tmp_path / name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"gone.json cannot be read: No such file"):
        datasets.load(tmp_path / "gone.json")


def test_frames_lose_their_missing_values_and_numpy_types():
    frame = pd.DataFrame({"inputs.n": [1, 2], "ground_truth.x": [0.5, math.nan]})
    rows = datasets.load(frame)
    assert rows == [
        {"inputs": {"n": 1}, "ground_truth": {"x": 0.5}},
        {"inputs": {"n": 2}, "ground_truth": {"x": None}},
    ]
    assert type(rows[0]["inputs"]["n"]) is int


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_unusual_line_ends_inside_cells_tear_no_rows(tmp_path, separator):
    (tmp_path / "a.csv").write_text(f"inputs.q,ground_truth.a\none{separator}two,x\nthree,y\n", newline="")
    assert datasets.read_file(tmp_path / "a.csv") == [
        {"inputs": {"q": f"one{separator}two"}, "ground_truth": {"a": "x"}},
        {"inputs": {"q": "three"}, "ground_truth": {"a": "y"}},
    ]


def test_line_ends_of_windows_are_line_ends(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'a,b\r\n1,"x\r\ny"\r\n')
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\r\n{"a": 2}\r\n')
    assert datasets.read_file(tmp_path / "a.csv") == [{"a": "1", "b": "x\r\ny"}]
    assert datasets.read_file(tmp_path / "a.jsonl") == [{"a": 1}, {"a": 2}]
