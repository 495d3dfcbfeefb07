"""The decision whether a run is good enough: rules held against the server's own figures, for CI.

Nothing is computed here but the comparison of two numbers. Without `confidence` any server of the protocol will do;
with it the intervals of hhweb's `/api/v1/runs/{new}/compare/{old}` decide.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from experiments.sdk.baselines import find_baseline, is_latest
from experiments.sdk.errors import ConfigurationError, NotFound
from experiments.sdk.gate_rules import (
    Figures,
    absence,
    by_name,
    decided_by_difference,
    decided_by_interval,
    least_pairs,
    plain,
)
from experiments.sdk.run_references import find_run

if TYPE_CHECKING:
    from experiments.sdk.models import ExperimentResultSummary, ExperimentRun
    from experiments.sdk.transport.client import Client

Outcome = Literal["passed", "failed", "undecided", "too_small", "missing_metric", "missing_baseline", "skipped"]
DEFAULT_AGGREGATE = "average"
TOLERANCE = 1e-9  # 0.80 − 0.78 is a little more than 0.02 in binary
SHOWN_IDS = 5


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked of a run. Numbers are in each metric's own unit.

    `max_regressions`: how much worse than the baseline, against the metric's direction, ≥ 0. `minimums`, `maximums`:
    bounds of the aggregate. `pass_rate`: least share of datapoints that passed, 0..1. `max_crashed`: datapoints on
    which the function may have failed. `confidence`: 0.5..0.999, fail only on regressions that are not noise.
    `is_strict`: what stays undecided fails. `allows_missing_baseline`: without one, or without common datapoints,
    regressions are not judged.
    """

    max_regressions: Mapping[str, float] = field(default_factory=dict)
    minimums: Mapping[str, float] = field(default_factory=dict)
    maximums: Mapping[str, float] = field(default_factory=dict)
    pass_rate: float | None = None
    max_crashed: int = 0
    confidence: float | None = None
    is_strict: bool = False
    allows_missing_baseline: bool = False
    aggregate_function: str = DEFAULT_AGGREGATE

    def __post_init__(self) -> None:
        bounds = [*self.max_regressions.values(), *self.minimums.values(), *self.maximums.values()]
        if not all(math.isfinite(bound) for bound in bounds):
            raise ConfigurationError("A bound of a gate must be a finite number.")
        for metric, allowed in self.max_regressions.items():
            if allowed < 0:
                raise ConfigurationError(f"The regression allowed of {metric!r} is {plain(allowed)}; give 0 or more.")
        if self.pass_rate is not None and not 0 <= self.pass_rate <= 1:
            raise ConfigurationError(f"The pass rate asked for is {plain(self.pass_rate)}; give a share from 0 to 1.")
        if self.confidence is not None and not 0.5 <= self.confidence <= 0.999:
            raise ConfigurationError(f"confidence is {plain(self.confidence)}; give a share from 0.5 to 0.999.")


@dataclass(frozen=True, slots=True)
class Check:
    """One rule, what came of it, and why, in one sentence."""

    rule: str
    outcome: Outcome
    message: str
    metric: str | None = None

    @property
    def is_uncertain(self) -> bool:
        """Neither passed nor failed: passes with a warning, fails under `is_strict`."""
        return self.outcome in ("undecided", "too_small")


@dataclass(frozen=True, slots=True)
class GateReport:
    """What was checked and decided. `figures` are the compared metrics; links are None where no console is known."""

    run_id: str
    run_name: str
    run_link: str | None
    baseline_id: str | None
    baseline_name: str | None
    comparison_link: str | None
    confidence: float | None
    is_strict: bool
    checks: list[Check]
    figures: list[Figures]
    warnings: list[str]

    @property
    def failures(self) -> list[Check]:
        """The checks that stop the run."""
        return [check for check in self.checks if self.stops(check)]

    @property
    def passed(self) -> bool:
        """Whether the run may go on."""
        return not self.failures

    def stops(self, check: Check) -> bool:
        """Whether this check fails the gate."""
        if check.is_uncertain:
            return self.is_strict
        return check.outcome not in ("passed", "skipped")

    def to_json(self) -> dict[str, Any]:
        """The report as one JSON document."""
        from dataclasses import asdict

        checks = [{**asdict(check), "stops": self.stops(check)} for check in self.checks]
        return {"passed": self.passed, **asdict(self), "checks": checks}


def check(client: "Client", run: str, baseline: str | None, rules: Rules) -> GateReport:
    """Hold `run` against `rules`, and against `baseline` where there are regressions to judge.

    Both are references as `find_run` takes them (`latest:main` is the newest completed run of that branch). Raises
    NotFound for a run, or a baseline other than `latest…`, that is not there; ConfigurationError for rules that cannot
    be judged: a regression without baseline, confidence on a server that is no hhweb.
    """
    from experiments.sdk.results import get_run_result
    from experiments.sdk.transport.client import segment

    if rules.max_regressions and baseline is None:
        raise ConfigurationError("A regression is against a baseline: give a run id, or latest:BRANCH.")
    found = find_run(client, run)
    old = _baseline(client, baseline, found)
    result = get_run_result(client, found.run_id, aggregate_function=rules.aggregate_function)
    common, found_figures, warnings = _compared(client, found, old, rules) if old is not None else (0, [], [])
    figures = by_name(found_figures)
    checks = [*_of_the_run(found, result, rules), *_bounds(result, rules)]
    checks += _regressions(rules, baseline=baseline, has_baseline=old is not None, common=common, figures=figures)
    return GateReport(
        run_id=found.run_id,
        run_name=found.name or "",
        run_link=_link(client, f"runs/{segment(found.run_id)}/"),
        baseline_id=old.run_id if old is not None else None,
        baseline_name=(old.name or "") if old is not None else None,
        comparison_link=None
        if old is None
        else _link(client, f"runs/compare/?baseline={segment(old.run_id)}&candidate={segment(found.run_id)}"),
        confidence=rules.confidence,
        is_strict=rules.is_strict,
        checks=checks,
        figures=[each for several in figures.values() for each in several if each.is_in_both],
        warnings=warnings,
    )


def _link(client: "Client", path: str) -> str | None:
    """An address of hhweb's console."""
    return f"{client.settings.server_url}/console/{path}" if client.is_hhweb else None


def _baseline(client: "Client", reference: str | None, run: "ExperimentRun") -> "ExperimentRun | None":
    if reference is None:
        return None
    try:
        return find_baseline(client, reference, run)
    except NotFound:
        # A wrong id is a mistake; a branch without a run is a beginning.
        if is_latest(reference):
            return None
        raise


def _compared(
    client: "Client", run: "ExperimentRun", old: "ExperimentRun", rules: Rules
) -> tuple[int, list[Figures], list[str]]:
    """(common datapoints, figures per metric, warnings) as the server compares the two runs."""
    from experiments.sdk import results
    from experiments.sdk.transport.client import segment

    if rules.confidence is None:
        plainly = results.compare_runs(client, run.run_id, old.run_id, aggregate_function=rules.aggregate_function)
        figures = [Figures.of_protocol(metric) for metric in plainly.metrics]
        return plainly.common_datapoints, figures, _unfinished(old)
    if client.is_hhweb is False:
        raise ConfigurationError(
            f"{client.settings.server_url} is no hhweb: intervals are computed by hhweb alone. Leave --confidence out "
            "to decide on the plain differences."
        )
    answer = client.request(
        "GET",
        f"/api/v1/runs/{segment(run.run_id)}/compare/{segment(old.run_id)}",
        params={
            "confidence": rules.confidence,
            "aggregate_function": rules.aggregate_function,
            # The effect that the number of datapoints still needed is reckoned for.
            "margin": [f"{metric}={allowed!r}" for metric, allowed in rules.max_regressions.items() if allowed > 0],
        },
    )
    figures = [Figures.of_one_side(entry) for entry in answer["only_in_one"]]
    figures += [Figures.of_statistics(entry) for entry in answer["metrics"]]
    return answer["common_datapoints"], figures, list(answer["warnings"])


def _unfinished(old: "ExperimentRun") -> list[str]:
    if old.status in (None, "completed"):
        return []
    return [f"The baseline is {old.status}: its figures may still change."]


def _of_the_run(run: "ExperimentRun", result: "ExperimentResultSummary", rules: Rules) -> Iterator[Check]:
    status = run.status or result.status
    if status == "completed":
        yield Check("run completed", "passed", "The run completed.")
    else:
        yield Check("run completed", "failed", f"The run is {status}: not everything that it measures is there.")
    # The server's verdict: a row that failed though none of its metrics did is one whose function failed.
    rows = [row for row in result.datapoints if row.passed is False]
    crashed = [row for row in rows if all(metric.passed is not False for metric in row.metrics)]
    ids = list(dict.fromkeys(row.datapoint_id or row.session_id or "?" for row in crashed))
    rule = f"at most {rules.max_crashed} crashed datapoints" if rules.max_crashed else "no crashed datapoints"
    if len(ids) <= rules.max_crashed:
        yield Check(rule, "passed", f"{_count(len(ids), 'datapoint')} crashed.")
    else:
        shown = ", ".join(ids[:SHOWN_IDS]) + (f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else "")
        yield Check(rule, "failed", f"{_count(len(ids), 'datapoint')} crashed: {shown}.")
    if rules.pass_rate is not None:
        yield _pass_rate(result, rules.pass_rate)


def _pass_rate(result: "ExperimentResultSummary", wanted: float) -> Check:
    passed, total = len(result.passed), len(result.passed) + len(result.failed)
    rule = f"pass rate of at least {wanted:.4g}"
    if not total:
        return Check(rule, "failed", "The run has no datapoints.")
    rate = passed / total
    said = f"{passed:,} of {_count(total, 'datapoint')} passed: {rate:.4g}."
    return Check(rule, "passed" if rate >= wanted - TOLERANCE else "failed", said)


def _bounds(result: "ExperimentResultSummary", rules: Rules) -> Iterator[Check]:
    asked = [(metric, bound, "least") for metric, bound in rules.minimums.items()]
    asked += [(metric, bound, "most") for metric, bound in rules.maximums.items()]
    for metric, bound, word in asked:
        rule = f"{metric}: at {word} {plain(bound)}"
        detail = next((each for each in reversed(result.metrics.details) if each.metric_name == metric), None)
        value = detail.aggregate if detail is not None else None
        if value is None:
            known = ", ".join(dict.fromkeys(each.metric_name for each in result.metrics.details)) or "none"
            yield Check(rule, "missing_metric", f"The run has no values of {metric!r}; it has {known}.", metric)
            continue
        slack = TOLERANCE * max(1.0, abs(bound))
        is_met = value >= bound - slack if word == "least" else value <= bound + slack
        name = rules.aggregate_function
        yield Check(rule, "passed" if is_met else "failed", f"The {name} is {plain(value)}.", metric)


def _regressions(
    rules: Rules, *, baseline: str | None, has_baseline: bool, common: int, figures: dict[str, list[Figures]]
) -> Iterator[Check]:
    for metric, allowed in rules.max_regressions.items():
        rule = f"{metric}: at most {plain(allowed)} worse than the baseline" if allowed else f"{metric}: not worse"
        reason = None
        if not has_baseline:
            reason = f"There is no baseline: no completed run is {baseline!r} yet."
        elif not common:
            reason = "Run and baseline have no datapoint in common: were they made on the same dataset?"
        if reason is not None:
            is_allowed = rules.allows_missing_baseline
            yield Check(rule, "skipped" if is_allowed else "missing_baseline", reason, metric)
            continue
        several = figures.get(metric, [])
        if (reason := absence(metric, several)) is not None:
            yield Check(rule, "missing_metric", reason, metric)
        elif rules.confidence is None:
            is_met, said = decided_by_difference(several[0], allowed, TOLERANCE)
            yield Check(rule, "passed" if is_met else "failed", said, metric)
        else:
            outcome, said = decided_by_interval(several[0], allowed, least_pairs(rules.confidence), TOLERANCE)
            yield Check(rule, outcome, said, metric)


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"
