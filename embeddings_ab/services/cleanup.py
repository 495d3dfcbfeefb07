"""Clean-up in small batches, safe with several beats: expired tests let go, free collections and old vectors go.

Results always stay. A dry run says what would go.
"""

import datetime as dt
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from embeddings_ab import dispatch
from embeddings_ab.adapters import artifacts
from embeddings_ab.domain.statuses import COLLECTION_LIVE, COLLECTION_PREDECESSORS, TEST_ENDED, CollectionStatus
from embeddings_ab.models import AbTest, Collection, CollectionKind, CollectionUse, Embedding, EmbeddingSpace
from embeddings_ab.selectors.collections import find_collection
from embeddings_ab.services import arm_files
from embeddings_ab.services.artifact_files import folder_of
from embeddings_ab.services.collections import give_back_reservations
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.errors import Conflict
from governance.models import Resource
from governance.models.clock import from_now
from governance.services import audit, quotas

log = structlog.get_logger(__name__)
BATCH = 100
VECTOR_BATCH = 5_000
#: A collection that nobody holds stays this long after its last use, so that the next test may find it.
IDLE = dt.timedelta(hours=1)
#: Vectors of a space in which nothing was built for this long are dropped.
UNUSED_VECTORS = dt.timedelta(days=30)


def _expired() -> Q:
    return Q(test__expires_at__lt=Now(), test__status__in=sorted(TEST_ENDED))


def _free(idle: dt.timedelta) -> QuerySet[Collection]:
    held = CollectionUse.objects.filter(collection=OuterRef("pk"))
    settled = Collection.objects.filter(status__in=sorted(COLLECTION_PREDECESSORS[CollectionStatus.DELETING]))
    return settled.filter(~Exists(held), last_used_at__lte=from_now(-idle))


def _unused_spaces() -> QuerySet[EmbeddingSpace]:
    live = Collection.objects.filter(space=OuterRef("pk"), status__in=sorted(COLLECTION_LIVE))
    return EmbeddingSpace.objects.filter(~Exists(live), last_used_at__lt=from_now(-UNUSED_VECTORS))


def sweep(*, dry_run: bool = False) -> dict[str, Any]:
    """One small batch of everything that is due; what was or would be done, by public id."""
    expired = CollectionUse.objects.filter(_expired()).select_related("test").order_by("pk")[:BATCH]
    uses = list(expired)
    free = list(_free(IDLE).order_by("pk")[:BATCH])
    spaces = list(_unused_spaces().order_by("pk")[:1])
    found: dict[str, Any] = {
        "released": sorted({use.test.public_id for use in uses}),
        "deleted": [collection.public_id for collection in free],
        "vectors": {f"{space}": Embedding.objects.filter(space=space).count() for space in spaces},
        "dry_run": dry_run,
    }
    if dry_run:
        return found
    touched = [use.collection_id for use in uses]
    CollectionUse.objects.filter(pk__in=[use.pk for use in uses]).filter(_expired()).delete()
    Collection.objects.filter(pk__in=touched).update(last_used_at=Now())
    for collection in free:
        _mark(collection.pk, IDLE)
    _send_lost_deletions()
    for space in spaces:
        _drop_vectors(space)
    if any((found["released"], found["deleted"], found["vectors"])):
        log.info("ab_swept", released=len(found["released"]), deleted=len(free), spaces=len(spaces))
    return found


def _mark(pk: int, idle: dt.timedelta) -> bool:
    """ready | failed → deleting, in one statement that also sees that nobody holds it."""
    with transaction.atomic():
        before = Collection.objects.select_for_update().get(pk=pk)
        marked = _free(idle).filter(pk=pk).update(status=CollectionStatus.DELETING)
        if marked:
            give_back_reservations(pk)
            if before.status != CollectionStatus.FAILED:  # a failed one gave its place back when it failed
                quotas.give_back(project_id=before.project_id, resource=Resource.COLLECTIONS)
            dispatch.send_deletions([pk])
        return bool(marked)


def _send_lost_deletions() -> None:
    lost = Q(dispatched_at__isnull=True) | Q(dispatched_at__lt=from_now(-dt.timedelta(minutes=2)))
    rows = Collection.objects.filter(lost, status=CollectionStatus.DELETING).order_by("pk")
    dispatch.send_deletions(list(rows.values_list("pk", flat=True)[:BATCH]))


def delete_artifacts(*, collection_id: int) -> None:
    """deleting → deleted: files and tables of the collection go; doing it twice is harmless."""
    collection = Collection.objects.filter(pk=collection_id, status=CollectionStatus.DELETING).first()
    if collection is None:
        return
    artifacts.remove(folder_of(collection))
    if collection.kind != CollectionKind.QUERIES:
        arm_files.drop_tables(collection)
    if Collection.objects.filter(pk=collection_id, status=CollectionStatus.DELETING).update(
        status=CollectionStatus.DELETED, deleted_at=Now(), byte_count=0
    ):
        log.info("collection_deleted", collection=collection.public_id)


def _drop_vectors(space: EmbeddingSpace) -> None:
    with transaction.atomic():
        # A collection that begins in this space waits for the lock, or is seen by the second look.
        EmbeddingSpace.objects.select_for_update().filter(pk=space.pk).first()
        if not _unused_spaces().filter(pk=space.pk).exists():
            return
        pks = list(Embedding.objects.filter(space=space).order_by("pk").values_list("pk", flat=True)[:VECTOR_BATCH])
        gone, _ = Embedding.objects.filter(pk__in=pks).delete()
        quotas.give_back(
            project_id=space.project_id, resource=Resource.VECTOR_BYTES, amount=gone * space.dimensions * 4
        )
        if not pks:
            # Its collections are gone; their rows stay as a record and forget the space.
            _unused_spaces().filter(pk=space.pk).delete()


def delete_collection(*, caller: Caller, collection_id: str) -> None:
    """Delete a collection that no test holds, now."""
    caller.require(Action.AB_WRITE)
    collection = find_collection(caller, collection_id)
    with transaction.atomic():
        if not _mark(collection.pk, dt.timedelta(0)):
            tests = AbTest.objects.filter(collection_uses__collection=collection).values_list("public_id", flat=True)
            raise Conflict(
                f"Collection {collection_id} is {collection.status} and held by {len(tests)} tests"
                + (f" ({', '.join(tests[:3])})" if tests else "")
                + ". It can be deleted when it is ready or failed and no test holds it.",
                field="status",
                value=collection.status,
            )
        audit.record(
            caller=caller,
            action="collection.delete",
            target_kind="collection",
            target_id=collection.public_id,
            target_label=collection.content_hash[:12],
            before={"status": collection.status, "kind": collection.kind},
        )
