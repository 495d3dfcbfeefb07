"""What JSON cannot hold, of every kind; imported by the tests of ids and by the processes that these start."""

import dataclasses
import datetime as dt
import decimal
import enum
import types
import uuid
from typing import Any

import numpy as np
from pydantic import BaseModel


class Colour(enum.Enum):
    RED = object()


@dataclasses.dataclass
class Point:
    x: int
    tags: set[str]


class Model(BaseModel):
    names: set[str]


class Plain:
    def __init__(self, word: str) -> None:
        self.word = word


class Loud:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def function() -> None: ...


ODD: dict[str, Any] = {
    "sets": {"b", "a", "c", "d", "e"},
    "frozen": [frozenset({("x", 1), ("y", 2)})],
    "mixed": {1: "one", "1": "text", None: 0, (2, "x"): [1], False: 2},
    "moments": [dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC), dt.date(2026, 1, 2), dt.time(3, 4), dt.timedelta(1)],
    "raw": [b"\xff\x00", bytearray(b"\x01"), memoryview(b"\x02")],
    "numbers": [decimal.Decimal("0.10"), 1 + 2j, uuid.UUID(int=5), 10**20_000],
    "arrays": [np.array([[1, 2], [3, 4]]), np.int64(3), np.float32(0.5)],
    "objects": [Point(1, {"q", "r", "s"}), Model(names={"q", "r", "s"}), Plain("w"), object(), function, Plain],
    "views": [types.MappingProxyType({"a": 1}), range(3)],
    "enum": Colour.RED,
    "loud": Loud(),
}
