"""Seeded randomness that depends on the seed and the purpose alone, never on block sizes, threads or call order.

Only the raw output of PCG64 is used: numpy promises that it stays the same between releases, which it does not
for `Generator.integers`, `permuted` or `choice`.
"""

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]


@dataclass(slots=True)
class Stream:
    """Random 64-bit words of one (seed, purpose), handed out in order."""

    seed: int
    purpose: str
    _source: np.random.PCG64 = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._source = np.random.PCG64(derived_seed(self.seed, self.purpose))

    def words(self, count: int) -> Words:
        """The next `count` words."""
        return np.asarray(self._source.random_raw(count), dtype=np.uint64)

    def bit_rows(self, rows: int, bits: int) -> NDArray[np.uint8]:
        """(rows, 8 · ceil(bits / 64)) bytes of fair bits; a row takes whole words, so blocks may be cut anywhere."""
        words = -(-bits // 64)
        return self.words(rows * words).astype("<u8", copy=False).view(np.uint8).reshape(rows, words * 8)

    def below(self, limit: int, count: int) -> NDArray[np.int64]:
        """`count` whole numbers in 0..limit − 1 by multiply and shift (Lemire 2019, without its rejection step).

        The bias of one number is at most limit / 2^32, i.e. 2e-7 for 1,000 units. One word each, for the same
        reason as above; `limit` must stay under 2^32.
        """
        return ((self.words(count) >> np.uint64(32)) * np.uint64(limit) >> np.uint64(32)).astype(np.int64)


def derived_seed(seed: int, purpose: str) -> int:
    """A 128-bit seed of its own for each purpose, so that flips and resamples of one test share no randomness."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{purpose}".encode()).digest()[:16], "big")
