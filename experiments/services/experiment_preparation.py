"""Writes the datapoint runs of an experiment and its lanes; then it may run.

Rows are inserted in blocks that ignore what is there already: a preparation that died half-way is done again by
another worker, with the same seeded order, and changes nothing that it finds.
"""

import random

import structlog
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from experiments import dispatch
from experiments.domain.experiment_status import ExperimentStatus
from experiments.domain.run_status import RunStatus
from experiments.models import DatasetVersionItem, Experiment, Lane, Run
from experiments.services import experiment_endings, lanes
from experiments.services.datapoint_events import session_key_of
from experiments.services.datapoint_run_writer import NewDatapointRun, insert_datapoint_runs
from experiments.services.event_writer import bump_revisions
from governance.models.leased_work import LeaseLost
from governance.services.heartbeats import Heartbeat, lease

BLOCK = 2_000
MOST_CLAIMS = 25
log = structlog.get_logger(__name__)


def prepare_experiment(*, experiment_id: int) -> None:
    """queued → preparing → running. A second message finds nothing to claim."""
    experiment = Experiment.claim(
        experiment_id,
        waiting=[ExperimentStatus.QUEUED],
        running=ExperimentStatus.PREPARING,
        holder=lanes.holder(),
        lease=lease(),
    )
    if experiment is None:
        return
    if experiment.attempts > MOST_CLAIMS:
        experiment_endings.fail_experiment(
            experiment_id=experiment_id,
            code="gave_up",
            message=f"Its preparation stopped its worker {MOST_CLAIMS} times; the workers' logs say why.",
        )
        return
    try:
        with Heartbeat(experiment) as beat:
            _write_rows(experiment, beat)
        _start(experiment)
    except LeaseLost:
        log.info("preparation_lost", experiment=experiment.public_id)


def waiting() -> QuerySet[Experiment]:
    """Experiments that wait to be prepared, those whose worker died included; who waits longest comes first."""
    queued = Q(status=ExperimentStatus.QUEUED) & (Q(next_attempt_at__isnull=True) | Q(next_attempt_at__lte=Now()))
    died = Q(status=ExperimentStatus.PREPARING) & (Q(leased_until__isnull=True) | Q(leased_until__lt=Now()))
    return Experiment.objects.filter(queued | died).order_by("pk")


def prepare_next() -> None:
    """Prepare the experiment that waits longest, if one does.

    Its own message may stand behind those of many lanes, each of which is a turn.
    """
    found = waiting().values_list("pk", flat=True).first()
    if found is not None:
        prepare_experiment(experiment_id=found)


def random_order(seed: int, count: int) -> list[int]:
    """Ranks of `count` datapoints by their place in the dataset: a permutation drawn from `seed` alone."""
    order = list(range(count))
    random.Random(seed).shuffle(order)  # noqa: S311 - an order, no secret
    ranks = [0] * count
    for rank, place in enumerate(order):
        ranks[place] = rank
    return ranks


def _write_rows(experiment: Experiment, beat: Heartbeat) -> None:
    repetitions = int(experiment.spec["repetitions"])
    items = DatasetVersionItem.objects.filter(version_id=experiment.dataset_version_id).order_by("position")
    found = list(items.values_list("snapshot_id", "snapshot__datapoint_key"))
    ranks = random_order(experiment.seed, len(found))
    block: list[NewDatapointRun] = []
    for (snapshot_id, key), rank in zip(found, ranks, strict=True):
        block += [
            NewDatapointRun(
                snapshot_id=snapshot_id,
                datapoint_key=key,
                repetition=repetition,
                rank=rank * repetitions + repetition,
                session_key=session_key_of(experiment, key, repetition),
            )
            for repetition in range(repetitions)
        ]
        if len(block) >= BLOCK:
            beat.check()
            insert_datapoint_runs(experiment_id=experiment.pk, rows=block)
            block = []
    beat.check()
    insert_datapoint_runs(experiment_id=experiment.pk, rows=block)


def _start(experiment: Experiment) -> None:
    count = min(int(experiment.spec["concurrency"]), lanes.MOST_LANES, experiment.datapoint_runs_count)
    with transaction.atomic():
        experiment.leave(ExperimentStatus.RUNNING, started_at=Coalesce("started_at", Now()))
        run = Run.objects.select_for_update(no_key=True).get(pk=experiment.run_id)
        Run.objects.move(run.pk, RunStatus.RUNNING, finished_at=None, updated_at=timezone.now())
        Lane.objects.bulk_create(
            [Lane(experiment=experiment, number=number) for number in range(count)], ignore_conflicts=True
        )
        bump_revisions(project_id=run.project_id, run_keys=[run.run_key])
        dispatch.send_lanes(list(Lane.objects.filter(experiment=experiment).values_list("pk", flat=True)))
    log.info("experiment_running", experiment=experiment.public_id, lanes=count)
