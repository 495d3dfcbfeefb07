"""What an arm took: documents, chunks, tokens, revision, cache hits, seconds, bytes, cost."""

from decimal import Decimal
from typing import Any

from embeddings_ab.models import AbTest, Arm, Collection


def of_arm(test: AbTest, arm: Arm, counted: set[int]) -> dict[str, Any]:
    """Sums over the arm's collections, so that the arms of a test add up to what the test took.

    A collection that was ready before the test started is free, and so is one in `counted`: an arm before this one
    has it on its account. Both count as reused.
    """
    held = [c for c in (arm.documents, arm.queries, arm.lexical) if c is not None]
    paid = [c for c in held if not _was_there(test, c) and c.pk not in counted]
    counted.update(c.pk for c in held)
    vectors = arm.documents
    space = vectors.space if vectors is not None else None
    chunks = arm.documents or arm.lexical
    costs = [c.cost for c in paid if c.kind != "lexical" and c.provider_calls]
    known = [cost for cost in costs if cost is not None]
    return {
        "documents": test.corpus.document_count,
        "empty_documents": test.corpus.empty_count,
        "chunks": chunks.chunk_count if chunks is not None else None,
        "tokens": sum(c.token_count for c in paid),
        "dimensions": arm.spec.get("dimensions") or (space.dimensions if space is not None else None),
        "provider": space.provider if space is not None else None,
        "model": space.model if space is not None else None,
        "revision": space.revision if space is not None else None,
        "generation": space.generation if space is not None else None,
        "cache_hits": sum(c.cache_hits if c in paid else c.cache_hits + c.embedded_count for c in held),
        "embedded": sum(c.embedded_count for c in paid),
        "provider_calls": sum(c.provider_calls for c in paid),
        "provider_seconds": round(sum(c.provider_seconds for c in paid), 3),
        "build_seconds": round(sum(c.build_seconds for c in paid), 3),
        "bytes": sum(c.byte_count for c in held),
        "cost": f"{sum(known, Decimal(0)):f}" if len(known) == len(costs) else None,
        "currency": next((c.currency for c in paid if c.currency), ""),
        "reused": bool(held) and not paid,
    }


def _was_there(test: AbTest, collection: Collection) -> bool:
    return collection.ready_at is not None and test.started_at is not None and collection.ready_at < test.started_at


def write(test: AbTest, arms: list[Arm]) -> None:
    """Store the figures of every arm."""
    counted: set[int] = set()
    for arm in arms:
        arm.stats = {**arm.stats, **of_arm(test, arm, counted)}
        Arm.objects.filter(pk=arm.pk).update(stats=arm.stats)
