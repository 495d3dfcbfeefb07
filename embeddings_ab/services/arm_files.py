"""Opens what an arm searches: vectors cut and brought to length as the arm says, its indexes, its lexical side."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from embeddings_ab.adapters import artifacts, lexical_indexes, vector_indexes
from embeddings_ab.domain.spec import ArmSpec, Lexical
from embeddings_ab.models import Arm, Collection
from embeddings_ab.services import artifact_files
from embeddings_ab.services.corpus_texts import document_ids

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "chunked_documents",
    "document_ids",
    "drop_tables",
    "lexical_index",
    "query_vectors",
    "spans_of",
    "vector_index",
]


def _variant(collection: Collection, spec: ArmSpec) -> tuple[Path, str]:
    """Folder and table name of a collection's vectors as an arm sees them: dimensions and length are the arm's."""
    folder = artifact_files.folder_of(collection)
    form = "u" if spec.normalise else "r"
    dimensions = _dimensions(collection, spec)
    return folder / f"{dimensions}{form}", f"{collection.public_id}{form}"


def _dimensions(collection: Collection, spec: ArmSpec) -> int:
    assert collection.space is not None  # collections of vectors have one
    return min(spec.dimensions or collection.space.dimensions, collection.space.dimensions)


def _vectors(collection: Collection, spec: ArmSpec) -> "npt.NDArray[np.float32]":
    """The vectors as the arm wants them, mapped from a file that is made once."""
    import numpy as np

    from embeddings_ab.domain.quantisation import normalised, truncated

    artifact_files.materialise(collection)
    raw = artifacts.load_array(artifact_files.folder_of(collection), "vectors")
    dimensions = _dimensions(collection, spec)
    if not spec.normalise and dimensions == raw.shape[1]:
        return raw
    folder, _ = _variant(collection, spec)
    if not (folder / "vectors.npy").exists():
        full = np.asarray(raw, dtype=np.float32)
        if dimensions < full.shape[1]:
            made = truncated(full, dimensions) if spec.normalise else np.ascontiguousarray(full[:, :dimensions])
        else:
            made = normalised(full)
        folder.mkdir(exist_ok=True)
        beside = f"{uuid.uuid4().hex}.part"
        artifacts.save_array(folder, beside, made)
        (folder / f"{beside}.npy").replace(folder / "vectors.npy")
    return artifacts.load_array(folder, "vectors")


@contextmanager
def vector_index(collection: Collection, spec: ArmSpec) -> Iterator[vector_indexes.VectorIndex]:
    """The arm's index over the documents, made first where it is missing."""
    vectors = _vectors(collection, spec)
    folder, table = _variant(collection, spec)
    folder.mkdir(exist_ok=True)
    documents = artifacts.load_array(artifact_files.folder_of(collection), "documents")
    index = vector_indexes.open_index(
        spec.index, spec.quantisation, folder=folder, table=table, vectors=vectors, documents=documents
    )
    try:
        yield index
    finally:
        index.close()


def query_vectors(collection: Collection, spec: ArmSpec) -> "npt.NDArray[np.float32]":
    """Vectors of all queries by ordinal, in the form of the documents'."""
    return _vectors(collection, spec)


@contextmanager
def lexical_index(collection: Collection) -> Iterator[lexical_indexes.LexicalIndex]:
    """The lexical side."""
    artifact_files.materialise(collection)
    folder = artifact_files.folder_of(collection)
    index = lexical_indexes.open_index(
        Lexical.model_validate(collection.recipe["lexical"]),
        folder=folder,
        table=collection.public_id,
        documents=artifacts.load_array(folder, "documents"),
    )
    try:
        yield index
    finally:
        index.close()


def chunked_documents(arm: Arm) -> set[int]:
    """Ordinals of documents that have any chunk; all of them where somebody else searches."""
    collection = arm.documents or arm.lexical
    if collection is None:
        return set(range(arm.test.corpus.document_count))
    artifact_files.materialise(collection)
    return {int(unit) for unit in artifacts.load_array(artifact_files.folder_of(collection), "documents")}


def spans_of(arm: Arm) -> "npt.NDArray[np.int32]":
    """Start and end of every chunk in its document's text; both sides of an arm cut alike."""
    collection = arm.documents or arm.lexical
    assert collection is not None  # an arm that is reranked searches something of ours
    artifact_files.materialise(collection)
    return artifacts.load_array(artifact_files.folder_of(collection), "spans")


def drop_tables(collection: Collection) -> None:
    """Remove tables that indexes made in the database."""
    if "lexical" in collection.recipe:
        lexical_indexes.drop_index(Lexical.model_validate(collection.recipe["lexical"]), table=collection.public_id)
    else:
        for form in ("u", "r"):
            vector_indexes.drop_index(table=f"{collection.public_id}{form}")
