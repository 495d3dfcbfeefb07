"""Servers that speak the form of Text Embeddings Inference."""

from collections.abc import Sequence
from typing import Any

from embeddings_ab.adapters.embedding_providers.door import refuse_empty
from embeddings_ab.adapters.embedding_providers.protocol import EmbeddedBatch
from embeddings_ab.adapters.embedding_providers.remote import RemoteProvider, whole_number
from embeddings_ab.domain.provider_settings import Role


class TeiProvider(RemoteProvider):
    """POST {base_url}/embed; the revision comes from {base_url}/info, read once before the first batch."""

    _info: dict[str, Any] | None = None

    def ask_revision(self) -> str:
        """What /info says; embeds nothing."""
        return self._revision(self._information())

    def embed(self, texts: Sequence[str], role: Role) -> EmbeddedBatch:
        """See EmbeddingProvider. Cuts the batch further where the server takes fewer texts at a time."""
        refuse_empty(texts, provider=self._endpoint.who)
        info = self._information()
        most = whole_number(info.get("max_client_batch_size")) or len(texts) or 1
        vectors: list[Any] = []
        tokens: int | None = 0
        for start in range(0, len(texts), most):
            piece = list(texts[start : start + most])
            answer, headers = self._endpoint.post(
                f"{self.settings.base_url}/embed",
                {"inputs": piece, "normalize": self.settings.normalise, "truncate": True},
            )
            if not isinstance(answer, list) or len(answer) != len(piece):
                raise self._endpoint.bad_answer(f"no list of {len(piece)} vectors")
            vectors += answer
            counted = headers.get("x-compute-tokens", "")
            tokens = tokens + int(counted) if tokens is not None and counted.isdecimal() else None
        return self._batch(vectors, texts, tokens=tokens, revision=self._revision(info))

    def _information(self) -> dict[str, Any]:
        if self._info is None:
            answer, _ = self._endpoint.get(f"{self.settings.base_url}/info")
            if not isinstance(answer, dict) or not answer.get("model_id"):
                raise self._endpoint.bad_answer("no 'model_id' at /info")
            model = self.settings.model
            if model and model != answer["model_id"]:
                raise self._endpoint.bad_answer(
                    f"model {answer['model_id']!r} at /info, but {model!r} was asked for; leave model out to take it",
                    field="model",
                )
            self._info = answer
        return self._info

    @staticmethod
    def _revision(info: dict[str, Any]) -> str:
        return " ".join(str(info[key]) for key in ("model_id", "model_sha", "model_dtype") if info.get(key))
