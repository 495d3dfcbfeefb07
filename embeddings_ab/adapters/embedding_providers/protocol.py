"""The shape of an embedding provider and of its answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from embeddings_ab.domain.provider_settings import ProviderSettings, Role

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class EmbeddedBatch:
    """Vectors in the order of the texts, float32 (n, dimensions); what was read and by which revision.

    `tokens` is the provider's own count where it reports one, else ours. `truncated` counts texts longer than a local
    model reads; None where nobody says.
    """

    vectors: "npt.NDArray[np.float32]"
    tokens: int
    revision: str
    truncated: int | None = None


class EmbeddingProvider(Protocol):
    """An opened provider. A text's vector never depends on the batch it comes in."""

    settings: ProviderSettings
    revision: str
    dimensions: int | None
    is_local: bool
    truncates_locally: bool
    batch_texts: int
    batch_tokens: int
    parallel_requests: int

    def ask_revision(self) -> str:
        """The revision that answers now; remote providers may call out for it. Raises ProviderFailed."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens each text costs: exact for local providers, an estimate for remote ones."""

    def embed(self, texts: Sequence[str], role: Role) -> EmbeddedBatch:
        """Embed one batch that is within the limits; the texts carry their prefix already. Raises ProviderFailed."""

    def close(self) -> None:
        """Let go of what it holds; a closed provider is not used again."""
