"""`hhweb init`: files to begin with, written into a repository once and then the user's own."""

import json
import subprocess
from importlib.resources import files
from pathlib import Path

import click

from hhweb import __version__
from hhweb.client_cli.connection import Refused
from hhweb.client_cli.output import note

WORKFLOW = Path(".github/workflows/hhweb.yml")
FOLDER = Path("evals")
EXAMPLE = FOLDER / "example.py"
RULES_OF_EXAMPLE = "            --max-regression exact=0.05 --confidence 0.95 --require-pass-rate 0.8 \\"
RULES = "            --require-pass-rate 0.95 \\"


@click.group("init")
def init_command() -> None:
    """Write a starting point into this repository."""


@init_command.command("github")
@click.option(
    "--path",
    "root",
    default=".",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Root of the repository; this folder when nothing is said.",
)
@click.option("--experiment", help="File of the experiment, from the root, or FILE:NAME; an example without one.")
@click.option("--branch", help="The base branch; what origin says, else main.")
@click.option("--force", is_flag=True, help="Overwrite the workflow that is there.")
def github_command(root: Path, experiment: str | None, branch: str | None, force: bool) -> None:
    """Write a GitHub workflow that gates pull requests on an experiment.

    On a pull request it runs the experiment, compares it with the last run of the base branch and keeps one comment
    up to date; on a push to the base branch it records the run. Without an experiment in evals/ an example is written.
    """
    workflow = root / WORKFLOW
    if workflow.exists() and not force:
        raise Refused(f"{workflow} is there already; --force overwrites it.")
    target, is_example = _experiment(root, experiment)
    text = _template("workflow.yml")
    for name, value in {
        "BRANCH": json.dumps(branch or _default_branch(root)),
        "VERSION": f"~={__version__}",
        "EXPERIMENT": json.dumps(target),
        "RULES": RULES_OF_EXAMPLE if is_example else RULES,
    }.items():
        text = text.replace(f"@@{name}@@", value)
    _write(workflow, text)
    click.echo(f"Wrote {workflow}")
    if is_example and not (root / EXAMPLE).exists():
        _write(root / EXAMPLE, _template("example.txt").replace("@@EXPERIMENT@@", EXAMPLE.as_posix()))
        click.echo(f"Wrote {root / EXAMPLE}")
    note("Next: set the secrets that the workflow reads, and commit.")
    note("  gh secret set HH_API_URL")
    note("  gh secret set HH_API_KEY")
    note("Rules to hold a run against: the step `Gate` of the workflow; docs/ci.md lists them.")


def _experiment(root: Path, given: str | None) -> tuple[str, bool]:
    """(FILE[:NAME], whether it is the example)."""
    if given is not None:
        file = given.rpartition(":")[0] or given
        if not any((root / each).is_file() for each in (given, file)):
            raise Refused(f"There is no file {root / file}. Leave --experiment out to get an example.")
        return given, False
    there = sorted(path.relative_to(root).as_posix() for path in (root / FOLDER).glob("*.py"))
    if not there or there == [EXAMPLE.as_posix()]:
        return EXAMPLE.as_posix(), True
    if len(there) > 1:
        raise Refused(f"{FOLDER}/ holds several files: {', '.join(there)}. Choose one with --experiment.")
    return there[0], False


def _default_branch(root: Path) -> str:
    try:
        ended = subprocess.run(  # noqa: S603 - our own words
            ["git", "-C", str(root), "symbolic-ref", "--short", "refs/remotes/origin/HEAD"],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "main"
    return ended.stdout.strip().removeprefix("origin/") or "main"


def _template(name: str) -> str:
    return files("experiments.sdk").joinpath("ci_templates", name).read_text(encoding="utf-8")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error.strerror}.") from None
