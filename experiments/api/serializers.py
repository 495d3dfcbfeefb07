"""Shapes of the native API's answers."""

from typing import Any

from rest_framework import serializers

from experiments.api.experiment_shapes import PinnedDatasetOut
from experiments.models import EVENT_TYPES, Run


class DatasetOut(serializers.Serializer[Any]):
    """A dataset without its datapoints."""

    id = serializers.CharField(source="public_id")
    name = serializers.CharField()
    description = serializers.CharField()
    revision = serializers.IntegerField(help_text="counts changes of content")
    datapoint_count = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class DatasetIn(serializers.Serializer[Any]):
    """What creating a dataset takes."""

    name = serializers.CharField(max_length=255, required=False)
    description = serializers.CharField(required=False)
    datapoints = serializers.ListField(child=serializers.CharField(), required=False)


class MemberOut(serializers.Serializer[Any]):
    """A datapoint in its place."""

    position = serializers.IntegerField()
    id = serializers.CharField(source="datapoint.public_id")
    inputs = serializers.JSONField(source="datapoint.inputs")
    history = serializers.JSONField(source="datapoint.history")
    ground_truth = serializers.JSONField(source="datapoint.ground_truth", allow_null=True)
    metadata = serializers.JSONField(source="datapoint.metadata", allow_null=True)
    linked_event = serializers.CharField(source="datapoint.linked_event", allow_null=True)
    created_at = serializers.DateTimeField(source="datapoint.created_at")
    updated_at = serializers.DateTimeField(source="datapoint.updated_at")


class RunOut(serializers.Serializer[Any]):
    """A run without the list of its events."""

    id = serializers.CharField(source="public_id")
    run_id = serializers.CharField(source="run_key")
    name = serializers.CharField()
    description = serializers.CharField()
    status = serializers.CharField()
    dataset_id = serializers.SerializerMethodField()
    metadata = serializers.JSONField()
    configuration = serializers.JSONField()
    results = serializers.JSONField()
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)

    def get_dataset_id(self, run: Run) -> str | None:
        """Of a managed dataset, or the client's own `EXT-…`."""
        return run.dataset.public_id if run.dataset else run.offline_dataset_id or None


class RunWithEventsOut(RunOut):
    """A run with the session ids its client reported, or the dataset version that it was pinned to by the server."""

    event_ids = serializers.JSONField()
    dataset_version = PinnedDatasetOut(
        source="experiment.dataset_version",
        default=None,
        allow_null=True,
        help_text="of runs that the server executes; null for those of clients",
    )


class EventOut(serializers.Serializer[Any]):
    """An event; times are epoch milliseconds."""

    event_id = serializers.UUIDField(source="event_key")
    session_id = serializers.UUIDField(source="session_key")
    parent_id = serializers.UUIDField(source="parent_key", allow_null=True)
    event_type = serializers.CharField()
    event_name = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]
    run_id = serializers.CharField(source="run_key", allow_null=True)
    dataset_id = serializers.CharField(source="dataset_key", allow_null=True)
    datapoint_id = serializers.CharField(source="datapoint_key", allow_null=True)
    start_time_ms = serializers.FloatField(source="start_time")
    end_time_ms = serializers.FloatField(source="end_time")
    duration_ms = serializers.FloatField(source="duration")
    error = serializers.CharField(allow_null=True)
    inputs = serializers.JSONField()
    outputs = serializers.JSONField()
    config = serializers.JSONField()
    metadata = serializers.JSONField()
    metrics = serializers.JSONField()
    feedback = serializers.JSONField()
    user_properties = serializers.JSONField()


class EventPageOut(serializers.Serializer[Any]):
    """Events, and where to go on."""

    results = EventOut(many=True)
    next_cursor = serializers.CharField(allow_null=True, help_text="send as `cursor`; null on the last page")


class EventFiltersIn(serializers.Serializer[Any]):
    """Query parameters that choose events."""

    run_id = serializers.CharField(required=False, max_length=255)
    session_id = serializers.UUIDField(required=False)
    event_type = serializers.ChoiceField(required=False, choices=[(name, name) for name in EVENT_TYPES])
    event_name = serializers.CharField(required=False)
    start_after_ms = serializers.FloatField(required=False, help_text="epoch milliseconds, inclusive")
    start_before_ms = serializers.FloatField(required=False, help_text="epoch milliseconds, inclusive")
