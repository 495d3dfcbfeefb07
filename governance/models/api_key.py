"""API keys: the secret itself is never stored."""

from django.db import models

from governance.domain.actions import KeyKind
from governance.models.project import Project, new_public_id


class ApiKey(models.Model):
    """A key of one project. `prefix` is what people see; `token_hash` is HMAC-SHA-256 under the pepper."""

    public_id = models.CharField(max_length=24, unique=True, default=new_public_id, editable=False)
    # Keys die with their project; audit entries keep copies of the names.
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="api_keys")
    kind = models.CharField(max_length=16, choices=[(kind.value, kind.value) for kind in KeyKind])
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True, default="")
    prefix = models.CharField(max_length=40)
    token_hash = models.CharField(max_length=64, unique=True)
    # Subset of the kind's actions; empty means all of them.
    scopes = models.JSONField(default=list, blank=True)
    created_by = models.CharField(max_length=200, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["project_id", "-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__in=[kind.value for kind in KeyKind]), name="api_key_kind_is_known"
            )
        ]
        indexes = [models.Index(fields=["project", "-created_at"], name="api_key_by_project")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
