"""Choosing the best of many configurations without fooling oneself: cross-validated choice, optimism gap, Pareto front.

Works on scores that exist already: a search over alpha or depth costs no embedding here. Loads numpy; import it where
it computes.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

TIE = 1e-12
DEFAULT_FOLDS = 5


@dataclass(frozen=True, slots=True)
class TuningResult:
    """What a search found, and what it would have found on queries that it had not seen.

    `held_out_scores` holds for each query the score of the configuration chosen without that query's fold: compare
    it with a control by the statistics of pairs, for a verdict on the tuned arm that the choice has not spoiled.
    """

    chosen: str
    apparent_mean: float  # of the chosen configuration, on the queries that chose it
    cross_validated_mean: float
    optimism_gap: float  # apparent − cross-validated
    fold_choices: list[str]
    fold_sizes: list[int]
    choice_share: dict[str, float]  # how often each configuration was chosen in a fold
    held_out_scores: dict[str, float]
    means: dict[str, float]  # apparent, of every configuration
    queries: int
    folds: int
    repeats: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Every field by its name, as plain numbers, texts and lists."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ParetoPoint:
    """One configuration: quality is better when higher, latency and cost when lower; None is not known."""

    name: str
    quality: float | None
    latency_ms: float | None = None
    cost: float | None = None


def cross_validate(
    scores: ArrayLike,
    *,
    configurations: Sequence[str],
    queries: Sequence[str],
    seed: int,
    folds: int = DEFAULT_FOLDS,
    repeats: int = 1,
    groups: Mapping[str, str] | None = None,
) -> TuningResult:
    """Choose the configuration with the best mean of `scores` (configurations × queries) and say what that is worth.

    Each fold's queries are scored by the configuration that the other folds choose; their mean is free of the
    optimism of choosing and reporting on the same queries (Stone 1974; Varma and Simon 2006: the choice is made anew
    inside each fold, and a mean needs no further inner folds). It stands for the *search* on slightly fewer queries,
    hence errs low if at all. `repeats` cuts the folds anew and averages. `groups` (query → group) keeps a group in
    one fold. Equal means within 1e-12 go to the configuration named first: order them from plain to costly.
    Folds depend on seed and ids alone, not on the order of queries. Raises ValueError for shapes that do not fit,
    repeated names, scores that are not finite, and fewer groups than folds.
    """
    values = np.asarray(scores, dtype=np.float64)
    _check(values, configurations, queries, folds, repeats)
    order = sorted(range(len(queries)), key=lambda position: queries[position])
    values, ids = values[:, order], [queries[position] for position in order]
    held_out, choices, sizes = np.zeros(len(ids)), [], []
    for repeat in range(repeats):
        fold_of = assign_folds(ids, seed=seed + repeat, folds=folds, groups=groups)
        for fold in range(folds):
            is_held_out = fold_of == fold
            best = _best(values[:, ~is_held_out].mean(axis=1))
            held_out[is_held_out] += values[best, is_held_out] / repeats
            choices.append(configurations[best])
            sizes.append(int(is_held_out.sum()))
    means = values.mean(axis=1)
    chosen = _best(means)
    apparent, honest = float(means[chosen]), float(held_out.mean())
    return TuningResult(
        chosen=configurations[chosen],
        apparent_mean=apparent,
        cross_validated_mean=honest,
        optimism_gap=apparent - honest,
        fold_choices=choices,
        fold_sizes=sizes,
        choice_share={name: choices.count(name) / len(choices) for name in configurations if name in choices},
        held_out_scores=dict(zip(ids, held_out.tolist(), strict=True)),
        means=dict(zip(configurations, means.tolist(), strict=True)),
        queries=len(ids),
        folds=folds,
        repeats=repeats,
        seed=seed,
    )


def assign_folds(
    queries: Sequence[str], *, seed: int, folds: int, groups: Mapping[str, str] | None = None
) -> NDArray[np.int64]:
    """The fold (0..folds − 1) of each query: groups in order of a seeded hash of their name, each to the smallest fold.

    A query without group is its own. Raises ValueError for fewer groups than folds.
    """
    members: dict[tuple[str, str], list[int]] = {}
    for position, query in enumerate(queries):
        key = ("group", groups[query]) if groups is not None and query in groups else ("query", query)
        members.setdefault(key, []).append(position)
    if len(members) < folds:
        raise ValueError(f"{folds} folds need as many queries or groups, got {len(members)}; use fewer folds.")
    fold_of, sizes = np.zeros(len(queries), dtype=np.int64), [0] * folds
    for key in sorted(members, key=lambda key: (_hash(seed, key), key)):
        smallest = sizes.index(min(sizes))
        fold_of[members[key]] = smallest
        sizes[smallest] += len(members[key])
    return fold_of


def pareto_front(points: Sequence[ParetoPoint]) -> list[str]:
    """Names of the points that no other beats: as good in quality, latency and cost, and better in one of them.

    Best quality first. What is not known counts as the worst possible, so it never wins a place; points without
    quality are left out.
    """
    known = [(point.name, _losses(point)) for point in points if point.quality is not None]
    front = [
        (losses, name)
        for name, losses in known
        if not any(other != losses and all(a <= b for a, b in zip(other, losses, strict=True)) for _, other in known)
    ]
    return [name for _, name in sorted(front)]


def _losses(point: ParetoPoint) -> tuple[float, float, float]:
    worst = math.inf
    return (
        worst if point.quality is None else -point.quality,
        worst if point.latency_ms is None else point.latency_ms,
        worst if point.cost is None else point.cost,
    )


def _best(means: NDArray[np.float64]) -> int:
    return int(np.flatnonzero(means >= means.max() - TIE)[0])


def _hash(seed: int, key: tuple[str, str]) -> bytes:
    return hashlib.sha256(f"{seed}:{key[0]}:{key[1]}".encode()).digest()


def _check(
    values: NDArray[np.float64], configurations: Sequence[str], queries: Sequence[str], folds: int, repeats: int
) -> None:
    wanted = (len(configurations), len(queries))
    if values.shape != wanted or not all(wanted):
        raise ValueError(f"scores must be configurations × queries, {wanted}, and not empty; got {values.shape}.")
    for name, items in (("configurations", configurations), ("queries", queries)):
        if len(set(items)) != len(items):
            raise ValueError(f"{name} must be distinct.")
    if not np.isfinite(values).all():
        raise ValueError("Every configuration needs a finite score for every query; leave out queries that failed.")
    if folds < 2 or repeats < 1:
        raise ValueError(f"At least 2 folds and 1 repeat are needed, got {folds} and {repeats}.")
