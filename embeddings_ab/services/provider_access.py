"""Opens a provider for a worker: allowed now, with its secret, through the guarded client, within the shared limits."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from django.conf import settings as django_settings

from embeddings_ab.adapters.embedding_providers import open_provider
from embeddings_ab.domain.provider_settings import ProviderSettings
from embeddings_ab.domain.spec import ArmSpec
from governance.outbound import limiter
from governance.outbound.client import GuardedClient
from governance.outbound.errors import OutboundFailed
from governance.services import providers, secrets

if TYPE_CHECKING:
    from embeddings_ab.adapters.embedding_providers.protocol import EmbeddingProvider

SLOT_WAIT_SECONDS = 2
SLOT_TURNS = 30


def settings_of(spec: ArmSpec) -> ProviderSettings:
    """The embedder of an arm."""
    assert spec.provider is not None  # the specification was checked when it was read
    return ProviderSettings(
        provider=spec.provider,
        model=spec.model,
        revision=spec.revision,
        base_url=spec.base_url,
        secret=spec.secret,
        dimensions=spec.dimensions,
        document_prefix=spec.document_prefix,
        query_prefix=spec.query_prefix,
        normalise=spec.normalise,
    )


@dataclass(slots=True)
class Access:
    """A provider that may be used now. `close` ends calls that are under way, from any thread."""

    provider: "EmbeddingProvider"
    client: GuardedClient | None
    is_closed: bool = False

    @contextmanager
    def slot(self, project_id: int) -> Iterator[None]:
        """Leave to make one call: within the provider's limit of parallel calls, over all workers.

        Waits in short turns, so that work which is called off stops waiting as well.
        """
        if self.provider.is_local:
            yield
            return
        with ExitStack() as stack:
            for turn in reversed(range(SLOT_TURNS)):
                try:
                    stack.enter_context(self._one_turn(project_id))
                    break
                except OutboundFailed:
                    if turn == 0 or self.is_closed:
                        raise
            yield

    def _one_turn(self, project_id: int) -> AbstractContextManager[object]:
        return limiter.slot(
            project_id=project_id,
            provider=self.provider.settings.provider,
            limit=self.provider.parallel_requests,
            lease_seconds=2 * django_settings.LEASE_SECONDS,
            wait_seconds=SLOT_WAIT_SECONDS,
        )

    def close(self) -> None:
        """Abort what is under way."""
        self.is_closed = True
        if self.client is not None:
            self.client.close()


@contextmanager
def opened(*, project_id: int, settings: ProviderSettings) -> Iterator[Access]:
    """The provider, checked against the project's rules at this moment: a rule may have been withdrawn since."""
    providers.require_allowed(
        project_id=project_id, provider=settings.provider, model=settings.model, base_url=settings.base_url
    )
    client = GuardedClient() if settings.base_url else None
    try:
        value = secrets.reveal(project_id=project_id, name=settings.secret) if settings.secret else None
        # Raw vectors are cached; arms bring them to length while searching, so they share one space.
        raw = replace(settings, normalise=False)
        if not raw.is_local:
            raw = replace(raw, parallel_requests=django_settings.PARALLEL_REQUESTS)
        provider = open_provider(raw, secret_value=value, client=client)
        try:
            yield Access(provider, client)
        finally:
            provider.close()
    finally:
        if client is not None:
            client.close()
