"""Finds or makes the collections of an arm: asks its provider for the revision, checks the canary, writes recipes."""

import socket
from os import getpid
from typing import Any

import structlog
from django.db import transaction

from embeddings_ab import dispatch
from embeddings_ab.domain.chunking import VERSION as CHUNKER
from embeddings_ab.domain.spec import ArmSpec, TestSpec
from embeddings_ab.domain.statuses import TEST_UNDER_WAY, ArmStatus, CollectionStatus
from embeddings_ab.models import Arm, Collection, CollectionKind, EmbeddingSpace, QueryResult
from embeddings_ab.services import collections, endings, provider_access, spaces
from governance.models import Resource
from governance.models.leased_work import LeaseLost
from governance.services import quotas
from governance.services.heartbeats import Heartbeat, lease

log = structlog.get_logger(__name__)


def holder() -> str:
    """Who claims: machine and process, for people who read the table."""
    return f"{socket.gethostname()[:48]}:{getpid()}"


def prepare_arm(*, arm_id: int) -> None:
    """pending → preparing → building. A second message finds nothing to claim."""
    arm = Arm.claim(arm_id, waiting=[ArmStatus.PENDING], running=ArmStatus.PREPARING, holder=holder(), lease=lease())
    if arm is None:
        return
    try:
        with endings.of_arm(arm, back_to=ArmStatus.PENDING):
            endings.require_hope(arm)
            _prepare(arm)
    except LeaseLost:
        log.info("arm_lost", arm=arm.name, test=arm.test.public_id)
    dispatch.send_advance([arm.test_id])


def _prepare(arm: Arm) -> None:
    test = arm.test
    if test.status not in TEST_UNDER_WAY:
        arm.leave(ArmStatus.CANCELLED)
        return
    spec = ArmSpec.model_validate(arm.spec)
    private = "" if TestSpec.model_validate(test.spec).reuse_existing else test.public_id
    document_space: EmbeddingSpace | None = None
    query_space: EmbeddingSpace | None = None
    if spec.retrieval in ("vector", "hybrid"):
        settings = provider_access.settings_of(spec)
        with (
            provider_access.opened(project_id=test.project_id, settings=settings) as access,
            Heartbeat(arm, on_lost=access.close) as beat,
        ):
            document_space = spaces.current_space(
                project_id=test.project_id, settings=settings, access=access, role="document", private=private
            )
            query_space = spaces.current_space(
                project_id=test.project_id, settings=settings, access=access, role="query", private=private
            )
            beat.check()
    wanted = recipes(test.corpus.content_hash, test.query_set.content_hash, spec, private, document_space, query_space)
    with transaction.atomic():
        arm.renew(lease())  # the arm's lock first, then its collections', then the quotas': as cancelling takes them
        held: dict[str, Collection] = {}
        made = 0
        for kind, recipe, space in wanted:
            held[kind.value], is_new = collections.hold(test=test, kind=kind, recipe=recipe, space=space)
            made += is_new
        quotas.reserve(project_id=test.project_id, resource=Resource.COLLECTIONS, amount=made)
        _forget_other_models(arm, held)
        waiting = [c.pk for c in held.values() if c.status != CollectionStatus.READY]
        arm.leave(
            ArmStatus.BUILDING,
            documents=held.get("documents"),
            queries=held.get("queries"),
            lexical=held.get("lexical"),
            error_code="",
            error_message="",
        )
        dispatch.send_builds(waiting)
    log.info("arm_building", arm=arm.name, test=test.public_id, collections=len(held), waiting=len(waiting))


def _forget_other_models(arm: Arm, held: dict[str, Collection]) -> None:
    """Results of an earlier attempt stay only while they were found in the very same collections."""
    before = {"documents": arm.documents_id, "queries": arm.queries_id, "lexical": arm.lexical_id}
    known = dict(Collection.objects.filter(pk__in=filter(None, before.values())).values_list("pk", "content_hash"))
    for kind, pk in before.items():
        if pk is not None and kind in held and known.get(pk) != held[kind].content_hash:
            gone, _ = QueryResult.objects.filter(arm=arm).delete()
            Arm.objects.filter(pk=arm.pk).update(latency={}, queries_done=0, queries_failed=0)
            log.warning("arm_starts_anew", arm=arm.name, results=gone, changed=kind)
            return


def recipes(
    corpus_hash: str,
    query_set_hash: str,
    spec: ArmSpec,
    private: str,
    document_space: EmbeddingSpace | None,
    query_space: EmbeddingSpace | None,
) -> list[tuple[CollectionKind, dict[str, Any], EmbeddingSpace | None]]:
    """What an arm needs, each with everything that changes its content."""
    chunking = spec.chunking.model_dump(mode="json")
    if chunking["method"] == "none":
        chunking = {"method": "none"}
    shared: dict[str, Any] = {"chunker": CHUNKER} | ({"private": private} if private else {})
    found: list[tuple[CollectionKind, dict[str, Any], EmbeddingSpace | None]] = []
    if document_space is not None and query_space is not None:
        documents = {"corpus": corpus_hash, "chunking": chunking, "space": space_key(document_space), **shared}
        found.append((CollectionKind.DOCUMENTS, documents, document_space))
        queries = {"query_set": query_set_hash, "space": space_key(query_space), **shared}
        found.append((CollectionKind.QUERIES, queries, query_space))
    if spec.lexical is not None:
        lexical = spec.lexical.model_dump(mode="json")
        if lexical["engine"] != "bm25s":
            lexical = {"engine": lexical["engine"]}
        recipe = {"corpus": corpus_hash, "chunking": chunking, "lexical": lexical, **shared}
        found.append((CollectionKind.LEXICAL, recipe, None))
    return found


def space_key(space: EmbeddingSpace) -> dict[str, Any]:
    """A space as a recipe names it."""
    return {"identity": space.identity, "generation": space.generation}
