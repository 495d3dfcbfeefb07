"""A worker's turn at an experiment: claims datapoints, calls the target from threads, stores what came of them.

The main thread alone touches the database; threads only call and judge. It stores in batches what has ended, and claims
as many rows as it has free hands. The turn ends when nothing is due, when others wait for a worker, or after a while,
so that long runs share workers with short ones. Being called off (cancelled, lease lost) closes what threads wait for.
"""

import contextlib
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import structlog
from django.db import DatabaseError

from experiments import telemetry
from experiments.domain.calls import CallFailed, Case
from experiments.domain.experiment_status import ExperimentStatus
from experiments.models import DatapointRun, Experiment, Lane
from experiments.services import (
    datapoint_runs,
    experiment_access,
    experiment_endings,
    experiment_preparation,
    lanes,
)
from experiments.services.datapoint_events import EVENTS_PER_DATAPOINT, Outcome
from governance.domain.errors import DomainError, QuotaExceeded
from governance.models.leased_work import LeaseLost
from governance.services import ingestion_quota
from governance.services.heartbeats import Heartbeat

TURN_SECONDS = 20.0
SHORT_TURN_SECONDS = 1.0  # when others wait for a worker
LOOK_SECONDS = 0.25  # how often pauses, waiting experiments and others' wishes are looked for
GATHER_SECONDS = 0.01  # what ends this soon after another is stored with it
AFTER_FAULT_SECONDS = 1.0
# Of all evaluators of one datapoint. With the longest deadline of a call and a turn it stays below the task's limit.
JUDGING_SECONDS = 200.0
SOON_SECONDS = 1.0  # a retry that is due within is waited for
log = structlog.get_logger(__name__)


def take_turn(*, lane_id: int) -> None:
    """Work at the lane, or at one that needs a worker more. A message that comes twice or late finds nothing."""
    experiment_preparation.prepare_next()
    lane = lanes.claim_lane(lane_id=lane_id)
    if lane is None:
        return
    lane.experiment = Experiment.objects.select_related("project", "run", "dataset_version").get(pk=lane.experiment_id)
    try:
        try:
            with experiment_access.opened(lane.experiment) as access:
                turn = Turn(lane, access)
                wait_seconds = turn.run()
        except LeaseLost:
            raise
        except DomainError as error:  # rules or secrets changed since the start: somebody has to do something
            experiment_endings.pause_by_itself(experiment_id=lane.experiment_id, code=error.code, message=error.message)
            wait_seconds = None
        lanes.leave_lane(lane, wait_seconds=wait_seconds)
        experiment_endings.end_if_done(experiment_id=lane.experiment_id)
    except LeaseLost:
        log.info("lane_lost", lane=lane.pk, experiment=lane.experiment.public_id)
    except Exception:
        # Only to be quicker than the leases, which end all this anyway.
        with contextlib.suppress(LeaseLost, DatabaseError):
            datapoint_runs.give_up_rows(lane)
            lanes.leave_lane(lane, wait_seconds=AFTER_FAULT_SECONDS)
        raise


class Turn:
    """One worker, one lane, up to `lane.granted` calls at once."""

    def __init__(self, lane: Lane, access: experiment_access.Access) -> None:
        self.lane, self.access, self.experiment = lane, access, lane.experiment
        self.deadline = float(self.experiment.spec["deadline_seconds"])
        judges = max(1, len(self.experiment.spec["evaluators"]))
        self.judging_deadline = min(self.deadline, JUDGING_SECONDS / judges)
        self._beat = Heartbeat(lane, on_lost=access.close, on_renew=lambda: datapoint_runs.renew_rows(lane))
        self._under_way: dict[Future[Outcome], DatapointRun] = {}
        self._ended: deque[Outcome] = deque()
        self._may_claim, self._share = True, lane.granted
        self._looked = self._began = time.monotonic()

    def run(self) -> float | None:
        """Work until the turn is over; seconds until the lane is worth another turn, None when it is not.

        Raises `LeaseLost` when the lane was called off.
        """
        beat = self._beat
        pool = ThreadPoolExecutor(max_workers=self.lane.granted, thread_name_prefix="target")
        try:
            with beat:
                while True:
                    beat.check()
                    self._store()
                    self._look()
                    claimed = self._claim(pool)
                    if not self._under_way and not self._ended and not claimed and not self._waits_for_soon():
                        break
                    self._gather()
                beat.check()
        finally:
            # Whatever ended this early: nothing of it may outlive the turn.
            if self._under_way:
                self.access.close()
            pool.shutdown(wait=True, cancel_futures=True)
            self._put_back(len(self._under_way) + len(self._ended))
        return datapoint_runs.seconds_until_due(self.lane)

    def _claim(self, pool: ThreadPoolExecutor) -> bool:
        free = min(self._share, self.lane.granted) - len(self._under_way)
        if not self._may_claim or free <= 0:
            return False
        # Both are asked for before the call: what was paid for can be stored.
        try:
            ingestion_quota.take(project_id=self.experiment.project_id, events=EVENTS_PER_DATAPOINT * free)
        except QuotaExceeded as error:
            experiment_endings.pause_by_itself(experiment_id=self.experiment.pk, code=error.code, message=error.message)
            self._may_claim = False
            return False
        try:
            rows = datapoint_runs.claim_rows(self.lane, count=free)
        except BaseException:
            self._put_back(free)
            raise
        self._put_back(free - len(rows))
        for row in rows:
            row.experiment = self.experiment
            if row.lost_attempts - row.lost_forgiven > datapoint_runs.MOST_LOST_ATTEMPTS:
                self._ended.append(_hopeless(row))
            else:
                self._under_way[pool.submit(self._execute, row)] = row
        return bool(rows)

    def _put_back(self, datapoints: int) -> None:
        """Events that were taken from the quota for datapoints that will not be stored here."""
        ingestion_quota.put_back(project_id=self.experiment.project_id, events=EVENTS_PER_DATAPOINT * datapoints)

    def _execute(self, row: DatapointRun) -> Outcome:
        """On a thread: call, then judge."""
        snapshot = row.snapshot
        case = Case(
            datapoint_id=row.datapoint_key,
            inputs=snapshot.inputs or {},
            history=snapshot.history or [],
            ground_truth=snapshot.ground_truth,
            metadata=snapshot.metadata or {},
        )
        started = time.time_ns() / 1e6
        if not self._beat.is_sure:  # the process was stopped for longer than its lease: the row is somebody else's
            cut_off = CallFailed("Not called.", error_class="cancelled", is_transient=True, called=False)
            return Outcome(row, started, started, error=cut_off)
        try:
            answer = self.access.target.call(case, deadline_seconds=self.deadline)
        except CallFailed as error:
            return Outcome(row, started, time.time_ns() / 1e6, error=error)
        except Exception as error:  # a fault of ours; the datapoint says so instead of hanging
            log.exception("datapoint_broke", experiment=self.experiment.public_id, datapoint=row.datapoint_key)
            failed = CallFailed(
                f"{type(error).__name__}: an error of the platform; its log has the details.",
                error_class="internal_error",
                is_transient=False,
            )
            return Outcome(row, started, time.time_ns() / 1e6, error=failed)
        ended = time.time_ns() / 1e6
        judgement = self.access.evaluators.judge(answer.outputs, case, deadline_seconds=self.judging_deadline)
        return Outcome(row, started, ended, answer=answer, judgement=judgement)

    def _gather(self) -> None:
        """Wait for something to end, then a moment for more, so that one transaction stores several."""
        if not self._under_way:
            if not self._ended:
                time.sleep(LOOK_SECONDS / 5)
            return
        done, _ = wait(self._under_way, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
        if done and len(done) < len(self._under_way):
            more, _ = wait(set(self._under_way) - done, timeout=GATHER_SECONDS)
            done |= more
        for future in done:
            del self._under_way[future]
            self._ended.append(future.result())

    def _store(self) -> None:
        """Store what has ended, but for calls that were cut off because the turn was called off."""
        if not self._ended:
            return
        outcomes = [outcome for outcome in self._ended if not _is_cut_off(outcome)]
        cut_off = len(self._ended) - len(outcomes)
        self._ended.clear()
        self._put_back(cut_off)
        if not outcomes:
            return
        datapoint_runs.store_outcomes(
            self.lane, outcomes, event_type=self.access.target.event_type, cost_of=self.access.cost_of
        )
        for outcome in outcomes:
            _count(outcome)

    def _look(self) -> None:
        """Now and then: was the experiment paused, do others wait, do others want room?"""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        taken = now - self._began
        is_over = taken > TURN_SECONDS or (taken > SHORT_TURN_SECONDS and self._others_wait())
        if is_over or not self._is_running():
            self._may_claim = False
            return
        self._share = lanes.fair_share(self.lane)
        if self._share < self.lane.granted and len(self._under_way) <= self._share:
            lanes.shrink(self.lane, granted=self._share)

    def _others_wait(self) -> bool:
        return experiment_preparation.waiting().exists() or lanes.others_wait(self.experiment.pk)

    def _is_running(self) -> bool:
        return Experiment.objects.filter(pk=self.experiment.pk, status=ExperimentStatus.RUNNING).exists()

    def _waits_for_soon(self) -> bool:
        """Whether a retry is due so soon that leaving the lane for it would take longer."""
        if not self._may_claim:
            return False
        due = datapoint_runs.seconds_until_due(self.lane)
        return due is not None and due <= SOON_SECONDS


def _is_cut_off(outcome: Outcome) -> bool:
    return outcome.error is not None and outcome.error.error_class == "cancelled"


def _hopeless(row: DatapointRun) -> Outcome:
    now = time.time_ns() / 1e6
    error = CallFailed(
        f"Given up: {row.lost_attempts} workers died over this datapoint; the workers' logs say why.",
        error_class="worker_lost",
        is_transient=False,
    )
    return Outcome(row, now, now, error=error)


def _count(outcome: Outcome) -> None:
    if outcome.error is None and outcome.answer is not None:
        telemetry.DATAPOINT_CALLS.labels("answered").inc()
        telemetry.DATAPOINT_CALL_SECONDS.observe(outcome.answer.latency_ms / 1000)
    elif outcome.error is not None and outcome.error.called:
        telemetry.DATAPOINT_CALLS.labels(outcome.error.error_class).inc()
