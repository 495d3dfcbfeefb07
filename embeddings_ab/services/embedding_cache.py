"""The cache of vectors by text: what is there, what is missing, and storing a batch once."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from embeddings_ab.models import Embedding, EmbeddingSpace

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_ROWS = 2_000


def text_hash(text: str) -> str:
    """What a text is known by: SHA-256 of its UTF-8 bytes. Prefixes belong to the space."""
    return hashlib.sha256(text.encode()).hexdigest()


def present(space: EmbeddingSpace, hashes: Iterable[str]) -> set[str]:
    """Those of the hashes whose vector is cached."""
    wanted = list(hashes)
    found: set[str] = set()
    for start in range(0, len(wanted), _ROWS):
        rows = Embedding.objects.filter(space=space, text_hash__in=wanted[start : start + _ROWS])
        found.update(rows.values_list("text_hash", flat=True))
    return found


def store(
    space: EmbeddingSpace,
    hashes: Sequence[str],
    vectors: "npt.NDArray[np.float32]",
    tokens: Sequence[int],
    latencies_ms: Sequence[float | None],
) -> None:
    """Keep the vectors of a batch; one that is there already stays as it is."""
    Embedding.objects.bulk_create(
        [
            Embedding(space=space, text_hash=key, vector=vector.tobytes(), tokens=count, latency_ms=latency)
            for key, vector, count, latency in zip(hashes, vectors, tokens, latencies_ms, strict=True)
        ],
        ignore_conflicts=True,
        batch_size=_ROWS,
    )


def load(space: EmbeddingSpace, hashes: Sequence[str]) -> "npt.NDArray[np.float32]":
    """Vectors in the order of `hashes` (repeats allowed), float32 (n, dimensions). KeyError for a missing one."""
    import numpy as np

    place = {key: index for index, key in enumerate(dict.fromkeys(hashes))}
    distinct = np.empty((len(place), space.dimensions), dtype=np.float32)
    missing = set(place)
    for key, vector in _rows(space, list(place)):
        distinct[place[key]] = np.frombuffer(vector, dtype=np.float32)
        missing.discard(key)
    if missing:
        raise KeyError(min(missing))
    if len(place) == len(hashes):
        return distinct
    return distinct[np.fromiter((place[key] for key in hashes), dtype=np.int64, count=len(hashes))]


def _rows(space: EmbeddingSpace, hashes: list[str]) -> Iterator[tuple[str, bytes]]:
    for start in range(0, len(hashes), _ROWS):
        rows = Embedding.objects.filter(space=space, text_hash__in=hashes[start : start + _ROWS])
        for key, vector in rows.values_list("text_hash", "vector").iterator():
            yield key, bytes(vector)


def measured_latencies(space: EmbeddingSpace, hashes: Sequence[str]) -> dict[str, tuple[float, str]]:
    """By hash: ms of the first, uncached, single call, and its date."""
    found: dict[str, tuple[float, str]] = {}
    wanted = list(dict.fromkeys(hashes))
    for start in range(0, len(wanted), _ROWS):
        rows = Embedding.objects.filter(
            space=space, text_hash__in=wanted[start : start + _ROWS], latency_ms__isnull=False
        )
        for key, latency, at in rows.values_list("text_hash", "latency_ms", "created_at"):
            found[key] = (float(latency or 0), at.isoformat())
    return found
