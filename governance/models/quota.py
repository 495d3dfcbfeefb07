"""Quotas, blocks reserved from them for ingestion, and what ingestion really counted."""

from django.db import models
from django.db.models import F, Q

from governance.models.api_key import ApiKey
from governance.models.project import Project


class Resource(models.TextChoices):
    """What is limited. `MONTHLY_RESOURCES` are counted per calendar month (UTC), the others are stock."""

    EVENTS = "events"
    RUNS = "runs"
    DATASETS = "datasets"
    DATAPOINTS = "datapoints"
    API_KEYS = "api_keys"
    CORPUS_DOCUMENTS = "corpus_documents"
    COLLECTIONS = "collections"
    CHUNKS = "chunks"
    VECTOR_BYTES = "vector_bytes"
    AB_TESTS = "ab_tests"
    EMBEDDING_TOKENS = "embedding_tokens"


MONTHLY_RESOURCES = frozenset({Resource.EVENTS, Resource.EMBEDDING_TOKENS})


class Quota(models.Model):
    """Ceiling and use of one resource in one project. Reserved by one conditional UPDATE, backed by a CHECK."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="quotas")
    resource = models.CharField(max_length=24, choices=Resource)
    ceiling = models.BigIntegerField()
    used = models.BigIntegerField(default=0)
    period_start = models.DateField(null=True, blank=True, help_text="first day of the month; empty for stock")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["project_id", "resource"]
        constraints = [
            models.UniqueConstraint(fields=["project", "resource"], name="quota_once_per_resource"),
            models.CheckConstraint(condition=Q(used__gte=0), name="quota_used_is_not_negative"),
            models.CheckConstraint(condition=Q(used__lte=F("ceiling")), name="quota_used_is_within_ceiling"),
            models.CheckConstraint(condition=Q(resource__in=Resource.values), name="quota_resource_is_known"),
        ]

    def __str__(self) -> str:
        return f"{self.resource} {self.used}/{self.ceiling}"


class QuotaBlock(models.Model):
    """Events one process reserved ahead. After its lease the sweep gives back what was not counted."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="quota_blocks")
    holder = models.CharField(max_length=64)
    period_start = models.DateField()
    size = models.PositiveBigIntegerField()
    leased_until = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["leased_until"], name="quota_block_by_lease")]

    def __str__(self) -> str:
        return f"{self.size} for {self.holder}"


class IngestionCount(models.Model):
    """Events stored through one key in one hour. `slot` spreads concurrent writers over rows; sum over it."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="ingestion_counts")
    # Counts outlive their key.
    api_key = models.ForeignKey(ApiKey, on_delete=models.SET_NULL, null=True, related_name="ingestion_counts")
    key_label = models.CharField(max_length=240)
    hour = models.DateTimeField()
    slot = models.PositiveSmallIntegerField(default=0)
    requests = models.PositiveBigIntegerField(default=0)
    events = models.PositiveBigIntegerField(default=0)
    rejected = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ["-hour", "key_label", "slot"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "key_label", "hour", "slot"], name="ingestion_count_once_per_slot"
            )
        ]
        indexes = [models.Index(fields=["project", "-hour"], name="ingestion_count_by_hour")]

    def __str__(self) -> str:
        return f"{self.events} events by {self.key_label} in {self.hour:%Y-%m-%d %H}h"
