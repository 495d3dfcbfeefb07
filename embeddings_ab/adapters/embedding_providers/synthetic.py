"""A deterministic embedder without a model: hashed words and character trigrams; for CI, demos and dry runs.

Texts that share words get a real cosine, so retrieval with it is neither random nor empty. Feature hashing with signs:
Weinberger et al. 2009, "Feature hashing for large scale multitask learning".
"""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from embeddings_ab.adapters.embedding_providers.door import checked_batch, refuse_empty
from embeddings_ab.adapters.embedding_providers.protocol import EmbeddedBatch
from embeddings_ab.domain.provider_settings import SYNTHETIC_DIMENSIONS, ProviderSettings, Role

_WORD = re.compile(r"\w+")
_TRIGRAM_WEIGHT = 0.25
_REVISION = "hashing-v1"


class SyntheticProvider:
    """Hashes into `dimensions` numbers (256 when none is asked). A revision asked for seeds the hash."""

    is_local = True
    truncates_locally = False

    def __init__(self, settings: ProviderSettings) -> None:
        self.settings = settings
        self.dimensions: int | None = settings.dimensions or SYNTHETIC_DIMENSIONS
        self.revision = f"{_REVISION}+{settings.revision}" if settings.revision else _REVISION
        self.batch_texts = settings.batch_texts
        self.batch_tokens = settings.batch_tokens
        self.parallel_requests = settings.parallel_requests
        self._key = hashlib.blake2b(self.revision.encode(), digest_size=16).digest()
        self._places: dict[str, tuple[int, float]] = {}

    def ask_revision(self) -> str:
        """The version of the hashing."""
        return self.revision

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Words of each text."""
        return [len(_WORD.findall(text)) for text in texts]

    def embed(self, texts: Sequence[str], role: Role) -> EmbeddedBatch:
        """See EmbeddingProvider; both roles are embedded alike."""
        refuse_empty(texts, provider="synthetic")
        vectors = np.zeros((len(texts), self.dimensions or 0), dtype=np.float64)
        for row, text in zip(vectors, texts, strict=True):
            # Sorted, so that the sum of a text is always added up in the same order.
            for feature, weight in sorted(_features(text).items()):
                place, sign = self._place(feature)
                row[place] += sign * weight
            if not row.any():
                place, sign = self._place(f"#{text}")
                row[place] = sign
        checked = checked_batch(
            vectors,
            texts=len(texts),
            dimensions=self.dimensions,
            normalise=self.settings.normalise,
            provider="synthetic",
        )
        return EmbeddedBatch(checked, sum(self.count_tokens(texts)), self.revision, truncated=0)

    def close(self) -> None:
        """Forget the places of the features."""
        self._places.clear()

    def _place(self, feature: str) -> tuple[int, float]:
        known = self._places.get(feature)
        if known is None:
            number = int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8, key=self._key).digest(), "little")
            known = self._places[feature] = ((number >> 1) % (self.dimensions or 1), 1.0 if number & 1 else -1.0)
        return known


def _features(text: str) -> dict[str, float]:
    """Words with 1 + log(count), and the trigrams inside their borders with a smaller weight."""
    features: dict[str, float] = {}
    for word, count in Counter(_WORD.findall(text.casefold())).items():
        weight = 1.0 + math.log(count)
        features[word] = features.get(word, 0.0) + weight
        edged = f"<{word}>"
        for start in range(len(edged) - 2):
            trigram = f"~{edged[start : start + 3]}"
            features[trigram] = features.get(trigram, 0.0) + _TRIGRAM_WEIGHT * weight
    return features
