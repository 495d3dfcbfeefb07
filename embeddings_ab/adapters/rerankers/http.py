"""Rerankers behind HTTP, in the forms of Cohere, Jina and Text Embeddings Inference."""

import math
from collections.abc import Sequence
from typing import Any

from embeddings_ab.adapters.outbound_calls import Endpoint, HttpClient
from embeddings_ab.domain.spec import Reranker as RerankerSpec

#: Texts in one call: what servers of the form take without being set up for more.
MOST_TEXTS = {"cohere": 1000, "jina": 1000, "tei": 32}
_TIMEOUT_SECONDS = 60.0


class HttpReranker:
    """POST to the given URL as it stands; pairs are scored one by one there, so long lists are cut into calls."""

    def __init__(self, spec: RerankerSpec, *, secret_value: str | None, client: HttpClient) -> None:
        self._spec = spec
        self._endpoint = Endpoint(
            client, who=f"reranker at {spec.url}", secret_value=secret_value, timeout=_TIMEOUT_SECONDS
        )

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """See Reranker."""
        most = MOST_TEXTS[self._spec.form]
        scores: list[float] = []
        for start in range(0, len(texts), most):
            scores += self._scores(query, list(texts[start : start + most]))
        return scores

    def close(self) -> None:
        """The client belongs to the job and is closed there."""

    def _scores(self, query: str, texts: list[str]) -> list[float]:
        answer, _ = self._endpoint.post(self._spec.url, self._payload(query, texts))
        if self._spec.form == "tei":
            rows, name = answer, "score"
        else:
            rows, name = answer.get("results") if isinstance(answer, dict) else None, "relevance_score"
        if not isinstance(rows, list):
            raise self._endpoint.bad_answer("no list of scores")
        scores: list[float | None] = [None] * len(texts)
        for row in rows:
            place = row.get("index") if isinstance(row, dict) else None
            if not isinstance(place, int) or not 0 <= place < len(texts) or scores[place] is not None:
                raise self._endpoint.bad_answer(f"index {place!r}, expected 0 to {len(texts) - 1}, each once")
            scores[place] = self._number(row.get(name), place)
        complete = [score for score in scores if score is not None]
        if len(complete) != len(texts):
            raise self._endpoint.bad_answer(f"{len(complete)} scores for {len(texts)} texts")
        return complete

    def _payload(self, query: str, texts: list[str]) -> dict[str, Any]:
        if self._spec.form == "tei":
            return {"query": query, "texts": texts, "raw_scores": False, "truncate": True}
        payload: dict[str, Any] = {"query": query, "documents": texts, "top_n": len(texts)}
        if self._spec.model:
            payload["model"] = self._spec.model
        if self._spec.form == "jina":
            payload["return_documents"] = False
        return payload

    def _number(self, score: Any, place: int) -> float:
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            raise self._endpoint.bad_answer(f"score {score!r} for text {place}, expected a finite number")
        return float(score)
