"""Several runs on the same datapoints: candidates against one baseline, and all pairs of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from experiments.domain.comparison_options import Bounds, ComparisonOptions
from experiments.domain.run_status import RunStatus
from experiments.domain.statistics.comparison import PairedComparison, is_withheld
from experiments.domain.statistics.failures import Failures, count_failures
from experiments.domain.statistics.families import PairOfRuns, RunScores, compare_all_pairs, compare_candidates
from experiments.domain.statistics.metric_columns import Metric, Setting
from experiments.models import Run
from experiments.selectors.comparison import (
    ComparedColumns,
    compared_columns,
    crashed_datapoints,
    run_shown,
    sides_of,
)
from experiments.selectors.comparison_findings import settled
from experiments.selectors.datapoint_attributes import attributes_of
from experiments.selectors.metric_choice import primary_of, refuse_absent
from experiments.selectors.paired_comparison import (
    NAME_SHOWN,
    UNITS,
    bounds_of,
    metric_of,
    scored,
    seed_of,
)
from experiments.selectors.results import Computation
from governance.domain.caller import Caller
from governance.domain.errors import InvalidInput

MOST_PAIRS = 1_000_000  # of all metrics and candidates; some seconds
MetricKey = tuple[str, str, str]  # metric, event name, event type


@dataclass(slots=True)
class _Row:
    """One metric over all runs that have it; `columns` are by run id, the baseline's among them."""

    key: MetricKey
    metric: Metric
    columns: dict[str, ComparedColumns] = field(default_factory=dict)


def compare_many(
    sides: Sequence[Computation], *, caller: Caller, options: ComparisonOptions, all_pairs: bool
) -> dict[str, Any]:
    """The first of `sides` is the baseline of the others; all are read already and different.

    Verdicts against the baseline use p corrected by Holm over the candidates, for each metric by itself; those of all
    pairs use a test that keeps the chance of any false claim among them (Tukey's). "Better" is withheld from a run
    that fails more. Raises InvalidInput for options that do not fit the runs, or for too much work.
    """
    baseline, candidates = sides[0], list(sides[1:])
    names = _names([side.run for side in sides])
    rows, warnings = _rows(baseline, candidates, options)
    pairs = sum(each.figures.found_count for row in rows for each in row.columns.values())
    if pairs > MOST_PAIRS:
        raise InvalidInput(
            f"These runs and metrics make {pairs:,} pairs; at most {MOST_PAIRS:,} are compared at once. Name fewer "
            "runs, or the metrics that matter (metric=…).",
            field="metric",
        )
    clusters = None
    if options.cluster:
        clusters = attributes_of(caller=caller, runs=[side.run for side in sides], key=options.cluster)
        if not clusters:
            raise InvalidInput(
                f"Query parameter 'cluster' is {options.cluster[:80]!r}, which no datapoint has; give a key of the "
                "datapoints' metadata or inputs, like metadata.topic.",
                field="cluster",
                value=options.cluster[:200],
            )
    setting = Setting(
        seed=seed_of(*(side.run for side in sides)),
        alpha=options.alpha,
        clusters=clusters,
        missing=options.missing,
        units_word=UNITS,
    )
    runs = {side.run.run_key: _run_scores(side, names[side.run.run_key]) for side in sides}
    return {
        "baseline": run_shown(baseline.run),
        "runs": [run_shown(side.run) for side in candidates],
        "confidence": options.confidence,
        "missing": options.missing,
        "cluster": options.cluster or None,
        "correction": _correction(len(candidates), all_pairs),
        "metrics": [
            _metric(row, baseline.run, runs, setting, is_primary=place == 0, all_pairs=all_pairs, pairs_in_all=pairs)
            for place, row in enumerate(rows)
        ],
        "failures": [_failures(sides[0], side, runs) for side in candidates],
        "warnings": warnings,
    }


def _rows(
    baseline: Computation, candidates: Sequence[Computation], options: ComparisonOptions
) -> tuple[list[_Row], list[str]]:
    """Metrics that the baseline shares with a candidate, the primary one first, and warnings."""
    found: dict[MetricKey, _Row] = {}
    every: list[ComparedColumns] = []
    warnings: list[str] = []
    for side in candidates:
        sides = sides_of(baseline, side)
        columns = compared_columns(baseline, side, common=sides.common, function=options.aggregate_function)
        both = [each for each in columns if each.old is not None and each.new is not None]
        every += both
        if options.metrics:
            both = [each for each in both if each.figures.metric_name in options.metrics]
        common = frozenset(sides.common)
        failed = [key for run in (baseline, side) for key in crashed_datapoints(run) if key in common]
        bounds, said = bounds_of(both, options, runs=(side.run, baseline.run), common=sides.common, failed=failed)
        warnings += [text for text in said if text not in warnings]
        for place, each in enumerate(both):
            key = (each.figures.metric_name, each.figures.event_name, each.figures.event_type)
            own = bounds.get(place)
            row = found.setdefault(key, _Row(key, metric_of(each, options, own)))
            row.metric = replace(row.metric, bounds=_wider(row.metric.bounds, own))
            row.columns[side.run.run_key] = each
        if len(both) < len(columns):
            warnings.append(f"Not every metric is in both {side.run.run_key[:60]} and the baseline.")
    refuse_absent("metric", options.metrics, every)
    rows = sorted(found.values(), key=lambda row: row.key)
    firsts = [next(iter(row.columns.values())) for row in rows]
    if (first := primary_of(firsts, options.primary, candidates[-1])) is not None:
        rows.insert(0, rows.pop(first))
    return rows, warnings if not options.metrics else [text for text in warnings if "Not every" not in text]


def _wider(first: Bounds | None, second: Bounds | None) -> Bounds | None:
    """Bounds that hold for the runs of both; None where one has none."""
    return None if first is None or second is None else (min(first[0], second[0]), max(first[1], second[1]))


def _metric(
    row: _Row,
    baseline: Run,
    runs: dict[str, "_RunOf"],
    setting: Setting,
    *,
    is_primary: bool,
    all_pairs: bool,
    pairs_in_all: int,
) -> dict[str, Any]:
    first = next(iter(row.columns.values()))
    old = runs[baseline.run_key].on(scored(first.old))
    news = {key: runs[key].on(scored(each.new)) for key, each in row.columns.items()}
    judged = compare_candidates(old, list(news.values()), metric=row.metric, setting=setting, pairs_in_all=pairs_in_all)
    matrix = None
    if all_pairs:
        keys = [baseline.run_key, *news]
        in_all = pairs_in_all * len(keys) // max(1, len(news))
        matrix = _matrix(keys, [old, *news.values()], runs, row.metric, setting, in_all)
    return {
        "metric_name": row.key[0],
        "event_name": row.key[1],
        "event_type": row.key[2],
        "direction": first.figures.direction,
        "is_primary": is_primary,
        "comparisons": [_comparison(key, baseline.run_key, one) for key, one in zip(news, judged, strict=True)],
        "all_pairs": matrix,
    }


def _comparison(new: str, old: str, found: PairedComparison) -> dict[str, Any]:
    return {"new_run_id": new, "old_run_id": old, "statistics": settled(found).to_json()}


def _matrix(
    keys: Sequence[str],
    scores: Sequence[RunScores],
    runs: dict[str, "_RunOf"],
    metric: Metric,
    setting: Setting,
    scores_in_all: int,
) -> dict[str, Any]:
    found = compare_all_pairs(
        scores,
        metric=metric,
        seed=setting.seed,
        alpha=setting.alpha,
        clusters=setting.clusters,
        units_word=UNITS,
        scores_in_all=scores_in_all,
    )
    key_of = {each.name: key for key, each in zip(keys, scores, strict=True)}
    by_key = dict(zip(keys, scores, strict=True))
    return {
        "method": found.method,
        "draws": found.draws,
        "datapoints": found.units,
        "left_out": found.left_out,
        "means": [{"run_id": key_of[name], "mean": mean} for name, mean in zip(found.names, found.means, strict=True)],
        "pairs": [_pair(each, key_of, runs, by_key, metric, setting) for each in found.pairs],
        "warnings": found.warnings,
        "sentence": f"p holds for all {len(found.pairs)} pairs together ({found.method}): the chance of any false "
        f"claim among them is at most {setting.alpha:g}.",
    }


def _pair(
    each: PairOfRuns,
    key_of: dict[str, str],
    runs: dict[str, "_RunOf"],
    scores: dict[str, RunScores],
    metric: Metric,
    setting: Setting,
) -> dict[str, Any]:
    first, second = key_of[each.first], key_of[each.second]
    verdict, sentence = "undecided", each.sentence
    if each.is_different:
        verdict = "better" if ((each.difference or 0.0) > 0) is metric.higher_is_better else "worse"
        winner, loser = (second, first) if verdict == "better" else (first, second)
        lacking = _lacking(scores[loser], scores[winner])
        if lacking.arm_fails_more and _is_withheld(scores[loser], scores[winner], metric, setting):
            verdict = "undecided"
            sentence = (
                f"undecided: {runs[winner].name} scores better than {runs[loser].name}, but fails or has no score more "
                f"often ({lacking.only_arm:,} against {lacking.only_control:,} of {lacking.executed:,} datapoints); "
                "see why before judging."
            )
    return {
        "first_run_id": first,
        "second_run_id": second,
        "datapoints": each.units,
        "difference": each.difference,
        "wins": each.wins,
        "ties": each.ties,
        "losses": each.losses,
        "p": each.p,
        "verdict": verdict,
        "sentence": sentence,
    }


def _lacking(loser: RunScores, winner: RunScores) -> Failures:
    """What either of two runs lacks of a metric: it failed there, or the other alone has a score."""
    executed = frozenset(loser.executed) & frozenset(winner.executed)

    def lacks(one: RunScores, other: RunScores) -> list[str]:
        return [
            key
            for key in executed
            if key in one.failed or (one.scores.get(key) is None and other.scores.get(key) is not None)
        ]

    return count_failures(executed, lacks(loser, winner), lacks(winner, loser))


def _is_withheld(loser: RunScores, winner: RunScores, metric: Metric, setting: Setting) -> bool:
    """Whether what failed or has no score forbids to call the winner better, by the rule of two runs."""
    (found,) = compare_candidates(loser, [winner], metric=metric, setting=setting)
    return is_withheld(found, "better")


def _failures(baseline: Computation, side: Computation, runs: dict[str, "_RunOf"]) -> dict[str, Any]:
    old, new = runs[baseline.run.run_key], runs[side.run.run_key]
    found = _counted(old, new)
    return {
        "run_id": side.run.run_key,
        "common_datapoints": found.executed,
        "new": found.arm,
        "old": found.control,
        "p": found.p if old.is_complete and new.is_complete else None,
        "new_fails_more": found.arm_fails_more,
    }


def _counted(control: "_RunOf", arm: "_RunOf") -> Failures:
    return count_failures(control.executed & arm.executed, control.failed, arm.failed)


@dataclass(frozen=True, slots=True)
class _RunOf:
    """What is the same of a run for every metric."""

    name: str
    executed: frozenset[str]
    failed: frozenset[str]
    is_complete: bool

    def on(self, scores: dict[str, float | None]) -> RunScores:
        """The run on one metric."""
        return RunScores(self.name, scores, self.executed, self.failed, self.is_complete)


def _run_scores(side: Computation, name: str) -> _RunOf:
    executed, failed = frozenset(side.table.keys), frozenset(crashed_datapoints(side))
    return _RunOf(name, executed, failed, side.run.status == RunStatus.COMPLETED)


def _names(runs: Sequence[Run]) -> dict[str, str]:
    """What sentences call the runs: their names where these tell them apart, else with the id."""
    shown = [run.name[:NAME_SHOWN] for run in runs]
    return {
        run.run_key: name if name and shown.count(name) == 1 else f"{name or 'run'} ({run.run_key[:NAME_SHOWN]})"
        for run, name in zip(runs, shown, strict=True)
    }


def _correction(candidates: int, all_pairs: bool) -> dict[str, Any]:
    over = f"use p corrected by Holm over {candidates} candidates" if candidates > 1 else "are of one candidate"
    said = (
        f"Verdicts against the baseline {over}, for each metric by itself; metrics other than the primary one are "
        "exploratory."
    )
    if all_pairs:
        count = len(list(combinations(range(candidates + 1), 2)))
        said += f" Verdicts of all {count} pairs use a test that keeps the chance of any false claim among them."
    return {"name": "Holm", "family_size": candidates, "sentence": said}
