"""How texts are cut into batches for a provider: by content order, never by arrival."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
LATENCY_SAMPLE = 200


def cut_batches(
    items: Sequence[T],
    *,
    tokens: Callable[[T], int],
    alone: Callable[[T], bool],
    most_texts: int,
    most_tokens: int,
) -> Iterator[list[T]]:
    """Neighbours together, up to `most_texts` texts and `most_tokens` tokens; one over the limit goes by itself."""
    batch: list[T] = []
    size = 0
    for item in items:
        count = tokens(item)
        if batch and (alone(item) or len(batch) >= most_texts or size + count > most_tokens):
            yield batch
            batch, size = [], 0
        if alone(item):
            yield [item]
            continue
        batch.append(item)
        size += count
    if batch:
        yield batch


def latency_sample(keys: Sequence[str], most: int = LATENCY_SAMPLE) -> set[str]:
    """The queries whose latency is measured one at a time: by hash, so the same in every test over the same queries."""
    return set(sorted(keys, key=lambda key: hashlib.sha256(f"latency {key}".encode()).digest())[:most])
