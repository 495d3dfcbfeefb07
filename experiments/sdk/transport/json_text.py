"""JSON to and from bytes: at C speed where that can, and with the SDK's own rules where it cannot."""

import json
import math
from typing import Any

import orjson

from experiments.sdk.jsonable import jsonable


def dumps(value: Any) -> bytes:
    """JSON of anything, on one line; what JSON has no word for is written as `jsonable` says (NaN, huge integers)."""
    try:
        raw = orjson.dumps(value)
    except TypeError:
        return orjson.dumps(jsonable(value))
    # orjson writes null for NaN without a word, so only a body with a null can hold one; a root span's is known.
    may_hold_nan = raw.count(b"null") > raw.count(b'"parentSpanId":null')
    return orjson.dumps(jsonable(value)) if may_hold_nan and _has_nonfinite(value) else raw


def loads(raw: bytes) -> Any:
    """The value of JSON bytes; ValueError when they are none."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return json.loads(raw)  # NaN, and nesting deeper than orjson goes


def _has_nonfinite(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(_has_nonfinite(item) for item in value.values())
    return isinstance(value, list | tuple) and any(_has_nonfinite(item) for item in value)
