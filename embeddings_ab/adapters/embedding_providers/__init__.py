"""Embedding providers behind one protocol; each is imported when it is opened, so nothing here costs a start."""

from typing import TYPE_CHECKING

from embeddings_ab.adapters.embedding_providers.installed import require_installed
from embeddings_ab.adapters.embedding_providers.protocol import EmbeddedBatch, EmbeddingProvider
from embeddings_ab.domain.provider_errors import ProviderFailed
from embeddings_ab.domain.provider_settings import ProviderSettings

if TYPE_CHECKING:
    from embeddings_ab.adapters.outbound_calls import HttpClient

__all__ = ["EmbeddedBatch", "EmbeddingProvider", "open_provider", "require_installed"]


def open_provider(
    settings: ProviderSettings, *, secret_value: str | None = None, client: "HttpClient | None" = None
) -> EmbeddingProvider:
    """The provider of these settings. Remote ones need the job's guarded client; local ones need neither argument.

    Calls nobody yet. Raises ProviderFailed: not_installed where a local model is missing, unauthorised where a secret
    is named and no value is given.
    """
    settings = settings.with_defaults()
    if settings.provider == "synthetic":
        from embeddings_ab.adapters.embedding_providers.synthetic import SyntheticProvider

        return SyntheticProvider(settings)
    if settings.provider == "minilm":
        from embeddings_ab.adapters.embedding_providers.minilm import MiniLmProvider

        return MiniLmProvider(settings)
    if settings.provider == "wordllama":
        from embeddings_ab.adapters.embedding_providers.wordllama import WordLlamaProvider

        return WordLlamaProvider(settings)
    if client is None:
        raise ValueError(f"provider {settings.provider!r} is remote and needs the job's outbound client")
    if settings.secret and not secret_value:
        raise ProviderFailed(
            f"secret {settings.secret!r} of provider {settings.provider!r} has no value", cause="unauthorised"
        )
    if settings.provider == "openai":
        from embeddings_ab.adapters.embedding_providers.openai import OpenAiProvider

        return OpenAiProvider(settings, secret_value=secret_value, client=client)
    if settings.provider == "cohere":
        from embeddings_ab.adapters.embedding_providers.cohere import CohereProvider

        return CohereProvider(settings, secret_value=secret_value, client=client)
    from embeddings_ab.adapters.embedding_providers.tei import TeiProvider

    return TeiProvider(settings, secret_value=secret_value, client=client)
