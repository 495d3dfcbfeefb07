"""The report of a finished test: aggregates, comparisons with verdicts, slices, losses, and the hash that pins them.

Pure: scores in, JSON out. Loads numpy through the statistics, so its callers import it when they compute.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from embeddings_ab.domain.explanation import Stage, summarise
from embeddings_ab.domain.fingerprint import canonical_json
from embeddings_ab.domain.overlap import jaccard, rank_biased_overlap
from experiments.domain.statistics.comparison import PairedComparison
from experiments.domain.statistics.intervals import bca_interval
from experiments.domain.statistics.multiple_arms import randomised_tukey
from experiments.domain.statistics.paired import TIE
from experiments.domain.statistics.randomness import derived_seed
from experiments.domain.statistics.verdict import apply_benjamini_hochberg, apply_holm, compare_paired, compare_slices

SCHEMA = 1
OVERLAP_K = 10


@dataclass(frozen=True, slots=True)
class ArmScores:
    """What one arm scored. `values[measure][query]`: None where the measure is undefined; failed queries are absent."""

    name: str
    status: str
    values: Mapping[str, Mapping[str, float | None]]
    failed: frozenset[str]
    rankings: Mapping[str, Sequence[str]]
    blames: Sequence[str] = ()
    blamed_by_query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Design:
    """What was fixed at the creation of the test."""

    metrics: Sequence[str]
    primary: str
    control: str
    alpha: float
    margin: float | None
    effect: float | None
    seed: int
    draws: int
    clusters: Mapping[str, str] | None = None
    slices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def make_report(*, head: Mapping[str, Any], design: Design, arms: Sequence[ArmScores]) -> dict[str, Any]:
    """The report as JSON. Primary metric against the control decides; everything else is exploratory."""
    by_name = {arm.name: arm for arm in arms}
    warnings: list[str] = []
    comparisons: list[dict[str, Any]] = []
    slices: list[dict[str, Any]] = []
    control = by_name.get(design.control)
    if control is None or control.status == "failed":
        warnings.append(f"The control arm {design.control!r} has no results: nothing can be compared with it.")
    else:
        others = [arm for arm in arms if arm.name != design.control and arm.status != "failed"]
        comparisons = _comparisons(design, control, others)
        slices = _slices(design, control, others)
    ranked = [arm for arm in arms if arm.status != "failed"]
    return {
        "schema": SCHEMA,
        "test": dict(head),
        "arms": {arm.name: _arm(design, arm) for arm in arms},
        "comparisons": comparisons,
        "all_pairs": _all_pairs(design, ranked),
        "agreement": _agreement(ranked),
        "slices": slices,
        "losses": {arm.name: _losses(design, arm, control) for arm in ranked},
        "warnings": warnings,
    }


def _losses(design: Design, arm: ArmScores, control: ArmScores | None) -> dict[str, Any]:
    """Where relevant documents were lost, and for each query that the control answers better, the stage to blame."""
    ours = arm.values.get(design.primary, {})
    theirs = control.values.get(design.primary, {}) if control is not None and control is not arm else {}
    lost = [
        query for query, value in ours.items()
        if value is not None and (other := theirs.get(query)) is not None and value < other - TIE
    ]  # fmt: skip
    blamed = [arm.blamed_by_query.get(query, Stage.FOUND.value) for query in lost]
    return {
        "lost_queries": len(lost),
        "stages": summarise(arm.blames),
        "queries_by_stage": summarise(blamed),
    }


def _arm(design: Design, arm: ArmScores) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    unasked = sorted(name for name in arm.values if name.startswith("Judged@") and name not in design.metrics)
    for measure in [*design.metrics, *unasked]:
        values = arm.values.get(measure, {})
        numbers = [values[key] for key in sorted(values)]
        defined = [value for value in numbers if value is not None]
        clusters = None
        if design.clusters is not None:
            clusters = [design.clusters.get(key, key) for key in sorted(values) if values[key] is not None]
        seed = derived_seed(design.seed, f"{arm.name} {measure}")
        interval = bca_interval(defined, seed=seed, clusters=clusters) if defined else None
        metrics[measure] = {
            "mean": float(np.mean(defined)) if defined else None,
            "low": interval.low if interval else None,
            "high": interval.high if interval else None,
            "n": len(defined),
            "undefined": len(numbers) - len(defined),
            # Bounds for documents that nobody judged: they count as 0 in the measure itself, so that is the lowest.
            "lowest": float(np.mean(defined)) if defined else None,
            "highest": _mean([v for v in arm.values.get(f"{measure} highest", {}).values() if v is not None]),
        }
    return {"status": arm.status, "queries_failed": len(arm.failed), "metrics": metrics}


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(np.sort(np.asarray(values)))) if values else None


def _comparisons(design: Design, control: ArmScores, others: Sequence[ArmScores]) -> list[dict[str, Any]]:
    """Primary metric first, corrected by Holm over arms; all others exploratory, by Benjamini-Hochberg."""
    primary = apply_holm([_compared(design, control, arm, design.primary) for arm in others])
    # Being judged more is neither better nor worse.
    rest = [name for name in design.metrics if name != design.primary and not name.startswith("Judged@")]
    exploratory = apply_benjamini_hochberg(
        [_compared(design, control, arm, measure) for measure in rest for arm in others]
    )
    return [{"role": "primary", **found.to_json()} for found in primary] + [
        {"role": "exploratory", **found.to_json()} for found in exploratory
    ]


def _compared(design: Design, control: ArmScores, arm: ArmScores, measure: str) -> PairedComparison:
    return compare_paired(
        control.values.get(measure, {}),
        arm.values.get(measure, {}),
        metric=measure,
        seed=derived_seed(design.seed, f"{measure} {arm.name}"),
        **_shared(design, control, arm),
    )


def _shared(design: Design, control: ArmScores, arm: ArmScores) -> dict[str, Any]:
    return {
        "alpha": design.alpha,
        "margin": design.margin,
        "effect": design.effect,
        "draws": design.draws,
        "clusters": design.clusters,
        "failed_control": control.failed,
        "failed_arm": arm.failed,
        "control_name": control.name,
        "arm_name": arm.name,
    }


def _all_pairs(design: Design, arms: Sequence[ArmScores]) -> list[dict[str, Any]]:
    if len(arms) < 3:
        return []
    columns = [arm.values.get(design.primary, {}) for arm in arms]
    common = sorted(key for key in columns[0] if all(column.get(key) is not None for column in columns))
    if not common:
        return []
    matrix = np.array([[column[key] for column in columns] for key in common], dtype=np.float64)
    clusters = [design.clusters.get(key, key) for key in common] if design.clusters is not None else None
    result = randomised_tukey(matrix, seed=derived_seed(design.seed, "all pairs"), clusters=clusters)
    return [
        {"a": arms[i].name, "b": arms[j].name, "metric": design.primary, "n": len(common), "p": result.p[i][j]}
        for i, j in combinations(range(len(arms)), 2)
    ]


def _agreement(arms: Sequence[ArmScores]) -> list[dict[str, Any]]:
    found = []
    for a, b in combinations(arms, 2):
        common = sorted(set(a.rankings) & set(b.rankings))
        found.append(
            {
                "a": a.name,
                "b": b.name,
                "k": OVERLAP_K,
                "n": len(common),
                "rbo": _mean([rank_biased_overlap(a.rankings[q], b.rankings[q]) for q in common]),
                "jaccard": _mean([jaccard(a.rankings[q], b.rankings[q], OVERLAP_K) for q in common]),
            }
        )
    return found


def _slices(design: Design, control: ArmScores, others: Sequence[ArmScores]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for key, labels in design.slices.items():
        for arm in others:
            parts = compare_slices(
                control.values.get(design.primary, {}),
                arm.values.get(design.primary, {}),
                labels,
                metric=design.primary,
                seed=derived_seed(design.seed, f"slices {key} {arm.name}"),
                **_shared(design, control, arm),
            )
            found += [{"key": key, "value": part.slice_label, **part.to_json()} for part in parts]
    return found


class ReportHash:
    """SHA-256 over canonical JSON of results and statistics. Names, times, latencies and cost are left out."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add_results(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """One line per arm and query, in order of arm name and query id."""
        for row in rows:
            self._hash.update(canonical_json(row).encode())
            self._hash.update(b"\n")

    def finish(self, report: Mapping[str, Any]) -> str:
        """The hash once the report itself is added, but not what the test is called and where it is registered."""
        found = {key: part for key, part in report.items() if key != "test"}
        self._hash.update(canonical_json(rounded(found)).encode())
        return self._hash.hexdigest()


def rounded(value: Any) -> Any:
    """Numbers to 6 decimals: what the report promises to reproduce."""
    if isinstance(value, float):
        return round(value, 6) + 0.0
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value
