"""`hhweb experiments start|watch|status|…`: runs that the server executes, from a command line."""

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from experiments.sdk.errors import ExperimentError, InvalidRequest, NotFound
from hhweb.client_cli.connection import EXIT_NOT_PASSED, Refused, with_client
from hhweb.client_cli.exit_codes import exit_code, unjudged
from hhweb.client_cli.output import JSON, echo_json, note
from hhweb.client_cli.watching import ENDED, done_line, told_error, wait_for_end

if TYPE_CHECKING:
    from experiments.sdk.models import ExperimentResultSummary, RunComparisonResult
    from experiments.sdk.transport.client import Client

Json = dict[str, Any]
EXPERIMENTS = "/api/v1/experiments"
RUN = click.argument("reference", metavar="RUN")
TIMEOUT = click.option("--timeout", type=click.FloatRange(min=0), help="Stop waiting after so many seconds; exit 1.")
ALLOW_FAILURES = click.option("--allow-failures", is_flag=True, help="Exit with 0 also when datapoints fail.")


@click.command("start")
@click.argument("spec", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="SPEC.yaml")
@click.option("--dataset", metavar="NAME|ID", help="Dataset of the server; in the place of dataset_id.")
@click.option("--name", help="Name of the run; in the place of the specification's.")
@click.option("--baseline", metavar="RUN", help="Run to compare with; in the place of baseline_run_id.")
@click.option("--tag", "tags", multiple=True, help="Added to the specification's tags; may be repeated.")
@click.option("--watch", is_flag=True, help="Stay until the run ends, then print its result.")
@TIMEOUT
@ALLOW_FAILURES
@JSON
@with_client
def start_command(
    client: "Client",
    spec: Path,
    dataset: str | None,
    name: str | None,
    baseline: str | None,
    tags: tuple[str, ...],
    watch: bool,
    timeout: float | None,
    allow_failures: bool,
    as_json: bool,
) -> None:
    """Have the server execute the run that SPEC.yaml (or .json) describes.

    docs/server-experiments.md has the fields. Needs hhweb.

    Exit codes: 0 started, with --watch: every datapoint passed; 1 some did not, or the run did not complete; 2 refused;
    130 interrupted (the run goes on).
    """
    from hhweb.yaml_files import read_mapping

    body = read_mapping(spec, hint="give name, dataset_id and target; docs/server-experiments.md has an example")
    if dataset is not None:
        body["dataset_id"] = _dataset_id(client, dataset)
    if name is not None:
        body["name"] = name
    if baseline is not None:
        body["baseline_run_id"] = _run_id(client, baseline)
    if tags:
        given = body.get("tags")
        body["tags"] = [*(given if isinstance(given, list) else []), *tags]
    _started(client, EXPERIMENTS, body, watch=watch, timeout=timeout, allow=allow_failures, as_json=as_json)


@click.command("rerun")
@RUN
@click.option("--name", default="", help="Name of the new run; else that of RUN.")
@click.option("--watch", is_flag=True, help="Stay until the run ends, then print its result.")
@TIMEOUT
@ALLOW_FAILURES
@JSON
@with_client
def rerun_command(
    client: "Client",
    reference: str,
    name: str,
    watch: bool,
    timeout: float | None,
    allow_failures: bool,
    as_json: bool,
) -> None:
    """Start RUN again as a new run: same dataset version, configuration and metric versions."""
    path = f"{_path(_run_id(client, reference))}/rerun"
    body = {"name": name} if name else {}
    _started(client, path, body, watch=watch, timeout=timeout, allow=allow_failures, as_json=as_json)


@click.command("watch")
@RUN
@TIMEOUT
@ALLOW_FAILURES
@JSON
@with_client
def watch_command(client: "Client", reference: str, timeout: float | None, allow_failures: bool, as_json: bool) -> None:
    """Wait for RUN to end, then print its result.

    Exit codes: 0 every datapoint passed, 1 some did not, or the run did not complete, 2 refused, 130 interrupted.
    """
    _watch(client, _run_id(client, reference), timeout=timeout, allow=allow_failures, as_json=as_json)


@click.command("status")
@RUN
@JSON
@with_client
def status_command(client: "Client", reference: str, as_json: bool) -> None:
    """Show how far RUN is and what went wrong, without waiting."""
    found = _asked(client, "GET", _path(_run_id(client, reference)))
    if as_json:
        echo_json(found)
    else:
        click.echo("\n".join(status_lines(found)))


@click.command("cancel")
@RUN
@JSON
@with_client
def cancel_command(client: "Client", reference: str, as_json: bool) -> None:
    """End RUN within seconds, calls under way included; what is stored stays."""
    _move(client, reference, "cancel", as_json=as_json)


@click.command("pause")
@RUN
@JSON
@with_client
def pause_command(client: "Client", reference: str, as_json: bool) -> None:
    """Start no further calls of RUN; those under way are finished and stored."""
    _move(client, reference, "pause", as_json=as_json)


@click.command("resume")
@RUN
@JSON
@with_client
def resume_command(client: "Client", reference: str, as_json: bool) -> None:
    """Go on with a paused RUN."""
    _move(client, reference, "resume", as_json=as_json)


@click.command("retry-failed")
@RUN
@JSON
@with_client
def retry_command(client: "Client", reference: str, as_json: bool) -> None:
    """Try again the datapoints of RUN that failed, and nothing else."""
    _move(client, reference, "retry-failed", as_json=as_json)


COMMANDS = (
    start_command,
    watch_command,
    status_command,
    cancel_command,
    pause_command,
    resume_command,
    retry_command,
    rerun_command,
)


def status_lines(found: Json) -> list[str]:
    """What `status` prints of an experiment."""
    progress, dataset = found["progress"], found["dataset"]
    counts = ", ".join(f"{number:,} {status}" for status, number in progress["counts"].items() if number)
    if waiting := progress["waiting_for_retry"]:
        counts += f" ({waiting:,} to be tried again)"
    attempts = f"{progress['attempts']:,} attempts, {progress['failures']:,} failures"
    if progress["lost_attempts"]:
        attempts += f", {progress['lost_attempts']:,} lost with their worker"
    used = [
        f"{progress[key]:,} {word}"
        for key, word in (("prompt_tokens", "prompt tokens"), ("completion_tokens", "completion tokens"))
        if progress[key] is not None
    ]
    if progress["cost"] is not None:
        used.append(f"cost {progress['cost']} for {progress['with_cost']:,} datapoints")
    return [
        f"{found['name']} ({found['run_id']}): {found['status']}{told_error(found)}",
        f"  dataset {dataset['name']}, version {dataset['version']}",
        f"  {done_line(progress)}",
        *([f"  {counts}"] if counts else []),
        f"  {attempts}",
        *([f"  {', '.join(used)}"] if used else []),
        *(
            f"  {cause['error_class']}: {cause['failed'] + cause['retrying']:,} datapoints, like "
            f"{cause['example_datapoint_id']}: {cause['example']}"
            for cause in found["errors_by_cause"]
        ),
    ]


def _started(
    client: "Client", path: str, body: Json, *, watch: bool, timeout: float | None, allow: bool, as_json: bool
) -> None:
    # One key for all repetitions of this request: a lost answer starts nothing twice.
    found = _asked(client, "POST", path, json=body, headers={"Idempotency-Key": str(uuid.uuid4())})
    run_id = str(found["run_id"])
    if not as_json:
        click.echo(f"run {run_id}")
    if watch:
        _watch(client, run_id, timeout=timeout, allow=allow, as_json=as_json)
    elif as_json:
        echo_json(found)
    else:
        note(
            f"{found['datapoint_runs']:,} executions on dataset version {found['dataset']['version']}. To see how it "
            f"goes: hhweb experiments watch {run_id}"
        )


def _watch(client: "Client", run_id: str, *, timeout: float | None, allow: bool, as_json: bool) -> None:
    """Wait, print the result, and leave with the exit code that tells it."""
    path = _path(run_id)
    found = _asked(client, "GET", path)  # also refuses what the server does not execute, before any waiting
    progress = wait_for_end(client, path, run_id, timeout=timeout, quiet=as_json)
    result: ExperimentResultSummary | None = None
    compared: RunComparisonResult | None = None
    if progress["status"] in ENDED:
        result = _result(client, run_id)
        compared = _compared(client, run_id, found["baseline_run_id"])
    if as_json:
        dumped = [None if each is None else each.model_dump(mode="json") for each in (result, compared)]
        echo_json({"experiment": _asked(client, "GET", path), "result": dumped[0], "comparison": dumped[1]})
    else:
        if result is not None:
            result.print_table(found["name"])
        if compared is not None:
            compared.print_table()
        if progress["status"] != "completed" or progress["counts"]["failed"]:
            click.echo("\n".join(status_lines(_asked(client, "GET", path))), err=True)
    for metric in unjudged(result) if result is not None else ():
        note(f"Run {run_id}: metric {metric!r} has a threshold but no value; is it spelled as in the result?")
    code = EXIT_NOT_PASSED if result is None else exit_code(result, allow_failures=allow)
    click.get_current_context().exit(code)


def _result(client: "Client", run_id: str) -> "ExperimentResultSummary":
    from experiments.sdk.results import get_run_result

    result = get_run_result(client, run_id)
    if result.run_object is None:
        result.run_object = client.get_run(run_id)
    return result


def _compared(client: "Client", run_id: str, baseline: str | None) -> "RunComparisonResult | None":
    from experiments.sdk.results import compare_runs

    if baseline is None:
        return None
    try:
        return compare_runs(client, run_id, baseline)
    except ExperimentError as error:  # the run is done; its result is worth more than this
        note(f"It could not be compared with {baseline}: {error}")
        return None


def _move(client: "Client", reference: str, step: str, *, as_json: bool) -> None:
    run_id = _run_id(client, reference)
    found = _asked(client, "POST", f"{_path(run_id)}/{step}")
    if as_json:
        echo_json(found)
        return
    more = f", {found['set_back']:,} datapoints are tried again" if "set_back" in found else ""
    click.echo(f"run {run_id} {found['status']}{more}")


def _asked(client: "Client", method: str, path: str, **options: Any) -> Json:
    """The answer of the native API, which other servers of the protocol do not have."""
    try:
        found: Json = client.request(method, path, **options)
    except NotFound:
        if client.is_hhweb:
            raise
        raise Refused(
            f"{client.settings.server_url} is no hhweb and executes no runs; `hhweb experiments run` does it here."
        ) from None
    except InvalidRequest as error:
        problems = error.details.get("problems")
        if not isinstance(problems, list) or len(problems) < 2:
            raise
        told = [f"  {each['field']}: {each['message']}" for each in problems]
        raise Refused("\n".join(["The server refused the specification:", *told])) from None
    return found


def _path(run_id: str) -> str:
    from experiments.sdk.transport.client import segment

    return f"{EXPERIMENTS}/{segment(run_id)}"


def _run_id(client: "Client", reference: str) -> str:
    from experiments.sdk.run_references import find_run

    return find_run(client, reference).run_id


def _dataset_id(client: "Client", reference: str) -> str:
    found = client.datasets(name=reference) or client.datasets(dataset_id=reference)
    if not found:
        raise Refused(f"There is no dataset {reference!r}. `hhweb datasets list` shows what is there.")
    return str(found[0]["id"])
