"""Which collection a test gets: one that is there with the same recipe, or a new row to be built."""

from typing import Any

import structlog
from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now

from embeddings_ab.domain.fingerprint import canonical_json_hash
from embeddings_ab.domain.statuses import COLLECTION_LIVE, TEST_UNDER_WAY, CollectionStatus
from embeddings_ab.models import AbTest, Collection, CollectionKind, CollectionUse, EmbeddingSpace
from governance.models import Resource
from governance.services import quotas

log = structlog.get_logger(__name__)
_TRIES = 5


def hold(
    *,
    test: AbTest,
    kind: CollectionKind,
    recipe: dict[str, Any],
    space: EmbeddingSpace | None = None,
) -> tuple[Collection, bool]:
    """The live collection of this recipe, made if need be, and held by the test until its clean-up.

    Must run in a transaction, whose caller then reserves the quota for new ones: True says that this one counts anew. A
    failed one gets another chance. The row is locked, so it cannot be deleted in between.
    """
    content_hash = canonical_json_hash({"kind": kind.value, **recipe})
    for _ in range(_TRIES):
        found = (
            Collection.objects.select_for_update()
            .filter(project_id=test.project_id, content_hash=content_hash, status__in=COLLECTION_LIVE)
            .first()
        )
        is_new = found is None
        if found is None:
            try:
                with transaction.atomic():
                    found = _create(test, kind, recipe, content_hash, space)
            except IntegrityError:  # another test made it at this moment
                continue
        CollectionUse.objects.bulk_create([CollectionUse(test=test, collection=found)], ignore_conflicts=True)
        return found, revive(found.pk) or is_new
    raise RuntimeError(f"collection {content_hash} could be neither found nor made")


def _create(
    test: AbTest, kind: CollectionKind, recipe: dict[str, Any], content_hash: str, space: EmbeddingSpace | None
) -> Collection:
    return Collection.objects.create(
        project_id=test.project_id,
        kind=kind,
        recipe=recipe,
        content_hash=content_hash,
        space=space,
        corpus=test.corpus,
        query_set=test.query_set if kind == CollectionKind.QUERIES else None,
        document_count=test.query_set.query_count if kind == CollectionKind.QUERIES else test.corpus.document_count,
    )


def revive(pk: int) -> bool:
    """Give a failed collection another chance; True when it was one: it counts against the quota again."""
    failed = Collection.objects.filter(pk=pk, status=CollectionStatus.FAILED)
    revived = failed.update(
        status=CollectionStatus.PENDING,
        attempts=0,
        dispatched_at=None,
        next_attempt_at=None,
        error_code="",
        error_message="",
    )
    return revived == 1


def call_off_unneeded(pks: list[int]) -> None:
    """Fail builds that no test under way waits for any more; what is cached stays cached."""
    # Locked before it is asked who needs them: a test that takes hold at this moment is seen, or sees them failed.
    list(Collection.objects.select_for_update().filter(pk__in=pks).order_by("pk").values_list("pk", flat=True))
    needed = CollectionUse.objects.filter(collection_id__in=pks, test__status__in=TEST_UNDER_WAY)
    unneeded = set(pks) - set(needed.values_list("collection_id", flat=True))
    for collection in Collection.objects.filter(pk__in=unneeded).order_by("pk"):
        called_off = Collection.objects.filter(
            pk=collection.pk, status__in=[CollectionStatus.PENDING, CollectionStatus.BUILDING]
        ).update(
            status=CollectionStatus.FAILED,
            error_code="cancelled",
            error_message="No test waits for it any more; starting one again goes on from what is cached.",
            leased_until=None,
            lease_holder="",
            lease_token=F("lease_token") + 1,
        )
        if called_off:
            give_back_reservations(collection.pk)
            log.info("collection_called_off", collection=collection.public_id)


def give_back_reservations(pk: int) -> None:
    """Return what was reserved for a build and not spent, and for a failed one its place among the collections.

    Runs in the transaction that ends the build; once only.
    """
    row = Collection.objects.select_for_update().get(pk=pk)
    taken = {
        Resource.EMBEDDING_TOKENS: row.reserved_tokens,
        Resource.VECTOR_BYTES: row.reserved_bytes,
    }
    if row.status in (CollectionStatus.FAILED, CollectionStatus.DELETING):
        taken[Resource.CHUNKS] = row.reserved_chunks
        Collection.objects.filter(pk=pk).update(reserved_chunks=0)
    if row.status == CollectionStatus.FAILED:
        taken[Resource.COLLECTIONS] = 1
    Collection.objects.filter(pk=pk).update(reserved_tokens=0, reserved_bytes=0)
    for resource, amount in sorted(taken.items()):
        month = row.reserved_month if resource == Resource.EMBEDDING_TOKENS else None
        quotas.give_back(project_id=row.project_id, resource=resource, amount=amount, month=month)


def touch(pks: list[int]) -> None:
    """Note that collections were used now."""
    Collection.objects.filter(pk__in=pks).update(last_used_at=Now())
