"""The run that another is held against, as people name it."""

from typing import TYPE_CHECKING

from experiments.sdk.errors import ConfigurationError, NotFound
from experiments.sdk.run_references import LATEST, branch_of, find_run, runs_newest_first

if TYPE_CHECKING:
    from experiments.sdk.models import ExperimentRun
    from experiments.sdk.transport.client import Client


def find_baseline(client: "Client", reference: str, run: "ExperimentRun") -> "ExperimentRun":
    """The run that `reference` names as in `find_run`, never `run` itself.

    `latest` and `latest:BRANCH` mean the newest completed run of the same name first: a project may hold several
    experiments. Raises NotFound, and ConfigurationError for an ambiguous reference or the run itself.
    """
    word, _, branch = reference.strip().partition(":")
    if word == LATEST and run.name:
        for old in runs_newest_first(client, name=run.name, status="completed"):
            is_alike = old.name == run.name and old.status == "completed" and old.run_id != run.run_id
            if is_alike and (not branch or branch_of(old) == branch):
                return old
    try:
        old = find_run(client, reference, exclude=run.run_id)
    except NotFound:
        if word != LATEST and (reference.strip() == run.name or run.run_id.startswith(reference.strip())):
            raise NotFound(f"No run but {run.run_id} itself is {reference!r}: it is no baseline of its own.") from None
        raise
    if old.run_id == run.run_id:
        raise ConfigurationError(f"Run and baseline are the same run, {run.run_id}.")
    return old


def is_latest(reference: str) -> bool:
    """Whether the reference may lead nowhere without being a mistake: a branch begins without any run."""
    return reference.strip().partition(":")[0] == LATEST
