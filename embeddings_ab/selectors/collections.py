"""Reads of collections."""

from django.db.models import Count, QuerySet

from embeddings_ab.models import Collection
from governance.domain.caller import Caller
from governance.domain.errors import NotFound


def collections(caller: Caller) -> QuerySet[Collection]:
    """Collections of the project, newest first, each with `holders`: how many tests hold it."""
    found = Collection.objects.filter(project_id=caller.project_id).select_related("corpus", "query_set", "space")
    return found.annotate(holders=Count("uses"))


def find_collection(caller: Caller, collection_id: str) -> Collection:
    """One collection of the project."""
    found = collections(caller).filter(public_id=collection_id).first()
    if found is None:
        raise NotFound(
            f"There is no collection {collection_id[:80]!r} in this project; GET /api/v1/ab/collections lists them.",
            field="collection_id",
            value=collection_id[:200],
        )
    return found
