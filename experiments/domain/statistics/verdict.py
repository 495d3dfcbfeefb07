"""Paired comparison of two arms on one metric, of families of arms or metrics with correction, and of slices."""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from experiments.domain.statistics.clusters import Floats, cluster_sums
from experiments.domain.statistics.comparison import PairedComparison, decide
from experiments.domain.statistics.corrections import benjamini_hochberg, holm
from experiments.domain.statistics.intervals import (
    DEFAULT_RESAMPLES,
    Interval,
    bca_interval,
    t_interval,
)
from experiments.domain.statistics.paired import (
    DEFAULT_DRAWS,
    TIE,
    PermutationResult,
    effect_size,
    paired_t,
    permutation_test,
    sign_test,
    standard_deviation,
    wilcoxon_pratt,
    wins_ties_losses,
)
from experiments.domain.statistics.power import (
    DEFAULT_POWER,
    detectable_effect,
    equivalence_test,
    pairs_needed,
    planning_deviation,
)

Scores = Mapping[str, float | None]


def compare_paired(
    control_scores: Scores,
    arm_scores: Scores,
    *,
    metric: str,
    seed: int,
    alpha: float = 0.05,
    margin: float | None = None,
    draws: int = DEFAULT_DRAWS,
    resamples: int = DEFAULT_RESAMPLES,
    effect: float | None = None,
    is_complete: bool = True,
    clusters: Mapping[str, Hashable] | None = None,
    higher_is_better: bool = True,
    interval_method: Literal["bca", "t"] = "bca",
    failed_control: Collection[str] = (),
    failed_arm: Collection[str] = (),
    control_name: str = "control",
    arm_name: str = "arm",
    units_word: str = "queries",
    flips: PermutationResult | None = None,
    interval: Interval | None = None,
) -> PairedComparison:
    """Compare two sides on the units that both scored, keyed by id; the order of the mappings never matters.

    A score of None, like an absent unit, is no score: the pair is left out, and counted where the other side has one.
    Units that failed are named in `failed_*`; one of them, or `is_complete=False`, leaves the comparison undecided
    (incomplete). `effect` is the smallest difference worth finding, for the number of units still needed; without it
    the margin stands in, without that the difference seen. `clusters` maps units to clusters, a unit without one
    being its own: whole clusters flip and are resampled, t and equivalence use the robust error, sign and Wilcoxon
    tests the clusters' mean differences. Differences within ± 1e-12 are set to zero. The verdict is that of an
    uncorrected comparison until `apply_holm` or `apply_benjamini_hochberg` has seen the family. `flips` and
    `interval` are those of these very differences, where they were computed together with others.
    Raises ValueError for scores that are not finite, alpha outside 0..1, margin or effect ≤ 0.
    """
    _check(alpha, margin, effect)
    old, new = _scored(control_scores, failed_control), _scored(arm_scores, failed_arm)
    common = sorted(old.keys() & new.keys())
    before = np.array([old[unit] for unit in common], dtype=np.float64)
    after = np.array([new[unit] for unit in common], dtype=np.float64)
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        raise ValueError(f"Every score of {metric} must be a finite number; None marks one without a score.")
    labels = labels_of(common, clusters)
    signed = after - before
    signed[np.abs(signed) <= TIE] = 0.0
    units = len(common) if labels is None else len(set(labels))
    level = 1 - alpha
    if not common:
        interval = Interval(None, None, interval_method, level)
    elif interval is None and interval_method == "t":
        interval = t_interval(signed, level=level, clusters=labels)
    elif interval is None:
        interval = bca_interval(signed, seed=seed, level=level, resamples=resamples, clusters=labels)
    if flips is None and common:
        flips = permutation_test(signed, seed=seed, draws=draws, clusters=labels)
    shown = _cluster_means(signed, labels)
    record = wins_ties_losses(signed if higher_is_better else -signed)
    deviation = planning_deviation(signed, labels)
    difference = float(signed.mean()) if common else None
    target = effect or margin or (abs(difference) if difference else None)
    needed = pairs_needed(deviation, target, alpha=alpha)
    equivalence = equivalence_test(signed, margin=margin, alpha=alpha, clusters=labels) if margin and common else None
    comparison = PairedComparison(
        metric=metric,
        control=control_name,
        arm=arm_name,
        units_word=units_word,
        higher_is_better=higher_is_better,
        alpha=alpha,
        margin=margin,
        seed=seed,
        draws=flips.draws if flips else 0,
        is_exact=flips.is_exact if flips else False,
        n_common=len(common),
        n_clusters=None if labels is None else units,
        n_only_control=len(old.keys() - new.keys()),
        n_only_arm=len(new.keys() - old.keys()),
        n_failed_control=len(set(failed_control)),
        n_failed_arm=len(set(failed_arm)),
        is_complete=is_complete,
        control_mean=float(before.mean()) if common else None,
        arm_mean=float(after.mean()) if common else None,
        difference=difference,
        interval_low=interval.low,
        interval_high=interval.high,
        interval_level=level,
        interval_method=interval.method,
        p=flips.p if flips else None,
        sign_p=sign_test(shown).p if common else None,
        t_p=paired_t(signed, clusters=labels).p,
        wilcoxon_p=wilcoxon_pratt(shown).p if common else None,
        wins=record.wins,
        ties=record.ties,
        losses=record.losses,
        d_z=effect_size(signed),
        sd=standard_deviation(signed),
        mde=detectable_effect(deviation, len(common), alpha=alpha, power=DEFAULT_POWER),
        target_effect=target,
        is_effect_observed=target is not None and effect is None and margin is None,
        queries_needed=needed,
        more_queries=two_digits_up(needed - len(common)) if needed is not None and needed > len(common) else None,
        equivalence_p=equivalence.p if equivalence else None,
        is_equivalence_shown=bool(equivalence and equivalence.is_equivalent),
    )
    return decide(comparison)


def apply_holm(comparisons: Sequence[PairedComparison]) -> list[PairedComparison]:
    """The family again with Holm's correction and the verdicts that then hold, in the same order.

    Difference and equivalence are corrected each over the family. For one arm at most one of the two hypotheses is
    true, so that the chance of any false claim stays at alpha.
    """
    return corrected(comparisons, correction="Holm", correct=holm)


def apply_benjamini_hochberg(comparisons: Sequence[PairedComparison]) -> list[PairedComparison]:
    """The same with Benjamini-Hochberg's correction, for exploratory families: many metrics, or slices."""
    return corrected(comparisons, correction="Benjamini-Hochberg", correct=benjamini_hochberg)


def corrected(
    comparisons: Sequence[PairedComparison],
    *,
    correction: str,
    correct: Callable[[Sequence[float | None]], list[float | None]],
) -> list[PairedComparison]:
    """The comparisons with both kinds of p-values adjusted by `correct` and the verdicts that then hold."""
    adjusted = correct([c.p for c in comparisons])
    equivalences = correct([c.equivalence_p for c in comparisons])
    family = sum(p is not None for p in adjusted)
    return [
        decide(
            replace(
                comparison,
                adjusted_p=p,
                adjusted_equivalence_p=equivalence,
                correction=correction,
                family_size=family,
                is_equivalence_shown=comparison.is_equivalence_shown
                and (equivalence is None or equivalence <= comparison.alpha),
            )
        )
        for comparison, p, equivalence in zip(comparisons, adjusted, equivalences, strict=True)
    ]


def compare_slices(
    control_scores: Scores,
    arm_scores: Scores,
    slices: Mapping[str, str | None],
    *,
    metric: str,
    seed: int,
    alpha: float = 0.05,
    margin: float | None = None,
    draws: int = DEFAULT_DRAWS,
    resamples: int = DEFAULT_RESAMPLES,
    effect: float | None = None,
    is_complete: bool = True,
    clusters: Mapping[str, Hashable] | None = None,
    higher_is_better: bool = True,
    failed_control: Collection[str] = (),
    failed_arm: Collection[str] = (),
    control_name: str = "control",
    arm_name: str = "arm",
    units_word: str = "queries",
) -> list[PairedComparison]:
    """Compare within each label of `slices` (unit → label; None or absent: in no slice), labels ascending.

    Verdicts use p-values adjusted over all slices by Benjamini-Hochberg; slices under 30 common units carry a
    warning. A failed unit makes its own slice incomplete and no other. Everything else as in `compare_paired`.
    """
    labels = sorted({label for label in slices.values() if label is not None})
    found = []
    for label in labels:
        comparison = compare_paired(
            _within(control_scores, slices, label),
            _within(arm_scores, slices, label),
            metric=metric,
            seed=seed,
            alpha=alpha,
            margin=margin,
            draws=draws,
            resamples=resamples,
            effect=effect,
            is_complete=is_complete,
            clusters=clusters,
            higher_is_better=higher_is_better,
            failed_control=[unit for unit in failed_control if slices.get(unit) == label],
            failed_arm=[unit for unit in failed_arm if slices.get(unit) == label],
            control_name=control_name,
            arm_name=arm_name,
            units_word=units_word,
        )
        found.append(replace(comparison, slice_label=label))
    return apply_benjamini_hochberg(found)


def two_digits_up(count: int) -> int:
    """A number of units still needed, rounded up to two significant digits: 506 → 510."""
    step = int(10 ** max(0, len(str(count)) - 2))
    return -(-count // step) * step


def _scored(scores: Scores, failed: Collection[str]) -> dict[str, float]:
    without = frozenset(failed)
    return {unit: score for unit, score in scores.items() if score is not None and unit not in without}


def labels_of(common: list[str], clusters: Mapping[str, Hashable] | None) -> list[Hashable] | None:
    """A cluster for each unit, a unit without one being its own; None without clusters."""
    if clusters is None:
        return None
    return [("cluster", clusters[unit]) if unit in clusters else ("unit", unit) for unit in common]


def _cluster_means(signed: Floats, labels: list[Hashable] | None) -> Floats:
    grouped = cluster_sums(signed[:, None], labels)
    means: Floats = grouped.sums[:, 0] / grouped.sizes
    return means


def _check(alpha: float, margin: float | None, effect: float | None) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha}.")
    for name, value in (("margin", margin), ("effect", effect)):
        if value is not None and not (0 < value < float("inf")):
            raise ValueError(f"{name} must be a finite number above 0, got {value}.")


def _within(scores: Scores, slices: Mapping[str, str | None], label: str) -> Scores:
    return {unit: score for unit, score in scores.items() if slices.get(unit) == label}
