"""Shapes of answers about dataset versions."""

from typing import Any

from rest_framework import serializers

from experiments.domain.dataset_versions import CONTENT_FIELDS


class DatasetVersionOut(serializers.Serializer[Any]):
    """A version of a dataset; it never changes."""

    id = serializers.CharField(source="public_id")
    dataset_id = serializers.CharField(source="dataset_key")
    dataset_name = serializers.CharField(help_text="when the version was made")
    number = serializers.IntegerField()
    content_hash = serializers.CharField(help_text="SHA-256; equal contents in equal order have equal hashes")
    datapoint_count = serializers.IntegerField()
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()


class _Content(serializers.Serializer[Any]):
    inputs = serializers.JSONField()
    history = serializers.JSONField()
    ground_truth = serializers.JSONField(allow_null=True)
    metadata = serializers.JSONField(allow_null=True)


class VersionedDatapointOut(serializers.Serializer[Any]):
    """A datapoint as a version holds it."""

    position = serializers.IntegerField(help_text="place in the order of evaluation, from 0")
    id = serializers.CharField(source="snapshot.datapoint_key")
    content_hash = serializers.CharField(source="snapshot.content_hash")
    inputs = serializers.JSONField(source="snapshot.inputs")
    history = serializers.JSONField(source="snapshot.history")
    ground_truth = serializers.JSONField(source="snapshot.ground_truth", allow_null=True)
    metadata = serializers.JSONField(source="snapshot.metadata", allow_null=True)


class _SideOut(serializers.Serializer[Any]):
    position = serializers.IntegerField()
    content = _Content()


class VersionChangeOut(serializers.Serializer[Any]):
    """A datapoint that two versions hold differently."""

    datapoint_id = serializers.CharField()
    kind = serializers.ChoiceField(choices=["removed", "added", "changed"])
    changed_fields = serializers.ListField(
        child=serializers.ChoiceField(choices=CONTENT_FIELDS), help_text="which differ; of changed ones alone"
    )
    old = _SideOut(allow_null=True)
    new = _SideOut(allow_null=True)


class VersionDiffOut(serializers.Serializer[Any]):
    """How two versions differ as wholes."""

    old = DatasetVersionOut()
    new = DatasetVersionOut()
    added = serializers.IntegerField()
    removed = serializers.IntegerField()
    changed = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    moved = serializers.IntegerField(help_text="the fewest datapoints to move for the new order of the common ones")


class _PlaceOut(serializers.Serializer[Any]):
    page = serializers.IntegerField()
    limit = serializers.IntegerField()
    total = serializers.IntegerField()
    total_pages = serializers.IntegerField()
    has_next = serializers.BooleanField()
    has_prev = serializers.BooleanField()


class VersionDiffPageOut(serializers.Serializer[Any]):
    """One page of the datapoints that differ, below the counts of the whole."""

    diff = VersionDiffOut()
    results = VersionChangeOut(many=True)
    pagination = _PlaceOut()
