"""Projects and their members: the tenant boundary of everything."""

import secrets

from django.conf import settings
from django.db import models

from governance.domain.actions import Role

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: nothing that looks like something else


def new_public_id() -> str:
    """A random id of 24 characters (120 bits), safe in URLs, the only kind of id that leaves the house."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(24))


class ProjectStatus(models.TextChoices):
    ACTIVE = "active"
    SUSPENDED = "suspended"


class Project(models.Model):
    """A tenant. Suspended projects answer 403 to every key."""

    public_id = models.CharField(max_length=24, unique=True, default=new_public_id, editable=False)
    name = models.CharField(max_length=200, unique=True)
    description = models.TextField(blank=True, default="")
    status = models.CharField(max_length=16, choices=ProjectStatus, default=ProjectStatus.ACTIVE)
    # Bumped by every change of a project metric: part of the identity of computed results.
    metrics_revision = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=models.Q(status__in=ProjectStatus.values), name="project_status_is_known"),
            models.CheckConstraint(condition=~models.Q(name=""), name="project_name_is_not_empty"),
        ]

    def __str__(self) -> str:
        return self.name


class Member(models.Model):
    """A user's role in a project."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=[(role.value, role.value) for role in Role])
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["project_id", "user_id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "user"], name="member_once_per_project"),
            models.CheckConstraint(
                condition=models.Q(role__in=[role.value for role in Role]), name="member_role_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} as {self.role} in {self.project_id}"
