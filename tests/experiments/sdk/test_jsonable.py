"""Anything becomes JSON, and nothing raises."""

import dataclasses
import datetime as dt
import enum
import math

import numpy as np
import orjson
import pandas as pd
import pytest
from pydantic import BaseModel

from experiments.sdk.jsonable import MAX_DEPTH, as_object, jsonable


class Colour(enum.Enum):
    RED = "red"


class Word(enum.StrEnum):
    ONE = "one"


@dataclasses.dataclass
class Point:
    x: int
    y: object


class Model(BaseModel):
    when: dt.date


class Hostile:
    def to_dict(self):
        raise RuntimeError("no")

    def __str__(self):
        return "hostile"


class Mute:
    def __str__(self):
        raise RuntimeError("no")


class Number(float):
    pass


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        ("ä", "ä"),
        ("\ud800", "?"),
        (2**64, str(2**64)),
        (-(2**63), -(2**63)),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        ((1, [2]), [1, [2]]),
        ({1: {"a": (2,)}}, {"1": {"a": [2]}}),
        ({"\ud800": 1}, {"?": 1}),
        ({3, 1, 2}, [1, 2, 3]),
        (b"\xff\x61", "\ufffda"),
        (dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "2026-01-02T00:00:00+00:00"),
        (Colour.RED, "red"),
        (Word.ONE, "one"),
        (Number(1.5), 1.5),
        (Point(1, {2}), {"x": 1, "y": [2]}),
        (Model(when=dt.date(2026, 1, 2)), {"when": "2026-01-02"}),
        (np.array([[1.5, math.nan]]), [[1.5, "nan"]]),
        (np.float64(0.5), 0.5),
        (np.int32(4), 4),
        (pd.DataFrame({"a": [1]}), {"a": {"0": 1}}),
        (Hostile(), "hostile"),
        (Mute(), "<Mute>"),
        (Point, str(Point)),
    ],
)
def test_every_kind_of_value_has_a_shape(value, expected):
    shown = jsonable(value)
    assert shown == expected
    orjson.dumps(shown)


def test_depth_is_bounded():
    deep: list = []
    for _ in range(500):
        deep = [deep]
    shown = jsonable(deep)
    for _ in range(MAX_DEPTH):
        (shown,) = shown
    assert isinstance(shown, str)


def test_buckets_are_objects():
    assert as_object(None, "result") == {}
    assert as_object({"a": 1}, "result") == {"a": 1}
    assert as_object([1], "result") == {"result": [1]}
