"""Our own canonical order of documents, fixed before anything is scored, fused or reranked. Loads numpy.

Canonical: score descending, then document ordinal ascending; every document once, with the score of its best chunk.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Ordinals = npt.NDArray[np.int32]
Scores = npt.NDArray[np.float64]
FloatMatrix = npt.NDArray[np.float32]
Query = TypeVar("Query")

_GROUPS = 32  # a row is cut into this many stripes to find a bound for its best scores cheaply


@dataclass
class Candidates:
    """Ranked lists of a block of queries.

    units: per query int32 document ordinals, distinct, in canonical order. scores: per query float64, same length.
    chunks: per query int32, the best chunk of each unit, or None where the source knows no chunks.
    """

    units: list[Ordinals] = field(default_factory=list)
    scores: list[Scores] = field(default_factory=list)
    chunks: list[Ordinals] | None = None

    def __len__(self) -> int:
        return len(self.units)

    def cut(self, depth: int) -> "Candidates":
        """The best `depth` of every list."""
        return Candidates(
            [units[:depth] for units in self.units],
            [scores[:depth] for scores in self.scores],
            None if self.chunks is None else [chunks[:depth] for chunks in self.chunks],
        )

    def append(self, other: "Candidates") -> None:
        """Add the queries of `other` behind these. Chunks stay only if both have them."""
        if self.chunks is not None or not self.units:
            if other.chunks is None:
                self.chunks = None
            else:
                self.chunks = [*(self.chunks or []), *other.chunks]
        self.units.extend(other.units)
        self.scores.extend(other.scores)


def canonical(
    units: npt.ArrayLike, scores: npt.ArrayLike, chunks: npt.ArrayLike | None = None
) -> tuple[Ordinals, Scores, Ordinals | None]:
    """Put hits in any order, with repeats, into canonical order; a repeated unit keeps its best score.

    units, scores and, if given, chunks are of one length. Of equally good chunks the lowest is kept.
    Raises ValueError for NaN or different lengths.
    """
    ordinals = np.asarray(units, dtype=np.int32).reshape(-1)
    values = np.asarray(scores, dtype=np.float64).reshape(-1) + 0.0  # -0.0 becomes 0.0: one score, one text form
    parts = None if chunks is None else np.asarray(chunks, dtype=np.int32).reshape(-1)
    if len(ordinals) != len(values) or (parts is not None and len(parts) != len(values)):
        raise ValueError(f"{len(ordinals)} units, but {len(values)} scores")
    if np.isnan(values).any():
        raise ValueError("a score is NaN: nothing can be ranked by it")
    order = np.lexsort((ordinals, -values) if parts is None else (parts, ordinals, -values))
    _, first = np.unique(ordinals[order], return_index=True)
    kept = order[np.sort(first)]
    return ordinals[kept], values[kept], None if parts is None else parts[kept]


def candidates_of(lists: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]], depth: int | None = None) -> Candidates:
    """Candidates from per-query (units, scores) in any order and with repeats, such as an uploaded run."""
    ranked = Candidates()
    for units, scores in lists:
        kept, values, _ = canonical(units, scores)
        ranked.units.append(kept[:depth])
        ranked.scores.append(values[:depth])
    return ranked


def chunk_starts(chunk_document: Ordinals) -> tuple[npt.NDArray[np.int64], Ordinals]:
    """Where each document's chunks begin in the chunk table, and those documents' ordinals.

    chunk_document: int32 (n_chunks,), not descending. Raises ValueError where it descends.
    """
    if len(chunk_document) and (np.diff(chunk_document) < 0).any():
        raise ValueError("the chunk table is not in order of documents")
    documents, starts = np.unique(chunk_document, return_index=True)
    return starts.astype(np.int64), documents.astype(np.int32)


def top_documents(
    scores: FloatMatrix, chunk_document: Ordinals, depth: int, *, above: float | None = None, with_chunks: bool = True
) -> Candidates:
    """The best `depth` documents of each row, exactly, ties at the boundary by ordinal.

    scores: float32 (queries, n_chunks), higher is better. chunk_document: int32 (n_chunks,), the ordinal of each
    chunk's document, not descending. A document scores as its best chunk (MaxP), so repeats cannot crowd others out.
    above: only documents that score more than this are found. Raises ValueError for NaN, shapes or a descending table.
    """
    if scores.ndim != 2 or scores.shape[1] != len(chunk_document):
        raise ValueError(f"scores of shape {scores.shape} do not fit {len(chunk_document)} chunks")
    if depth < 1:
        raise ValueError(f"depth {depth} is less than 1")
    starts, documents = chunk_starts(chunk_document)
    is_whole = len(documents) == len(chunk_document)
    best = scores if is_whole or not len(documents) else np.maximum.reduceat(scores, starts, axis=1)
    found = Candidates(chunks=[] if with_chunks else None)
    for row, threshold in enumerate(_lower_bounds(best, depth)):
        columns = _best_columns(best[row], threshold, depth, above)
        found.units.append(documents[columns])
        found.scores.append(best[row][columns].astype(np.float64) + 0.0)
        if found.chunks is not None:
            chunks = columns if is_whole else _first_best_chunks(scores[row], best[row], columns, starts)
            found.chunks.append(chunks.astype(np.int32))
    return found


def without_own_documents(found: Candidates, own: Sequence[int | None], depth: int) -> Candidates:
    """Drop, of each query, the document whose id is the query's own, then cut.

    own: that document's ordinal per query, None where there is none. Search one deeper than `depth` beforehand.
    """
    kept = Candidates(chunks=None if found.chunks is None else [])
    for row, ordinal in enumerate(own):
        keep = np.ones(len(found.units[row]), dtype=bool) if ordinal is None else found.units[row] != ordinal
        kept.units.append(found.units[row][keep][:depth])
        kept.scores.append(found.scores[row][keep][:depth])
        if kept.chunks is not None and found.chunks is not None:
            kept.chunks.append(found.chunks[row][keep][:depth])
    return kept


def reranked(found: Candidates, new_scores: Sequence[npt.ArrayLike], depth: int) -> Candidates:
    """Reorder the best `depth` of each list by a reranker's scores; what lies deeper follows in its old order.

    new_scores: per query one score for each of its first `depth` units, in their order. The tail is given scores
    below the lowest of them, one apart, so that the list stays in canonical order. Raises ValueError for NaN or a
    number of scores that does not fit.
    """
    if len(new_scores) != len(found):
        raise ValueError(f"{len(found)} lists, but scores for {len(new_scores)}")
    result = Candidates(chunks=None if found.chunks is None else [])
    for row, given in enumerate(new_scores):
        units = found.units[row]
        head = units[:depth]
        values = np.asarray(given, dtype=np.float64).reshape(-1) + 0.0
        if len(values) != len(head):
            raise ValueError(f"{len(head)} documents to rerank, but {len(values)} scores")
        if np.isnan(values).any():
            raise ValueError("a reranker's score is NaN: nothing can be ranked by it")
        order = np.lexsort((head, -values))
        lowest = values.min() if len(values) else 0.0
        tail = lowest - np.arange(1, len(units) - len(head) + 1, dtype=np.float64)
        result.units.append(np.concatenate([head[order], units[depth:]]))
        result.scores.append(np.concatenate([values[order], tail]))
        if result.chunks is not None and found.chunks is not None:
            result.chunks.append(np.concatenate([found.chunks[row][:depth][order], found.chunks[row][depth:]]))
    return result


def search_each(
    queries: Iterable[Query],
    hits: Callable[[Query, int], tuple[npt.NDArray[np.int64], Scores]],
    chunk_document: Ordinals,
    depth: int,
) -> Candidates:
    """Ask a source of chunks for every query, deeper until `depth` distinct documents are found or its list ends.

    hits(query, n) returns the source's best n chunks, or all it has if they are fewer, and their scores.
    """
    found = Candidates(chunks=[])
    assert found.chunks is not None
    available = len(chunk_document)
    for query in queries:
        wanted = min(depth, available)
        while True:
            chunks, values = hits(query, wanted)
            units, scores, best = canonical(chunk_document[chunks], values, chunks)
            if len(units) >= depth or wanted >= available or len(chunks) < wanted:
                break
            wanted = min(available, wanted * 2)
        assert best is not None
        found.units.append(units[:depth])
        found.scores.append(scores[:depth])
        found.chunks.append(best[:depth])
    return found


def _lower_bounds(best: FloatMatrix, depth: int) -> npt.NDArray[np.float32]:
    """Per row a number that at least `depth` scores reach: all that beat it or equal it are looked at.

    The maxima of disjoint stripes are scores themselves, so the depth-th best maximum cannot exceed the depth-th best
    score. That needs one pass over the row and a partition of a short array; NaN would come out as a maximum.
    """
    rows, columns = best.shape
    stripes = columns // _GROUPS
    if stripes >= 2 * depth:
        body = best[:, : stripes * _GROUPS].reshape(rows, _GROUPS, stripes)
        maxima = body.max(axis=1)
        rest = best[:, stripes * _GROUPS :]
        if np.isnan(maxima).any() or np.isnan(rest).any():
            raise ValueError("a score is NaN: nothing can be ranked by it")
        bounds: npt.NDArray[np.float32] = np.partition(maxima, stripes - depth, axis=1)[:, stripes - depth]
        return bounds
    if np.isnan(best).any():
        raise ValueError("a score is NaN: nothing can be ranked by it")
    if columns <= depth:
        return np.full(rows, -np.inf, dtype=np.float32)
    exact: npt.NDArray[np.float32] = np.partition(best, columns - depth, axis=1)[:, columns - depth]
    return exact


def _best_columns(
    row: npt.NDArray[np.float32], threshold: np.float32, depth: int, above: float | None
) -> npt.NDArray[np.int64]:
    """The columns of the best `depth` scores; of those tied with the last one a partition would keep any."""
    columns = np.flatnonzero(row >= threshold)
    if above is not None:
        columns = columns[row[columns] > above]
    return columns[np.argsort(-row[columns], kind="stable")[:depth]]


def _first_best_chunks(
    row: npt.NDArray[np.float32],
    best: npt.NDArray[np.float32],
    columns: npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """For each column (a document), its lowest chunk that has the document's score."""
    if not len(columns):
        return columns
    ends = np.append(starts[1:], len(row))
    lengths = ends[columns] - starts[columns]
    offsets = np.cumsum(lengths) - lengths
    chunks = np.arange(lengths.sum()) - np.repeat(offsets - starts[columns], lengths)
    is_best = row[chunks] == np.repeat(best[columns], lengths)
    return np.minimum.reduceat(np.where(is_best, chunks, len(row)), offsets)
