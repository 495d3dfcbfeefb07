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
from typing import Any

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
TARGETS = {"flips": 1.0, "permutations": 3.0}  # seconds


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
    run(given)


def run(given: argparse.Namespace) -> None:
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
    print("| what | target | median | best |")
    print("|---|---|---|---|")
    times = timed(lambda: permutation_tests(differences, seed=1, draws=given.flips), given.repeats)
    row(f"{given.flips:,} flips × {queries} queries × {others} arms against control", TARGETS["flips"], times)
    times = timed(lambda: randomised_tukey(scores, seed=1, draws=given.permutations), given.repeats)
    row(
        f"randomised Tukey, {given.arms} arms × {queries} queries, {given.permutations:,} permutations",
        TARGETS["permutations"],
        times,
    )
    row(
        f"{others} whole verdicts with Holm ({given.flips:,} flips, BCa, all tests)",
        None,
        timed(verdicts, given.repeats),
    )
    print(f"\n`python -m benchmarks.statistics_bench` (one thread, median of {given.repeats}, numpy {np.__version__})")


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
