"""Cells and lines of CSV: RFC 4180, no formulas, every digit."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.domain.csv_cells import cell, line, safe_text


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, ""),
        (float("nan"), ""),
        (float("inf"), ""),
        ("", '""'),
        (True, "true"),
        (False, "false"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e22, "1e+22"),
        (-3, "-3"),
        (10**30, "1" + "0" * 30),
        ("plain", "plain"),
        ("-1.5e-3", "-1.5e-3"),
        ("-", "'-"),
        ("-1-1", "'-1-1"),
        ("+1", "'+1"),
        ("=1+1", "'=1+1"),
        ("@cmd", "'@cmd"),
        ("\tx", "'\tx"),
        ("\rx", '"\'\rx"'),
        ("＝1", "'＝1"),
        ('=HYPERLINK("x","y")', '"\'=HYPERLINK(""x"",""y"")"'),
        ("a,b", '"a,b"'),
        ('say "hi"', '"say ""hi"""'),
        ("two\nlines", '"two\nlines"'),
        (" padded ", '" padded "'),
        ("grün", "grün"),
        ({"b": [1, 2.5], "a": "=x"}, '"{""a"":""=x"",""b"":[1,2.5]}"'),
        ([], "[]"),
    ],
)
def test_a_cell_is_written_as(value, written):
    assert cell(value) == written


def test_a_line_ends_with_cr_lf():
    assert line(["a", None, 1]) == "a,,1\r\n"


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
def test_every_text_is_read_back_as_it_was_written(texts):
    (row,) = csv.reader(io.StringIO(line(texts), newline=""), strict=True)
    assert row == [safe_text(text) for text in texts]
    assert not any(text.startswith(("=", "+", "@", "\t", "\r")) for text in row)


@pytest.mark.parametrize("text", [" =1+1", "\u00a0@SUM(A1)", "  \u3000＝cmd", " -2+3"])
def test_white_space_hides_no_formula(text):
    assert safe_text(text) == "'" + text
