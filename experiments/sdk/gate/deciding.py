"""The decision whether a run is good enough: rules held against the server's own figures, for CI.

Nothing is computed here but the comparison of two numbers. Without `confidence` any server of the protocol will do;
with it the intervals of hhweb's `/api/v1/runs/{new}/compare/{old}` decide.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from experiments.sdk.errors import ConfigurationError, NotFound
from experiments.sdk.gate.baselines import find_baseline, is_latest
from experiments.sdk.gate.checks import checks_of_the_run
from experiments.sdk.gate.rules import (
    TOLERANCE,
    Figures,
    absence,
    by_name,
    decided_by_difference,
    decided_by_interval,
    least_pairs,
    plain,
)
from experiments.sdk.gate.shapes import Check as Check
from experiments.sdk.gate.shapes import GateReport as GateReport
from experiments.sdk.gate.shapes import Rules as Rules
from experiments.sdk.run_references import find_run

if TYPE_CHECKING:
    from experiments.sdk.models import ExperimentResultSummary, ExperimentRun
    from experiments.sdk.transport.client import Client


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
    common, found_figures, warnings = _compared(client, found, result, old, rules) if old is not None else (0, [], [])
    figures = by_name(found_figures)
    checks = list(checks_of_the_run(found, result, rules))
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
    client: "Client", run: "ExperimentRun", result: "ExperimentResultSummary", old: "ExperimentRun", rules: Rules
) -> tuple[int, list[Figures], list[str]]:
    """(common datapoints, figures per metric, warnings) as the server compares the two runs."""
    from experiments.sdk import results
    from experiments.sdk.transport.client import segment

    if rules.confidence is None:
        plainly = results.compare_runs(client, run.run_id, old.run_id, aggregate_function=rules.aggregate_function)
        figures = [Figures.of_protocol(metric) for metric in plainly.metrics]
        before = results.get_run_result(client, old.run_id, aggregate_function=rules.aggregate_function)
        alone = _alone(plainly.common_datapoints, run=result, baseline=before)
        return plainly.common_datapoints, figures, _unfinished(old) + alone
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


def _alone(common: int, **sides: "ExperimentResultSummary") -> list[str]:
    """A warning for each run whose aggregates are of datapoints that the other does not have."""
    counts = {name: len(side.passed) + len(side.failed) - common for name, side in sides.items()}
    return [
        f"The {name}'s aggregates count {count:,} datapoints that the other run has not: the difference is not of like "
        "with like. With --confidence only common datapoints are compared."
        for name, count in counts.items()
        if count > 0
    ]


def _unfinished(old: "ExperimentRun") -> list[str]:
    if old.status in (None, "completed"):
        return []
    return [f"The baseline is {old.status}: its figures may still change."]


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
