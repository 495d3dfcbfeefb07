"""The texts that are embedded and indexed: documents cut into chunks, in the order every artifact has."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embeddings_ab.domain.spec import Chunking
from embeddings_ab.models import Corpus, Document, Query, QuerySet

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Chunks:
    """All chunks of a corpus, by (document ordinal, start). `spans` are offsets into the document's full text."""

    texts: list[str]
    documents: "npt.NDArray[np.int32]"
    spans: "npt.NDArray[np.int32]"


def full_texts(corpus: Corpus) -> Iterator[str]:
    """The text of every document in order of its ordinal."""
    rows = Document.objects.filter(corpus=corpus).order_by("ordinal").only("title", "text")
    for document in rows.iterator(chunk_size=2_000):
        yield document.full_text


def chunks_of(corpus: Corpus, chunking: Chunking) -> Chunks:
    """Cut every document. Documents without text have no chunk and can be found by nobody."""
    import numpy as np

    from embeddings_ab.domain.chunking import ChunkingSettings, chunk

    settings = ChunkingSettings(method=chunking.method, size=chunking.size, overlap=chunking.overlap)
    texts: list[str] = []
    documents: list[int] = []
    spans: list[tuple[int, int]] = []
    for ordinal, text in enumerate(full_texts(corpus)):
        for span in chunk(text, settings):
            texts.append(text[span.start : span.end])
            documents.append(ordinal)
            spans.append((span.start, span.end))
    return Chunks(texts, np.array(documents, dtype=np.int32), np.array(spans, dtype=np.int32).reshape(-1, 2))


def document_ids(corpus: Corpus) -> list[str]:
    """External ids by ordinal."""
    rows = Document.objects.filter(corpus=corpus).order_by("ordinal")
    return list(rows.values_list("external_id", flat=True))


def queries_of(query_set: QuerySet) -> list[Query]:
    """Queries by ordinal."""
    return list(Query.objects.filter(query_set=query_set).order_by("ordinal"))
