"""Any endpoint that speaks the OpenAI form of /embeddings."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import numpy as np

from embeddings_ab.adapters.embedding_providers.door import refuse_empty
from embeddings_ab.adapters.embedding_providers.protocol import EmbeddedBatch
from embeddings_ab.adapters.embedding_providers.remote import RemoteProvider, whole_number
from embeddings_ab.domain.provider_settings import Role


class OpenAiProvider(RemoteProvider):
    """POST {base_url}/embeddings. The revision is the model name that the answer reports."""

    def embed(self, texts: Sequence[str], role: Role) -> EmbeddedBatch:
        """See EmbeddingProvider; the form knows no roles, prefixes do that."""
        refuse_empty(texts, provider=self._endpoint.who)
        payload: dict[str, Any] = {
            "model": self.settings.model,
            "input": list(texts),
            "encoding_format": self.settings.encoding,
        }
        if self.settings.dimensions is not None:
            payload["dimensions"] = self.settings.dimensions
        answer, _ = self._endpoint.post(f"{self.settings.base_url}/embeddings", payload)
        if not isinstance(answer, dict) or not isinstance(answer.get("data"), list):
            raise self._endpoint.bad_answer("no list 'data'")
        usage = answer.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        tokens = whole_number(usage.get("prompt_tokens"))
        reported = answer.get("model") or self.settings.model
        if answer.get("system_fingerprint"):
            reported = f"{reported} {answer['system_fingerprint']}"
        vectors = self._in_order(answer["data"], len(texts))
        return self._batch(
            vectors,
            texts,
            tokens=whole_number(usage.get("total_tokens")) if tokens is None else tokens,
            revision=str(reported),
        )

    def _in_order(self, rows: list[Any], count: int) -> list[Any]:
        """Vectors by `index`, which servers do not always send in order; without any index, as they come."""
        if len(rows) != count or not all(isinstance(row, dict) and "embedding" in row for row in rows):
            raise self._endpoint.bad_answer(f"{len(rows)} rows with an embedding at most, expected {count}")
        if any("index" in row for row in rows):
            places = [whole_number(row.get("index")) for row in rows]
            if sorted(-1 if place is None else place for place in places) != list(range(count)):
                raise self._endpoint.bad_answer(f"indexes other than 0 to {count - 1}, each once")
            rows = [row for _, row in sorted(zip(places, rows, strict=True), key=lambda pair: pair[0] or 0)]
        return [self._numbers(row["embedding"], position) for position, row in enumerate(rows)]

    def _numbers(self, embedding: Any, position: int) -> Any:
        """A list as it is, or little-endian float32 from base64: some servers ignore the form asked for."""
        if not isinstance(embedding, str):
            return embedding
        try:
            return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4")
        except (binascii.Error, ValueError) as error:
            raise self._endpoint.bad_answer(
                f"an embedding of text {position} that is not base64 of float32", position=position
            ) from error
