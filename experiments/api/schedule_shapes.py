"""Shapes of requests and answers about schedules."""

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers

from experiments.domain.crontab import in_words
from experiments.domain.schedule_spec import ScheduleBody, ScheduleChanges
from experiments.models import ExperimentSchedule
from governance.api.spec_schema import described


class BodySchema(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """How the body of a create is described. Before the library's own extension, which speaks OpenAPI 3.1."""

    target_class = ScheduleBody
    priority = 1

    def get_name(self, auto_schema: AutoSchema, direction: Any) -> str:
        """Name of the component."""
        return "ScheduleBody"

    def map_serializer(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        """The component."""
        return described(ScheduleBody, auto_schema, prefix="Schedule")


class ChangesSchema(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """How the body of a change is described."""

    target_class = ScheduleChanges
    priority = 1

    def get_name(self, auto_schema: AutoSchema, direction: Any) -> str:
        """Name of the component."""
        return "ScheduleChanges"

    def map_serializer(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        """The component."""
        return described(ScheduleChanges, auto_schema, prefix="Schedule")


class ScheduleOut(serializers.Serializer[Any]):
    """A schedule: when it starts what, and how that went."""

    id = serializers.CharField(source="public_id")
    name = serializers.CharField()
    crontab = serializers.CharField(help_text="minute, hour, day of month, month, day of week (0 is Sunday)")
    timezone = serializers.CharField()
    rhythm = serializers.SerializerMethodField(help_text="the crontab line in words")
    baseline = serializers.DictField(help_text="what a started experiment is compared with, chosen at each start")
    is_enabled = serializers.BooleanField()
    is_switched_off_by_operator = serializers.BooleanField(
        source="is_switched_off", help_text="in the table of periodic tasks; then nothing starts by the clock either"
    )
    next_due_at = serializers.DateTimeField(allow_null=True, help_text="null while it is switched off")
    last_started_at = serializers.DateTimeField(allow_null=True)
    last_run_id = serializers.CharField(source="last_run_key", allow_null=True)
    last_error = serializers.CharField(help_text="why the last turn started nothing; empty when it did")
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def get_rhythm(self, schedule: ExperimentSchedule) -> str:
        """Such as "Every day at 02:00 Europe/Vienna"."""
        return in_words(schedule.crontab, schedule.timezone)


class ScheduleDetailOut(ScheduleOut):
    """A schedule with what it starts."""

    spec = serializers.DictField(help_text="that of POST /api/v1/experiments, every default written out")
