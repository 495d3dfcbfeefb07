"""Vectors kept small: float16, int8, sign bits; fewer dimensions; and the search through them. Loads numpy."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from embeddings_ab.domain.ranking import Candidates, FloatMatrix, Ordinals, chunk_starts, reranked, top_documents

KINDS = ("float32", "float16", "int8", "bits")
BLOCK_BYTES = 64 * 2**20  # of scores at a time


@dataclass(frozen=True)
class QuantisedVectors:
    """Vectors as they are kept. data: (n, d) float32, float16 or int8, or for bits (n, ceil(d / 64)) uint64.

    scale: float32 (d,) for int8, what one step of each dimension is worth; else None.
    """

    kind: str
    data: npt.NDArray[Any]
    dimensions: int
    scale: npt.NDArray[np.float32] | None = None

    @property
    def bytes(self) -> int:
        """Storage in bytes."""
        return int(self.data.nbytes) + (0 if self.scale is None else int(self.scale.nbytes))


def truncated(vectors: FloatMatrix, dimensions: int) -> FloatMatrix:
    """The first `dimensions` of each vector, brought to unit length again (a zero vector stays zero)."""
    if not 1 <= dimensions <= vectors.shape[1]:
        raise ValueError(f"{dimensions} dimensions cannot be cut from {vectors.shape[1]}")
    return normalised(vectors[:, :dimensions])


def normalised(vectors: FloatMatrix) -> FloatMatrix:
    """Vectors of unit length; a zero vector stays zero."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    divisors = np.where(lengths > 0, lengths, 1.0)[:, None]
    return np.ascontiguousarray((vectors / divisors).astype(np.float32))


def quantise(vectors: FloatMatrix, kind: str) -> QuantisedVectors:
    """Keep `vectors`, float32 (n, d), as one of KINDS.

    int8: round(x / scale) with scale_j = max |x_j| / 127 over all vectors, so -127..127. bits: x > 0.
    Raises ValueError for an unknown kind or what is not finite.
    """
    if not np.isfinite(vectors).all():
        raise ValueError("a vector is not finite")
    dimensions = int(vectors.shape[1])
    if kind == "float32":
        return QuantisedVectors(kind, np.ascontiguousarray(vectors, dtype=np.float32), dimensions)
    if kind == "float16":
        return QuantisedVectors(kind, vectors.astype(np.float16), dimensions)
    if kind == "int8":
        largest = np.abs(vectors).max(axis=0, initial=0.0)
        scale = (np.where(largest > 0, largest, 1.0) / 127).astype(np.float32)
        return QuantisedVectors(kind, np.rint(vectors / scale).astype(np.int8), dimensions, scale)
    if kind == "bits":
        return QuantisedVectors(kind, _packed_signs(vectors), dimensions)
    raise ValueError(f"unknown quantisation {kind!r}; there are {', '.join(KINDS)}")


def search(
    kept: QuantisedVectors,
    queries: FloatMatrix,
    chunk_document: Ordinals,
    depth: int,
    *,
    rescore: int = 0,
    exact: FloatMatrix | None = None,
) -> Candidates:
    """The best `depth` documents per query. queries: float32 (q, d), never quantised themselves.

    float32, float16, int8: dot products of the query with what the kept vectors stand for. bits: d - 2 * Hamming
    distance of the signs, which is their dot product; then the best `rescore` documents are ordered by their exact
    dot product with `exact`, the float32 vectors, and the others follow behind them. rescore 0: signs alone.
    """
    if queries.ndim != 2 or queries.shape[1] != kept.dimensions:
        raise ValueError(f"queries of shape {queries.shape} do not fit {kept.dimensions} dimensions")
    if kept.kind != "bits":
        return _search_products(kept, queries, chunk_document, depth)
    if rescore and exact is None:
        raise ValueError("rescoring needs the exact vectors")
    found = _search_bits(kept, queries, chunk_document, max(depth, rescore))
    if rescore and exact is not None:
        found = _rescored(found, queries, exact, chunk_document, rescore)
    return found.cut(depth)


def score_blocks(
    queries: FloatMatrix, vectors: npt.NDArray[Any], *, block_bytes: int = BLOCK_BYTES
) -> Iterator[FloatMatrix]:
    """Dot products of blocks of queries with all vectors: float32 (block, n), bounded in memory.

    A product with a single row takes another path through the library and rounds otherwise, so a lone query is doubled:
    a query's scores do not depend, to the bit, on which queries are asked with it.
    """
    size = max(2, block_bytes // max(1, 4 * len(vectors)))
    for start in range(0, len(queries), size):
        block = queries[start : start + size]
        if len(block) == 1:
            yield (np.repeat(block, 2, axis=0) @ vectors.T)[:1]
        else:
            yield block @ vectors.T


def _search_products(kept: QuantisedVectors, queries: FloatMatrix, chunk_document: Ordinals, depth: int) -> Candidates:
    asked = np.ascontiguousarray(queries, dtype=np.float32)
    if kept.scale is not None:
        asked = asked * kept.scale
    vectors = kept.data if kept.kind == "float32" else kept.data.astype(np.float32)
    found = Candidates(chunks=[])
    for scores in score_blocks(asked, vectors):
        found.append(top_documents(scores, chunk_document, depth))
    return found


def _search_bits(kept: QuantisedVectors, queries: FloatMatrix, chunk_document: Ordinals, depth: int) -> Candidates:
    signs = _packed_signs(queries)
    columns = np.ascontiguousarray(kept.data.T)  # word by word, without an (n, words) temporary per query
    found = Candidates(chunks=[])
    for row in signs:
        differing = np.zeros(len(kept.data), dtype=np.uint16)
        for column, word in zip(columns, row, strict=True):
            differing += np.bitwise_count(column ^ word)
        scores = np.float32(kept.dimensions) - 2 * differing.astype(np.float32)
        found.append(top_documents(scores[None, :], chunk_document, depth))
    return found


def _rescored(
    found: Candidates, queries: FloatMatrix, exact: FloatMatrix, chunk_document: Ordinals, rescore: int
) -> Candidates:
    starts, documents = chunk_starts(chunk_document)
    ends = np.append(starts[1:], len(chunk_document))
    head = found.cut(rescore)
    new_scores: list[npt.NDArray[np.float64]] = []
    new_chunks: list[Ordinals] = []
    for query, units in zip(queries, head.units, strict=True):
        places = np.searchsorted(documents, units)
        lengths = ends[places] - starts[places]
        offsets = np.cumsum(lengths) - lengths
        chunks = np.arange(lengths.sum()) - np.repeat(offsets - starts[places], lengths)
        products = np.einsum("ij,j->i", exact[chunks], query, dtype=np.float64)
        scores = np.maximum.reduceat(products, offsets) if len(units) else products
        is_best = products == np.repeat(scores, lengths)
        best = np.minimum.reduceat(np.where(is_best, chunks, len(exact)), offsets) if len(units) else chunks
        new_scores.append(scores)
        new_chunks.append(best.astype(np.int32))
    assert found.chunks is not None
    rest = [chunks[rescore:] for chunks in found.chunks]
    found.chunks = [np.concatenate(pair) for pair in zip(new_chunks, rest, strict=True)]
    return reranked(found, new_scores, rescore)


def _packed_signs(vectors: FloatMatrix) -> npt.NDArray[np.uint64]:
    """x > 0 as bits in words of 64; the padding is 0 everywhere and so never differs."""
    words = -(-vectors.shape[1] // 64)
    padded = np.zeros((len(vectors), words * 8), dtype=np.uint8)
    packed = np.packbits(vectors > 0, axis=1)
    padded[:, : packed.shape[1]] = packed
    return padded.view(np.uint64)
