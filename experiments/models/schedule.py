"""Experiments that start by the clock: `django_celery_beat` holds the rhythm and the switch, this row what is due."""

from django.db import models
from django.db.models import Q

from governance.models import Project
from governance.models.project import new_public_id


class ExperimentSchedule(models.Model):
    """Start an experiment at every due time, once.

    The rhythm is a crontab line in a time zone; beat's table holds a periodic task for it. `next_due_at` moves in the
    transaction that starts the run: two beats, a late message or none at all start it exactly once.
    """

    public_id = models.CharField(max_length=24, unique=True, default=new_public_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="experiment_schedules")
    name = models.CharField(max_length=200)
    spec = models.JSONField(help_text="of the experiments to start; see domain/experiment_spec.py")
    crontab = models.CharField(max_length=120, help_text="minute hour day-of-month month day-of-week")
    timezone = models.CharField(max_length=64, default="UTC")
    # {"kind": "none"} | {"kind": "run", "run_id": …} | {"kind": "latest_with_tag", "tag": …} | {"kind": "previous"}
    baseline = models.JSONField(default=dict)
    is_enabled = models.BooleanField(default=True)
    next_due_at = models.DateTimeField(null=True, blank=True)
    last_started_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True, default="")
    created_by = models.CharField(max_length=240, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="experiment_schedule_name_once"),
            models.CheckConstraint(
                condition=Q(is_enabled=False) | Q(next_due_at__isnull=False), name="experiment_schedule_knows_its_turn"
            ),
        ]
        indexes = [models.Index(fields=["is_enabled", "next_due_at"], name="experiment_schedule_by_due")]

    def __str__(self) -> str:
        return self.name
