"""Files of collections: written beside, then moved into place in one step; a copy of what the database knows.

A folder is complete or not there. Whoever misses one makes it anew from the cached vectors, so machines need no shared
storage.
"""

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings

if TYPE_CHECKING:
    import numpy.typing as npt

COMPLETE = "complete.json"


def folder_of(*, project: str, collection: str) -> Path:
    """Where the files of a collection are on this machine. Both are public ids: safe as names."""
    return Path(settings.DATA_DIR) / "artifacts" / project / collection


def is_complete(folder: Path) -> bool:
    """Whether the files are all there."""
    return (folder / COMPLETE).exists()


@contextmanager
def written(folder: Path) -> Iterator[Path]:
    """A new folder to write into; in place once the block ends well. Who comes second keeps what the first made."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}.part")
    beside.mkdir()
    try:
        yield beside
        (beside / COMPLETE).write_text(json.dumps({"bytes": size_of(beside)}))
        for name in beside.iterdir():
            if name.is_file():
                with name.open("rb") as file:
                    os.fsync(file.fileno())
        try:
            beside.rename(folder)
        except OSError:  # another process was quicker; the content is the same
            if not is_complete(folder):
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def size_of(folder: Path) -> int:
    """Bytes of all files."""
    size = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a part that somebody moves into place at this moment
            size += path.stat().st_size if path.is_file() else 0
    return size


def remove(folder: Path) -> None:
    """Delete the files and whatever a killed writer left beside them."""
    for path in folder.parent.glob(f"{folder.name}*"):
        shutil.rmtree(path, ignore_errors=True)


def save_array(folder: Path, name: str, array: "npt.NDArray[Any]") -> None:
    """Write one array."""
    import numpy as np

    np.save(folder / f"{name}.npy", array)


def load_array(folder: Path, name: str) -> "npt.NDArray[Any]":
    """Memory-map one array: processes share its pages."""
    import numpy as np

    found: npt.NDArray[np.generic] = np.load(folder / f"{name}.npy", mmap_mode="r")
    return found
