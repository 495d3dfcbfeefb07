"""Content hashes: what two corpora, query sets or rankings must share to be the same thing.

A hash covers values, never ids of rows, times or names, so that it is equal on every database and machine. Metadata
is content (slices and filters read it), though it changes no vector: an edit of metadata alone makes a new version.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from embeddings_ab.domain.importing.rows import DocumentRow, JudgmentRow, QueryRow

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


def _hash_of_lines(kind: str, lines: Iterable[Any]) -> str:
    digest = hashlib.sha256()
    digest.update(canonical_json({"content": kind, "form": 1}).encode() + b"\n")
    for line in lines:
        digest.update(canonical_json(line).encode() + b"\n")
    return digest.hexdigest()


def corpus_hash(documents: Iterable[DocumentRow]) -> str:
    """Of documents in order of their ids, bytes ascending: id, title, text and metadata of each."""
    return _hash_of_lines(
        "corpus", ({"id": d.id, "title": d.title, "text": d.text, "metadata": d.metadata} for d in documents)
    )


def query_set_hash(queries: Iterable[QueryRow], judgments: Iterable[JudgmentRow]) -> str:
    """Of queries in order of their ids, then judgments in order of query and document id, bytes ascending."""

    def lines() -> Iterable[Any]:
        for query in queries:
            yield {"id": query.id, "text": query.text, "metadata": query.metadata}
        for row in judgments:
            said = [row.query_id, row.document_id, row.grade]
            yield said if row.source == "imported" else [*said, row.source]

    return _hash_of_lines("query_set", lines())


def run_hash(rankings: Mapping[str, Sequence[Sequence[Any]]]) -> str:
    """Of rankings by query id, each a sequence of (document id, score), best first."""
    return _hash_of_lines("run", ([query_id, rankings[query_id]] for query_id in sorted(rankings)))
