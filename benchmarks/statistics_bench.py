"""How long the statistics behind a verdict take, on one core.

    python -m benchmarks.statistics_bench [--queries 300] [--arms 10] [--flips 100000] [--permutations 20000]

Random scores, median of five runs after one to warm up. One thread: the statistics use no BLAS, and the variables
that numpy's libraries read are set to 1 all the same.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
TARGETS = {"flips": 1.0, "permutations": 3.0, "metrics": 1.0, "sequence": 0.2}  # seconds


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--queries", type=int, default=300)
    options.add_argument("--arms", type=int, default=10)
    options.add_argument("--flips", type=int, default=100_000)
    options.add_argument("--permutations", type=int, default=20_000)
    options.add_argument("--repeats", type=int, default=5)
    given = options.parse_args()
    for name in THREADS:
        os.environ[name] = "1"  # before numpy is loaded
    import numpy as np

    print("| what | target | median | best |")
    print("|---|---|---|---|")
    arms(given)
    runs(given)
    print(f"\n`python -m benchmarks.statistics_bench` (one thread, median of {given.repeats}, numpy {np.__version__})")


def arms(given: argparse.Namespace) -> None:
    """What a test of embeddings computes: many arms on some hundred queries."""
    import numpy as np

    from experiments.domain.statistics.multiple_arms import randomised_tukey
    from experiments.domain.statistics.paired import permutation_tests
    from experiments.domain.statistics.verdict import apply_holm, compare_paired

    scores = np.random.default_rng(1).beta(0.7, 0.9, size=(given.queries, given.arms))
    differences = scores[:, 1:] - scores[:, :1]
    sides: list[dict[str, float | None]] = [
        {f"q{number}": float(score) for number, score in enumerate(column)} for column in scores.T
    ]

    def verdicts() -> None:
        apply_holm([compare_paired(sides[0], arm, metric="nDCG@10", seed=1, draws=given.flips) for arm in sides[1:]])

    others, queries = given.arms - 1, given.queries
    row(
        f"{given.flips:,} flips × {queries} queries × {others} arms against control",
        TARGETS["flips"],
        timed(lambda: permutation_tests(differences, seed=1, draws=given.flips), given.repeats),
    )
    row(
        f"randomised Tukey, {given.arms} arms × {queries} queries, {given.permutations:,} permutations",
        TARGETS["permutations"],
        timed(lambda: randomised_tukey(scores, seed=1, draws=given.permutations), given.repeats),
    )
    row(
        f"{others} whole verdicts with Holm ({given.flips:,} flips, BCa, all tests)",
        None,
        timed(verdicts, given.repeats),
    )


def runs(given: argparse.Namespace) -> None:
    """What comparisons of runs compute: some metrics on up to a hundred thousand datapoints."""
    import numpy as np

    from experiments.domain.statistics.change_points import Point, change_points
    from experiments.domain.statistics.families import RunScores, compare_all_pairs, compare_candidates
    from experiments.domain.statistics.metrics import Metric, MetricScores, Setting, compare_metrics
    from experiments.domain.statistics.sequences import always_valid_interval

    generator, metric = np.random.default_rng(2), Metric("accuracy", bounds=(0.0, 1.0), noninferiority_margin=0.02)

    def scored(count: int) -> dict[str, float | None]:
        return {f"d{number}": float(score) for number, score in enumerate(generator.beta(0.7, 0.9, size=count))}

    for count in (10_000, 2_000, 300):
        units = [f"d{number}" for number in range(count)]
        metrics = [MetricScores(metric, scored(count), scored(count)) for _ in range(5)]
        setting = Setting(seed=1, failed_arm=units[:9], failed_control=units[9:10])
        row(
            f"5 metrics of two runs, {count:,} pairs, whole verdicts with failures",
            TARGETS["metrics"],
            timed(partial(compare_metrics, metrics, executed=units, setting=setting), given.repeats),
        )
        many = [RunScores(f"run {number}", scored(count), units) for number in range(6)]
        candidates = partial(compare_candidates, many[0], many[1:], metric=metric, setting=Setting(seed=1))
        row(f"5 candidates against a baseline, {count:,} datapoints", None, timed(candidates, given.repeats))
        pairs = partial(compare_all_pairs, many, metric=metric, seed=1)
        row(f"all pairs of 6 runs, {count:,} datapoints", None, timed(pairs, given.repeats))
    values = generator.beta(3, 2, size=100_000).tolist()
    row(
        "always-valid interval after 99,000 of 100,000 datapoints",
        TARGETS["sequence"],
        timed(lambda: always_valid_interval(values[:99_000], population=100_000, bounds=(0, 1)), given.repeats),
    )
    for count in (50, 200, 1_000):
        points = [Point(float(value), 300, 0.4) for value in generator.normal(0.7, 0.02, size=count)]
        row(f"change points in {count:,} runs", None, timed(partial(change_points, points, seed=1), given.repeats))


def timed(action: Callable[[], Any], repeats: int) -> list[float]:
    action()  # warm: imports, pages
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return times


def row(name: str, target: float | None, times: list[float]) -> None:
    wanted = f"{target:g} s" if target else "-"
    print(f"| {name} | {wanted} | {statistics.median(times):.3f} s | {min(times):.3f} s |")


if __name__ == "__main__":
    main()
