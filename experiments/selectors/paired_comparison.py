"""Two runs compared with statistics: what changed from one to the other, and how sure that is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.domain.comparison import Column, ComparedMetric
from experiments.domain.comparison_options import Bounds, ComparisonOptions, declared_bounds
from experiments.domain.run_status import RunStatus
from experiments.domain.statistics.comparison import PairedComparison
from experiments.domain.statistics.metric_columns import Metric, MetricScores, Setting
from experiments.domain.statistics.metrics import compare_metrics
from experiments.domain.statistics.randomness import derived_seed
from experiments.models import Run
from experiments.selectors.comparison import ComparedColumns, Sides, crashed_datapoints, read_sides, run_shown
from experiments.selectors.comparison_findings import (
    CORRECTION_NAMES,
    FailureFinding,
    MetricFinding,
    PassRate,
    failures_of,
    movers_of,
    pass_rate_of,
    settled,
)
from experiments.selectors.datapoint_attributes import attributes_of
from experiments.selectors.metric_choice import primary_of, refuse_absent
from experiments.selectors.sliced_comparison import SliceTable, compare_slices
from governance.domain.caller import Caller
from governance.domain.errors import InvalidInput

UNITS = "datapoints"
NAME_SHOWN = 60
SEED_BITS = 53  # what every JSON reader can hold
LARGEST = 1e140  # the sum of squares of so large values is still a finite number


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Everything known of two runs side by side. `clustered`: common datapoints that have the cluster key, or None."""

    sides: Sides
    options: ComparisonOptions
    metrics: list[MetricFinding]
    only_in_one: list[dict[str, str]]
    pass_rates: dict[str, PassRate]
    failures: FailureFinding
    slices: SliceTable | None
    clustered: Mapping[str, str] | None
    warnings: list[str]

    @property
    def primary(self) -> MetricFinding | None:
        """The metric that counts most; None where nothing could be compared."""
        return next((metric for metric in self.metrics if metric.is_primary), None)

    def statistics_json(self) -> dict[str, Any]:
        """What `compare-with` carries beside the protocol's keys: nothing that stands there already."""
        document = self.to_json()
        for name in ("new_run", "old_run", "aggregate_function", "only_in_one", "common_datapoints"):
            del document[name]
        document["metrics"] = [
            {"metric_name": each.figures.metric_name, "event_name": each.figures.event_name,
             "event_type": each.figures.event_type, "is_primary": each.is_primary,
             "statistics": each.statistics.to_json()}
            for each in self.metrics
        ]  # fmt: skip
        return document

    def to_json(self) -> dict[str, Any]:
        """The native API's answer."""
        counts = {side: len(set(keys.table.keys)) for side, keys in (("new", self.sides.new), ("old", self.sides.old))}
        common, primary = len(self.sides.common), self.primary
        return {
            "new_run": run_shown(self.sides.new.run),
            "old_run": run_shown(self.sides.old.run),
            "aggregate_function": self.options.aggregate_function,
            "confidence": self.options.confidence,
            "common_datapoints": common,
            "new_only_datapoints": counts["new"] - common,
            "old_only_datapoints": counts["old"] - common,
            "crashed_datapoints": {"new": self.failures.new, "old": self.failures.old},
            "failures": self.failures.to_json(),
            "missing": self.options.missing,
            "pass_rates": {side: rate.to_json() for side, rate in self.pass_rates.items()},
            "correction": correction_json(self.options, [metric.statistics for metric in self.metrics]),
            "cluster": self._cluster(),
            "primary_metric": None
            if primary is None
            else {"metric_name": primary.figures.metric_name, "event_name": primary.figures.event_name},
            "metrics": [metric.to_json() for metric in self.metrics],
            "slices": None if self.slices is None else self.slices.to_json(),
            "only_in_one": self.only_in_one,
            "warnings": self.warnings,
        }

    def _cluster(self) -> dict[str, Any] | None:
        if self.clustered is None:
            return None
        unlabelled = len(self.sides.common) - len(self.clustered)
        return {"key": self.options.cluster, "clusters": len(set(self.clustered.values())), "unlabelled": unlabelled}


def compare_runs_statistically(
    *, caller: Caller, new: str, old: str, options: ComparisonOptions | None = None
) -> RunComparison:
    """Paired statistics of each metric that both runs have, over the datapoints they share; see `statistics_of`."""
    asked = options or ComparisonOptions()
    sides = read_sides(caller=caller, new=new, old=old)
    return statistics_of(sides, caller=caller, compared=sides.compared(asked.aggregate_function), options=asked)


def statistics_of(
    sides: Sides, *, caller: Caller, compared: Sequence[ComparedColumns], options: ComparisonOptions
) -> RunComparison:
    """Statistics of two runs that are read already.

    Executions of one datapoint are averaged first: they are no independent units. A datapoint with a crashed
    execution has failed: the pair is left out and listed, and "better" is withheld while the new run fails more
    (exact McNemar), unless failures are asked to count as the worst value. A run that did not complete gets neither
    verdict nor interval. The seed comes from the two run ids: the same rows give the same answer. Work is bounded
    (`statistics.plan`). Values beyond ± 1e140 count as no score. Raises InvalidInput for options that do not fit the
    runs: an unknown metric or key, bounds that are missing or do not hold.
    """
    both = [each for each in compared if each.old is not None and each.new is not None]
    if options.metrics:
        refuse_absent("metric", options.metrics, both)
        both = [each for each in both if each.figures.metric_name in options.metrics]
    is_complete = all(side.run.status == RunStatus.COMPLETED for side in (sides.new, sides.old))
    common = frozenset(sides.common)
    failed_old, failed_new = (
        [key for key in crashed_datapoints(side) if key in common] for side in (sides.old, sides.new)
    )
    clusters = _attributes(sides, caller, "cluster", options.cluster)
    bounds, warnings = bounds_of(
        both, options, runs=(sides.new.run, sides.old.run), common=sides.common, failed=[*failed_old, *failed_new]
    )
    scores = [
        MetricScores(
            metric_of(each, options, bounds.get(place)), _among(each.old, sides.common), _among(each.new, sides.common)
        )
        for place, each in enumerate(both)
    ]
    old_name, new_name = names_of(sides.old.run, sides.new.run)
    setting = Setting(
        seed=seed_of(sides.new.run, sides.old.run),
        alpha=options.alpha,
        clusters=clusters,
        failed_control=failed_old,
        failed_arm=failed_new,
        is_complete=is_complete,
        missing=options.missing,
        control_name=old_name,
        arm_name=new_name,
        units_word=UNITS,
    )
    judged = compare_metrics(scores, executed=sides.common, setting=setting, correction=options.correction)
    first = primary_of(both, options.primary, sides.new)
    slices = None
    if options.slice_by:
        labels = _attributes(sides, caller, "slice_by", options.slice_by) or {}
        chosen = _sliced(both, options, first)
        slices = compare_slices(
            [scores[place] for place in chosen],
            [both[place] for place in chosen],
            labels,
            key=options.slice_by,
            executed=sides.common,
            setting=setting,
        )
    return RunComparison(
        sides=sides,
        options=options,
        metrics=[
            MetricFinding(each.figures, settled(statistics), bounds.get(place), place == first, *_movers(each))
            for place, (each, statistics) in enumerate(zip(both, judged, strict=True))
        ],
        only_in_one=[_one_side(each) for each in compared if each.old is None or each.new is None],
        pass_rates={
            name: pass_rate_of(side, confidence=options.confidence, is_complete=side.run.status == RunStatus.COMPLETED)
            for name, side in (("new", sides.new), ("old", sides.old))
        },
        failures=failures_of(sides.common, failed_old, failed_new, alpha=options.alpha, is_complete=is_complete),
        slices=slices,
        clustered=clusters,
        warnings=_warnings(sides, options, {each.figures.metric_name for each in both}) + warnings,
    )


def metric_of(each: ComparedColumns, options: ComparisonOptions, bounds: Bounds | None) -> Metric:
    """A metric and what the options declare for it."""
    name = each.figures.metric_name
    return Metric(
        name=name,
        higher_is_better=each.figures.direction == "higher",
        bounds=bounds,
        margin=options.margins.get(name),
        noninferiority_margin=options.noninferiority.get(name),
        effect=options.effects.get(name),
    )


def scored(column: Column | None) -> dict[str, float | None]:
    """Value by datapoint; None for what is too large to be squared."""
    found = {} if column is None else column.by_datapoint
    return {key: value if abs(value) <= LARGEST else None for key, value in found.items()}


def bounds_of(
    both: Sequence[ComparedColumns],
    options: ComparisonOptions,
    *,
    runs: Sequence[Run],
    common: Sequence[str],
    failed: Iterable[str],
) -> tuple[dict[int, Bounds], list[str]]:
    """(bounds by place of the metric, warnings).

    Bounds of the request that do not hold are refused; those that a run declares are left out with a warning.
    `missing=worst` needs them for every metric in which a common datapoint failed or was scored on one side alone.
    """
    said: dict[str, Bounds] = {}
    for run in reversed(runs):
        said |= declared_bounds(run.metadata.get("bounds"))
    found: dict[int, Bounds] = {}
    warnings = []
    for place, each in enumerate(both):
        name = each.figures.metric_name
        is_boolean = all(side is not None and side.is_boolean for side in (each.old, each.new))
        bounds = options.bounds.get(name) or said.get(name) or ((0.0, 1.0) if is_boolean else None)
        if bounds is None:
            continue
        beyond = next((value for value in _values(each) if not bounds[0] <= value <= bounds[1]), None)
        if beyond is None:
            found[place] = bounds
            continue
        told = (
            f"The bounds {bounds[0]:g} to {bounds[1]:g} of {name[:100]!r} do not hold: there is a value of {beyond:g}"
        )
        if name in options.bounds:
            raise InvalidInput(
                f"{told}. Give wider ones.", field="bounds", value=f"{name[:100]}={bounds[0]:g}:{bounds[1]:g}"
            )
        warnings.append(f"{told}. They are not used.")
    any_failed = any(failed)
    lacking = [
        each.figures.metric_name
        for place, each in enumerate(both)
        if options.missing == "worst" and place not in found and (any_failed or _is_one_sided(each, common))
    ]
    if lacking:
        raise InvalidInput(
            f"missing=worst needs the bounds of every metric with gaps, and {lacking[0][:100]!r} has none: add "
            f"bounds={lacking[0][:100]}=low:high, or compare only metrics with bounds (metric=…).",
            field="missing",
            value="worst",
        )
    return found, warnings


def names_of(old: Run, new: Run) -> tuple[str, str]:
    """What sentences call the two runs: their names where these tell them apart."""
    names = [run.name[:NAME_SHOWN] for run in (old, new)]
    if not all(names) or names[0] == names[1]:
        return "the old run", "the new run"
    return names[0], names[1]


def seed_of(*runs: Run) -> int:
    """A seed that follows from the runs' ids."""
    return derived_seed(0, "\n".join(run.run_key for run in runs)) >> (128 - SEED_BITS)


def correction_json(options: ComparisonOptions, found: Sequence[PairedComparison]) -> dict[str, Any]:
    """Which correction decides, over how many comparisons, in words."""
    family = max((each.family_size for each in found), default=0)
    name = CORRECTION_NAMES[options.correction] if len(found) > 1 else "none"
    if len(found) < 2:
        said = "One metric is compared, so nothing is corrected."
    elif options.correction == "none":
        said = f"Not corrected: of {len(found)} metrics some may differ by chance alone."
    else:
        other = "Benjamini-Hochberg" if options.correction == "holm" else "Holm"
        said = f"Verdicts use p corrected by {name} over {family} metrics; p by {other} is shown beside it."
    return {"name": name, "family_size": family, "sentence": said}


def _attributes(sides: Sides, caller: Caller, field: str, key: str) -> dict[str, str] | None:
    """The key's value of each common datapoint that has it; None when no key was asked for."""
    if not key:
        return None
    common = frozenset(sides.common)
    found = attributes_of(caller=caller, runs=[sides.old.run, sides.new.run], key=key)
    labels = {datapoint: label for datapoint, label in found.items() if datapoint in common}
    if not labels and common:
        raise InvalidInput(
            f"Query parameter {field!r} is {key[:80]!r}, which no common datapoint has; give a key of the datapoints' "
            "metadata or inputs, like metadata.topic.",
            field=field,
            value=key[:200],
        )
    return labels


def _sliced(both: Sequence[ComparedColumns], options: ComparisonOptions, first: int | None) -> list[int]:
    if not options.slice_metric:
        return [] if first is None else [first]
    refuse_absent("slice_metric", [options.slice_metric], both)
    return [place for place, each in enumerate(both) if each.figures.metric_name == options.slice_metric][-1:]


def _among(column: Column | None, common: Sequence[str]) -> dict[str, float | None]:
    known = scored(column)
    return {key: known.get(key) for key in common}


def _values(each: ComparedColumns) -> Iterable[float]:
    for side in (each.old, each.new):
        if side is not None:
            yield from side.by_datapoint.values()


def _is_one_sided(each: ComparedColumns, common: Sequence[str]) -> bool:
    """Whether one run alone has a score of some common datapoint."""
    if each.old is None or each.new is None:
        return False
    old, new = scored(each.old), scored(each.new)
    return any((old.get(key) is None) != (new.get(key) is None) for key in common)


def _movers(each: ComparedColumns) -> Any:
    if each.old is None or each.new is None:
        return [], []
    return movers_of(each.figures, each.old, each.new)


def _one_side(each: ComparedColumns) -> dict[str, str]:
    figures: ComparedMetric = each.figures
    presence = "old" if each.new is None else "new"
    return {"metric_name": figures.metric_name, "event_name": figures.event_name, "presence": presence}


def _warnings(sides: Sides, options: ComparisonOptions, compared: set[str]) -> list[str]:
    warnings = [
        f"The {which} run is {side.run.status}: its figures may still change, and it gets no verdict."
        for which, side in (("new", sides.new), ("old", sides.old))
        if side.run.status != RunStatus.COMPLETED
    ]
    for word, named in (
        ("margin", options.margins),
        ("non-inferiority margin", options.noninferiority),
        ("effect", options.effects),
        ("bounds", options.bounds),
    ):
        warnings += [
            f"The {word} of {metric[:100]!r} {'are' if word == 'bounds' else 'is'} not used: the runs do not both have "
            "that metric."
            for metric in named
            if metric not in compared
        ]
    return warnings
