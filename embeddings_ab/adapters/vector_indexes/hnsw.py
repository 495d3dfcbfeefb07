"""An approximate graph by usearch, built by one thread so that the same vectors give the same graph."""

import uuid
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embeddings_ab.domain.ranking import Candidates, FloatMatrix, Ordinals, search_each


def build(folder: Path, vectors: FloatMatrix, *, m: int, ef_construction: int) -> Path:
    """The file of the graph below `folder`, made where it is missing; complete or not there."""
    path = folder / f"hnsw-{vectors.shape[1]}-{m}-{ef_construction}.usearch"
    if path.exists():
        return path
    graph = _graph(vectors.shape[1], m=m, ef_construction=ef_construction)
    graph.add(np.arange(len(vectors), dtype=np.uint64), np.ascontiguousarray(vectors), threads=1)
    folder.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        graph.save(str(beside))
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path


class HnswIndex:
    """A graph from `build`, mapped from its file. Scores are dot products as the graph computes them."""

    def __init__(self, path: Path, documents: Ordinals, *, dimensions: int, ef_search: int) -> None:
        self._graph = _graph(dimensions, ef_search=ef_search)
        self._graph.view(str(path))
        self._graph.expansion_search = ef_search
        self._path = path
        self._documents = documents
        if len(self._graph) != len(documents):
            raise ValueError(f"the graph holds {len(self._graph)} chunks, not {len(documents)}")

    @property
    def bytes(self) -> int:
        """Bytes of the file."""
        return self._path.stat().st_size

    def search(self, queries: FloatMatrix, depth: int) -> Candidates:
        """About the best `depth` documents per query, float32 (q, d)."""
        if queries.ndim != 2 or queries.shape[1] != self._graph.ndim:
            raise ValueError(f"queries of shape {queries.shape} do not fit {self._graph.ndim} dimensions")
        return search_each(np.ascontiguousarray(queries, dtype=np.float32), self._hits, self._documents, depth)

    def close(self) -> None:
        """Let go of the file."""
        self._graph.reset()

    def _hits(
        self, query: npt.NDArray[np.float32], count: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        if not count:
            return np.empty(0, dtype=np.int64), np.empty(0)
        matches = self._graph.search(query, count, threads=1)
        return matches.keys.astype(np.int64), 1.0 - matches.distances.astype(np.float64)


def _graph(dimensions: int, *, m: int = 0, ef_construction: int = 0, ef_search: int = 0) -> Any:
    from usearch.index import Index

    return Index(
        ndim=dimensions,
        metric="ip",
        dtype="f32",
        connectivity=m,
        expansion_add=ef_construction,
        expansion_search=ef_search,
    )
