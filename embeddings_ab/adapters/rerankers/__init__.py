"""Rerankers behind one protocol; each is imported when it is opened."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from embeddings_ab.domain.provider_errors import ProviderFailed
from embeddings_ab.domain.spec import Reranker as RerankerSpec

if TYPE_CHECKING:
    from embeddings_ab.adapters.outbound_calls import HttpClient

__all__ = ["Reranker", "open_reranker"]


class Reranker(Protocol):
    """Scores the candidates of one query."""

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """One finite score per text, in the order of the texts; higher is better. Raises ProviderFailed."""

    def close(self) -> None:
        """Let go of what it holds."""


def open_reranker(
    spec: RerankerSpec,
    *,
    secret_value: str | None = None,
    client: "HttpClient | None" = None,
    models_folder: Path | None = None,
) -> Reranker:
    """The reranker of an arm. `client`: the job's guarded client, for kind http. Calls nobody yet.

    `models_folder`: where the operator keeps cross-encoders; paths of arms lie below it and nowhere else.
    Raises ProviderFailed: unauthorised (named secret without a value), not_installed (no such model here).
    """
    if spec.kind == "overlap":
        from embeddings_ab.adapters.rerankers.overlap import OverlapReranker

        return OverlapReranker()
    if spec.kind == "cross_encoder":
        from embeddings_ab.adapters.rerankers.cross_encoder import CrossEncoder, model_folder

        return CrossEncoder(model_folder(spec.path, models_folder))
    if client is None:
        raise ValueError("a reranker of kind 'http' needs the job's outbound client")
    if spec.secret and not secret_value:
        raise ProviderFailed(f"secret {spec.secret!r} of the reranker has no value", cause="unauthorised")
    from embeddings_ab.adapters.rerankers.http import HttpReranker

    return HttpReranker(spec, secret_value=secret_value, client=client)
