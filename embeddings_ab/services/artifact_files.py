"""Makes the files of a collection from what the database holds, at its build or whenever a machine misses them."""

from pathlib import Path

from embeddings_ab.adapters import artifacts
from embeddings_ab.domain.provider_settings import ProviderSettings
from embeddings_ab.domain.spec import ArmSpec, Chunking, Lexical
from embeddings_ab.domain.statuses import CollectionStatus
from embeddings_ab.models import Arm, Collection, CollectionKind, EmbeddingSpace
from embeddings_ab.services import embedding_cache
from embeddings_ab.services.corpus_texts import chunks_of, queries_of
from governance.domain.errors import Conflict


def provider_settings(space: EmbeddingSpace) -> ProviderSettings:
    """How to open the provider of a space: as an arm that uses it says. Secrets are named by arms, not by vectors."""
    uses = Arm.objects.filter(test__project_id=space.project_id).filter(documents__space=space) | Arm.objects.filter(
        test__project_id=space.project_id
    ).filter(queries__space=space)
    arm = uses.order_by("-pk").first()
    assert arm is not None  # collections are made for arms
    from embeddings_ab.services.provider_access import settings_of

    return settings_of(ArmSpec.model_validate(arm.spec))


def folder_of(collection: Collection) -> Path:
    """The collection's place on this machine."""
    return artifacts.folder_of(project=collection.project.public_id, collection=collection.public_id)


def texts_of(collection: Collection) -> list[str]:
    """All units of a collection, in its order: chunks or queries."""
    if collection.kind == CollectionKind.QUERIES:
        assert collection.query_set is not None  # its kind says so
        return [query.text for query in queries_of(collection.query_set)]
    return chunks_of(collection.corpus, Chunking.model_validate(collection.recipe["chunking"])).texts


def count_chunks(collection: Collection) -> int:
    """How many units there are."""
    return len(texts_of(collection))


def materialise(collection: Collection) -> int:
    """Make the files if this machine has none; their size in bytes."""
    folder = folder_of(collection)
    if not artifacts.is_complete(folder):
        status = Collection.objects.filter(pk=collection.pk).values_list("status", flat=True).first()
        if status not in (CollectionStatus.READY, CollectionStatus.BUILDING):
            raise Conflict(
                f"Collection {collection.public_id} is {status}; its vectors were cleaned up. Run the test again.",
                field="collection",
                value=collection.public_id,
            )
        with artifacts.written(folder) as beside:
            if collection.kind == CollectionKind.QUERIES:
                _write_queries(collection, beside)
            elif collection.kind == CollectionKind.DOCUMENTS:
                _write_documents(collection, beside)
            else:
                _write_lexical(collection, beside)
    return artifacts.size_of(folder)


def _write_queries(collection: Collection, folder: Path) -> None:
    assert collection.space is not None
    keys = [embedding_cache.text_hash(text) for text in texts_of(collection)]
    artifacts.save_array(folder, "vectors", embedding_cache.load(collection.space, keys))


def _write_documents(collection: Collection, folder: Path) -> None:
    assert collection.space is not None
    chunks = chunks_of(collection.corpus, Chunking.model_validate(collection.recipe["chunking"]))
    keys = [embedding_cache.text_hash(text) for text in chunks.texts]
    artifacts.save_array(folder, "vectors", embedding_cache.load(collection.space, keys))
    artifacts.save_array(folder, "documents", chunks.documents)
    artifacts.save_array(folder, "spans", chunks.spans)


def _write_lexical(collection: Collection, folder: Path) -> None:
    from embeddings_ab.adapters.lexical_indexes import build_index

    chunks = chunks_of(collection.corpus, Chunking.model_validate(collection.recipe["chunking"]))
    artifacts.save_array(folder, "documents", chunks.documents)
    artifacts.save_array(folder, "spans", chunks.spans)
    settings = Lexical.model_validate(collection.recipe["lexical"])
    build_index(
        settings,
        folder=folder,
        table=collection.public_id,
        texts=chunks.texts,
        documents=chunks.documents,
        document_count=collection.corpus.document_count,
    )
