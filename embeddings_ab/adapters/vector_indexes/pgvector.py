"""Vectors in PostgreSQL with pgvector, in a table made on demand, scanned whole or through an HNSW index."""

from functools import partial

import numpy as np
import numpy.typing as npt
from django.db import connection
from django.db.backends.utils import CursorWrapper

from embeddings_ab.adapters import database_tables
from embeddings_ab.domain.ranking import Candidates, FloatMatrix, Ordinals, search_each
from governance.domain.errors import InvalidInput

_EXTENSION = "vector"
_PREFIX = "hhweb_ab_vectors"
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # no flags, no extension
_COPY_END = b"\xff\xff"
_COPY_ROWS = 2_000
_NO_LIMIT = 2**31 - 1


def build(
    table: str, vectors: FloatMatrix, *, m: int = 0, ef_construction: int = 0, half_precision: bool = False
) -> str:
    """Copy `vectors`, float32 (n, d), into a table; its name, which says the settings too. One that is there is kept.

    m: 0 for no index, else that of an HNSW index for dot products. half_precision: halfvec, 2 bytes a number.
    Makes the extension if it is missing. Raises InvalidInput on another database, and on a server without pgvector.
    """
    kind = "pgvector_hnsw" if m else "pgvector_exact"
    database_tables.require_postgres("index.kind", kind)
    dimensions = vectors.shape[1]
    column = "halfvec" if half_precision else "vector"
    # The parts after the point are short numbers: 63 bytes is all that PostgreSQL keeps of a name.
    name = f"{database_tables.table_name(_PREFIX, table)}.{dimensions}{'h' if half_precision else ''}"
    name += f"-{m}-{ef_construction}" if m else ""

    def fill(cursor: CursorWrapper) -> None:
        where = database_tables.quoted(name)
        # Two processes that make the extension at once would fail each other.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('hhweb pgvector', 0))")
        cursor.execute(f"CREATE EXTENSION IF NOT EXISTS {database_tables.quoted(_EXTENSION)}")
        cursor.execute(f"CREATE TABLE {where} (chunk integer PRIMARY KEY, vector {column}({dimensions}) NOT NULL)")
        with cursor.copy(f"COPY {where} (chunk, vector) FROM STDIN (FORMAT binary)") as copy:
            copy.write(_COPY_HEADER)
            for start in range(0, len(vectors), _COPY_ROWS):
                copy.write(_binary_rows(vectors[start : start + _COPY_ROWS], start, half_precision))
            copy.write(_COPY_END)
        if m:
            # One process: parallel ones would insert in another order each time.
            cursor.execute("SELECT set_config('max_parallel_maintenance_workers', '0', true)")
            cursor.execute(
                f"CREATE INDEX ON {where} USING hnsw (vector {column}_ip_ops)"
                f" WITH (m = {int(m)}, ef_construction = {int(ef_construction)})"
            )
        cursor.execute(f"ANALYZE {where}")

    _require_extension(kind)
    database_tables.make_once(name, fill)
    return name


def drop(table: str) -> None:
    """Remove all tables that were built for `table`; without one nothing happens."""
    database_tables.drop_all(database_tables.table_name(_PREFIX, table))


class PgvectorIndex:
    """A table from `build`. ef_search: 0 reads the whole table, else it is the depth of the search in the graph."""

    def __init__(self, name: str, documents: Ordinals, *, ef_search: int = 0) -> None:
        database_tables.require_postgres("index.kind", "pgvector_hnsw" if ef_search else "pgvector_exact")
        self._name = name
        self._documents = documents
        self._is_graph = ef_search > 0
        self._type = "halfvec" if name.rpartition(".")[2].partition("-")[0].endswith("h") else "vector"
        # Whichever way is measured, it must be the one that is taken, small tables included.
        self._settings: list[tuple[str, int | str]] = [
            ("max_parallel_workers_per_gather", 0),
            ("enable_seqscan", "off" if ef_search else "on"),
            ("enable_indexscan", "on" if ef_search else "off"),
        ]
        if ef_search:
            # Without the iterative scan an index returns no more than ef_search rows, and says nothing.
            self._settings += [
                ("hnsw.ef_search", ef_search),
                ("hnsw.iterative_scan", "strict_order"),
                ("hnsw.max_scan_tuples", _NO_LIMIT),
                ("hnsw.scan_mem_multiplier", 1000),
            ]
        if not database_tables.exists(name):
            raise LookupError(f"there is no table {name}")

    @property
    def bytes(self) -> int:
        """Bytes of the table and its index."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_total_relation_size(%s)", [database_tables.quoted(self._name)])
            return int(cursor.fetchone()[0])

    def search(self, queries: FloatMatrix, depth: int) -> Candidates:
        """The best `depth` documents per query, float32 (q, d). Raises RuntimeError if rows are missing."""
        with database_tables.reading(*self._settings) as cursor:
            return search_each(map(_literal, queries), partial(self._hits, cursor), self._documents, depth)

    def close(self) -> None:
        """Nothing to let go of: the connection is Django's."""

    def _hits(
        self, cursor: CursorWrapper, literal: str, count: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        # The graph gives the order of the operator alone; a scan can settle the ties at the end as well.
        order = "distance" if self._is_graph else "distance, chunk"
        cursor.execute(
            f"SELECT chunk, vector <#> %s::{self._type} AS distance"  # noqa: S608 - a quoted name
            f" FROM {database_tables.quoted(self._name)} ORDER BY {order} LIMIT %s",
            [literal, count],
        )
        rows = cursor.fetchall()
        if len(rows) != min(count, len(self._documents)):
            raise RuntimeError(f"{self._name} returned {len(rows)} rows instead of {count}")
        return (
            np.array([chunk for chunk, _ in rows], dtype=np.int64),
            -np.array([distance for _, distance in rows], dtype=np.float64),
        )


def _require_extension(kind: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name = %s", [_EXTENSION])
        if cursor.fetchone() is None:
            raise InvalidInput(
                f"Field 'index.kind': {kind!r} needs the extension pgvector, which this PostgreSQL server lacks. "
                "Install it there, or choose another index.",
                field="index.kind",
                value=kind,
            )


def _literal(query: npt.NDArray[np.float32]) -> str:
    """A vector as text; nine digits bring every single-precision number back."""
    return "[" + ",".join(f"{number:.9g}" for number in query.tolist()) + "]"


def _binary_rows(vectors: FloatMatrix, first: int, half_precision: bool) -> bytes:
    """Rows of (integer, vector) in PostgreSQL's binary COPY form, big-endian; pgvector sends dimensions and a zero."""
    width = 2 if half_precision else 4
    dimensions = vectors.shape[1]
    rows = np.zeros(
        len(vectors),
        dtype=[
            ("fields", ">i2"),
            ("chunk_bytes", ">i4"),
            ("chunk", ">i4"),
            ("vector_bytes", ">i4"),
            ("dimensions", ">i2"),
            ("unused", ">i2"),
            ("vector", f">f{width}", (dimensions,)),
        ],
    )
    rows["fields"], rows["chunk_bytes"], rows["vector_bytes"] = 2, 4, 4 + width * dimensions
    rows["chunk"] = np.arange(first, first + len(vectors))
    rows["dimensions"], rows["vector"] = dimensions, vectors
    return rows.tobytes()
