"""Times, numbers and objects as exports write them."""

from typing import Any

import pytest

from experiments.sdk.importers.values import camel, epoch_ms, given, number_of, object_of, opened, text_of

MOMENT = 1_795_255_200_100.0


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-21T10:00:00.100000+00:00",
        "2026-11-21T10:00:00.100Z",
        "2026-11-21 10:00:00.100 UTC",
        "2026-11-21T11:00:00.1+01:00",
        "2026-11-21 10:00:00.100",
        1_795_255_200.1,
        1_795_255_200_100,
        "1795255200100",
        1_795_255_200_100_000,
        1_795_255_200_100_000_000,
    ],
)
def test_every_way_to_write_a_moment_gives_epoch_milliseconds(value: Any):
    assert epoch_ms(value) == MOMENT


@pytest.mark.parametrize("value", [None, ""])
def test_no_moment_is_none(value: Any):
    assert epoch_ms(value) is None


@pytest.mark.parametrize("value", ["yesterday", True, float("inf"), []])
def test_what_is_no_moment_is_refused(value: Any):
    with pytest.raises(ValueError, match=r"no moment|Invalid isoformat"):
        epoch_ms(value)


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, 1), (0.5, 0.5), ("-3", -3), ("0.5", 0.5), (True, None), ("x", None), (None, None), (float("nan"), None)],
)
def test_numbers_also_in_texts(value: Any, number: Any):
    assert number_of(value) == number


def test_texts_objects_and_what_says_nothing():
    assert (text_of(None), text_of(float("nan")), text_of(7), text_of("x")) == ("", "", "7", "x")
    assert (opened(' {"a": 1}'), opened("x"), opened(3)) == ({"a": 1}, "x", 3)
    assert object_of('{"a": 1}', "input") == {"a": 1}
    assert (object_of("x", "input"), object_of(None, "input"), object_of([1], "input")) == (
        {"input": "x"},
        {},
        {"input": [1]},
    )
    assert given({"a": 0, "b": None, "c": "", "d": [], "e": {}, "f": False}) == {"a": 0, "f": False}


def test_snake_case_becomes_camel_case():
    row = {"trace_id": 1, "startTime": 2, "_deprecation": 3, "id": 4}
    assert camel(row) == {"traceId": 1, "startTime": 2, "_deprecation": 3, "id": 4}
