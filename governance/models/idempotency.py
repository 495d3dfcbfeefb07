"""Answers kept for `Idempotency-Key`, so that a repeated create returns the first answer."""

from django.db import models

from governance.models.project import Project


class IdempotentAnswer(models.Model):
    """One create request's answer. The row is inserted in the transaction of the create itself."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="idempotent_answers")
    key = models.CharField(max_length=255)
    route = models.CharField(max_length=200)
    request_hash = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(default=0)
    body = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "route", "key"], name="idempotent_answer_once_per_key")
        ]
        indexes = [models.Index(fields=["created_at"], name="idempotent_answer_by_age")]

    def __str__(self) -> str:
        return f"{self.route} {self.key}"
