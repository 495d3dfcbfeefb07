"""Reads of runs that the server executes: one, many, how far they are, their single executions and what went wrong."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Count, Min, Q, QuerySet, Sum
from django.utils import timezone

from experiments.domain.experiment_status import (
    DATAPOINT_ENDED,
    EXPERIMENT_ENDED,
    DatapointRunStatus,
    ExperimentStatus,
)
from experiments.models import DatapointRun, Experiment
from experiments.models.json_functions import JsonListContains
from governance.domain.caller import Caller
from governance.domain.errors import NotFound
from governance.models.clock import from_now

RATE_WINDOW = dt.timedelta(seconds=60)
MOST_CAUSES = 50
_SUMS = ("attempts", "failures", "lost_attempts", "prompt_tokens", "completion_tokens", "cost")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an experiment is. `counts` has every status and sums up to `total`.

    `waiting_for_retry` of the pending ones have failed before. Rate and ETA are of the last minute, None when nothing
    ended in it or nothing is left. Tokens and cost are None when no target told them; `with_cost` is the number of
    datapoint runs that `cost` sums over.
    """

    counts: dict[str, int]
    total: int
    waiting_for_retry: int = 0
    rate_per_second: float | None = None
    eta_seconds: float | None = None
    attempts: int = 0
    failures: int = 0
    lost_attempts: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: Decimal | None = None
    with_cost: int = 0

    @property
    def finished(self) -> int:
        """Datapoint runs that have ended, in whichever way."""
        return sum(self.counts[status.value] for status in DATAPOINT_ENDED)

    @property
    def fraction(self) -> float:
        """0 to 1; 1 for an experiment of nothing."""
        return self.finished / self.total if self.total else 1.0


@dataclass(frozen=True, slots=True)
class Cause:
    """What datapoint runs of one error class have in common; the example is the first in order of execution."""

    error_class: str
    failed: int
    retrying: int
    example: str
    example_datapoint_id: str


def experiments_of(caller: Caller) -> QuerySet[Experiment]:
    """Experiments of the caller's project, newest first, with run, dataset version and schedule."""
    found = Experiment.objects.filter(project_id=caller.project_id)
    return found.select_related("run", "dataset_version", "schedule").order_by("-id")


def experiment_not_found(run_id: str) -> NotFound:
    """The one answer for runs that do not exist, are another project's, or are executed by their client."""
    return NotFound(
        f"Run {run_id[:255]!r} is no run of this project that the server executes; GET /api/v1/experiments lists them.",
        field="run_id",
        value=run_id[:255],
    )


def get_experiment(caller: Caller, run_id: str) -> Experiment:
    """The experiment of a run by the run's id, or by the public id of either; `NotFound` otherwise."""
    mine = experiments_of(caller)
    found = mine.filter(run__run_key=run_id).first()
    if found is None:
        found = mine.filter(Q(public_id=run_id) | Q(run__public_id=run_id)).first()
    if found is None:
        raise experiment_not_found(run_id)
    return found


def with_tag(experiments: QuerySet[Experiment], tag: str) -> QuerySet[Experiment]:
    """Those that have exactly this tag."""
    return experiments.filter(JsonListContains("tags", tag))


def of_datasets(experiments: QuerySet[Experiment], dataset_id: str) -> QuerySet[Experiment]:
    """Those over any version of a dataset, which may have been deleted since."""
    return experiments.filter(dataset_version__dataset_key=dataset_id)


def progress_of(experiment: Experiment) -> Progress:
    """How far one experiment is. One query."""
    return progress_of_many([experiment])[experiment.pk]


def progress_of_many(experiments: Sequence[Experiment]) -> dict[int, Progress]:
    """How far each is, by primary key. One query for all of them."""
    if not experiments:
        return {}
    recently = Q(finished_at__gte=from_now(-RATE_WINDOW))
    again = Q(status=DatapointRunStatus.PENDING) & ~Q(error_class="")
    rows = (
        DatapointRun.objects.filter(experiment_id__in=[experiment.pk for experiment in experiments])
        .order_by()
        .values("experiment_id", "status")
        .annotate(
            rows=Count("pk"),
            recent=Count("pk", filter=recently),
            again=Count("pk", filter=again),
            with_cost=Count("cost"),
            **{f"sum_{name}": Sum(name) for name in _SUMS},
        )
    )
    groups: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["experiment_id"], []).append({**row})
    return {experiment.pk: _progress(experiment, groups.get(experiment.pk, [])) for experiment in experiments}


def _progress(experiment: Experiment, groups: Sequence[dict[str, Any]]) -> Progress:
    counts = {status.value: 0 for status in DatapointRunStatus}
    counts |= {str(group["status"]): group["rows"] for group in groups}
    total = max(experiment.datapoint_runs_count, sum(counts.values()))
    # Rows that are not written yet are still to come; after a cancel, or a failure before the first call, never.
    has_ended = experiment.status in EXPERIMENT_ENDED
    unwritten = DatapointRunStatus.CANCELLED if has_ended else DatapointRunStatus.PENDING
    counts[unwritten.value] += total - sum(counts.values())
    rate = _rate(experiment, sum(group["recent"] for group in groups))
    left = counts[DatapointRunStatus.PENDING] + counts[DatapointRunStatus.RUNNING]
    is_running = experiment.status == ExperimentStatus.RUNNING
    summed = {name: _sum([group[f"sum_{name}"] for group in groups]) for name in _SUMS}
    return Progress(
        counts=counts,
        total=total,
        waiting_for_retry=sum(group["again"] for group in groups),
        rate_per_second=rate if is_running else None,
        eta_seconds=round(left / rate, 1) if rate and left and is_running else None,
        attempts=summed["attempts"] or 0,
        failures=summed["failures"] or 0,
        lost_attempts=summed["lost_attempts"] or 0,
        prompt_tokens=summed["prompt_tokens"],
        completion_tokens=summed["completion_tokens"],
        cost=summed["cost"],
        with_cost=sum(group["with_cost"] for group in groups),
    )


def _rate(experiment: Experiment, recent: int) -> float | None:
    """Ends per second over the last minute, or since the start when that is younger."""
    if not recent or experiment.started_at is None:
        return None
    age = (timezone.now() - experiment.started_at).total_seconds()
    return round(recent / min(RATE_WINDOW.total_seconds(), max(age, 1.0)), 3)


def _sum(parts: Sequence[Any]) -> Any:
    known = [part for part in parts if part is not None]
    return sum(known[1:], known[0]) if known else None


def datapoint_runs_of(experiment: Experiment) -> QuerySet[DatapointRun]:
    """Its single executions in their random order, without contents."""
    return DatapointRun.objects.filter(experiment=experiment).order_by("rank")


def chunks_of_datapoint_runs(experiment: Experiment, *, size: int = 500) -> Iterator[list[DatapointRun]]:
    """All of them, in short queries by key-set: no transaction stays open while they are sent."""
    after = -1
    while chunk := list(datapoint_runs_of(experiment).filter(rank__gt=after)[:size]):
        yield chunk
        after = chunk[-1].rank


def errors_by_cause(experiment: Experiment) -> list[Cause]:
    """What datapoint runs failed of, or wait to be tried again for, most frequent first. Two queries at most."""
    failed, retrying = Q(status=DatapointRunStatus.FAILED), Q(status=DatapointRunStatus.PENDING)
    mine = DatapointRun.objects.filter(failed | retrying, experiment=experiment).exclude(error_class="")
    groups = list(
        mine.order_by()
        .values("error_class")
        .annotate(
            rows=Count("pk"),
            failed=Count("pk", filter=failed),
            retrying=Count("pk", filter=retrying),
            first=Min("rank"),
        )
        .order_by("-rows", "error_class")[:MOST_CAUSES]
    )
    if not groups:
        return []
    firsts = mine.filter(rank__in=[group["first"] for group in groups]).values_list(
        "rank", "error_message", "datapoint_key"
    )
    examples = {rank: (message, datapoint) for rank, message, datapoint in firsts}
    return [
        Cause(group["error_class"], group["failed"], group["retrying"], *examples.get(group["first"], ("", "")))
        for group in groups
    ]
