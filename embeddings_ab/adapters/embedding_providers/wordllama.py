"""WordLlama: static token vectors from the installed wheel, averaged; built from its files, never from its loader.

The package's own loader looks for the tokenizer in a folder that the wheel names otherwise, and then asks a hub for it.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embeddings_ab.adapters.embedding_providers.door import checked_batch, refuse_empty
from embeddings_ab.adapters.embedding_providers.installed import (
    LOCAL_FILES,
    content_revision,
    installed_folder,
    not_installed,
    require_revision,
)
from embeddings_ab.adapters.embedding_providers.protocol import EmbeddedBatch
from embeddings_ab.domain.provider_settings import ProviderSettings, Role

_RUNNER = 1


@dataclass(frozen=True)
class _Model:
    vectors: npt.NDArray[np.float32]
    tokenizer: Any
    revision: str


class WordLlamaProvider:
    """256 dimensions, texts of any length; the mean of the vectors of a text's tokens."""

    is_local = True
    truncates_locally = True

    def __init__(self, settings: ProviderSettings) -> None:
        self.settings = settings
        self._model = _load(installed_folder("wordllama"))
        self.revision = self._model.revision
        require_revision(settings.revision, self.revision)
        self.dimensions: int | None = self._model.vectors.shape[1]
        self.batch_texts = settings.batch_texts
        self.batch_tokens = settings.batch_tokens
        self.parallel_requests = settings.parallel_requests

    def ask_revision(self) -> str:
        """What is installed."""
        return self.revision

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        return [len(encoded) for encoded in self._encode(texts)]

    def embed(self, texts: Sequence[str], role: Role) -> EmbeddedBatch:
        """See EmbeddingProvider; both roles are embedded alike."""
        refuse_empty(texts, provider="wordllama")
        encoded = self._encode(texts)
        known = len(self._model.vectors)
        vectors = np.zeros((len(texts), self._model.vectors.shape[1]), np.float32)
        for row, each in zip(vectors, encoded, strict=True):
            if ids := np.minimum(np.asarray(each.ids, dtype=np.int64), known - 1).tolist():
                row[:] = self._model.vectors[ids].mean(axis=0)
        checked = checked_batch(
            vectors,
            texts=len(texts),
            dimensions=self.dimensions,
            normalise=self.settings.normalise,
            provider="wordllama",
        )
        return EmbeddedBatch(checked, sum(len(each) for each in encoded), self.revision, truncated=0)

    def close(self) -> None:
        """Nothing to let go of."""

    def _encode(self, texts: Sequence[str]) -> list[Any]:
        encoded: list[Any] = self._model.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return encoded


@functools.lru_cache(maxsize=1)
def _load(folder: Path) -> _Model:
    try:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer
    except ImportError as error:
        raise not_installed("wordllama", str(error)) from error
    weights, words = (folder / name for name in LOCAL_FILES["wordllama"])
    tokenizer = Tokenizer.from_file(str(words))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return _Model(
        vectors=np.ascontiguousarray(load_file(weights)["embedding.weight"], dtype=np.float32),
        tokenizer=tokenizer,
        revision=f"{content_revision('wordllama', weights, words)} runner:{_RUNNER}",
    )
