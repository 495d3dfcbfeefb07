"""Credentials of providers, sealed: only workers open them."""

from django.db import models

from governance.models.project import Project, new_public_id


class Secret(models.Model):
    """A named value of a project. `sealed` opens with the installation's key `key_id` and nowhere else."""

    public_id = models.CharField(max_length=24, unique=True, default=new_public_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="secrets")
    name = models.CharField(max_length=64)
    sealed = models.TextField()
    key_id = models.CharField(max_length=16)
    created_by = models.CharField(max_length=240, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="secret_name_once_per_project"),
            models.CheckConstraint(condition=~models.Q(name=""), name="secret_name_is_not_empty"),
        ]

    def __str__(self) -> str:
        return self.name
