"""Indexes that find documents by vectors, behind one protocol; exact is the judge, the others are what is measured."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from embeddings_ab.domain.spec import Index, Quantisation
from governance.domain.errors import InvalidInput

if TYPE_CHECKING:
    from embeddings_ab.domain.ranking import Candidates, FloatMatrix, Ordinals

_PGVECTOR_MOST_DIMENSIONS = {"pgvector_exact": 16_000, "pgvector_hnsw": 2_000}


class VectorIndex(Protocol):
    """Finds the documents of the nearest vectors by dot product. Used by one thread at a time."""

    @property
    def bytes(self) -> int:
        """What the index keeps, in bytes."""

    def search(self, queries: "FloatMatrix", depth: int) -> "Candidates":
        """The best `depth` documents per query, float32 (q, d)."""

    def close(self) -> None:
        """Let go of files and connections."""


def check_settings(index: Index, *, dimensions: int | None = None, field: str = "index") -> None:
    """Refuse what pgvector refuses, before anything is built. Raises InvalidInput that names field and limit."""
    if index.kind == "pgvector_hnsw":
        for name, least, most in (
            ("ef_construction", max(4, 2 * index.m), 1000),
            ("ef_search", 1, 1000),
        ):
            value = getattr(index, name)
            if not least <= value <= most:
                raise InvalidInput(
                    f"Field '{field}.{name}': {value} is not within {least}..{most}, which pgvector wants"
                    f" with m {index.m}.",
                    field=f"{field}.{name}",
                    value=value,
                )
    most_dimensions = _PGVECTOR_MOST_DIMENSIONS.get(index.kind)
    if dimensions is not None and most_dimensions is not None and dimensions > most_dimensions:
        raise InvalidInput(
            f"Field '{field}.kind': {index.kind!r} holds at most {most_dimensions} dimensions, not {dimensions}.",
            field=f"{field}.kind",
            value=index.kind,
        )


def open_index(
    index: Index,
    quantisation: Quantisation,
    *,
    folder: Path,
    table: str,
    vectors: "FloatMatrix",
    documents: "Ordinals",
) -> VectorIndex:
    """The index over `vectors`, float32 (n_chunks, d), made first where it is missing.

    documents: int32, the chunks' documents, not descending. An HNSW graph is a file below `folder`, pgvector's a table
    named after `table`; both are named by their settings and d as well, so that arms share what is equal.
    """
    if len(vectors) != len(documents):
        raise ValueError(f"{len(vectors)} vectors, but {len(documents)} documents")
    if index.kind == "exact":
        from embeddings_ab.adapters.vector_indexes import exact

        if quantisation.kind == "float32":
            return exact.ExactIndex(vectors, documents)
        return exact.QuantisedIndex(vectors, documents, kind=quantisation.kind, rescore=quantisation.rescore)
    if index.kind == "hnsw":
        from embeddings_ab.adapters.vector_indexes import hnsw

        path = hnsw.build(folder, vectors, m=index.m, ef_construction=index.ef_construction)
        return hnsw.HnswIndex(path, documents, dimensions=vectors.shape[1], ef_search=index.ef_search)
    from embeddings_ab.adapters.vector_indexes import pgvector

    check_settings(index, dimensions=vectors.shape[1])
    if index.kind == "pgvector_exact":
        name = pgvector.build(table, vectors)
        return pgvector.PgvectorIndex(name, documents)
    name = pgvector.build(table, vectors, m=index.m, ef_construction=index.ef_construction)
    return pgvector.PgvectorIndex(name, documents, ef_search=index.ef_search)


def drop_index(*, table: str) -> None:
    """Remove what lies outside the folder: all tables of pgvector named after `table`."""
    from embeddings_ab.adapters.vector_indexes import pgvector

    pgvector.drop(table)
