"""`hhweb experiments …`: `run` executes an experiment of a Python file here; the other commands have the server execute
one (server_experiments.py).
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from experiments.sdk.errors import ExperimentError
from hhweb.client_cli import server_experiments
from hhweb.client_cli.connection import EXIT_INTERRUPTED, Refused, open_client, with_settings
from hhweb.client_cli.exit_codes import exit_code, unjudged
from hhweb.client_cli.output import JSON, echo_json, note

if TYPE_CHECKING:
    from experiments.sdk.configuration import Settings
    from experiments.sdk.models import ExperimentResultSummary, ExperimentRun, RunComparisonResult
    from hhweb.client_cli.programs import Program

Json = dict[str, Any]
Range = tuple[str, dict[str, float]]


class PassingRange(click.ParamType[Range]):
    """`exact=0.8`, `latency=0:2`, `latency=:2`: bounds of a metric, inclusive."""

    name = "metric=min[:max]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Range:
        """(metric, {"min"?, "max"?}); at least one bound, the lower one first."""
        metric, equals, bounds = str(value).partition("=")
        texts = dict(zip(("min", "max"), bounds.split(":"), strict=False))
        try:
            found = {name: float(text) for name, text in texts.items() if text.strip()}
        except ValueError:
            found = {}
        if not (metric and equals and found and bounds.count(":") < 2) or found.get("min", 0) > found.get("max", 1e999):
            self.fail(f"{value!r} does not fit; write exact=0.8, latency=0:2 or latency=:2", param, ctx)
        return metric, found


class Pair(click.ParamType[tuple[str, str]]):
    """`key=value`; the value is text."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """(key, value)."""
        key, equals, text = str(value).partition("=")
        if not (key and equals):
            self.fail(f"{value!r} does not fit; write key=value", param, ctx)
        return key, text


@click.group("experiments")
def experiments_command() -> None:
    """Run experiments: `run` here, the other commands on the server.

    RUN is as in `hhweb runs`: a run id or the beginning of one, a name (its newest run), latest, latest:BRANCH.
    """


for _command in server_experiments.COMMANDS:
    experiments_command.add_command(_command)


@experiments_command.command("run")
@click.argument("target", metavar="FILE[:NAME]")
@click.option("--dataset", type=click.Path(exists=True, dir_okay=False), help="File of datapoints: JSON, JSONL or CSV.")
@click.option("--dataset-id", help="Id of a dataset of the server.")
@click.option(
    "--evaluator", "evaluators", multiple=True, help="Of the file or built in: NAME or NAME={options as JSON}."
)
@click.option("--name", help="Name of the run.")
@click.option("--max-workers", type=click.IntRange(min=1), help="Datapoints at a time.")
@click.option("--repetitions", type=click.IntRange(min=1), help="Times that each datapoint is executed.")
@click.option("--resume", metavar="RUN", help="Go on with this run: what the server has is not executed again.")
@click.option("--metadata", multiple=True, type=Pair(), help="Kept with the run; may be repeated.")
@click.option("--passing", multiple=True, type=PassingRange(), help="What a datapoint must reach; may be repeated.")
@click.option("--baseline", metavar="RUN", help="Compare with this run afterwards.")
@click.option("--allow-failures", is_flag=True, help="Exit with 0 also when datapoints fail.")
@JSON
@with_settings
def run_command(
    settings: "Settings",
    target: str,
    resume: str | None,
    baseline: str | None,
    allow_failures: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Run the experiment NAME of the Python file FILE.

    \b
    NAME is declared in the file:    @experiment(dataset="questions.jsonl", evaluators=[exact])
                                     def answer(inputs): ...
    or is any function of the file:  --dataset FILE or --dataset-id ID, and --evaluator NAME
    Without NAME: the one declared experiment, or the evaluate() calls that the file makes itself.

    What is given here wins over what is declared. RUN is as in `hhweb runs`.

    Exit codes: 0 every datapoint passed, 1 some did not, 2 refused, 3 finished but waiting in the spool (deliver it
    with `hhweb spool replay`), 130 interrupted.
    """
    from hhweb.client_cli.programs import loaded

    path, name = split_target(target)
    given = _settings_of(options)
    # Looked up first: a typing error is not to be found out after an hour.
    if resume is not None:
        given["resume"] = _found(settings, resume).run_id
    against = _found(settings, baseline) if baseline is not None else None
    printed = contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
    try:
        with printed, _environment(settings), loaded(path) as program:
            results = _results(program, name, {"print_results": False, **given})
            has_printed = results is program.results and sys.stdout.isatty() and not os.environ.get("CI")
    except KeyboardInterrupt:  # evaluate() has said what becomes of the run
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None
    comparisons = [_compared(settings, result, against) for result in results]
    if as_json:
        pairs = zip(results, comparisons, strict=True)
        echo_json({"runs": [_dumped(result, compared) for result, compared in pairs]})
    else:
        for result, compared in zip(results, comparisons, strict=True):
            if not has_printed:  # evaluate() does so by itself on a terminal
                result.print_table()
            if compared is not None:
                compared.print_table()
    for result in results:
        for metric in unjudged(result):
            note(
                f"Run {result.run_id}: metric {metric!r} has a threshold but no value; is it spelled as in the result?"
            )
    click.get_current_context().exit(max(exit_code(result, allow_failures=allow_failures) for result in results))


def split_target(target: str) -> tuple[Path, str | None]:
    """(file, name) of `FILE[:NAME]`; Refused when there is no such file."""
    file, colon, name = target.rpartition(":")
    path = Path(file if colon and name.isidentifier() else target)
    if not path.is_file():
        raise Refused(f"There is no file {path}. Give a Python file, or FILE:NAME for an experiment in it.")
    return path, name if path != Path(target) else None


def _settings_of(options: Json) -> Json:
    """What was said, as arguments of evaluate(); evaluators are names yet."""
    if options["dataset"] is not None and options["dataset_id"] is not None:
        raise click.UsageError("Give --dataset or --dataset-id, not both.")
    given = {key: value for key, value in options.items() if value is not None and value != ()}
    if "dataset" in given or "dataset_id" in given:
        # Either takes the place of what is declared, whichever that is.
        given = {"dataset": None, "dataset_id": None, **given}
    if "metadata" in given:
        given["metadata"] = dict(given["metadata"])
    if "passing" in given:
        given["passing_ranges"] = dict(given.pop("passing"))
    return given


def _results(program: "Program", name: str | None, given: Json) -> "list[ExperimentResultSummary]":
    from experiments.sdk.declaration import Experiment
    from experiments.sdk.evaluate import evaluate

    if name is None and program.results:
        if given.keys() - {"print_results"}:
            note(f"{program.path} calls evaluate() itself: options that change a run had no effect, give them there.")
        return program.results
    wanted = program.named(name) if name is not None else program.only_experiment()
    if "evaluators" in given:
        given = {**given, "evaluators": _evaluators(program, given["evaluators"])}
    if isinstance(wanted, Experiment):
        return [wanted.run(**given)]
    if "dataset" not in given:
        raise click.UsageError(
            f"{name} is a function without data: give --dataset FILE or --dataset-id ID, or declare it in the file "
            "with @experiment(dataset=…, evaluators=[…])."
        )
    return [evaluate(wanted, **given)]


def _evaluators(program: "Program", texts: Sequence[str]) -> list[Any]:
    """Functions of the file first, then names of registered and built-in evaluators, with their options."""
    found: list[Any] = []
    for text in texts:
        name, equals, options = text.partition("=")
        of_file = program.names.get(name)
        evaluator = of_file if callable(of_file) else name
        if not equals:
            found.append(evaluator)
            continue
        try:
            settings = json.loads(options)
        except ValueError:
            settings = None
        if not isinstance(settings, dict):
            raise click.UsageError(f'Option --evaluator: {text!r} does not fit; write NAME or NAME={{"option": 1}}.')
        found.append((evaluator, settings))
    return found


def _found(settings: "Settings", reference: str) -> "ExperimentRun":
    from experiments.sdk.run_references import find_run

    with open_client(settings) as client:
        return find_run(client, reference)


def _compared(
    settings: "Settings", result: "ExperimentResultSummary", against: "ExperimentRun | None"
) -> "RunComparisonResult | None":
    if against is None or result.status == "pending_upload":
        return None
    from experiments.sdk.results import compare_runs

    try:
        with open_client(settings) as client:
            return compare_runs(client, result.run_id, against.run_id)
    except ExperimentError as error:  # the run is done; its result is worth more than this
        note(f"It could not be compared with {against.run_id}: {error}")
        return None


@contextlib.contextmanager
def _environment(settings: "Settings") -> Iterator[None]:
    """The server that was found, for every evaluate() that names none itself."""
    ours = {"HH_API_URL": settings.server_url, "HH_API_KEY": settings.api_key}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _dumped(result: "ExperimentResultSummary", compared: "RunComparisonResult | None") -> Json:
    comparison = None if compared is None else compared.model_dump(mode="json")
    return {**result.model_dump(mode="json"), "comparison": comparison}
