"""Answers kept as files: computed results, named by a hash of everything they were computed from.

Several processes share the folder without locks. A file appears complete, by rename, and says its own length,
so that neither a `kill -9` nor a crash of the machine leaves half an answer behind. What is oldest in use
goes when the folder is full. Nothing here is ever missed: every fault of the disk only means computing again.
"""

import contextlib
import os
import struct
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

TOTAL_BYTES = 512 * 1024 * 1024
ENTRY_BYTES = 128 * 1024 * 1024
_HEADER = struct.Struct(">8sQ")
_MAGIC = b"hhwebrc1"
_SUFFIX = ".answer"
_PART = ".part"
_PART_IS_DEAD_AFTER = 3600  # seconds
_READ_AT_ONCE = 256 * 1024


def folder() -> Path:
    """Where answers are kept."""
    return Path(settings.DATA_DIR) / "cache" / "results"


def stored(name: str) -> BinaryIO | None:
    """The kept answer of that name, open at its first byte, or None. Marks it as used."""
    path = folder() / f"{name}{_SUFFIX}"
    with contextlib.suppress(OSError):
        file = path.open("rb")
        header = file.read(_HEADER.size)
        if len(header) == _HEADER.size:
            magic, length = _HEADER.unpack(header)
            if magic == _MAGIC and os.fstat(file.fileno()).st_size == _HEADER.size + length:
                os.utime(path)
                return file
        file.close()
        path.unlink(missing_ok=True)
    return None


def pieces(file: BinaryIO) -> Iterator[bytes]:
    """The rest of an open answer; closes it at the end."""
    with file:
        while piece := file.read(_READ_AT_ONCE):
            yield piece


def keeping(name: str, answer: Iterable[bytes]) -> Iterator[bytes]:
    """Hand `answer` on and keep it under `name` once it has ended well."""
    part = folder() / f"{name}.{uuid.uuid4().hex}{_PART}"
    file = _open_part(part)
    length = 0
    try:
        for piece in answer:
            if file is not None:
                length += len(piece)
                if length > ENTRY_BYTES or not _write(file, piece):
                    file = _drop(file)
            yield piece
        if file is not None:
            _finish(file, part, name, length)
    finally:
        if file is not None and not file.closed:
            _drop(file)
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _open_part(part: Path) -> BinaryIO | None:
    try:
        part.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = part.open("wb")
        file.write(b"\0" * _HEADER.size)
    except OSError:
        return None
    return file


def _write(file: BinaryIO, piece: bytes) -> bool:
    try:
        file.write(piece)
    except OSError:
        return False
    return True


def _drop(file: BinaryIO) -> BinaryIO | None:
    """Close a part that will not be finished; returns None for the name to hold."""
    with contextlib.suppress(OSError):
        file.close()
    return None


def _finish(file: BinaryIO, part: Path, name: str, length: int) -> None:
    with contextlib.suppress(OSError):
        file.seek(0)
        file.write(_HEADER.pack(_MAGIC, length))
        file.close()
        part.replace(part.with_name(f"{name}{_SUFFIX}"))
        evict()


def evict(total_bytes: int | None = None) -> None:
    """Remove the longest unused answers until the rest fits, and parts that a killed process left."""
    limit = TOTAL_BYTES if total_bytes is None else total_bytes
    kept: list[tuple[float, int, str]] = []
    now = time.time()
    with os.scandir(folder()) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                status = entry.stat()
                if entry.name.endswith(_SUFFIX):
                    kept.append((status.st_mtime, status.st_size, entry.path))
                elif entry.name.endswith(_PART) and now - status.st_mtime > _PART_IS_DEAD_AFTER:
                    Path(entry.path).unlink(missing_ok=True)
    excess = sum(size for _, size, _ in kept) - limit
    for _, size, path in sorted(kept):
        if excess <= 0:
            break
        with contextlib.suppress(OSError):
            Path(path).unlink(missing_ok=True)
            excess -= size
