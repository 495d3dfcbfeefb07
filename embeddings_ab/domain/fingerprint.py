"""Content hashes: what two corpora, query sets or rankings must share to be the same thing.

A hash covers values, never ids of rows, times or names, so that it is equal on every database and machine. Metadata
is content (slices and filters read it), though it changes no vector: an edit of metadata alone makes a new version.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from embeddings_ab.domain.importing.rows import DocumentRow, JudgmentRow, QueryRow
from governance.domain.canonical_json import canonical_json, canonical_json_hash

__all__ = ["canonical_json", "canonical_json_hash", "corpus_hash", "query_set_hash", "run_hash"]


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
