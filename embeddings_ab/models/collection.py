"""Collections, the spaces of their vectors, and the cache of vectors by text: rows are the truth, files are copies."""

from django.db import models
from django.db.models import Q

from embeddings_ab.domain.statuses import COLLECTION_LIVE, CollectionStatus
from embeddings_ab.models.corpus import Corpus
from embeddings_ab.models.query_set import QuerySet
from governance.models import Project
from governance.models.leased_work import LeasedWork
from governance.models.project import new_public_id


class EmbeddingSpace(models.Model):
    """Everything that changes a vector, by hash: vectors of one space may stand beside each other.

    `generation` grows when the canary texts show another model behind the same name; older ones serve no new build.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="embedding_spaces")
    identity_hash = models.CharField(max_length=64)
    generation = models.PositiveIntegerField(default=1)
    identity = models.JSONField()
    provider = models.CharField(max_length=32)
    model = models.CharField(max_length=200)
    revision = models.CharField(max_length=200)
    dimensions = models.PositiveIntegerField()
    canary = models.BinaryField(help_text="float32 vectors of the canary texts")
    canary_checked_at = models.DateTimeField()
    is_current = models.BooleanField(default=True)
    last_used_at = models.DateTimeField(auto_now_add=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "identity_hash", "generation"], name="embedding_space_generation_is_unique"
            ),
            models.UniqueConstraint(
                fields=["project", "identity_hash"],
                condition=Q(is_current=True),
                name="embedding_space_has_one_current_generation",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.model} {self.revision}"


class Embedding(models.Model):
    """The vector of one text in one space, as float32 bytes."""

    space = models.ForeignKey(EmbeddingSpace, on_delete=models.CASCADE, related_name="embeddings")
    text_hash = models.CharField(max_length=64)
    vector = models.BinaryField()
    tokens = models.PositiveIntegerField(default=0)
    latency_ms = models.FloatField(null=True, help_text="of a single uncached call; None for texts of a batch")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["space", "text_hash"], name="embedding_once_per_text")]

    def __str__(self) -> str:
        return self.text_hash


class CollectionKind(models.TextChoices):
    DOCUMENTS = "documents", "document vectors"
    QUERIES = "queries", "query vectors"
    LEXICAL = "lexical", "lexical index"


class Collection(LeasedWork):
    """Vectors of a corpus or of a query set, or a lexical index; shared by all arms with the same recipe."""

    public_id = models.CharField(max_length=24, unique=True, default=new_public_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="collections")
    kind = models.CharField(max_length=16, choices=CollectionKind)
    content_hash = models.CharField(max_length=64, help_text="SHA-256 of the recipe")
    recipe = models.JSONField(help_text="everything that changes the content")
    corpus = models.ForeignKey(Corpus, on_delete=models.RESTRICT, related_name="collections")
    query_set = models.ForeignKey(
        QuerySet, on_delete=models.RESTRICT, null=True, blank=True, related_name="collections"
    )
    space = models.ForeignKey(
        EmbeddingSpace, on_delete=models.SET_NULL, null=True, blank=True, related_name="collections"
    )
    status = models.CharField(
        max_length=16, choices=[(s.value, s.value) for s in CollectionStatus], default=CollectionStatus.PENDING.value
    )
    error_code = models.CharField(max_length=64, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    document_count = models.PositiveIntegerField(default=0)
    chunk_count = models.PositiveIntegerField(null=True, help_text="None until the texts are cut")
    chunks_done = models.PositiveIntegerField(default=0)
    token_count = models.PositiveBigIntegerField(default=0)
    cache_hits = models.PositiveIntegerField(default=0, help_text="distinct texts whose vector was there before")
    embedded_count = models.PositiveIntegerField(default=0, help_text="distinct texts embedded for this collection")
    provider_calls = models.PositiveIntegerField(default=0)
    provider_seconds = models.FloatField(default=0)
    build_seconds = models.FloatField(default=0)
    byte_count = models.PositiveBigIntegerField(default=0)
    cost = models.DecimalField(max_digits=18, decimal_places=8, null=True, help_text="None while no price is known")
    currency = models.CharField(max_length=3, blank=True, default="")
    # What is taken from the quotas and not yet spent; given back when the build ends.
    reserved_chunks = models.PositiveIntegerField(default=0)
    reserved_tokens = models.PositiveBigIntegerField(default=0)
    reserved_month = models.DateField(null=True, blank=True, help_text="month the tokens were reserved in")
    reserved_bytes = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    ready_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "content_hash"],
                condition=Q(status__in=[s.value for s in sorted(COLLECTION_LIVE)]),
                name="collection_is_live_once_per_content",
            ),
            # Builds of one space follow each other, so that a text which two of them share is embedded once.
            models.UniqueConstraint(
                fields=["space"], condition=Q(status="building"), name="collection_builds_once_per_space"
            ),
            models.CheckConstraint(
                condition=Q(status__in=[s.value for s in sorted(CollectionStatus)]), name="collection_status_is_known"
            ),
            models.CheckConstraint(condition=Q(kind__in=CollectionKind.values), name="collection_kind_is_known"),
        ]
        indexes = [
            models.Index(fields=["project", "-id"], name="collection_by_project"),
            models.Index(fields=["status", "next_attempt_at"], name="collection_by_status"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.content_hash[:12]} {self.status}"
