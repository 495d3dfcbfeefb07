"""Query sets with graded judgments: every version is immutable and addressed by its content."""

from django.db import models
from django.db.models import Q

from embeddings_ab.models.corpus import Corpus
from governance.models import Project
from governance.models.project import new_public_id


class JudgmentSource(models.TextChoices):
    """Where a grade comes from; never mixed unseen."""

    IMPORTED = "imported"
    HUMAN = "human"
    LLM = "llm"


class QuerySet(models.Model):
    """One version of a named set of queries; it goes with any version of its corpus that has the judged documents."""

    public_id = models.CharField(max_length=24, unique=True, default=new_public_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="query_sets")
    # The version it was checked against at import.
    corpus = models.ForeignKey(Corpus, on_delete=models.RESTRICT, related_name="query_sets")
    name = models.CharField(max_length=120)
    version = models.PositiveIntegerField()
    description = models.TextField(blank=True, default="")
    content_hash = models.CharField(max_length=64, help_text="SHA-256 over queries and judgments in order of their ids")
    query_count = models.PositiveIntegerField()
    judged_query_count = models.PositiveIntegerField(help_text="queries with at least one judgment")
    judgment_count = models.PositiveIntegerField()
    greatest_grade = models.SmallIntegerField(default=1)
    source = models.JSONField(default=dict)
    created_by = models.CharField(max_length=240, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name", "version"], name="query_set_version_is_unique"),
            models.CheckConstraint(condition=Q(version__gte=1), name="query_set_version_starts_at_one"),
        ]
        indexes = [models.Index(fields=["project", "-id"], name="query_set_by_project")]

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


class Query(models.Model):
    """One query. `ordinal` is its place by id, bytes ascending."""

    query_set = models.ForeignKey(QuerySet, on_delete=models.CASCADE, related_name="queries")
    external_id = models.CharField(max_length=255)
    ordinal = models.PositiveIntegerField()
    text = models.TextField()
    metadata = models.JSONField(default=dict)

    class Meta:
        ordering = ["query_set_id", "ordinal"]
        verbose_name_plural = "queries"
        constraints = [
            models.UniqueConstraint(fields=["query_set", "external_id"], name="query_once_per_set"),
            models.UniqueConstraint(fields=["query_set", "ordinal"], name="query_ordinal_is_unique"),
        ]

    def __str__(self) -> str:
        return self.external_id


class Judgment(models.Model):
    """The grade of one document for one query; zero and below mean not relevant."""

    query = models.ForeignKey(Query, on_delete=models.CASCADE, related_name="judgments")
    document_id = models.CharField(max_length=255, help_text="external id of the document")
    grade = models.SmallIntegerField()
    source = models.CharField(max_length=16, choices=JudgmentSource, default=JudgmentSource.IMPORTED)

    class Meta:
        ordering = ["query_id", "document_id"]
        constraints = [
            models.UniqueConstraint(fields=["query", "document_id"], name="judgment_once_per_document"),
            models.CheckConstraint(condition=Q(source__in=JudgmentSource.values), name="judgment_source_is_known"),
        ]

    def __str__(self) -> str:
        return f"{self.document_id}: {self.grade}"
