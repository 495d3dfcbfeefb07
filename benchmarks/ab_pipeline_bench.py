"""What the pipeline of an A/B test adds to the work that any script must do.

    python -m benchmarks.ab_pipeline_bench [--database postgres|sqlite] [--documents 100000] [--queries 1000]

Starts a database of its own in a temporary folder. The build embeds with MiniLM and is held against the bare provider
on the same batches, in the same process. The run loads, multiplies, ranks, scores and stores one vector arm over
documents × 384 float32 and is held against one script that loads, multiplies, ranks and scores with ir_measures.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.installation import installation

METRICS = ["nDCG@10", "R@100", "MRR@10"]
DEPTH = 100
BLOCK = 200


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--database", choices=("postgres", "sqlite"), default="postgres")
    options.add_argument("--documents", type=int, default=100_000)
    options.add_argument("--queries", type=int, default=1_000)
    options.add_argument("--build", type=int, default=300, help="documents of the build; 0 leaves it out")
    options.add_argument("--repeats", type=int, default=3)
    given = options.parse_args()
    with installation(given.database):
        run(given)


def run(given: argparse.Namespace) -> None:
    from governance import dispatch

    dispatch._send = lambda task, pk: None  # this process does the work itself
    from governance.services.projects import create_project, system_caller

    caller = system_caller(create_project(name="bench"))
    print(f"database {given.database}")
    if given.build:
        show_build(caller, given)
    show_run(caller, given)


def words(number: int, count: int) -> str:
    """A text of `count` words that no other number has."""
    return " ".join(f"w{(number * 7919 + place * 104_729) % 9_973}" for place in range(count))


def make_test(caller: Any, name: str, texts: list[str], queries: int, arm: dict[str, Any]) -> Any:
    from embeddings_ab.domain.importing.rows import DocumentRow, JudgmentRow, QueryRow
    from embeddings_ab.domain.spec_errors import read_spec
    from embeddings_ab.services.ab_tests import create_test, start_test
    from embeddings_ab.services.corpora import import_corpus
    from embeddings_ab.services.query_sets import import_query_set

    documents = [DocumentRow(id=f"d{at:07}", text=text) for at, text in enumerate(texts)]
    import_corpus(caller=caller, name=name, documents=documents)
    judgments = [
        JudgmentRow(f"q{q:05}", f"d{(q * 37 + near * 1_009) % len(texts):07}", 1 + near % 3)
        for q in range(queries)
        for near in range(5)
    ]
    import_query_set(
        caller=caller,
        name=name,
        corpus=name,
        queries=[QueryRow(f"q{q:05}", words(q * 37 % len(texts), 6), {}) for q in range(queries)],
        judgments=judgments,
    )
    spec = {
        "name": name,
        "corpus": name,
        "query_set": name,
        "metrics": METRICS,
        "arms": {"vector": {"retrieval": "vector", **arm}},
        "latency_queries": 0,
        "draws": 1000,
    }
    test = create_test(caller=caller, spec=read_spec(spec))
    return start_test(caller=caller, test_id=test.public_id)


def prepared(test: Any) -> Any:
    """The arm once its collections are known."""
    from embeddings_ab.services import arm_preparation, progress

    progress.advance_test(test_id=test.pk)
    arm_preparation.prepare_arm(arm_id=test.arms.get().pk)
    return test.arms.select_related("documents__space", "queries__space").get()


def show_build(caller: Any, given: argparse.Namespace) -> None:
    from embeddings_ab.adapters.embedding_providers import open_provider
    from embeddings_ab.domain.batches import cut_batches
    from embeddings_ab.domain.provider_settings import ProviderSettings
    from embeddings_ab.models import Collection
    from embeddings_ab.services import collection_builds

    texts = [words(at, 100) for at in range(given.build)]
    arm = prepared(make_test(caller, "build", texts, 5, {"provider": "minilm"}))
    provider = open_provider(ProviderSettings(provider="minilm", normalise=False))
    provider.embed(texts[:4], "document")
    counts = dict(zip(texts, provider.count_tokens(texts), strict=True))
    batches = list(
        cut_batches(
            texts,
            tokens=counts.__getitem__,
            alone=lambda text: False,
            most_texts=provider.batch_texts,
            most_tokens=provider.batch_tokens,
        )
    )
    began = time.perf_counter()
    for batch in batches:
        provider.embed(batch, "document")
    bare = time.perf_counter() - began
    began = time.perf_counter()
    collection_builds.build_collection(collection_id=arm.documents_id)
    built = time.perf_counter() - began
    stored = Collection.objects.get(pk=arm.documents_id)
    assert stored.status == "ready", stored.error_message
    assert stored.provider_calls == len(batches)
    print(
        f"| build | {given.build} documents, MiniLM | {built:.2f} s | {bare:.2f} s "
        f"({given.build / bare:.1f} documents/s) | {built / bare:.2f} |"
    )


def show_run(caller: Any, given: argparse.Namespace) -> None:
    from embeddings_ab.models import Arm, Judgment, QueryResult
    from embeddings_ab.services import arm_runs, artifact_files, collection_builds, progress

    texts = [words(at, 12) for at in range(given.documents)]
    test = make_test(caller, "run", texts, given.queries, {"provider": "synthetic", "dimensions": 384})
    arm = prepared(test)
    began = time.perf_counter()
    for pk in (arm.documents_id, arm.queries_id):
        for _ in range(100):
            collection_builds.build_collection(collection_id=pk)
    print(f"{given.documents} documents embedded by hashing and stored in {time.perf_counter() - began:.1f} s")
    folder = artifact_files.folder_of(arm.documents)
    judged: dict[str, dict[str, int]] = {}
    rows = Judgment.objects.filter(query__query_set=test.query_set)
    for query, document, grade in rows.values_list("query__external_id", "document_id", "grade"):
        judged.setdefault(query, {})[document] = grade
    ours, bare = [], []
    for _ in range(given.repeats):
        QueryResult.objects.filter(arm=arm).delete()
        Arm.objects.filter(pk=arm.pk).update(status="building", queries_done=0)
        progress.advance_test(test_id=test.pk)
        began = time.perf_counter()
        arm_runs.run_arm(arm_id=arm.pk)
        ours.append(time.perf_counter() - began)
        assert QueryResult.objects.filter(arm=arm, is_failed=False).count() == given.queries
        began = time.perf_counter()
        bare_script(folder, artifact_files.folder_of(arm.queries), judged, sorted(judged))
        bare.append(time.perf_counter() - began)
    mine, least = statistics.median(ours), statistics.median(bare)
    print(
        f"| query run | {given.documents} × 384, {given.queries} queries, depth {DEPTH} | {mine:.2f} s | "
        f"{least:.2f} s | {mine / least:.2f} |"
    )


def bare_script(documents: Path, queries: Path, judged: dict[str, dict[str, int]], names: list[str]) -> Any:
    """What somebody would write: load, product, best hundred, ir_measures."""
    import ir_measures
    import numpy as np
    from ir_measures import RR, R, nDCG

    vectors = np.load(documents / "vectors.npy")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    wanted = np.load(queries / "vectors.npy")
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    run: dict[str, dict[str, float]] = {}
    for start in range(0, len(wanted), BLOCK):
        scores = wanted[start : start + BLOCK] @ vectors.T
        best = np.argpartition(-scores, DEPTH, axis=1)[:, :DEPTH]
        for row, columns in enumerate(best):
            found = scores[row][columns]
            order = np.argsort(-found, kind="stable")
            run[names[start + row]] = {f"d{columns[at]:07}": float(found[at]) for at in order}
    return list(ir_measures.iter_calc([nDCG @ 10, R @ 100, RR @ 10], judged, run))


if __name__ == "__main__":
    main()
