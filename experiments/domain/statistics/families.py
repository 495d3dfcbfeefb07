"""Many runs on one metric: candidates against one baseline, and all pairs, with runs that lack some units."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from typing import Any, Literal

import numpy as np

from experiments.domain.statistics.clusters import Floats
from experiments.domain.statistics.comparison import PairedComparison, decide
from experiments.domain.statistics.corrections import holm
from experiments.domain.statistics.metric_columns import Metric, MetricScores, Setting, column_of, units_of
from experiments.domain.statistics.metrics import measured, with_corrections
from experiments.domain.statistics.multiple_arms import max_t_test, randomised_tukey, range_test
from experiments.domain.statistics.paired import TIE, permutation_tests, wins_ties_losses
from experiments.domain.statistics.plan import plan_of
from experiments.domain.statistics.sentences import count_of, p_text, rounded
from experiments.domain.statistics.verdict import Scores, labels_of

TUKEY_STEPS = 40_000_000  # units × runs × shuffles of one answer, about a second
TUKEY_DRAWS = 20_000
FEWEST_DRAWS = 1_999  # below, the range of normal sums stands in
MANY_UNITS = 300  # sums of so many are normal enough
COMMON_SHARE = 0.5  # of the pairs' units, that must be common to all runs for a test over all of them


@dataclass(frozen=True, slots=True)
class RunScores:
    """One run on one metric: scores by unit, the units it executed, and which of them failed."""

    name: str
    scores: Scores
    executed: Collection[str]
    failed: Collection[str] = frozenset()
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class PairOfRuns:
    """Two runs of a family. `difference` is second − first on the `units` compared; `p` is corrected for all pairs."""

    first: str
    second: str
    units: int
    difference: float | None
    wins: int
    ties: int
    losses: int
    p: float | None
    is_different: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class AllPairs:
    """All pairs of runs on one metric. `means` are over the units compared; `left_out` counts those that were not."""

    metric: str
    names: list[str]
    means: list[float | None]
    pairs: list[PairOfRuns]
    units: int
    left_out: int
    method: str  # randomised Tukey HSD | Tukey HSD of normal sums | permutation tests with Holm
    draws: int
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Every field by its name."""
        return asdict(self)


def compare_candidates(
    baseline: RunScores,
    candidates: Sequence[RunScores],
    *,
    metric: Metric,
    setting: Setting,
    method: Literal["holm", "max_t"] = "holm",
    pairs_in_all: int = 0,
) -> list[PairedComparison]:
    """Each candidate against the baseline, on the units that both have, corrected over the candidates.

    `holm` adjusts p-values of their own; `max_t` flips all candidates together (Westfall and Young 1993), which is
    sharper where candidates resemble each other; equivalence is always Holm's. Both Holm and Benjamini-Hochberg over
    the candidates are in the evidence. Names, failures and completeness in `setting` are those of the runs given;
    `pairs_in_all` tells the plan of all pairs compared for the same answer, over all metrics.
    """
    settings = [
        replace(
            setting,
            failed_control=baseline.failed,
            failed_arm=one.failed,
            is_complete=baseline.is_complete and one.is_complete,
            control_name=baseline.name,
            arm_name=one.name,
        )
        for one in candidates
    ]
    executed = [sorted(frozenset(baseline.executed).intersection(one.executed)) for one in candidates]
    scores = [MetricScores(metric, baseline.scores, one.scores) for one in candidates]
    found: list[PairedComparison] = []
    in_all = max(pairs_in_all, sum(map(len, executed)))
    for one, units, own in zip(scores, executed, settings, strict=True):
        found += measured([one], executed=units, setting=own, pairs_in_all=in_all)
    judged = with_corrections(found, "holm")
    if method == "holm" or sum(one.p is not None for one in judged) < 2:
        return judged
    adjusted = _max_t(scores, executed, settings, setting, in_all)
    return [
        decide(replace(one, adjusted_p=p if one.p is not None else None, correction="max-T"))
        for one, p in zip(judged, adjusted, strict=True)
    ]


def compare_all_pairs(
    runs: Sequence[RunScores],
    *,
    metric: Metric,
    seed: int,
    alpha: float = 0.05,
    clusters: Mapping[str, Hashable] | None = None,
    units_word: str = "datapoints",
    scores_in_all: int = 0,
) -> AllPairs:
    """Every pair of runs, with the chance of any false claim at `alpha`; runs that are not complete are left out.

    Over the units that every run scored: randomised Tukey HSD (Carterette 2012) with up to 20,000 shuffles; where
    fewer than 1,999 fit the budget, the same test by the normal limit of its sums from 300 units on. Where the runs
    have fewer than half of their pairs' units in common: permutation tests of each pair on its own units with Holm's
    correction. `scores_in_all` counts the scores (units × runs) of all metrics that share the budget of one answer.
    Raises ValueError for names that repeat.
    """
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        raise ValueError(f"Runs need different names to be told apart, got {names}.")
    used = [run for run in runs if run.is_complete]
    warnings = [f"{run.name} is not complete and is left out." for run in runs if not run.is_complete]
    warnings += [
        f"{count_of(len(set(run.failed)), units_word)} failed in {run.name} and were left out."
        for run in used
        if run.failed
    ]
    values = [_scored(run) for run in used]
    everywhere = sorted(set(values[0]).intersection(*values[1:])) if values else []
    somewhere = len(set().union(*values))
    typical = _mean([len(first.keys() & second.keys()) for first, second in combinations(values, 2)])
    if len(used) > 1 and len(everywhere) >= 2 and len(everywhere) >= COMMON_SHARE * typical:
        matrix = np.array([[side[unit] for side in values] for unit in everywhere], dtype=np.float64)
        p, method, draws = _tukey(matrix, labels_of(everywhere, clusters), seed, max(matrix.size, scores_in_all))
        units = [everywhere] * len(list(combinations(used, 2)))
        means: list[float | None] = [float(mean) for mean in matrix.mean(axis=0)]
    else:
        units = [sorted(first.keys() & second.keys()) for first, second in combinations(values, 2)]
        p, draws = _by_pairs(values, units, clusters, seed, scores_in_all)
        method = "permutation tests with Holm"
        means = [_mean(list(side.values())) if side else None for side in values]
    pairs = [
        _pair(used[a].name, used[b].name, metric, [values[a], values[b]], own, found, alpha, units_word)
        for (a, b), own, found in zip(combinations(range(len(used)), 2), units, p, strict=True)
    ]
    compared = len(set().union(*units)) if units else 0
    return AllPairs(
        metric=metric.name,
        names=[run.name for run in used],
        means=means,
        pairs=pairs,
        units=compared,
        left_out=somewhere - compared,
        method=method,
        draws=draws,
        warnings=warnings,
    )


def _max_t(
    scores: list[MetricScores], executed: list[list[str]], settings: list[Setting], setting: Setting, in_all: int
) -> list[float]:
    rows = {unit: row for row, unit in enumerate(sorted(set().union(*executed)))}
    table = np.full((len(rows), len(scores)), np.nan)
    for place, (one, names, own) in enumerate(zip(scores, executed, settings, strict=True)):
        units = units_of(names, own)
        table[[rows[name] for name in units.names], place] = column_of(one, units, own).differences
    draws = plan_of(int(np.isfinite(table).sum(axis=0).max()), pairs_in_all=in_all).flips
    return max_t_test(table, seed=setting.seed, draws=draws, clusters=labels_of(list(rows), setting.clusters)).p


def _scored(run: RunScores) -> dict[str, float]:
    failed = frozenset(run.failed)
    return {unit: score for unit, score in run.scores.items() if score is not None and unit not in failed}


def _tukey(
    matrix: Floats, labels: list[Hashable] | None, seed: int, in_all: int
) -> tuple[list[float | None], str, int]:
    """p of each pair (first < second) by randomised Tukey, or its normal limit where that would take too long."""
    draws = min(TUKEY_DRAWS, TUKEY_STEPS // in_all)
    if len(matrix) < MANY_UNITS:
        draws = max(draws, FEWEST_DRAWS)
    if draws >= FEWEST_DRAWS:
        table, method = randomised_tukey(matrix, seed=seed, draws=draws, clusters=labels).p, "randomised Tukey HSD"
    else:
        table, method, draws = range_test(matrix, clusters=labels), "Tukey HSD of normal sums", 0
    return [table[a][b] for a, b in combinations(range(matrix.shape[1]), 2)], method, draws


def _by_pairs(
    values: list[dict[str, float]],
    units: list[list[str]],
    clusters: Mapping[str, Hashable] | None,
    seed: int,
    scores_in_all: int,
) -> tuple[list[float | None], int]:
    p: list[float | None] = []
    draws = 0
    in_all = max(sum(map(len, units)), scores_in_all)
    for (first, second), own in zip(combinations(values, 2), units, strict=True):
        if not own:
            p.append(None)
            continue
        flips = plan_of(len(own), pairs_in_all=in_all).flips
        differences = np.array([[second[unit] - first[unit]] for unit in own])
        differences[np.abs(differences) <= TIE] = 0.0
        p.append(permutation_tests(differences, seed=seed, draws=flips, clusters=labels_of(own, clusters))[0].p)
        draws = max(draws, flips)
    return holm(p), draws


def _pair(
    first: str,
    second: str,
    metric: Metric,
    sides: list[dict[str, float]],
    units: list[str],
    p: float | None,
    alpha: float,
    units_word: str,
) -> PairOfRuns:
    differences = np.array([sides[1][unit] - sides[0][unit] for unit in units], dtype=np.float64)
    record = wins_ties_losses(differences if metric.higher_is_better else -differences)
    difference = float(differences.mean()) if len(units) else None
    is_different = p is not None and p <= alpha and bool(difference)
    return PairOfRuns(
        first=first,
        second=second,
        units=len(units),
        difference=difference,
        wins=record.wins,
        ties=record.ties,
        losses=record.losses,
        p=p,
        is_different=is_different,
        sentence=_sentence(first, second, metric, difference, p, is_different, count_of(len(units), units_word)),
    )


def _sentence(
    first: str,
    second: str,
    metric: Metric,
    difference: float | None,
    p: float | None,
    is_different: bool,
    units: str,
) -> str:
    if difference is None or p is None:
        return f"{first} and {second} have no unit with {metric.name} in common."
    if not is_different:
        return f"undecided: {second} − {first} is {rounded(difference)} {metric.name}, {p_text(p)}, {units}."
    verb = "beats" if (difference > 0) is metric.higher_is_better else "loses to"
    return f"{second} {verb} {first} by {rounded(abs(difference))} {metric.name}, {p_text(p)}, {units}."


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
