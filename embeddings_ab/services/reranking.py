"""Reranks the best candidates of each query; a query whose call fails is marked, the others go on."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings as django_settings

from embeddings_ab import telemetry
from embeddings_ab.adapters.rerankers import Reranker, open_reranker
from embeddings_ab.domain.provider_errors import ProviderFailed
from embeddings_ab.domain.spec import ArmSpec
from embeddings_ab.models import Arm, Document
from embeddings_ab.services import calling
from governance.outbound.client import GuardedClient
from governance.services import providers, secrets

if TYPE_CHECKING:
    from embeddings_ab.domain.ranking import Candidates


Passage = tuple[int, int]


def _read(texts: Mapping[int, str], units: Sequence[int], passages: Mapping[int, Passage]) -> list[str]:
    return [texts[unit][slice(*passages[unit])] if unit in passages else texts[unit] for unit in units]


class ArmReranker:
    """The reranker of an arm over the texts of its best chunks."""

    def __init__(self, arm: Arm, reranker: Reranker, client: GuardedClient | None, kind: str) -> None:
        self.arm, self.reranker, self.client, self.kind = arm, reranker, client, kind

    def close(self) -> None:
        """End a call that is in the air."""
        if self.client is not None:
            self.client.close()

    def rerank(
        self,
        queries: Sequence[str],
        found: "Candidates",
        depth: int,
        failures: dict[int, BaseException],
        passages: Sequence[Mapping[int, Passage]] = (),
    ) -> "Candidates":
        """The best `depth` of each list by new scores; deeper ones stay behind in their order.

        passages: per query the best chunk of each document, as a span of its text; without, whole documents are read.
        """
        import numpy as np

        from embeddings_ab.domain.ranking import reranked

        texts = self._texts({int(unit) for units in found.units for unit in units[:depth]})
        scores = []
        for at, query in enumerate(queries):
            units = [int(unit) for unit in found.units[at][:depth]]
            given: list[float] = []
            if units and at not in failures:
                try:
                    with telemetry.timed_call(f"rerank_{self.kind}"):
                        given = calling.with_retries(
                            partial(self.reranker.rerank, query, _read(texts, units, passages[at] if passages else {}))
                        )
                except ProviderFailed as error:
                    failures[at] = error
            # A failed list keeps its order here and is stored as failed, so nobody scores it.
            scores.append(given or list(np.arange(len(units), 0, -1, dtype=float)))
        return reranked(found, scores, depth)

    def _texts(self, ordinals: set[int]) -> dict[int, str]:
        rows = Document.objects.filter(corpus_id=self.arm.test.corpus_id, ordinal__in=ordinals)
        return {row.ordinal: row.full_text for row in rows.only("ordinal", "title", "text")}


@contextmanager
def opened(arm: Arm, spec: ArmSpec) -> Iterator[ArmReranker]:
    """The arm's reranker, checked against the project's rules where it calls somebody."""
    settings = spec.reranker
    assert settings is not None
    client = None
    secret = None
    if settings.kind == "http":
        project_id = arm.test.project_id
        providers.require_allowed(
            project_id=project_id, provider="reranker", model=settings.model, base_url=settings.url
        )
        secret = secrets.reveal(project_id=project_id, name=settings.secret) if settings.secret else None
        client = GuardedClient()
    try:
        reranker = open_reranker(
            settings, secret_value=secret, client=client, models_folder=Path(django_settings.DATA_DIR) / "models"
        )
        yield ArmReranker(arm, reranker, client, settings.kind)
    finally:
        if client is not None:
            client.close()
