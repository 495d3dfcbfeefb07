"""A local cross-encoder of the BERT family, from a folder that the operator put there; numpy, without torch."""

import functools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embeddings_ab.adapters.embedding_providers.bert import BertEncoder, Workspace
from embeddings_ab.adapters.embedding_providers.blas_threads import single_threaded_blas
from embeddings_ab.domain.provider_errors import ProviderFailed

_FILES = ("model.safetensors", "tokenizer.json", "config.json")
_LONGEST = 512


def model_folder(path: str, models_folder: Path | None) -> Path:
    """The folder of a cross-encoder below the operator's folder. Raises ProviderFailed (refused, not_installed)."""
    if models_folder is None:
        raise ProviderFailed(
            f"reranker path {path!r}: this installation has no folder of local models; ask the operator to set one, "
            "or use a reranker of kind 'http'",
            cause="refused",
            field="path",
        )
    root = models_folder.resolve()
    folder = (root / path).resolve()
    if not folder.is_relative_to(root):
        raise ProviderFailed(
            f"reranker path {path!r} leads out of the folder of local models; give a name below it",
            cause="refused",
            field="path",
        )
    for name in _FILES:
        if not (folder / name).is_file():
            raise ProviderFailed(
                f"reranker path {path!r} is not installed: {name} is missing there; a cross-encoder needs "
                f"{', '.join(_FILES)}",
                cause="not_installed",
                field="path",
            )
    return folder


class CrossEncoder:
    """Logit of the relevant class for (query, text), at most 512 tokens (the longer part is cut), pair by pair."""

    def __init__(self, folder: Path) -> None:
        try:
            self._model = _load(folder)
        except (KeyError, ValueError, OSError) as error:
            raise ProviderFailed(
                f"reranker {folder.name!r} cannot be read: {error}; only BERT sequence classifiers with one or two "
                "classes are understood",
                cause="not_installed",
                field="path",
            ) from error
        self._workspace = Workspace(self._model.encoder, self._model.longest)

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """See Reranker."""
        encoded = self._model.tokenizer.encode_batch([(query, text) for text in texts])
        scores = []
        with single_threaded_blas():
            for position, each in enumerate(encoded):
                score = self._score(np.asarray(each.ids, dtype=np.int64), each.type_ids)
                if not math.isfinite(score):
                    raise ProviderFailed(
                        f"the reranker gave {score} for text {position}", cause="bad_answer", position=position
                    )
                scores.append(score)
        return scores

    def close(self) -> None:
        """Nothing to let go of; the weights stay warm in the process."""

    def _score(self, ids: npt.NDArray[np.int64], segments: list[int]) -> float:
        model = self._model
        second = segments.index(1) if 1 in segments else None
        first_token = self._workspace.last_layer(ids, second_from=second)[0]
        with np.errstate(invalid="ignore", over="ignore"):  # broken weights are told by the score
            pooled = np.tanh(first_token @ model.pooler[0] + model.pooler[1])
            return float(pooled @ model.classifier[0] + model.classifier[1])


class _Model:
    def __init__(self, folder: Path) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        tensors: dict[str, npt.NDArray[Any]] = load_file(folder / "model.safetensors")
        config = json.loads((folder / "config.json").read_text())
        self.encoder = BertEncoder(tensors, config, prefix="bert.")
        self.pooler = _dense(tensors, "bert.pooler.dense")
        weight, bias = _dense(tensors, "classifier")
        if weight.shape[1] not in (1, 2):
            raise ValueError(f"the classifier has {weight.shape[1]} classes")
        # With two classes the ranking is that of the difference of their logits.
        two = weight.shape[1] == 2
        self.classifier = (
            np.ascontiguousarray(weight[:, 1] - weight[:, 0] if two else weight[:, 0]),
            bias[1] - bias[0] if two else bias[0],
        )
        self.longest = min(_LONGEST, len(self.encoder.positions))
        self.tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(max_length=self.longest, strategy="longest_first")


@functools.lru_cache(maxsize=1)
def _load(folder: Path) -> _Model:
    return _Model(folder)


def _dense(tensors: dict[str, npt.NDArray[Any]], name: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    weight = np.ascontiguousarray(tensors[f"{name}.weight"].T, dtype=np.float32)
    return weight, np.asarray(tensors[f"{name}.bias"], dtype=np.float32)
