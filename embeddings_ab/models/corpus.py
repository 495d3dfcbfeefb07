"""Corpora and their documents: every version is immutable and addressed by its content."""

from django.db import models
from django.db.models import Q

from governance.models import Project
from governance.models.project import new_public_id


class Corpus(models.Model):
    """One version of a named set of documents. A change of one document makes the next version."""

    public_id = models.CharField(max_length=24, unique=True, default=new_public_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="corpora")
    name = models.CharField(max_length=120)
    version = models.PositiveIntegerField()
    description = models.TextField(blank=True, default="")
    content_hash = models.CharField(max_length=64, help_text="SHA-256 over all documents in order of their ids")
    document_count = models.PositiveIntegerField()
    empty_count = models.PositiveIntegerField(default=0, help_text="documents without any text")
    character_count = models.PositiveBigIntegerField()
    source = models.JSONField(default=dict, help_text="format and file names of the import")
    created_by = models.CharField(max_length=240, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "corpora"
        constraints = [
            models.UniqueConstraint(fields=["project", "name", "version"], name="corpus_version_is_unique"),
            models.CheckConstraint(condition=Q(version__gte=1), name="corpus_version_starts_at_one"),
        ]
        indexes = [
            models.Index(fields=["project", "-id"], name="corpus_by_project"),
            models.Index(fields=["project", "content_hash"], name="corpus_by_content"),
        ]

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


class Document(models.Model):
    """One document of one corpus version. `ordinal` is its place by id, bytes ascending: what rankings count in."""

    corpus = models.ForeignKey(Corpus, on_delete=models.CASCADE, related_name="documents")
    external_id = models.CharField(max_length=255)
    ordinal = models.PositiveIntegerField()
    title = models.TextField(blank=True, default="")
    text = models.TextField(blank=True, default="")
    metadata = models.JSONField(default=dict)

    class Meta:
        ordering = ["corpus_id", "ordinal"]
        constraints = [
            models.UniqueConstraint(fields=["corpus", "external_id"], name="document_once_per_corpus"),
            models.UniqueConstraint(fields=["corpus", "ordinal"], name="document_ordinal_is_unique"),
        ]

    def __str__(self) -> str:
        return self.external_id

    @property
    def full_text(self) -> str:
        """Title, a blank, body: what is chunked, embedded and indexed."""
        return f"{self.title} {self.text}".strip()
