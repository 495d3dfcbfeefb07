"""Reads of runs: pages, one run, and the revision that says whether anything in it changed."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q, QuerySet, Sum

from experiments.domain.external_ids import is_external
from experiments.models import Measurement, Run, RunRevision
from governance.domain.caller import Caller
from governance.domain.errors import NotFound

SORTABLE = ("created_at", "updated_at", "name", "status")
_NAMES_SHOWN = 1_000


@dataclass(frozen=True, slots=True)
class RunQuery:
    """What a client asked for; `limit` and `page` (from 1) are already within bounds, times inclusive."""

    dataset_id: str | None = None
    run_keys: Sequence[str] = ()
    name: str | None = None
    status: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    sort_by: str = "created_at"
    descending: bool = True
    limit: int = 20
    page: int = 1


@dataclass(frozen=True, slots=True)
class RunPage:
    """Runs of one page, the number of all matches, and the number of all runs of the project."""

    runs: list[Run]
    total: int
    total_unfiltered: int
    metric_names: list[str]


def runs_of(caller: Caller) -> QuerySet[Run]:
    """All runs of the caller's project, with their datasets."""
    return Run.objects.filter(project_id=caller.project_id).select_related("dataset")


def run_not_found(run_key: str) -> NotFound:
    """The one answer for runs that do not exist and for other projects' runs."""
    return NotFound(f"Run {run_key[:255]!r} does not exist in this project.", field="run_id", value=run_key[:255])


def get_run(*, caller: Caller, run_key: str) -> Run:
    """One run of the caller's project by the client's id."""
    run = runs_of(caller).filter(run_key=run_key).first()
    if run is None:
        raise run_not_found(run_key)
    return run


def matching(*, caller: Caller, query: RunQuery) -> QuerySet[Run]:
    """Runs that a query means, in its order."""
    found = runs_of(caller)
    if query.dataset_id is not None:
        if is_external(query.dataset_id):
            found = found.filter(offline_dataset_id=query.dataset_id)
        else:
            found = found.filter(dataset__public_id=query.dataset_id)
    if query.run_keys:
        found = found.filter(run_key__in=query.run_keys)
    if query.name is not None:
        found = found.filter(name__icontains=query.name)
    if query.status is not None:
        found = found.filter(status=query.status)
    bounds = {"created_at__gte": query.since, "created_at__lte": query.until}
    found = found.filter(**{key: value for key, value in bounds.items() if value is not None})
    sign = "-" if query.descending else ""
    return found.order_by(f"{sign}{query.sort_by}", f"{sign}id")


def list_runs(*, caller: Caller, query: RunQuery) -> RunPage:
    """One page of the matching runs. Four queries, whatever the number of rows."""
    found = matching(caller=caller, query=query)
    start = (query.page - 1) * query.limit
    runs = list(found[start : start + query.limit])
    return RunPage(
        runs=runs,
        total=found.order_by().count(),
        total_unfiltered=Run.objects.filter(project_id=caller.project_id).count(),
        metric_names=metric_names(caller=caller, run_keys=[run.run_key for run in runs]),
    )


def metric_names(*, caller: Caller, run_keys: Sequence[str]) -> list[str]:
    """Names of the metrics measured in the given runs, sorted."""
    if not run_keys:
        return []
    found = Measurement.objects.filter(project_id=caller.project_id, run_key__in=run_keys)
    return list(found.order_by("name").values_list("name", flat=True).distinct()[:_NAMES_SHOWN])


def revision_of(run: Run) -> int:
    """How many committed changes the run and its events have seen."""
    rows = RunRevision.objects.filter(Q(project_id=run.project_id) & Q(run_key=run.run_key))
    return rows.aggregate(total=Sum("revision"))["total"] or 0
