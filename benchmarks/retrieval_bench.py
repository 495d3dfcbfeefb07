"""How long the retrieval and scoring of known queries take, beside the least that numpy needs for the same.

    python -m benchmarks.retrieval_bench [--documents 100000] [--dimensions 384] [--queries 1000] [--depth 100]

Both load the same mapped vectors, multiply, keep the best of each query and score them with trec_eval's code. The
bare script partitions and sorts, and settles no ties; ours goes through the index that arms use, its canonical order
and its measures. They take turns; the medians are compared. Bounds for unjudged documents are timed apart: the bare
script has nothing of the kind.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ir_measures
import numpy as np

from embeddings_ab.adapters.vector_indexes.exact import ExactIndex
from embeddings_ab.domain.measures import parse_measures
from embeddings_ab.domain.quantisation import normalised
from embeddings_ab.domain.retrieval_metrics import highest, mean_of, rankings_of, score

MEASURES = ["nDCG@10", "R@10", "R@100", "MRR@10", "Hit@10", "AP"]
BLOCK = 200


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--documents", type=int, default=100_000)
    options.add_argument("--dimensions", type=int, default=384)
    options.add_argument("--queries", type=int, default=1_000)
    options.add_argument("--depth", type=int, default=100)
    options.add_argument("--repeats", type=int, default=3)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="hhweb-bench-") as name:
        folder = Path(name)
        judgments = make(folder, given)
        times: dict[str, list[float]] = {"bare": [], "ours": [], "bounds": []}
        for _ in range(given.repeats):
            bare, seconds = timed(lambda: run_bare(folder, judgments, given.depth))
            times["bare"].append(seconds)
            (ours, rankings), seconds = timed(lambda: run_ours(folder, judgments, given.depth))
            times["ours"].append(seconds)
            measures = parse_measures(MEASURES)
            _, seconds = timed(lambda rankings=rankings, measures=measures: highest(rankings, judgments, measures))
            times["bounds"].append(seconds)
    print(f"{given.documents:,} x {given.dimensions} vectors, {given.queries:,} queries, depth {given.depth}")
    for step, seconds_of in times.items():
        print(f"{step:8} {statistics.median(seconds_of):6.2f} s   ({', '.join(f'{one:.2f}' for one in seconds_of)})")
    ratio = statistics.median(times["ours"]) / statistics.median(times["bare"])
    print(f"ratio    {ratio:6.2f}     (ours / bare; to reach: 1.30, and under 8 s)")
    apart = max(abs(ours[name] - bare[name]) for name in MEASURES)
    print(f"means    differ by at most {apart:.1e}: " + ", ".join(f"{name} {ours[name]:.4f}" for name in MEASURES))


def make(folder: Path, given: argparse.Namespace) -> dict[str, dict[int, int]]:
    """Vectors in clusters, queries near some of them, and judgments for a part of each query's cluster."""
    draw = np.random.default_rng(1)
    centres = draw.normal(size=(500, given.dimensions)).astype(np.float32)
    cluster = draw.integers(0, len(centres), given.documents)
    noise = draw.normal(size=(given.documents, given.dimensions)).astype(np.float32)
    np.save(folder / "vectors.npy", normalised(centres[cluster] + noise))
    asked = draw.integers(0, len(centres), given.queries)
    noise = draw.normal(size=(given.queries, given.dimensions)).astype(np.float32)
    np.save(folder / "queries.npy", normalised(centres[asked] + noise))
    np.save(folder / "documents.npy", np.arange(given.documents, dtype=np.int32))
    judgments: dict[str, dict[int, int]] = {}
    for at, centre in enumerate(asked):
        judged = np.flatnonzero(cluster == centre)[:40]
        grades = np.append(1, draw.integers(0, 4, 39))  # without a relevant one a query would be in no mean of ours
        judgments[f"q{at}"] = {int(unit): int(grade) for unit, grade in zip(judged, grades, strict=False)}
    return judgments


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What `call` returns, and its seconds."""
    began = time.perf_counter()
    found = call()
    return found, time.perf_counter() - began


def run_bare(folder: Path, judgments: dict[str, dict[int, int]], depth: int) -> dict[str, float]:
    """Load, product, partition, sort, score: nothing else."""
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    queries = np.load(folder / "queries.npy", mmap_mode="r")
    run: dict[str, dict[str, float]] = {}
    for start in range(0, len(queries), BLOCK):
        scores = queries[start : start + BLOCK] @ vectors.T
        top = np.argpartition(scores, -depth, axis=1)[:, -depth:]
        for row, units in enumerate(top):
            ordered = units[np.argsort(-scores[row, units])].tolist()
            run[f"q{start + row}"] = {str(unit): float(depth - rank) for rank, unit in enumerate(ordered)}
    qrels = {query: {str(unit): grade for unit, grade in grades.items()} for query, grades in judgments.items()}
    names = {"Hit@10": "Success@10", "MRR@10": "RR@10"}
    wanted = {name: ir_measures.parse_measure(names.get(name, name)) for name in MEASURES}
    means = ir_measures.calc_aggregate(wanted.values(), qrels, run)
    return {name: means[measure] for name, measure in wanted.items()}


def run_ours(
    folder: Path, judgments: dict[str, dict[int, int]], depth: int
) -> tuple[dict[str, float | None], dict[str, list[int]]]:
    """The same through the index and the measures of an arm."""
    index = ExactIndex(np.load(folder / "vectors.npy", mmap_mode="r"), np.load(folder / "documents.npy"))
    found = index.search(np.load(folder / "queries.npy", mmap_mode="r"), depth)
    rankings = rankings_of(found, list(judgments))
    values = score(rankings, judgments, parse_measures(MEASURES))
    return {name: mean_of(row[name] for row in values.values())[0] for name in MEASURES}, rankings


if __name__ == "__main__":
    main()
