"""An arm that is somebody's own search endpoint: one call per query; a failed call marks its query, not the arm."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from embeddings_ab.adapters import external_search
from embeddings_ab.domain.provider_errors import ProviderFailed
from embeddings_ab.domain.spec import External
from embeddings_ab.models import Arm
from embeddings_ab.services import calling
from governance.outbound.client import GuardedClient
from governance.services import providers, secrets

if TYPE_CHECKING:
    from embeddings_ab.domain.ranking import Candidates


class ExternalSearch:
    """The endpoint, speaking ordinals."""

    def __init__(
        self, endpoint: external_search.ExternalSearch, client: GuardedClient, ordinals: dict[str, int]
    ) -> None:
        self.endpoint, self.client, self.ordinals = endpoint, client, ordinals

    @classmethod
    @contextmanager
    def opened(cls, arm: Arm, settings: External, ordinals: dict[str, int]) -> Iterator["ExternalSearch"]:
        """Checked against the project's rules at this moment."""
        project_id = arm.test.project_id
        providers.require_allowed(project_id=project_id, provider="external", model="", base_url=settings.url)
        secret = secrets.reveal(project_id=project_id, name=settings.secret) if settings.secret else None
        client = GuardedClient()
        try:
            yield cls(external_search.ExternalSearch(settings, secret_value=secret, client=client), client, ordinals)
        finally:
            client.close()

    def close(self) -> None:
        """End a call that is in the air."""
        self.client.close()

    def search(self, texts: Sequence[str], depth: int, failures: dict[int, BaseException]) -> "Candidates":
        """Ranked ordinals per query. A query whose call fails has an empty list and stands in `failures`."""
        from embeddings_ab.domain.ranking import candidates_of

        lists: list[tuple[list[int], list[float]]] = []
        known = self.ordinals.keys()
        for at, text in enumerate(texts):
            try:
                hits = calling.with_retries(partial(self.endpoint.search, text, depth, known=known)).documents
            except ProviderFailed as error:
                failures[at] = error
                hits = ()
            lists.append(([self.ordinals[name] for name, _ in hits], [score for _, score in hits]))
        return candidates_of(lists, depth)
