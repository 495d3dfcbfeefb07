"""What was in the file, what became of it, what the server says: on disk, so that memory does not grow with files."""

import json
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

READ, SENT, STORED, REFUSED = "read", "sent", "stored", "refused"

_SCHEMA = """
    CREATE TABLE things (
        kind TEXT NOT NULL, id TEXT NOT NULL, source_id TEXT NOT NULL, state TEXT NOT NULL,
        reason TEXT NOT NULL DEFAULT '', expected TEXT, server_id TEXT, PRIMARY KEY (kind, id)
    ) WITHOUT ROWID;
    CREATE INDEX things_by_server_id ON things (server_id) WHERE server_id IS NOT NULL;
    CREATE INDEX things_by_state ON things (kind, state);
"""


class Ledger:
    """One row per thing of the file, keyed by kind and our id. A temporary file, gone when closed."""

    def __init__(self) -> None:
        handle, name = tempfile.mkstemp(prefix="hhweb-import-", suffix=".sqlite")
        os.close(handle)
        self._path = Path(name)
        self._db = sqlite3.connect(name, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=OFF")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.executescript(_SCHEMA)
        self._db.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        self._path.unlink(missing_ok=True)

    def add(self, kind: str, key: str, source_id: str, *, expected: Any = None) -> bool:
        """Note that the file has it; False when it was noted already. `expected` is any JSON value."""
        noted = self._db.execute(
            "INSERT OR IGNORE INTO things (kind, id, source_id, state, expected) VALUES (?, ?, ?, ?, ?)",
            (kind, key, source_id, READ, None if expected is None else json.dumps(expected)),
        )
        return noted.rowcount == 1

    def mark(self, kind: str, keys: Iterable[str], state: str, reason: str = "") -> None:
        """Set the state of things, and the reason when something went wrong."""
        self._db.executemany(
            "UPDATE things SET state = ?, reason = ? WHERE kind = ? AND id = ?",
            [(state, reason, kind, key) for key in keys],
        )

    def place(self, kind: str, key: str, server_id: str) -> None:
        """Note what the server calls it."""
        self._db.execute("UPDATE things SET server_id = ? WHERE kind = ? AND id = ?", (server_id, kind, key))

    def place_of(self, kind: str, key: str) -> str | None:
        """What the server calls it, None when unknown."""
        row = self._db.execute("SELECT server_id FROM things WHERE kind = ? AND id = ?", (kind, key)).fetchone()
        return row[0] if row else None

    def source_of(self, kind: str, key: str) -> str | None:
        """The id in the file, None for a thing that is not in it."""
        row = self._db.execute("SELECT source_id FROM things WHERE kind = ? AND id = ?", (kind, key)).fetchone()
        return row[0] if row else None

    def state_of(self, kind: str, key: str) -> str | None:
        """What became of it, None for a thing that is not in the file."""
        row = self._db.execute("SELECT state FROM things WHERE kind = ? AND id = ?", (kind, key)).fetchone()
        return row[0] if row else None

    def expected(self, kind: str, key: str) -> Any:
        """The value that was noted, None when there is none."""
        row = self._db.execute("SELECT expected FROM things WHERE kind = ? AND id = ?", (kind, key)).fetchone()
        return json.loads(row[0]) if row and row[0] is not None else None

    def count(self, kind: str, *states: str) -> int:
        """How many things of a kind are in one of the states; of all states when none is named."""
        marks = ", ".join("?" * len(states))
        sql = "SELECT count(*) FROM things WHERE kind = ?" + (f" AND state IN ({marks})" if states else "")  # noqa: S608 - marks
        found: int = self._db.execute(sql, (kind, *states)).fetchone()[0]
        return found

    def things(self, kind: str, state: str) -> Iterator[tuple[str, str, str, str | None]]:
        """(our id, id in the file, reason, id on the server) of a kind in a state, by id."""
        last = ""
        while True:  # in pages: a cursor that stays open would see changes of the loop's body
            rows = self._db.execute(
                "SELECT id, source_id, reason, server_id FROM things"
                " WHERE kind = ? AND state = ? AND id > ? ORDER BY id LIMIT 500",
                (kind, state, last),
            ).fetchall()
            yield from rows
            if len(rows) < 500:
                return
            last = rows[-1][0]
