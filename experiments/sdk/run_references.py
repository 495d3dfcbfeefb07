"""Runs as people name them: a run id, the beginning of one, a name, `latest`, or `latest:BRANCH`."""

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from experiments.sdk.errors import ConfigurationError, InvalidRequest, NotFound

if TYPE_CHECKING:
    from experiments.sdk.models import ExperimentRun
    from experiments.sdk.transport.client import Client

MAX_PAGES = 20
PAGE_SIZE = 100
LATEST = "latest"
_SHORTEST_PREFIX = 4
_SHOWN = 5
_FEW = 5  # a run carries the ids of its sessions: the newest is not to cost a hundred


def find_run(client: "Client", reference: str, *, exclude: str | None = None) -> "ExperimentRun":
    """The run that `reference` names.

    A run id comes first, then a name (the newest run of exactly that name), then the beginning of a run id, which
    must be of one run only. `latest` is the newest completed run, `latest:BRANCH` the newest completed one whose
    metadata has that `git.branch`. A run whose id is `exclude` is passed over, except when its own id is given.
    Looked for among the newest 2,000 runs. Raises NotFound, and ConfigurationError for an ambiguous reference.
    """
    reference = reference.strip()
    if not reference:
        raise ConfigurationError("Which run? Give a run id or the beginning of one, a name, latest or latest:BRANCH.")
    word, colon, branch = reference.partition(":")
    if word == LATEST and bool(colon) == bool(branch):
        return _latest(client, branch, exclude)
    if found := _by_id(client, reference):
        return found
    is_excluded = exclude is not None and exclude.startswith(reference)
    for run in runs_newest_first(client, name=reference):
        if run.name == reference:
            if run.run_id != exclude:
                return run
            is_excluded = True
    return _by_prefix(client, reference, exclude, is_excluded=is_excluded)


def runs_newest_first(client: "Client", *, page_size: int = PAGE_SIZE, **filters: Any) -> Iterator["ExperimentRun"]:
    """Runs that match the server's filters, each once, at most 20 pages."""
    seen: set[str] = set()  # pages move while runs are made
    for page in range(1, MAX_PAGES + 1):
        runs, pagination = client.list_runs(
            page=page, limit=page_size, sort_by="created_at", sort_order="desc", **filters
        )
        for run in runs:
            if run.run_id not in seen:
                seen.add(run.run_id)
                yield run
        if not runs or not pagination.get("has_next", len(runs) == page_size):
            return


def branch_of(run: "ExperimentRun") -> str | None:
    """The git branch that a run was made on, when its metadata says."""
    git = run.metadata.get("git")
    branch = git.get("branch") if isinstance(git, dict) else None
    return branch if isinstance(branch, str) else None


def _latest(client: "Client", branch: str, exclude: str | None) -> "ExperimentRun":
    # Filtered here as well: a server may not know the filter.
    for run in runs_newest_first(client, page_size=PAGE_SIZE if branch else _FEW, status="completed"):
        if run.status == "completed" and run.run_id != exclude and (not branch or branch_of(run) == branch):
            return run
    where = f" of branch {branch!r} (metadata git.branch)" if branch else ""
    besides = f" besides {exclude}" if exclude else ""
    raise NotFound(f"There is no completed run{where}{besides}. `hhweb runs list` shows what is there.")


def _by_id(client: "Client", reference: str) -> "ExperimentRun | None":
    try:
        return client.get_run(reference)
    except (NotFound, InvalidRequest):  # a server may refuse what is no UUID
        if _is_uuid(reference):
            raise
        return None


def _by_prefix(client: "Client", reference: str, exclude: str | None, *, is_excluded: bool) -> "ExperimentRun":
    found: list[ExperimentRun] = []
    if len(reference) >= _SHORTEST_PREFIX:
        matching = (run for run in runs_newest_first(client) if run.run_id.startswith(reference))
        found = [run for run in matching if run.run_id != exclude]
    if len(found) > 1:
        shown = ", ".join(f"{run.run_id} ({run.name or 'no name'})" for run in found[:_SHOWN])
        raise ConfigurationError(f"{len(found)} runs begin with {reference!r}: {shown}. Give more of the id.")
    if not found:
        if is_excluded:
            raise NotFound(f"No other run than {exclude} itself is called {reference!r}; name another one.")
        raise NotFound(
            f"No run has the id or name {reference!r}, and none begins with it (at least {_SHORTEST_PREFIX} "
            "characters). `hhweb runs list` shows what is there."
        )
    return found[0]


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
