"""`hhweb gate`: exit code, Markdown summary and JUnit XML of a decision on a run."""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hhweb.client_cli.connection import EXIT_NOT_PASSED, Refused, with_client
from hhweb.client_cli.output import JSON, echo_json, note

if TYPE_CHECKING:
    from experiments.sdk.gate.deciding import GateReport
    from experiments.sdk.transport.client import Client

GITHUB_SUMMARY = "GITHUB_STEP_SUMMARY"


def _bounds(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, float]:
    """`metric=number` options as a dict; the number is behind the last equals sign, since names may hold some."""
    found: dict[str, float] = {}
    for value in given:
        metric, _, text = value.rpartition("=")
        metric = metric.strip()
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not metric or not math.isfinite(number):
            raise click.BadParameter(f"{value!r} is not metric=number, like accuracy=0.02.")
        if metric in found:
            raise click.BadParameter(f"{metric!r} is named twice.")
        found[metric] = number
    return found


MARKS = {"passed": "ok  ", "skipped": "skip"}
FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("gate")
@click.option("--run", default="latest", show_default=True, help="The run to judge: id, name, latest, latest:BRANCH.")
@click.option("--baseline", help="The run to compare with, named likewise; never the run itself.")
@click.option("--max-regression", multiple=True, callback=_bounds, help="At most so much worse than the baseline.")
@click.option("--min", "minimum", multiple=True, callback=_bounds, help="The aggregate is at least this.")
@click.option("--max", "maximum", multiple=True, callback=_bounds, help="The aggregate is at most this.")
@click.option("--require-pass-rate", type=click.FloatRange(0, 1), help="Least share of datapoints that passed.")
@click.option(
    "--max-crashed",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Datapoints on which the function may fail.",
)
@click.option(
    "--max-missing",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Executions that may lack a value of a metric that is judged.",
)
@click.option(
    "--confidence",
    type=click.FloatRange(0.5, 0.999),
    help="Fail only on regressions that are not noise: the interval of this level decides (hhweb only).",
)
@click.option("--strict", is_flag=True, help="What the interval leaves undecided fails, instead of warning.")
@click.option("--allow-missing-baseline", is_flag=True, help="Pass the first run of a branch, saying so.")
@click.option("--aggregate-function", default="average", show_default=True, help="How values become one figure.")
@click.option(
    "--summary",
    type=FILE,
    help=f"File to append a Markdown summary to; {GITHUB_SUMMARY} when nothing is said.",
)
@click.option("--comment", is_flag=True, help="In a GitHub job: keep one comment on the pull request up to date.")
@click.option("--junit", "junit_file", type=FILE, help="File for JUnit XML, one test case per rule.")
@JSON
@with_client
def gate_command(
    client: "Client",
    run: str,
    baseline: str | None,
    max_regression: dict[str, float],
    minimum: dict[str, float],
    maximum: dict[str, float],
    require_pass_rate: float | None,
    max_crashed: int,
    max_missing: int,
    confidence: float | None,
    strict: bool,
    allow_missing_baseline: bool,
    aggregate_function: str,
    summary: Path | None,
    junit_file: Path | None,
    comment: bool,
    as_json: bool,
) -> None:
    """Decide whether a run is good enough: for CI.

    Every rule is one of --max-regression, --min, --max, --require-pass-rate; a run must also have completed, without
    crashes and with every value that is judged. Options that name a metric may be given several times. docs/ci.md has
    the rules in full.

    Exit codes: 0 passed, 1 a rule failed, 2 it could not be judged (no such run, wrong options, server out of reach).
    """
    from experiments.sdk.gate.deciding import Rules, check

    rules = Rules(
        max_regressions=max_regression,
        minimums=minimum,
        maximums=maximum,
        pass_rate=require_pass_rate,
        max_crashed=max_crashed,
        max_missing=max_missing,
        confidence=confidence,
        is_strict=strict,
        allows_missing_baseline=allow_missing_baseline,
        aggregate_function=aggregate_function,
    )
    if rules.max_regressions and baseline is None:
        raise click.UsageError("--max-regression needs --baseline: a run, or latest:BRANCH.")
    if confidence is not None and not rules.max_regressions:
        raise click.UsageError("--confidence is about regressions: give --max-regression as well.")
    report = check(client, run, baseline, rules)
    _write(report, summary, junit_file)
    if comment:
        _comment(report)
    if as_json:
        echo_json(report.to_json())
    else:
        _say(report)
    if not report.passed:
        click.get_current_context().exit(EXIT_NOT_PASSED)


def _write(report: "GateReport", summary: Path | None, junit_file: Path | None) -> None:
    from experiments.sdk.gate.output import append, junit, markdown

    named = os.environ.get(GITHUB_SUMMARY)
    summary = summary or (Path(named) if named else None)
    try:
        if summary is not None:
            append(summary, markdown(report))
        if junit_file is not None:
            junit_file.write_text(junit(report), encoding="utf-8")
    except OSError as error:
        raise Refused(f"{error.filename} cannot be written: {error.strerror}.") from None


def _comment(report: "GateReport") -> None:
    """A comment that cannot be written is told; it is no reason to fail, nor to pass."""
    from experiments.sdk.errors import ExperimentError
    from experiments.sdk.gate.github import keep_comment, pull_request
    from experiments.sdk.gate.output import markdown

    try:
        target = pull_request(os.environ)
        if target is None:
            note("No comment was written: this is no GitHub job of a pull request.")
        else:
            note(f"Comment: {keep_comment(target, markdown(report))}")
    except ExperimentError as error:
        note(f"No comment was written. {error}")


def _say(report: "GateReport") -> None:
    from experiments.sdk.gate.output import headline

    name = report.run_name or report.run_id
    against = f" against {report.baseline_name or report.baseline_id}" if report.baseline_id else ""
    click.echo(f"{name}{against}: {headline(report)}")
    for check in report.checks:
        mark = "FAIL" if report.stops(check) else MARKS.get(check.outcome, "warn")
        click.echo(f"  {mark}  {check.rule}: {check.message}")
    for warning in report.warnings:
        note(f"Beware: {warning}")
    if link := report.comparison_link or report.run_link:
        click.echo(f"  {link}")
