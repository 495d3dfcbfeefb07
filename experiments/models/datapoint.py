"""Datapoints and their place in datasets."""

from django.db import models

from experiments.models.dataset import Dataset
from governance.models import Project
from governance.models.project import new_public_id


class Datapoint(models.Model):
    """Inputs, chat history and ground truth of one case. May belong to several datasets."""

    public_id = models.CharField(max_length=24, unique=True, default=new_public_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="datapoints")
    inputs = models.JSONField(default=dict, blank=True)
    history = models.JSONField(default=list, blank=True)
    ground_truth = models.JSONField(null=True, blank=True)
    metadata = models.JSONField(null=True, blank=True)
    linked_event = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001 - null on the wire
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["project", "id"], name="datapoint_by_project")]

    def __str__(self) -> str:
        return self.public_id


class DatasetMembership(models.Model):
    """A datapoint's place in a dataset."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="memberships")
    # A deleted datapoint leaves every dataset.
    datapoint = models.ForeignKey(Datapoint, on_delete=models.CASCADE, related_name="memberships")
    position = models.PositiveIntegerField()

    class Meta:
        ordering = ["dataset_id", "position", "id"]
        constraints = [models.UniqueConstraint(fields=["dataset", "datapoint"], name="datapoint_once_per_dataset")]
        indexes = [models.Index(fields=["dataset", "position", "id"], name="membership_by_position")]

    def __str__(self) -> str:
        return f"{self.dataset_id}[{self.position}]"
