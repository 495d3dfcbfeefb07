"""Cells and lines of CSV files (RFC 4180) that no spreadsheet can mistake for formulas."""

import json
import math
import re
from collections.abc import Iterable
from typing import Any

# What spreadsheets begin a formula with, full-width forms included; some skip white space before it.
_DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"-?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NEEDS_QUOTES = re.compile(r'[",\r\n]|^\s|\s$')


def json_text(value: Any) -> str:
    """Compact JSON with sorted keys, the same on every database; integers of any size."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def safe_text(text: str) -> str:
    """Text with a quote mark before it when a spreadsheet would run it; plain negative numbers stay as they are."""
    if (text.startswith(_DANGEROUS) or text.lstrip().startswith(_DANGEROUS)) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def cell(value: Any) -> str:
    """One cell, quoted where RFC 4180 asks for it.

    None, NaN and infinities are empty (undefined); an empty text is a quoted empty cell; booleans are `true`
    and `false`; floats keep every digit (`repr`); objects and lists are JSON.
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    text = value if isinstance(value, str) else json_text(value)
    if text == "":
        return '""'
    text = safe_text(text)
    if _NEEDS_QUOTES.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def line(values: Iterable[Any]) -> str:
    """One record with its line end."""
    return ",".join(map(cell, values)) + "\r\n"
