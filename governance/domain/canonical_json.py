"""One text for equal JSON values: what content hashes are made of, the same on every database and machine."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

_EXACT = 2**53  # beyond it not every integer is a double


def canonical_json(value: Any) -> str:
    """One text for equal values: keys sorted by code point, no blanks, UTF-8 unescaped, 1.0 written as 1.

    PostgreSQL's jsonb gives 1e22 back as an integer; both are written alike. NaN and infinities are a ValueError:
    undefined is None. Keys must be texts.
    """
    return json.dumps(_plain(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical_json_hash(value: Any) -> str:
    """SHA-256 (hex) of `canonical_json(value)` in UTF-8."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"keys of canonical JSON are texts, not {key!r}")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_plain(item) for item in value]
    raise TypeError(f"canonical JSON has no {type(value).__name__}")


def _number(value: int | float) -> int | float:
    if isinstance(value, float):
        if math.isfinite(value) and value.is_integer() and abs(value) <= _EXACT:
            return int(value)
        return float(value)
    if abs(value) <= _EXACT:
        return int(value)
    try:
        return float(value) if int(float(value)) == value else int(value)
    except OverflowError:
        return int(value)
