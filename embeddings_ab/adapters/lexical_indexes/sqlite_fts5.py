"""SQLite's full-text search in a file of its own, whichever database the installation runs on."""

import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from embeddings_ab.domain.ranking import Candidates, Ordinals, search_each

_FILE = "fts5.sqlite3"
_WORD = re.compile(r"\w+")
_MOST_TERMS = 1000  # of one query; its parser has a limit


def build(folder: Path, texts: Sequence[str]) -> None:
    """Index `texts` into a file below `folder`. Rows are numbered from 1; the texts themselves are not stored."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _FILE
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE VIRTUAL TABLE chunks USING fts5(text, content='', tokenize='unicode61')")
        connection.executemany("INSERT INTO chunks (rowid, text) VALUES (?, ?)", enumerate(texts, start=1))
        connection.execute("INSERT INTO chunks (chunks) VALUES ('optimize')")
    connection.close()


class Fts5Index:
    """An index from `build`: any of the text's words may match, ordered by FTS5's own bm25()."""

    def __init__(self, folder: Path, documents: Ordinals) -> None:
        path = folder / _FILE
        if not path.exists():
            raise FileNotFoundError(path)
        self._documents = documents
        # Immutable: no lock, no journal; nobody writes a finished index.
        self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)

    def search(self, texts: list[str], depth: int) -> Candidates:
        """The best `depth` documents per text that share a word with it."""
        return search_each(map(match_of, texts), self._hits, self._documents, depth)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _hits(self, words: str, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        if not words:
            return np.empty(0, dtype=np.int64), np.empty(0)
        # In order of (score, row) the first rows hold the best documents, ties included: rows follow the ordinals.
        rows = self._connection.execute(
            "SELECT rowid, bm25(chunks) AS badness FROM chunks WHERE chunks MATCH ? ORDER BY badness, rowid LIMIT ?",
            (words, count),
        ).fetchall()
        return (
            np.array([row for row, _ in rows], dtype=np.int64) - 1,
            -np.array([badness for _, badness in rows], dtype=np.float64),
        )


def match_of(text: str) -> str:
    """The text as a query: its distinct words, each quoted, joined by OR. Quotes and operators in it mean nothing."""
    words = dict.fromkeys(_WORD.findall(text.lower()))
    return " OR ".join(f'"{word}"' for word in list(words)[:_MOST_TERMS])
