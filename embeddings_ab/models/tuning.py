"""Searches for the best configuration, cross-validated."""

from django.db import models
from django.db.models import Q

from embeddings_ab.domain.statuses import TuningStatus
from embeddings_ab.models.ab_test import AbTest
from governance.models.leased_work import LeasedWork
from governance.models.project import new_public_id


class Tuning(LeasedWork):
    """A grid over a finished test's arms; scored from vectors that are there: nothing is embedded."""

    public_id = models.CharField(max_length=24, unique=True, default=new_public_id, editable=False)
    test = models.ForeignKey(AbTest, on_delete=models.CASCADE, related_name="tunings")
    spec = models.JSONField(help_text="arms, grid, measure, folds, seed")
    status = models.CharField(
        max_length=16, choices=[(s.value, s.value) for s in TuningStatus], default=TuningStatus.PENDING.value
    )
    result = models.JSONField(null=True)
    error_code = models.CharField(max_length=64, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    created_by = models.CharField(max_length=240, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=[s.value for s in sorted(TuningStatus)]), name="tuning_status_is_known"
            )
        ]
        indexes = [models.Index(fields=["status", "leased_until"], name="tuning_by_status")]

    def __str__(self) -> str:
        return f"{self.public_id} {self.status}"
