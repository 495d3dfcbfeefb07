"""Prompt configurations of a project and their versions; an experiment pins one version."""

from django.db import models
from django.db.models import Q

from governance.models import Project
from governance.models.project import new_public_id


class Configuration(models.Model):
    """A named prompt configuration of the wire contract. `parameters` are those of its newest version."""

    public_id = models.CharField(max_length=24, unique=True, default=new_public_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="configurations")
    name = models.CharField(max_length=255)
    type = models.CharField(max_length=16, default="LLM")
    provider = models.CharField(max_length=200)
    parameters = models.JSONField(default=dict)
    env = models.JSONField(default=list, blank=True)
    tags = models.JSONField(default=list, blank=True)
    user_properties = models.JSONField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1, help_text="number of the newest version")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="configuration_name_once_per_project"),
            models.CheckConstraint(condition=~Q(name=""), name="configuration_name_is_not_empty"),
        ]

    def __str__(self) -> str:
        return self.name


class ConfigurationVersion(models.Model):
    """What a configuration said at version `number`: provider and parameters. Never changed."""

    configuration = models.ForeignKey(Configuration, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    provider = models.CharField(max_length=200)
    parameters = models.JSONField()
    content_hash = models.CharField(max_length=64)
    created_by = models.CharField(max_length=240, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["configuration_id", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["configuration", "number"], name="configuration_version_number_once"),
        ]

    def __str__(self) -> str:
        return f"{self.configuration_id}@{self.number}"
