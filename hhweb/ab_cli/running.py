"""Commands that make tests go: plan, run, start, cancel, resume, delete, watch."""

import json
from pathlib import Path
from typing import Any

import click

from hhweb.ab_cli.connection import Api, segment, with_api
from hhweb.ab_cli.documents import document, exit_code
from hhweb.ab_cli.plans import print_plan
from hhweb.ab_cli.specs import SPEC, read_spec
from hhweb.ab_cli.tables import print_outcome
from hhweb.ab_cli.watching import wait_for_end

TEST_ID = click.argument("test_id", metavar="TEST_ID")
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output, nothing else.")
TIMEOUT = click.option("--timeout", type=click.FloatRange(min=0), help="Give up waiting after so many seconds.")
FAIL_IF_WORSE = click.option(
    "--fail-if-worse", is_flag=True, help="Exit with 3 when an arm is worse than the control; waits for the end."
)


@click.command("plan")
@SPEC
@JSON
@with_api
def plan_command(api: Api, spec: Path, as_json: bool) -> None:
    """Show what each arm of SPEC.yaml would embed, call and cost, and how long it takes. Starts nothing."""
    plan = api.post("/plan", read_spec(spec))
    if as_json:
        click.echo(json.dumps(plan, ensure_ascii=False, indent=2))
    else:
        print_plan(plan)


@click.command("run")
@SPEC
@click.option("--wait", is_flag=True, help="Stay until the test ends, then print its outcome.")
@JSON
@TIMEOUT
@FAIL_IF_WORSE
@with_api
def run_command(api: Api, spec: Path, wait: bool, as_json: bool, timeout: float | None, fail_if_worse: bool) -> None:
    """Create the test that SPEC.yaml describes and start it."""
    test = api.post("/tests", read_spec(spec), once=True)
    test_id = str(test["id"])
    if not as_json:
        click.echo(f"test {test_id}")
    api.post(f"/tests/{segment(test_id)}/start")
    if wait or fail_if_worse:
        _wait_and_tell(api, test_id, as_json=as_json, timeout=timeout, fail_if_worse=fail_if_worse)
    elif as_json:
        _print_document(api, test_id)
    else:
        click.echo(f"It runs. To see how it goes: hhweb ab watch {test_id}")


@click.command("watch")
@TEST_ID
@JSON
@TIMEOUT
@FAIL_IF_WORSE
@with_api
def watch_command(api: Api, test_id: str, as_json: bool, timeout: float | None, fail_if_worse: bool) -> None:
    """Wait for a test to end, then print its outcome."""
    _wait_and_tell(api, test_id, as_json=as_json, timeout=timeout, fail_if_worse=fail_if_worse)


@click.command("start")
@TEST_ID
@with_api
def start_command(api: Api, test_id: str) -> None:
    """Start a test that was created."""
    _move(api, test_id, "start", "started")


@click.command("cancel")
@TEST_ID
@with_api
def cancel_command(api: Api, test_id: str) -> None:
    """Stop a test; what it has made stays, and `resume` goes on from there."""
    _move(api, test_id, "cancel", "cancelled")


@click.command("resume")
@TEST_ID
@with_api
def resume_command(api: Api, test_id: str) -> None:
    """Go on with a failed, cancelled or incomplete test: only what is missing or failed is done again."""
    _move(api, test_id, "resume", "resumed")


@click.command("delete")
@TEST_ID
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_api
def delete_command(api: Api, test_id: str, yes: bool) -> None:
    """Delete a test with its results."""
    if not yes:
        click.confirm(f"Delete test {test_id} and all its results?", abort=True)
    api.delete(f"/tests/{segment(test_id)}")
    click.echo(f"test {test_id} deleted")


def _move(api: Api, test_id: str, step: str, word: str) -> None:
    api.post(f"/tests/{segment(test_id)}/{step}")
    click.echo(f"test {test_id} {word}")


def _print_document(api: Api, test_id: str) -> dict[str, Any]:
    found = document(api.get(f"/tests/{segment(test_id)}"))
    click.echo(json.dumps(found, ensure_ascii=False, allow_nan=False, indent=2))
    return found


def _wait_and_tell(api: Api, test_id: str, *, as_json: bool, timeout: float | None, fail_if_worse: bool) -> None:
    """Wait, print the outcome and leave with the exit code that tells it."""
    wait_for_end(api, test_id, timeout=timeout, quiet=as_json)
    if as_json:
        found = _print_document(api, test_id)
    else:
        found = document(api.get(f"/tests/{segment(test_id)}"))
        print_outcome(found)
    click.get_current_context().exit(exit_code(found, fail_if_worse=fail_if_worse))
