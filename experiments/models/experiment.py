"""Runs that the server executes: what was asked for, who works on it, and every single execution."""

from collections.abc import Collection

from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Now

from experiments.domain.experiment_status import DatapointRunStatus, ExperimentStatus, LaneStatus
from experiments.models.dataset_version import DatapointSnapshot, DatasetVersion
from experiments.models.run import Run
from experiments.models.schedule import ExperimentSchedule
from governance.models import Project
from governance.models.leased_work import LeasedWork
from governance.models.project import new_public_id


class Experiment(LeasedWork):
    """What the server does for one run. The lease is that of the preparation; execution has lanes.

    `spec` is what was asked for with every default written out (domain/experiment_spec.py); `pinned` what it referred
    to at creation (configuration version, metric versions), so that the same can be run again.
    """

    public_id = models.CharField(max_length=24, unique=True, default=new_public_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="experiments")
    run = models.OneToOneField(Run, on_delete=models.CASCADE, related_name="experiment")
    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.RESTRICT, related_name="experiments")
    schedule = models.ForeignKey(
        ExperimentSchedule, on_delete=models.SET_NULL, null=True, blank=True, related_name="experiments"
    )
    status = models.CharField(
        max_length=16, choices=[(s.value, s.value) for s in ExperimentStatus], default=ExperimentStatus.QUEUED.value
    )
    spec = models.JSONField()
    pinned = models.JSONField(default=dict)
    seed = models.PositiveBigIntegerField(help_text="of the random order of datapoints")
    provider = models.CharField(max_length=200, blank=True, default="", help_text="whose limit of calls holds")
    baseline_run_key = models.CharField(max_length=255, blank=True, default="")
    tags = models.JSONField(default=list, blank=True)
    datapoint_runs_count = models.PositiveIntegerField(help_text="datapoints times repetitions")
    created_by = models.CharField(max_length=240, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    error_code = models.CharField(max_length=64, blank=True, default="")
    error_message = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=[s.value for s in ExperimentStatus]), name="experiment_status_is_known"
            ),
        ]
        indexes = [
            models.Index(fields=["project", "-id"], name="experiment_by_project"),
            models.Index(fields=["status", "leased_until"], name="experiment_by_status"),
        ]

    def __str__(self) -> str:
        return self.public_id


class Lane(LeasedWork):
    """A seat at an experiment. A worker that holds it makes up to `granted` calls at once.

    `granted` is counted when the lane is taken, so that the sum over all lanes keeps within the limits of experiment,
    project and provider. Who finds no room left says so in `asked_*`; those who have more than their share give way.
    """

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="lanes")
    number = models.PositiveSmallIntegerField()
    granted = models.PositiveSmallIntegerField(default=0)
    status = models.CharField(
        max_length=16, choices=[(s.value, s.value) for s in LaneStatus], default=LaneStatus.WAITING.value
    )
    asked_at = models.DateTimeField(null=True, blank=True)
    asked_by = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        ordering = ["experiment_id", "number"]
        constraints = [
            models.UniqueConstraint(fields=["experiment", "number"], name="lane_number_once_per_experiment"),
            models.CheckConstraint(condition=Q(status__in=[s.value for s in LaneStatus]), name="lane_status_is_known"),
        ]
        indexes = [models.Index(fields=["status", "leased_until"], name="lane_by_status")]

    def __str__(self) -> str:
        return f"{self.experiment_id}[{self.number}]"

    @classmethod
    def note_dispatch(cls, pks: Collection[int]) -> None:
        """Remember when messages were sent. Lanes that somebody holds at this moment are passed over, not waited for:
        who sends may hold a lane himself, and the sweep sends what is not noted once more at worst.
        """
        with transaction.atomic():
            free = cls.objects.select_for_update(skip_locked=True).filter(pk__in=pks).order_by("pk")
            cls.objects.filter(pk__in=list(free.values_list("pk", flat=True))).update(dispatched_at=Now())


class DatapointRun(LeasedWork):
    """One execution of the target on one datapoint. Ends with exactly one stored session.

    attempts = failures + lost_attempts + 1 while running or completed: every call was written down before it was made.
    """

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="datapoint_runs")
    snapshot = models.ForeignKey(DatapointSnapshot, on_delete=models.RESTRICT, related_name="+")
    datapoint_key = models.CharField(max_length=255)
    repetition = models.PositiveSmallIntegerField(default=0)
    rank = models.PositiveIntegerField(help_text="place in the seeded random order; repetitions of a datapoint follow")
    status = models.CharField(
        max_length=16, choices=[(s.value, s.value) for s in DatapointRunStatus], default=DatapointRunStatus.PENDING
    )
    failures = models.PositiveIntegerField(default=0, help_text="attempts that ended with an error")
    failures_forgiven = models.PositiveIntegerField(
        default=0, help_text="failures of before the last retry of failed ones, which the retry policy does not count"
    )
    lost_attempts = models.PositiveIntegerField(default=0, help_text="attempts whose worker died")
    lost_forgiven = models.PositiveIntegerField(default=0, help_text="of these, the ones before that retry")
    session_key = models.UUIDField()
    latency_ms = models.FloatField(null=True, blank=True)
    prompt_tokens = models.PositiveIntegerField(null=True, blank=True)
    completion_tokens = models.PositiveIntegerField(null=True, blank=True)
    cost = models.DecimalField(max_digits=18, decimal_places=9, null=True, blank=True)
    error_class = models.CharField(max_length=64, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    # One entry for each failed attempt: attempt, error_class, message, latency_ms, at (ISO 8601).
    attempt_errors = models.JSONField(default=list, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["experiment_id", "rank"]
        constraints = [
            models.UniqueConstraint(fields=["experiment", "rank"], name="datapoint_run_rank_once"),
            models.UniqueConstraint(
                fields=["experiment", "datapoint_key", "repetition"], name="datapoint_run_once_per_repetition"
            ),
            models.CheckConstraint(
                condition=Q(status__in=[s.value for s in DatapointRunStatus]), name="datapoint_run_status_is_known"
            ),
        ]
        indexes = [
            # One for each state that is looked for: with statistics of an early hour the planner would else walk over
            # all finished rows to find a few that wait.
            models.Index(
                fields=["experiment", "rank"],
                name="datapoint_run_pending",
                condition=Q(status=DatapointRunStatus.PENDING.value),
            ),
            models.Index(
                fields=["experiment", "leased_until"],
                name="datapoint_run_running",
                condition=Q(status=DatapointRunStatus.RUNNING.value),
            ),
            models.Index(
                fields=["experiment", "rank"],
                name="datapoint_run_failed",
                condition=Q(status=DatapointRunStatus.FAILED.value),
            ),
            models.Index(fields=["experiment", "finished_at"], name="datapoint_run_by_finish"),
            models.Index(fields=["lease_holder"], name="datapoint_run_by_holder", condition=~Q(lease_holder="")),
        ]

    def __str__(self) -> str:
        return f"{self.experiment_id} {self.datapoint_key}#{self.repetition}"
