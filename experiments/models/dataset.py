"""Datasets: named, ordered collections of datapoints."""

from django.db import models
from django.db.models import Q

from governance.models import Project
from governance.models.project import new_public_id


class Dataset(models.Model):
    """A named list of datapoints; the order of memberships is the order of evaluation."""

    public_id = models.CharField(max_length=24, unique=True, default=new_public_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="datasets")
    name = models.CharField(max_length=255)
    description = models.TextField(blank=True, default="")
    # Counts changes of content; part of what a result or an export was made from.
    revision = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="dataset_name_once_per_project"),
            models.CheckConstraint(condition=~Q(name=""), name="dataset_name_is_not_empty"),
        ]
        indexes = [models.Index(fields=["project", "-created_at", "-id"], name="dataset_by_project")]

    def __str__(self) -> str:
        return self.name
