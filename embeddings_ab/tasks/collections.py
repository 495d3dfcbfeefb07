"""Worker's edge of collections."""

from celery import shared_task

from embeddings_ab import dispatch


@shared_task(name=dispatch.BUILD_COLLECTION)
def build_collection(collection_id: int) -> None:
    """Build what is missing; doing it twice or too late changes nothing."""
    from embeddings_ab.services import collection_builds

    collection_builds.build_collection(collection_id=collection_id)


@shared_task(name=dispatch.DELETE_COLLECTION)
def delete_collection(collection_id: int) -> None:
    """Remove the artifacts of a collection that nobody holds."""
    from embeddings_ab.services import cleanup

    cleanup.delete_artifacts(collection_id=collection_id)
