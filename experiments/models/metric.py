"""Project metrics: what a value means, when it passes, which direction is better."""

from django.db import models
from django.db.models import Q

from governance.models import Project
from governance.models.project import new_public_id


class MetricType(models.TextChoices):
    PYTHON = "PYTHON"
    LLM = "LLM"
    HUMAN = "HUMAN"
    COMPOSITE = "COMPOSITE"


class ReturnType(models.TextChoices):
    FLOAT = "float"
    BOOLEAN = "boolean"
    STRING = "string"
    CATEGORICAL = "categorical"


class Direction(models.TextChoices):
    HIGHER = "higher"
    LOWER = "lower"


class Metric(models.Model):
    """A metric of the project, of the wire contract's shape, plus `direction`."""

    public_id = models.CharField(max_length=24, unique=True, default=new_public_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="metrics")
    name = models.CharField(max_length=200)
    type = models.CharField(max_length=16, choices=MetricType)
    criteria = models.TextField(blank=True, default="")
    description = models.TextField(blank=True, default="")
    return_type = models.CharField(max_length=16, choices=ReturnType, default=ReturnType.FLOAT)
    direction = models.CharField(max_length=8, choices=Direction, default=Direction.HIGHER)
    enabled_in_prod = models.BooleanField(default=False)
    sampling_percentage = models.FloatField(default=100)
    model_provider = models.CharField(max_length=200, null=True, blank=True)  # noqa: DJ001 - null on the wire
    model_name = models.CharField(max_length=200, null=True, blank=True)  # noqa: DJ001
    scale = models.PositiveIntegerField(null=True, blank=True)
    threshold = models.JSONField(null=True, blank=True)
    categories = models.JSONField(null=True, blank=True)
    needs_ground_truth = models.BooleanField(default=False)
    child_metrics = models.JSONField(null=True, blank=True)
    filters = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="metric_name_once_per_project"),
            models.CheckConstraint(condition=Q(type__in=MetricType.values), name="metric_type_is_known"),
            models.CheckConstraint(condition=Q(return_type__in=ReturnType.values), name="metric_return_type_is_known"),
            models.CheckConstraint(condition=Q(direction__in=Direction.values), name="metric_direction_is_known"),
            models.CheckConstraint(
                condition=Q(sampling_percentage__gte=0, sampling_percentage__lte=100),
                name="metric_sampling_is_a_percentage",
            ),
        ]
        indexes = [models.Index(fields=["project", "type"], name="metric_by_type")]

    def __str__(self) -> str:
        return self.name


class MetricVersion(models.Model):
    """A stored wording of a metric; exactly one version of a metric is deployed."""

    metric = models.ForeignKey(Metric, on_delete=models.CASCADE, related_name="versions")
    name = models.CharField(max_length=64)
    full_sha = models.CharField(max_length=64)
    message = models.TextField(blank=True, default="")
    content = models.JSONField()
    deployed = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["metric_id", "id"]
        constraints = [
            models.UniqueConstraint(fields=["metric", "name"], name="metric_version_name_is_unique"),
            models.UniqueConstraint(fields=["metric"], condition=Q(deployed=True), name="metric_version_deployed_once"),
        ]

    def __str__(self) -> str:
        return f"{self.metric_id} {self.name}"
