"""Read-only lists of everything experiments store, for the installation's operators only."""

from typing import Any

from django.db.models import Model, QuerySet
from django.http import HttpRequest

from experiments.models import Datapoint, Dataset, Event, Metric, Run
from governance.admin.records import RecordAdmin

JSON_COLUMNS = ("inputs", "outputs", "config", "metadata", "metrics", "feedback", "user_properties", "children_ids")


class RunAdmin(RecordAdmin):
    list_display = ["name", "project", "run_key", "status", "created_at", "finished_at"]
    list_select_related = ["project"]
    search_fields = ["run_key", "name"]


class DatasetAdmin(RecordAdmin):
    list_display = ["name", "project", "public_id", "revision", "created_at"]
    list_select_related = ["project"]
    search_fields = ["name", "public_id"]


class DatapointAdmin(RecordAdmin):
    list_display = ["public_id", "project", "created_at", "updated_at"]
    list_select_related = ["project"]
    search_fields = ["public_id"]


class MetricAdmin(RecordAdmin):
    list_display = ["name", "project", "type", "return_type", "direction", "threshold"]
    list_select_related = ["project"]
    search_fields = ["name"]


class EventAdmin(RecordAdmin):
    list_display = ["event_name", "project", "event_type", "event_key", "session_key", "run_key", "created_at"]
    list_select_related = ["project"]
    ordering = ["-id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        """Lists leave the large columns in the database."""
        rows: QuerySet[Event] = super().get_queryset(request)
        match = request.resolver_match
        return rows.defer(*JSON_COLUMNS) if match and (match.url_name or "").endswith("_changelist") else rows


RECORDS: list[tuple[type[Model], type[Any]]] = [
    (Run, RunAdmin),
    (Dataset, DatasetAdmin),
    (Datapoint, DatapointAdmin),
    (Metric, MetricAdmin),
    (Event, EventAdmin),
]
