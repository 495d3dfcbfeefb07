"""JSON of bodies and records: fast where orjson can, never silently wrong where it cannot."""

import json
from typing import Any

import pytest

from experiments.sdk.transport import json_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, None, "ü\n"]}, '{"a":[1,null,"ü\\n"]}'),
        ({"a": float("nan"), "b": [float("inf"), 1.5]}, '{"a":"nan","b":["inf",1.5]}'),
        ({"a": None, "b": ({"c": float("-inf")},)}, '{"a":null,"b":[{"c":"-inf"}]}'),
        ({"parentSpanId": None, "a": 1.0}, '{"parentSpanId":null,"a":1.0}'),
        ({"parentSpanId": None, "a": float("nan")}, '{"parentSpanId":null,"a":"nan"}'),
        ({"a": 2**70}, '{"a":"1180591620717411303424"}'),
        ({1: "a"}, '{"1":"a"}'),
        ("\ud800", '"?"'),
    ],
)
def test_what_json_has_no_word_for_becomes_text(value: Any, text: str) -> None:
    assert json_text.dumps(value).decode() == text


@pytest.mark.parametrize("raw", [b'{"a": NaN}', b'{"a": "\\ud800"}', b"[1, null]"])
def test_what_others_write_is_read(raw: bytes) -> None:
    assert str(json_text.loads(raw)) == str(json.loads(raw))


@pytest.mark.parametrize("raw", [b"", b"<html>", b"{"])
def test_what_is_no_json_is_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match="Expecting"):
        json_text.loads(raw)
