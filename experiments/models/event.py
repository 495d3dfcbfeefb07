"""Events: spans and sessions. A session is the event whose `event_key` equals its `session_key`."""

from django.db import models
from django.db.models import Q

from governance.models import Project

EVENT_TYPES = ("model", "tool", "chain", "session")


class Event(models.Model):
    """One event of a trace. Written in bulk by SQL (services/ingestion), so `save()` is never called.

    Keys are the client's UUIDs, unique in the project and never primary keys. `run_key`, `dataset_key` and
    `datapoint_key` repeat what `metadata` says, for the indexes. `span_key` is the UUID derived from (trace
    id, span id) when the span chose another `event_key`: children that know only the span id are linked by
    it. `is_stub` marks an event first seen through an update, before its span.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+", db_index=False)
    event_key = models.UUIDField()
    session_key = models.UUIDField()
    parent_key = models.UUIDField(null=True)
    span_key = models.UUIDField(null=True)
    event_type = models.CharField(max_length=16)
    event_name = models.TextField()
    source = models.TextField()
    run_key = models.CharField(max_length=255, null=True)  # noqa: DJ001 - null keeps it out of the partial index
    dataset_key = models.CharField(max_length=255, null=True)  # noqa: DJ001
    datapoint_key = models.CharField(max_length=255, null=True)  # noqa: DJ001
    inputs = models.JSONField(default=dict)
    outputs = models.JSONField(default=dict)
    config = models.JSONField(default=dict)
    metadata = models.JSONField(default=dict)
    metrics = models.JSONField(default=dict)
    feedback = models.JSONField(default=dict)
    user_properties = models.JSONField(default=dict)
    children_ids = models.JSONField(default=list)
    error = models.TextField(null=True)  # noqa: DJ001 - null on the wire
    start_time = models.FloatField(help_text="epoch milliseconds")
    end_time = models.FloatField(help_text="epoch milliseconds")
    duration = models.FloatField(help_text="milliseconds")
    # Largest hh-client-timestamp (ns) of the updates applied; scalars of older updates lose.
    client_timestamp = models.BigIntegerField(null=True)
    is_stub = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["start_time", "id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "event_key"], name="event_key_once_per_project"),
            models.CheckConstraint(condition=Q(event_type__in=EVENT_TYPES), name="event_type_is_known"),
        ]
        indexes = [
            models.Index(fields=["project", "session_key"], name="event_by_session"),
            models.Index(
                fields=["project", "run_key", "session_key"],
                name="event_by_run",
                condition=Q(run_key__isnull=False),
            ),
            models.Index(fields=["project", "start_time"], name="event_by_time"),
            models.Index(
                fields=["project", "start_time"],
                name="event_session_by_time",
                condition=Q(event_type="session"),
            ),
            models.Index(fields=["project", "span_key"], name="event_by_span", condition=Q(span_key__isnull=False)),
            models.Index(
                fields=["project", "datapoint_key"],
                name="event_by_datapoint",
                condition=Q(datapoint_key__isnull=False, event_type="session"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_name}"


class Measurement(models.Model):
    """One numeric or boolean metric value on one event: the rows every result is computed from.

    A copy of the numbers in `Event.metrics`, written in the same transaction, narrow and indexed by run.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+", db_index=False)
    event_key = models.UUIDField()
    name = models.CharField(max_length=255)
    value = models.FloatField()
    is_boolean = models.BooleanField(default=False)
    session_key = models.UUIDField()
    run_key = models.CharField(max_length=255, null=True)  # noqa: DJ001
    event_name = models.TextField()
    event_type = models.CharField(max_length=16)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "event_key", "name"], name="measurement_once_per_event")
        ]
        indexes = [
            models.Index(
                fields=["project", "run_key", "session_key"],
                name="measurement_by_run",
                condition=Q(run_key__isnull=False),
            ),
            models.Index(fields=["project", "session_key"], name="measurement_by_session"),
        ]

    def __str__(self) -> str:
        return f"{self.name}={self.value}"
