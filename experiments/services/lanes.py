"""Who may make how many calls at once: lanes are taken within the limits of experiment, project and provider.

A lane's `granted` is counted under a lock of its project, over lanes whose lease has not run out, so that no two
workers ever see the same room. Whoever finds none leaves a mark, and those who hold more than their share of that limit
shrink at their next look. A worker that is offered a lane hands its time to an experiment that nobody works on, if
there is one: a long run does not starve a short one.
"""

import datetime as dt
import os
import socket
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, Sum
from django.db.models.functions import Now

from experiments import dispatch
from experiments.domain.experiment_status import ExperimentStatus, LaneStatus
from experiments.models import Experiment, Lane
from governance.domain.provider_patterns import LOCAL_PROVIDERS
from governance.models import Project
from governance.models.clock import from_now
from governance.services.heartbeats import lease

MOST_LANES = 16  # workers that may share one experiment
IDLE_SECONDS = 10.0  # until a lane without work is looked at again
LONGEST_DELAY_SECONDS = 30.0  # of a message; what is due later is sent by the sweep
ASKED_RECENTLY = dt.timedelta(seconds=5)
HELD = Q(status=LaneStatus.RUNNING, leased_until__gte=Now())


@dataclass(frozen=True, slots=True)
class _Limit:
    """Calls at once over all lanes that `scope` selects."""

    scope: Q
    calls: int


def holder() -> str:
    """Who claims: machine and process, for people who read the table."""
    return f"{socket.gethostname()[:48]}:{os.getpid()}"


def claim_lane(*, lane_id: int) -> Lane | None:
    """Take the lane, or one of an experiment that nobody works on; None when there is nothing to take or no room.

    Its experiment comes with it. A lane that gave its place away is offered again.
    """
    lane = Lane.objects.select_related("experiment").filter(pk=lane_id).first()
    if lane is None:
        return None
    needy = _neediest(lane.experiment_id)
    if needy is not None and (taken := _claim(needy)) is not None:
        dispatch.send_lanes([lane_id])
        return taken
    return _claim(lane)


def limits_of(experiment: Experiment) -> list[_Limit]:
    """What holds for calls of this experiment, narrowest scope first."""
    limits = [
        _Limit(Q(experiment_id=experiment.pk), int(experiment.spec["concurrency"])),
        _Limit(Q(experiment__project_id=experiment.project_id), settings.CALLS_PER_PROJECT),
    ]
    if experiment.provider and experiment.provider not in LOCAL_PROVIDERS:
        scope = Q(experiment__project_id=experiment.project_id, experiment__provider=experiment.provider)
        limits.append(_Limit(scope, settings.PARALLEL_REQUESTS))
    return limits


def fair_share(lane: Lane) -> int:
    """How many calls this lane may keep, now that others ask for room; its whole grant when nobody does.

    A limit is shared evenly among the workers that use it or ask for some of it.
    """
    share = lane.granted
    for limit in limits_of(lane.experiment):
        asking = Lane.objects.filter(
            limit.scope,
            status=LaneStatus.WAITING,
            asked_at__gte=from_now(-ASKED_RECENTLY),
            experiment__status=ExperimentStatus.RUNNING,
        ).values_list("experiment_id", "asked_by")
        if not (wanting := set(asking)):
            continue
        using = set(Lane.objects.filter(HELD, limit.scope).values_list("experiment_id", "lease_holder"))
        share = min(share, max(1, limit.calls // len(wanting | using)))
    return share


def shrink(lane: Lane, *, granted: int) -> None:
    """Give up what is above `granted`, and offer it to those who asked. Raises `LeaseLost`."""
    with transaction.atomic():
        lane.renew(lease(), granted=granted)
        lane.granted = granted
        dispatch.send_lanes(_asking(lane))


def leave_lane(lane: Lane, *, wait_seconds: float | None) -> None:
    """Give the lane back, and its room to those who asked.

    It is offered again after `wait_seconds`; None means that nothing waits at present, and the sweep looks later.
    Raises `LeaseLost`.
    """
    with transaction.atomic():
        pause = IDLE_SECONDS if wait_seconds is None else wait_seconds
        due = from_now(dt.timedelta(seconds=pause)) if pause else None
        lane.leave(LaneStatus.WAITING, granted=0, attempts=0, next_attempt_at=due)
        dispatch.send_lanes(_asking(lane))
        if wait_seconds is not None and wait_seconds <= LONGEST_DELAY_SECONDS:
            dispatch.send_lanes([lane.pk], delay_seconds=wait_seconds)


def others_wait(experiment_id: int) -> bool:
    """Whether another experiment waits for a worker, rather than for room within its limits."""
    waiting = Lane.objects.filter(
        Q(next_attempt_at__isnull=True) | Q(next_attempt_at__lte=Now()),
        status=LaneStatus.WAITING,
        asked_at__isnull=True,
        dispatched_at__isnull=False,
        experiment__status=ExperimentStatus.RUNNING,
    ).exclude(experiment_id=experiment_id)
    return waiting.exists()


def _neediest(experiment_id: int) -> Lane | None:
    """A lane of the other experiment that waits longest without any worker.

    The experiment itself has no worker either between two turns, and often the older messages.
    """
    worked_on = Lane.objects.filter(HELD, experiment_id=OuterRef("experiment_id"))
    waiting = Lane.objects.filter(
        Q(next_attempt_at__isnull=True) | Q(next_attempt_at__lte=Now()),
        ~Exists(worked_on),
        status=LaneStatus.WAITING,
        experiment__status=ExperimentStatus.RUNNING,
    ).exclude(experiment_id=experiment_id)
    # One that has just found no room comes last, and comes: the room may be what its worker was offered now.
    tried = F("asked_at").asc(nulls_first=True)
    return waiting.select_related("experiment").order_by(tried, F("dispatched_at").asc(nulls_first=True), "pk").first()


def _asking(lane: Lane) -> list[int]:
    """Lanes of the project that found no room, those that asked first before the others."""
    asking = Lane.objects.filter(
        status=LaneStatus.WAITING,
        asked_at__isnull=False,
        experiment__project_id=lane.experiment.project_id,
        experiment__status=ExperimentStatus.RUNNING,
    )
    return list(asking.exclude(pk=lane.pk).order_by("asked_at").values_list("pk", flat=True)[:MOST_LANES])


@transaction.atomic
def _claim(lane: Lane) -> Lane | None:
    experiment = lane.experiment
    # The one lock under which room is counted; it is held for a few statements.
    list(Project.objects.select_for_update(no_key=True).filter(pk=experiment.project_id).values_list("pk"))
    if not Experiment.objects.filter(pk=experiment.pk, status=ExperimentStatus.RUNNING).exists():
        return None
    room = min(
        limit.calls - (Lane.objects.filter(HELD, limit.scope).aggregate(held=Sum("granted"))["held"] or 0)
        for limit in limits_of(experiment)
    )
    if room <= 0:
        Lane.objects.filter(pk=lane.pk, status=LaneStatus.WAITING).update(asked_at=Now(), asked_by=holder())
        return None
    taken = Lane.claim(
        lane.pk,
        waiting=[LaneStatus.WAITING],
        running=LaneStatus.RUNNING,
        holder=holder(),
        lease=lease(),
        granted=room,
        asked_at=None,
        asked_by="",
    )
    if taken is not None:
        taken.experiment = experiment
    return taken
