"""One arm as something that can be searched: vector side, lexical side, fusion and reranker over its collections."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from embeddings_ab import telemetry
from embeddings_ab.adapters.lexical_indexes import LexicalIndex
from embeddings_ab.adapters.vector_indexes import VectorIndex
from embeddings_ab.domain.measures import depth_needed as measures_depth
from embeddings_ab.domain.measures import parse_measures
from embeddings_ab.domain.spec import ArmSpec, TestSpec
from embeddings_ab.models import Arm, Query, UploadedRun
from embeddings_ab.services import arm_files, reranking
from embeddings_ab.services.external_arms import ExternalSearch
from embeddings_ab.services.reranking import Passage

if TYPE_CHECKING:
    from embeddings_ab.domain.ranking import Candidates

LEAST_CANDIDATES = 100
STAGES = ("vector", "lexical", "fused", "reranked")


@dataclass(slots=True)
class Found:
    """What each stage of an arm found for a block of queries, and what went wrong for single ones."""

    stages: dict[str, "Candidates"]
    final: "Candidates"
    failures: dict[int, BaseException] = field(default_factory=dict)
    milliseconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Depths:
    """How deep each stage looks; one deeper where the query's own document is dropped afterwards."""

    final: int
    candidates: int
    fused: int

    @classmethod
    def of(cls, test: TestSpec, arm: ArmSpec) -> "Depths":
        measures = parse_measures(test.metrics)
        final = max(measures_depth(measures), 1)
        cutoffs = [measure.cutoff for measure in measures if measure.cutoff is not None]
        least = max(LEAST_CANDIDATES, 5 * min(max(cutoffs, default=10), 200))
        asked = arm.candidate_depth or min(max(final, least), 1000)
        extra = 1 if test.drop_same_id else 0
        fused = ((arm.fusion.depth if arm.fusion is not None else None) or asked) + extra
        return cls(final=final + extra, candidates=asked + extra, fused=fused)


class Searcher:
    """Searches blocks of queries, by ordinal. Made once per job; not shared between threads."""

    def __init__(self, arm: Arm, spec: ArmSpec, test: TestSpec, stack: ExitStack) -> None:
        self.arm = arm
        self.spec = spec
        self.depths = Depths.of(test, self.spec)
        self.vectors: VectorIndex | None = None
        self.query_vectors: Any = None
        self.lexical: LexicalIndex | None = None
        self.external: ExternalSearch | None = None
        self.run: dict[str, list[tuple[str, float]]] | None = None
        if arm.documents is not None and arm.queries is not None:
            self.vectors = stack.enter_context(arm_files.vector_index(arm.documents, self.spec))
            self.query_vectors = arm_files.query_vectors(arm.queries, self.spec)
        if arm.lexical is not None:
            self.lexical = stack.enter_context(arm_files.lexical_index(arm.lexical))
        self.reranker = stack.enter_context(reranking.opened(arm, self.spec)) if self.spec.reranker else None
        self.spans: Any = None
        if self.reranker is not None and self.spec.chunking.method != "none":
            self.spans = arm_files.spans_of(arm)
        self.ordinals: dict[str, int] = {}
        if self.spec.retrieval in ("external", "run"):
            self.ordinals = {name: at for at, name in enumerate(arm_files.document_ids(arm.test.corpus))}
        if self.spec.external is not None:
            self.external = stack.enter_context(ExternalSearch.opened(arm, self.spec.external, self.ordinals))
        if self.spec.run:
            uploaded = UploadedRun.objects.get(project_id=arm.test.project_id, name=self.spec.run)
            self.run = uploaded.rankings

    def close_calls(self) -> None:
        """End calls that are in the air, from any thread."""
        for part in (self.reranker, self.external):
            if part is not None:
                part.close()

    def search(self, queries: Sequence[Query]) -> Found:
        """All stages for a block; the time of each in ms."""
        found = Found({}, _none())
        texts = [query.text for query in queries]
        at = [query.ordinal for query in queries]
        if self.run is not None:
            found.final = self._uploaded(queries)
        elif self.external is not None:
            found.final = self._timed(found, "search", lambda: self._external(texts, found))
        else:
            self._retrieve(found, texts, at)
            if self.reranker is not None:
                self._rerank(found, texts)
        found.final = found.final.cut(self.depths.final)
        found.milliseconds["total"] = sum(found.milliseconds.values())
        return found

    def _timed(self, found: Found, step: str, call: Callable[[], "Candidates"]) -> "Candidates":
        began = time.perf_counter()
        result = call()
        found.milliseconds[step] = found.milliseconds.get(step, 0.0) + (time.perf_counter() - began) * 1000
        return result

    def _retrieve(self, found: Found, texts: list[str], at: list[int]) -> None:
        depth = max(self.depths.candidates, self.depths.fused)
        if self.vectors is not None:
            vectors, queries = self.vectors, self.query_vectors[at]
            found.stages["vector"] = self._timed(found, "search", lambda: vectors.search(queries, depth))
        if self.lexical is not None:
            lexical = self.lexical
            found.stages["lexical"] = self._timed(found, "search", lambda: lexical.search(texts, depth))
        if self.spec.fusion is not None:
            found.stages["fused"] = self._timed(found, "fuse", lambda: self.fuse(found.stages))
        found.final = found.stages.get("fused") or found.stages.get("vector") or found.stages["lexical"]
        found.final = found.final.cut(self.depths.candidates)

    def fuse(self, stages: dict[str, "Candidates"]) -> "Candidates":
        """Both sides as one ranking."""
        from embeddings_ab.domain.fusion import convex, reciprocal_rank

        fusion = self.spec.fusion
        assert fusion is not None
        dense, text = stages["vector"], stages["lexical"]
        if fusion.method == "convex":
            return convex(dense, text, alpha=fusion.alpha, depth=self.depths.fused)
        weights = [fusion.vector_weight, fusion.lexical_weight]
        return reciprocal_rank([dense, text], depth=self.depths.fused, k=fusion.k, weights=weights, ties_by=text)

    def _rerank(self, found: Found, texts: list[str]) -> None:
        reranker = self.reranker
        assert reranker is not None
        assert self.spec.reranker is not None
        depth = self.spec.reranker.depth
        passages = self._passages(found)
        found.stages["reranked"] = self._timed(
            found, "rerank", lambda: reranker.rerank(texts, found.final, depth, found.failures, passages)
        )
        found.final = found.stages["reranked"]

    def _passages(self, found: Found) -> "list[dict[int, Passage]]":
        """By query and document: where in its text the best chunk stands. Whole documents need none."""
        if self.spans is None:
            return []
        passages: list[dict[int, Passage]] = []
        for at in range(len(found.final)):
            known: dict[int, Passage] = {}
            for side in ("lexical", "vector"):  # what both sides found goes by the vectors' chunk
                candidates = found.stages.get(side)
                if candidates is not None and candidates.chunks is not None:
                    pairs = zip(candidates.units[at].tolist(), candidates.chunks[at].tolist(), strict=True)
                    known |= {unit: tuple(self.spans[chunk].tolist()) for unit, chunk in pairs}
            passages.append(known)
        return passages

    def _external(self, texts: list[str], found: Found) -> "Candidates":
        assert self.external is not None
        with telemetry.timed_call("external"):
            return self.external.search(texts, self.depths.candidates, found.failures)

    def _uploaded(self, queries: Sequence[Query]) -> "Candidates":
        from embeddings_ab.domain.ranking import candidates_of

        assert self.run is not None
        lists: list[tuple[list[int], list[float]]] = []
        for query in queries:
            ranked = [(self.ordinals[name], float(score)) for name, score in self.run.get(query.external_id, [])
                      if name in self.ordinals]  # fmt: skip
            lists.append(([unit for unit, _ in ranked], [score for _, score in ranked]))
        return candidates_of(lists, self.depths.candidates)


def _none() -> "Candidates":
    from embeddings_ab.domain.ranking import Candidates

    return Candidates()


@contextmanager
def opened(arm: Arm, test: TestSpec, spec: ArmSpec | None = None) -> Iterator[Searcher]:
    """The arm ready to search, or a variant of it over the same collections.

    Files are made first where this machine misses them.
    """
    with ExitStack() as stack:
        yield Searcher(arm, spec or ArmSpec.model_validate(arm.spec), test, stack)
