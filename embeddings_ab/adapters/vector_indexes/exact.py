"""Exact search: one matrix product over all vectors, whole or kept small. For queries known beforehand the fastest."""

from embeddings_ab.domain import quantisation
from embeddings_ab.domain.ranking import Candidates, FloatMatrix, Ordinals, top_documents


class ExactIndex:
    """Every vector against every query, in blocks of bounded memory. `vectors` may be mapped from a file."""

    def __init__(self, vectors: FloatMatrix, documents: Ordinals) -> None:
        self._vectors = vectors
        self._documents = documents

    @property
    def bytes(self) -> int:
        """Bytes of the vectors."""
        return int(self._vectors.nbytes)

    def search(self, queries: FloatMatrix, depth: int) -> Candidates:
        """The best `depth` documents per query, float32 (q, d). A query's result does not depend on the others."""
        if queries.ndim != 2 or queries.shape[1] != self._vectors.shape[1]:
            raise ValueError(f"queries of shape {queries.shape} do not fit {self._vectors.shape[1]} dimensions")
        found = Candidates(chunks=[])
        for scores in quantisation.score_blocks(queries, self._vectors):
            found.append(top_documents(scores, self._documents, depth))
        return found

    def close(self) -> None:
        """Nothing to let go of."""


class QuantisedIndex:
    """The same over float16, int8 or sign bits, made when it is opened."""

    def __init__(self, vectors: FloatMatrix, documents: Ordinals, *, kind: str, rescore: int) -> None:
        self._kept = quantisation.quantise(vectors, kind)
        self._exact = vectors
        self._documents = documents
        self._rescore = rescore if kind == "bits" else 0

    @property
    def bytes(self) -> int:
        """Bytes of the small vectors; those that rescore bits are not counted."""
        return self._kept.bytes

    def search(self, queries: FloatMatrix, depth: int) -> Candidates:
        """The best `depth` documents per query, float32 (q, d)."""
        return quantisation.search(
            self._kept, queries, self._documents, depth, rescore=self._rescore, exact=self._exact
        )

    def close(self) -> None:
        """Nothing to let go of."""
