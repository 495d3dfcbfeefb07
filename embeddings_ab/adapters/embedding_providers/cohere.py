"""Endpoints that speak the Cohere v2 form of embed, which tells documents from queries."""

from collections.abc import Sequence
from typing import Any

from embeddings_ab.adapters.embedding_providers.door import refuse_empty
from embeddings_ab.adapters.embedding_providers.protocol import EmbeddedBatch
from embeddings_ab.adapters.embedding_providers.remote import RemoteProvider, whole_number
from embeddings_ab.domain.provider_settings import Role


class CohereProvider(RemoteProvider):
    """POST {base_url}/v2/embed with the role as input_type. The form reports no revision beyond a model name."""

    def embed(self, texts: Sequence[str], role: Role) -> EmbeddedBatch:
        """See EmbeddingProvider."""
        refuse_empty(texts, provider=self._endpoint.who)
        payload: dict[str, Any] = {
            "model": self.settings.model,
            "texts": list(texts),
            "input_type": f"search_{role}",
            "embedding_types": ["float"],
            "truncate": "END",
        }
        if self.settings.dimensions is not None:
            payload["output_dimension"] = self.settings.dimensions
        base = self.settings.base_url.removesuffix("/v2")
        answer, _ = self._endpoint.post(f"{base}/v2/embed", payload)
        vectors = _at(answer, "embeddings", "float")
        if not isinstance(vectors, list):
            raise self._endpoint.bad_answer("no list 'embeddings.float'")
        return self._batch(
            vectors,
            texts,
            tokens=whole_number(_at(answer, "meta", "billed_units", "input_tokens")),
            revision=str(_at(answer, "model") or self.settings.model),
        )


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value
