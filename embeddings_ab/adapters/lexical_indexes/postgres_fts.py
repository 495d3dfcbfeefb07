"""PostgreSQL's full-text search in a table made on demand: ts_rank_cd, which knows no word's rarity."""

import re
from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
from django.db import DataError, OperationalError
from django.db.backends.utils import CursorWrapper

from embeddings_ab.adapters import database_tables
from embeddings_ab.domain.ranking import Candidates, Ordinals, search_each
from governance.domain.errors import InvalidInput

CONFIGURATION = "english"  # its stop words and stemmer
_PREFIX = "hhweb_ab_words"
_WORD = re.compile(r"\w+")


def build(table: str, texts: Sequence[str]) -> None:
    """Index `texts` into a table named after `table`, numbered from 0; one that is there already is kept.

    Raises InvalidInput on another database, and for a text too long for PostgreSQL (1 MB of words).
    """
    database_tables.require_postgres("lexical.engine", "postgres_fts")
    name = database_tables.table_name(_PREFIX, table)

    def fill(cursor: CursorWrapper) -> None:
        where, index = database_tables.quoted(name), database_tables.quoted(f"{name}_gin")
        cursor.execute(f"CREATE TABLE {where} (chunk integer PRIMARY KEY, words tsvector NOT NULL)")
        for start in range(0, len(texts), 500):
            block = [text.replace("\0", " ") for text in texts[start : start + 500]]
            cursor.execute(
                f"INSERT INTO {where} SELECT chunk, to_tsvector(%s::regconfig, text)"  # noqa: S608 - a quoted name
                " FROM unnest(%s::integer[], %s::text[]) AS given (chunk, text)",
                [CONFIGURATION, list(range(start, start + len(block))), block],
            )
        cursor.execute(f"CREATE INDEX {index} ON {where} USING gin (words)")
        cursor.execute(f"ANALYZE {where}")

    try:
        database_tables.make_once(name, fill)
    except (DataError, OperationalError) as error:
        if "tsvector" not in str(error):
            raise
        raise InvalidInput(
            f"Field 'chunking': a text is too long for engine 'postgres_fts' ({str(error).splitlines()[0]}); "
            "cut documents into chunks, or choose another engine.",
            field="chunking",
        ) from error


def drop(table: str) -> None:
    """Remove the table; without one nothing happens."""
    database_tables.drop_all(database_tables.table_name(_PREFIX, table))


class PostgresFtsIndex:
    """An index from `build`: any of the text's words may match."""

    def __init__(self, table: str, documents: Ordinals) -> None:
        database_tables.require_postgres("lexical.engine", "postgres_fts")
        self._table = database_tables.table_name(_PREFIX, table)
        self._documents = documents
        if not database_tables.exists(self._table):
            raise LookupError(f"there is no table {self._table}")

    def search(self, texts: list[str], depth: int) -> Candidates:
        """The best `depth` documents per text that share a word with it."""
        with database_tables.reading(("max_parallel_workers_per_gather", 0)) as cursor:
            return search_each(map(query_of, texts), partial(self._hits, cursor), self._documents, depth)

    def close(self) -> None:
        """Nothing to let go of: the connection is Django's."""

    def _hits(
        self, cursor: CursorWrapper, words: str, count: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        cursor.execute(
            "SELECT chunk, ts_rank_cd(words, query) AS score"  # noqa: S608 - a quoted name
            f" FROM {database_tables.quoted(self._table)}, websearch_to_tsquery(%s::regconfig, %s) AS query"
            " WHERE words @@ query ORDER BY score DESC, chunk LIMIT %s",
            [CONFIGURATION, words, count],
        )
        rows = cursor.fetchall()
        return (
            np.array([chunk for chunk, _ in rows], dtype=np.int64),
            np.array([score for _, score in rows], dtype=np.float64),
        )


def query_of(text: str) -> str:
    """The text as a web search: its distinct words, each quoted, joined by OR. Operators in it mean nothing."""
    return " OR ".join(f'"{word}"' for word in dict.fromkeys(_WORD.findall(text.lower())))
