"""Checks of a gate that look at the run alone: complete, without crashes and gaps, passing, within bounds."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from experiments.sdk.gate.rules import TOLERANCE, plain
from experiments.sdk.gate.shapes import Check, Rules

if TYPE_CHECKING:
    from experiments.sdk.models import ExperimentResultSummary, ExperimentRun

SHOWN_IDS = 5


def checks_of_the_run(run: "ExperimentRun", result: "ExperimentResultSummary", rules: Rules) -> Iterator[Check]:
    """Everything that needs no baseline, in the order of a report."""
    yield from _of_the_run(run, result, rules)
    yield from _bounds(result, rules)


def _of_the_run(run: "ExperimentRun", result: "ExperimentResultSummary", rules: Rules) -> Iterator[Check]:
    status = run.status or result.status
    if status == "completed":
        yield Check("run completed", "passed", "The run completed.")
    else:
        yield Check("run completed", "failed", f"The run is {status}: not everything that it measures is there.")
    crashed = [row for row in result.datapoints if row.has_crashed]
    ids = list(dict.fromkeys(row.datapoint_id or row.session_id or "?" for row in crashed))
    rule = f"at most {rules.max_crashed} crashed datapoints" if rules.max_crashed else "no crashed datapoints"
    if len(ids) <= rules.max_crashed:
        yield Check(rule, "passed", f"{_count(len(ids), 'datapoint')} crashed.")
    else:
        shown = ", ".join(ids[:SHOWN_IDS]) + (f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else "")
        yield Check(rule, "failed", f"{_count(len(ids), 'datapoint')} crashed: {shown}.")
    yield from _missing_values(result, rules)
    if rules.pass_rate is not None:
        yield _pass_rate(result, rules.pass_rate)


def _missing_values(result: "ExperimentResultSummary", rules: Rules) -> Iterator[Check]:
    """Whether every execution that did not crash has a value of each metric that is judged.

    An evaluator that fails leaves none behind: the aggregate of the others says nothing of those.
    """
    judged = dict.fromkeys([*rules.max_regressions, *rules.minimums, *rules.maximums])
    if rules.pass_rate is not None:
        judged |= dict.fromkeys(each.metric_name for each in result.metrics.details if each.passing_range is not None)
    present = {each.metric_name for each in result.metrics.details}
    rows = [row for row in result.datapoints if not row.has_crashed]
    judged = {metric: None for metric in judged if metric in present}  # those that nobody has fail by themselves
    if not judged or not rows:
        return
    said, most = [], 0
    for metric in judged:
        lacking = sum(all(each.name != metric for each in row.metrics) for row in rows)
        if lacking:
            said.append(f"{lacking:,} of {_count(len(rows), 'execution')} have no value of {metric!r}")
            most = max(most, lacking)
    rule = f"at most {_count(rules.max_missing, 'value')} missing" if rules.max_missing else "no values missing"
    if not said:
        yield Check(rule, "passed", f"All {_count(len(rows), 'execution')} have values of {', '.join(judged)}.")
        return
    reason = f"{'; '.join(said)}: evaluators failed or were not asked."
    yield Check(rule, "passed" if most <= rules.max_missing else "failed", reason)


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
        if detail is None or value is None:
            known = ", ".join(dict.fromkeys(each.metric_name for each in result.metrics.details)) or "none"
            yield Check(rule, "missing_metric", f"The run has no values of {metric!r}; it has {known}.", metric)
            continue
        slack = TOLERANCE * max(1.0, abs(bound))
        is_met = value >= bound - slack if word == "least" else value <= bound + slack
        name = rules.aggregate_function
        said = f"The {name} of {_count(len(detail.values), 'value')} is {plain(value)}."
        yield Check(rule, "passed" if is_met else "failed", said, metric)


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"
