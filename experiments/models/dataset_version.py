"""What a dataset held at one moment: immutable, addressed by content, so that a run can be repeated exactly."""

from django.db import models

from experiments.models.dataset import Dataset
from governance.models import Project
from governance.models.project import new_public_id


class DatapointSnapshot(models.Model):
    """The content of one datapoint at one moment; versions that hold the same content share the row. Never changed."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    content_hash = models.CharField(max_length=64, help_text="SHA-256 over the datapoint's id and content")
    datapoint_key = models.CharField(max_length=255, help_text="public id of the datapoint")
    inputs = models.JSONField(default=dict, blank=True)
    history = models.JSONField(default=list, blank=True)
    ground_truth = models.JSONField(null=True, blank=True)
    metadata = models.JSONField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "content_hash"], name="datapoint_snapshot_once_per_content"),
        ]

    def __str__(self) -> str:
        return f"{self.datapoint_key} {self.content_hash[:12]}"


class DatasetVersion(models.Model):
    """Version `number` of a dataset: which snapshots it held, in which order. Never changed; outlives its dataset."""

    public_id = models.CharField(max_length=24, unique=True, default=new_public_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="dataset_versions")
    dataset = models.ForeignKey(Dataset, on_delete=models.SET_NULL, null=True, blank=True, related_name="versions")
    dataset_key = models.CharField(max_length=24, help_text="public id of the dataset, kept when it is deleted")
    dataset_name = models.CharField(max_length=255)
    number = models.PositiveIntegerField()
    content_hash = models.CharField(max_length=64, help_text="SHA-256 over the snapshots' hashes in order")
    datapoint_count = models.PositiveIntegerField()
    # The dataset's revision when this content was last seen: while it stays, no datapoint needs to be read.
    seen_revision = models.PositiveBigIntegerField(default=0)
    created_by = models.CharField(max_length=240, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["dataset_key", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["project", "dataset_key", "number"], name="dataset_version_number_once"),
            models.UniqueConstraint(
                fields=["project", "dataset_key", "content_hash"], name="dataset_version_once_per_content"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.dataset_name}@{self.number}"


class DatasetVersionItem(models.Model):
    """Place of a snapshot in a version."""

    version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="items")
    snapshot = models.ForeignKey(DatapointSnapshot, on_delete=models.RESTRICT, related_name="+")
    position = models.PositiveIntegerField()

    class Meta:
        ordering = ["version_id", "position"]
        constraints = [
            models.UniqueConstraint(fields=["version", "position"], name="dataset_version_position_once"),
            models.UniqueConstraint(fields=["version", "snapshot"], name="dataset_version_holds_snapshot_once"),
        ]

    def __str__(self) -> str:
        return f"{self.version_id}[{self.position}]"
