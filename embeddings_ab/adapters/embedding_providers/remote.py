"""What remote providers share: the endpoint, the estimate of tokens, and the revision they report."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from embeddings_ab.adapters.embedding_providers.door import checked_batch
from embeddings_ab.adapters.embedding_providers.protocol import EmbeddedBatch
from embeddings_ab.adapters.outbound_calls import Endpoint, HttpClient
from embeddings_ab.domain.provider_settings import ProviderSettings, Role


class RemoteProvider(ABC):
    """Settings and state of one remote provider; its subclasses speak the protocols.

    `revision` and `dimensions` are what the last answer showed: empty and None before the first.
    """

    is_local = False
    truncates_locally = False

    def __init__(self, settings: ProviderSettings, *, secret_value: str | None, client: HttpClient) -> None:
        self.settings = settings
        self.revision = ""
        self.dimensions: int | None = settings.dimensions
        self.batch_texts = settings.batch_texts
        self.batch_tokens = settings.batch_tokens
        self.parallel_requests = settings.parallel_requests
        self._endpoint = Endpoint(
            client,
            who=f"{settings.provider} at {settings.base_url}",
            secret_value=secret_value,
            timeout=settings.timeout_seconds,
        )

    def ask_revision(self) -> str:
        """What the endpoint reports: told by the answer to a call, so one word is embedded where none was made yet."""
        if not self.revision:
            self.embed(["revision"], "query")
        return self.revision

    @abstractmethod
    def embed(self, texts: Sequence[str], role: Role) -> EmbeddedBatch:
        """Each protocol has its own."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """An estimate: four ASCII characters a token, one of any other script."""
        return [estimated_tokens(text) for text in texts]

    def close(self) -> None:  # noqa: B027 - not abstract: nothing to let go of is right for all of them
        """The client belongs to the job and is closed there."""

    def _batch(
        self, vectors: Sequence[object], texts: Sequence[str], *, tokens: int | None, revision: str
    ) -> EmbeddedBatch:
        """Check an answer at the door and remember what it showed."""
        # A revision of several words (model, commit, number type) may be asked for by any one of them.
        if self.settings.revision and self.settings.revision not in (revision, *revision.split()):
            raise self._endpoint.bad_answer(
                f"revision {revision!r}, but {self.settings.revision!r} was asked for; leave revision out to take "
                "what the provider has",
                field="revision",
            )
        checked = checked_batch(
            vectors,
            texts=len(texts),
            dimensions=self.dimensions,
            normalise=self.settings.normalise,
            provider=self._endpoint.who,
        )
        self.revision, self.dimensions = revision, checked.shape[1]
        return EmbeddedBatch(checked, sum(self.count_tokens(texts)) if tokens is None else tokens, revision)


def estimated_tokens(text: str) -> int:
    """At least 1."""
    ascii_characters = len(text.encode("ascii", "ignore"))
    return max(1, math.ceil(ascii_characters / 4) + len(text) - ascii_characters)


def whole_number(value: object) -> int | None:
    """A count that an answer may carry; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
