"""Indexes that find documents by their words, behind one protocol; each engine loads its library when it is used."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from embeddings_ab.domain.spec import Lexical

if TYPE_CHECKING:
    from embeddings_ab.domain.ranking import Candidates, Ordinals


class LexicalIndex(Protocol):
    """Finds documents that share words with a text. Used by one thread at a time."""

    def search(self, texts: list[str], depth: int) -> "Candidates":
        """The best `depth` documents per text, only those that score above 0; an empty text finds none."""

    def close(self) -> None:
        """Let go of files and connections."""


def build_index(
    settings: Lexical,
    *,
    folder: Path,
    table: str,
    texts: Sequence[str],
    documents: "Ordinals",
    document_count: int | None = None,
) -> None:
    """Index chunks: into files below `folder`, or for postgres_fts into a table named after `table`.

    texts: all chunks; documents: int32, their documents' ordinals, not descending. document_count: of the corpus, by
    default one more than the last ordinal; documents without a chunk are found by nothing, but BM25 counts them (two
    empty ones among Cranfield's 1,400 are worth 0.2 points of MRR). A table that is there already is kept.
    Raises InvalidInput for an engine or setting that this installation does not have.
    """
    if len(texts) != len(documents):
        raise ValueError(f"{len(texts)} texts, but {len(documents)} documents")
    there = len(set(documents.tolist()))
    count = (int(documents[-1]) + 1 if there else 0) if document_count is None else document_count
    rows = [*texts, *[""] * (count - there)]
    if settings.engine == "bm25s":
        from embeddings_ab.adapters.lexical_indexes import bm25

        bm25.build(folder, rows, k1=settings.k1, b=settings.b, stop_words=settings.stop_words, stemmer=settings.stemmer)
    elif settings.engine == "sqlite_fts5":
        from embeddings_ab.adapters.lexical_indexes import sqlite_fts5

        sqlite_fts5.build(folder, rows)
    else:
        from embeddings_ab.adapters.lexical_indexes import postgres_fts

        postgres_fts.build(table, texts)


def open_index(settings: Lexical, *, folder: Path, table: str, documents: "Ordinals") -> LexicalIndex:
    """An index that was built with the same settings. `documents` as given to `build_index`.

    Raises FileNotFoundError (files) or LookupError (table) where there is none.
    """
    if settings.engine == "bm25s":
        from embeddings_ab.adapters.lexical_indexes import bm25

        return bm25.Bm25Index(folder, documents)
    if settings.engine == "sqlite_fts5":
        from embeddings_ab.adapters.lexical_indexes import sqlite_fts5

        return sqlite_fts5.Fts5Index(folder, documents)
    from embeddings_ab.adapters.lexical_indexes import postgres_fts

    return postgres_fts.PostgresFtsIndex(table, documents)


def drop_index(settings: Lexical, *, table: str) -> None:
    """Remove what lies outside the folder: the table of postgres_fts; without one nothing happens."""
    if settings.engine == "postgres_fts":
        from embeddings_ab.adapters.lexical_indexes import postgres_fts

        postgres_fts.drop(table)
