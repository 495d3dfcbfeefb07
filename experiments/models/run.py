"""Experiment runs and the counter that says whether anything in them changed."""

from django.db import models
from django.db.models import Q

from experiments.domain.run_status import PREDECESSORS, TERMINAL, RunStatus
from experiments.models.dataset import Dataset
from governance.models import Project
from governance.models.project import new_public_id


class RunQuerySet(models.QuerySet["Run"]):
    """Statements on runs that must be one statement."""

    def move(self, pk: int, to: RunStatus, **stamps: object) -> bool:
        """Move one run to `to` if its present status allows it; False if it does not."""
        return self.filter(pk=pk, status__in=PREDECESSORS[to]).update(status=to, **stamps) == 1


class Run(models.Model):
    """One evaluation of one function over one dataset.

    `run_key` is the client's id (any string, unique in the project): events refer to it by text, so that
    they may arrive before the run does. An `EXT-` dataset is kept in `offline_dataset_id`, never as a
    foreign key; the wire shows it as `dataset_id`. Legacy fields (evaluators, session_ids, datapoint_ids,
    passing_ranges) live in `metadata`.
    """

    public_id = models.CharField(max_length=24, unique=True, default=new_public_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="runs")
    run_key = models.CharField(max_length=255)
    name = models.CharField(max_length=255, blank=True, default="")
    description = models.TextField(blank=True, default="")
    status = models.CharField(max_length=16, choices=[(s.value, s.value) for s in RunStatus], default=RunStatus.PENDING)
    # A run outlives its dataset: its results are still true.
    dataset = models.ForeignKey(Dataset, on_delete=models.SET_NULL, null=True, blank=True, related_name="runs")
    offline_dataset_id = models.CharField(max_length=255, blank=True, default="")
    metadata = models.JSONField(default=dict, blank=True)
    results = models.JSONField(default=dict, blank=True)
    configuration = models.JSONField(default=dict, blank=True)
    event_ids = models.JSONField(default=list, blank=True)
    created_by = models.CharField(max_length=240, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "run_key"], name="run_key_once_per_project"),
            models.CheckConstraint(condition=Q(status__in=[s.value for s in RunStatus]), name="run_status_is_known"),
            models.CheckConstraint(
                condition=Q(status__in=[s.value for s in RunStatus if s in TERMINAL], finished_at__isnull=False)
                | Q(status__in=[s.value for s in RunStatus if s not in TERMINAL], finished_at__isnull=True),
                name="run_finish_time_fits_status",
            ),
            models.CheckConstraint(condition=~Q(run_key=""), name="run_key_is_not_empty"),
        ]
        indexes = [
            models.Index(fields=["project", "-created_at", "-id"], name="run_by_creation"),
            models.Index(fields=["project", "-updated_at", "-id"], name="run_by_update"),
            models.Index(fields=["project", "name"], name="run_by_name"),
            models.Index(fields=["project", "status", "-created_at"], name="run_by_status"),
            models.Index(fields=["dataset", "-created_at"], name="run_by_dataset"),
            models.Index(
                fields=["project", "offline_dataset_id", "-created_at"],
                name="run_by_offline_dataset",
                condition=~Q(offline_dataset_id=""),
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.run_key


class RunRevision(models.Model):
    """Counts every committed change to a run or to its events, in the writer's own transaction.

    The revision of a run is the sum over its rows. `slot` spreads concurrent writers over rows, so that two
    ingestion requests of one run do not wait for each other's commit. Keyed by text because events come first.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    run_key = models.CharField(max_length=255)
    slot = models.PositiveSmallIntegerField(default=0)
    revision = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "run_key", "slot"], name="run_revision_once_per_slot")
        ]

    def __str__(self) -> str:
        return f"{self.run_key}[{self.slot}] {self.revision}"
