"""The file format of the spool: one line per record, written in one piece, with a checksum; a torn line is no record.

A line is `crc32 kind number … JSON`. Kinds: D a finished datapoint, A numbers that the server has acknowledged, F the
last update of the run. Lines go to numbered segments; a segment leaves the disk when all before it and all of its own
datapoints are acknowledged, so that a long run with the server in reach stays small.
"""

import contextlib
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from experiments.sdk.errors import SpoolError
from experiments.sdk.transport import json_text

SEGMENT_BYTES = 16 * 1024 * 1024
SEGMENTS_AT_LEAST = 8
_BINARY = getattr(os, "O_BINARY", 0)  # Windows
PATTERN = "journal-*.log"


class Place(NamedTuple):
    """Where a datapoint's line is."""

    segment: int
    offset: int
    length: int
    session_id: str


class Line(NamedTuple):
    """A good line of a segment."""

    kind: str
    number: int
    session_id: str
    body: bytes
    offset: int
    length: int


def encoded(kind: str, number: int, session_id: str, body: bytes) -> bytes:
    """One line."""
    rest = b"%s %d %s %s" % (kind.encode(), number, quote(session_id, safe="").encode() or b"-", body)
    return b"%08x %s\n" % (zlib.crc32(rest), rest)


def decoded(line: bytes, offset: int = 0) -> Line | None:
    """The record of a line, or None when it is torn or damaged."""
    if not line.endswith(b"\n") or line[8:9] != b" ":
        return None
    rest = line[9:-1]
    try:
        if int(line[:8], 16) != zlib.crc32(rest):
            return None
        kind, number, session_id, body = rest.split(b" ", 3)
        return Line(kind.decode(), int(number), unquote(session_id.decode()), body, offset, len(line))
    except ValueError:
        return None


def segments(folder: Path) -> list[tuple[int, Path]]:
    """The segments of a run's folder, oldest first."""
    return sorted((int(path.stem.rpartition("-")[2]), path) for path in folder.glob(PATTERN))


def lines(path: Path) -> Iterator[Line]:
    """The good lines of a segment."""
    offset = 0
    with path.open("rb") as file:
        for raw in file:
            if (line := decoded(raw, offset)) is not None:
                yield line
            offset += len(raw)


@dataclass(slots=True)
class Contents:
    """What a run's journal says: datapoints that wait, the last update, sizes."""

    waiting: dict[int, Place]
    finish: dict[str, Any] | None
    next_number: int
    size_bytes: int


def contents(folder: Path) -> Contents:
    """Read all segments of a folder; changes nothing. Raises OSError."""
    found = Contents({}, None, 1, 0)
    for number, path in segments(folder):
        found.size_bytes += path.stat().st_size
        for line in lines(path):
            if line.kind == "D":
                found.waiting[line.number] = Place(number, line.offset, line.length, line.session_id)
                found.next_number = max(found.next_number, line.number + 1)
            elif line.kind == "A":
                for acknowledged in json_text.loads(line.body):
                    found.waiting.pop(acknowledged, None)
                    found.next_number = max(found.next_number, acknowledged + 1)
            elif line.kind == "F":
                found.finish = json_text.loads(line.body)
    return found


class Journal:
    """The journal of one run, open for writing. Not thread-safe: RunSpool guards it."""

    def __init__(self, folder: Path, *, room_bytes: int) -> None:
        self._folder = folder
        self._room_bytes = room_bytes
        # Small enough that a run with little room gets back what is acknowledged.
        self._segment_bytes = min(SEGMENT_BYTES, room_bytes // SEGMENTS_AT_LEAST)
        try:
            found = contents(folder)
            self._sizes = {number: path.stat().st_size for number, path in segments(folder)}
        except OSError as error:
            raise SpoolError(f"{folder} cannot be read: {error.strerror}.") from error
        self.waiting = found.waiting
        self.finish = found.finish
        self._next_number = found.next_number
        self._size_bytes = found.size_bytes
        self._current = max(self._sizes, default=0)
        self._file: int | None = None
        self._is_torn = False
        self._open_segment(self._current or 1)

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be written any more."""
        return self._file is None

    def append(self, session_id: str, body: bytes) -> int:
        """Write a datapoint; its number. SpoolError when there is no room, and then nothing is written."""
        number = self._next_number
        line = encoded("D", number, session_id, body)
        if self._size_bytes + len(line) > self._room_bytes:
            raise SpoolError(
                f"The spool is full: {self._room_bytes} bytes are left to this run in {self._folder.parent}. "
                "Replay what waits there (hhweb spool replay), or set HH_SPOOL_MAX_BYTES."
            )
        if self._sizes[self._current] >= max(self._segment_bytes, 1):
            self._open_segment(self._current + 1)
        self._next_number += 1  # first: an interrupt behind the write must not give the number twice
        offset = self._write(line)
        self.waiting[number] = Place(self._current, offset, len(line), session_id)
        return number

    def acknowledge(self, numbers: Iterable[int]) -> None:
        """The server has these. Raises SpoolError when that cannot be written; then they are only sent again."""
        known = [number for number in numbers if self.waiting.pop(number, None) is not None]
        try:
            if known:
                self._write(encoded("A", 0, "", json_text.dumps(known)))
        finally:
            self._drop_segments()

    def set_finish(self, body: dict[str, Any]) -> None:
        """Write the run's last update."""
        self._write(encoded("F", 0, "", json_text.dumps(body)))
        self.finish = body

    def read(self, number: int) -> bytes:
        """The JSON of a waiting datapoint; SpoolError when the disk no longer has it."""
        place = self.waiting[number]
        try:
            with self._path(place.segment).open("rb") as file:
                file.seek(place.offset)
                line = decoded(file.read(place.length))
        except OSError as error:
            raise SpoolError(f"{self._path(place.segment)} cannot be read: {error.strerror}.") from error
        if line is None or line.number != number:
            raise SpoolError(f"{self._path(place.segment)} was damaged: datapoint {place.session_id} is unreadable.")
        return line.body

    def sync(self) -> None:
        """Make everything survive a power loss."""
        for path in (*self._folder.glob("*"), self._folder, self._folder.parent):
            with contextlib.suppress(OSError):  # a disk that refuses this has said so before
                handle = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, line: bytes) -> int:
        """Append in one write; where it begins. A part of a line that a full disk took is closed off by the next."""
        if self._file is None:
            raise SpoolError(f"The spool {self._folder} is closed.")
        piece = b"\n" + line if self._is_torn else line
        try:
            written = os.write(self._file, piece)
        except OSError as error:
            raise SpoolError(f"{self._folder} cannot be written: {error.strerror}.") from error
        end = os.lseek(self._file, 0, os.SEEK_CUR)
        self._size_bytes += end - self._sizes[self._current]
        self._sizes[self._current] = end
        self._is_torn = written < len(piece)
        if self._is_torn:
            raise SpoolError(f"{self._folder} cannot be written: the disk is full.")
        return end - len(line)

    def _open_segment(self, number: int) -> None:
        path = self._path(number)
        try:
            file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | _BINARY, 0o600)
            size = os.lseek(file, 0, os.SEEK_END)
            if size > 0:  # a killed process may have left half a line
                os.lseek(file, size - 1, os.SEEK_SET)
            self._is_torn = size > 0 and os.read(file, 1) != b"\n"
        except OSError as error:
            raise SpoolError(f"{path} cannot be opened: {error.strerror}.") from error
        self.close()
        self._file, self._current, self._sizes[number] = file, number, size

    def _drop_segments(self) -> None:
        """Remove the oldest segments while no datapoint waits in them."""
        if len(self._sizes) == 1:
            return
        # In order of number, which is the order of segments: the first has the smallest.
        first = next((place.segment for place in self.waiting.values()), self._current)
        for number in sorted(self._sizes):
            if number < first:
                with contextlib.suppress(OSError):
                    self._path(number).unlink()
                self._size_bytes -= self._sizes.pop(number)

    def _path(self, number: int) -> Path:
        return self._folder / f"journal-{number:06d}.log"
