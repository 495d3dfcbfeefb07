"""The sweep of experiments: whatever waits without a message, or whose worker died, is sent again; what is done ends.

Safe with several beats, late or doubled: everything it sends is claimed by one conditional statement.
"""

from django.db.models import OuterRef, Q

from experiments import dispatch
from experiments.domain.experiment_status import ExperimentStatus, LaneStatus
from experiments.models import Experiment, Lane
from experiments.services import datapoint_runs, experiment_endings
from governance.services.heartbeats import lease

AT_MOST = 50


def send_lost_work() -> None:
    """Preparations and lanes, at most as many as workers could take; then ends what nobody ended."""
    unsent_for = lease() / 3
    dispatch.send_preparations(
        Experiment.lost(
            waiting=[ExperimentStatus.QUEUED],
            running=[ExperimentStatus.PREPARING],
            unsent_for=unsent_for,
            at_most=AT_MOST,
        )
    )
    dispatch.send_lanes(
        Lane.lost(
            waiting=[LaneStatus.WAITING],
            running=[LaneStatus.RUNNING],
            unsent_for=unsent_for,
            at_most=AT_MOST,
            within=Q(experiment__status=ExperimentStatus.RUNNING),
        )
    )
    end_finished()


def end_finished() -> None:
    """Experiments whose last worker died between its last datapoint and the end."""
    done = Experiment.objects.filter(~datapoint_runs.unfinished(OuterRef("pk")), status=ExperimentStatus.RUNNING)
    for pk in done.values_list("pk", flat=True)[:AT_MOST]:
        experiment_endings.end_if_done(experiment_id=pk)
