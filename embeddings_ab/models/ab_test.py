"""Tests, their arms, what each arm found for each query, and which collections a test holds."""

from django.db import models
from django.db.models import Q

from embeddings_ab.domain.statuses import ArmStatus, TestStatus
from embeddings_ab.models.collection import Collection
from embeddings_ab.models.corpus import Corpus
from embeddings_ab.models.query_set import Query, QuerySet
from governance.models import Project
from governance.models.leased_work import LeasedWork
from governance.models.project import new_public_id


class AbTest(LeasedWork):
    """One comparison. All that decides (primary metric, control, margin, alpha, seed, arms) is hashed at creation."""

    public_id = models.CharField(max_length=24, unique=True, default=new_public_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="ab_tests")
    name = models.CharField(max_length=200)
    corpus = models.ForeignKey(Corpus, on_delete=models.RESTRICT, related_name="ab_tests")
    query_set = models.ForeignKey(QuerySet, on_delete=models.RESTRICT, related_name="ab_tests")
    status = models.CharField(
        max_length=16, choices=[(s.value, s.value) for s in TestStatus], default=TestStatus.CREATED.value
    )
    spec = models.JSONField(help_text="the whole specification with every default written out")
    registration_hash = models.CharField(max_length=64, help_text="SHA-256 over spec and content hashes, at creation")
    primary_metric = models.CharField(max_length=32)
    control = models.CharField(max_length=64)
    seed = models.PositiveBigIntegerField()
    created_by = models.CharField(max_length=240, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    deadline_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="when it lets go of its collections")
    error_code = models.CharField(max_length=64, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    report = models.JSONField(null=True, help_text="aggregates, comparisons, verdicts; see domain/report.py")
    report_hash = models.CharField(max_length=64, blank=True, default="")
    result_count = models.PositiveIntegerField(default=0, help_text="stored, so that pages need not count")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=[s.value for s in sorted(TestStatus)]), name="ab_test_status_is_known"
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["completed", "incomplete"]) | Q(report__isnull=False),
                name="ab_test_ends_with_a_report",
            ),
        ]
        indexes = [
            models.Index(fields=["project", "-id"], name="ab_test_by_project"),
            models.Index(fields=["project", "status", "-id"], name="ab_test_by_status"),
            models.Index(fields=["status", "leased_until"], name="ab_test_by_lease"),
        ]

    def __str__(self) -> str:
        return self.name


class Arm(LeasedWork):
    """One way to retrieve. Its status is its own: a failed arm does not undo the others."""

    test = models.ForeignKey(AbTest, on_delete=models.CASCADE, related_name="arms")
    name = models.CharField(max_length=64)
    position = models.PositiveSmallIntegerField()
    spec = models.JSONField(help_text="its part of the specification, defaults written out")
    status = models.CharField(
        max_length=16, choices=[(s.value, s.value) for s in ArmStatus], default=ArmStatus.PENDING.value
    )
    documents = models.ForeignKey(Collection, on_delete=models.RESTRICT, null=True, related_name="+")
    queries = models.ForeignKey(Collection, on_delete=models.RESTRICT, null=True, related_name="+")
    lexical = models.ForeignKey(Collection, on_delete=models.RESTRICT, null=True, related_name="+")
    error_code = models.CharField(max_length=64, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    queries_done = models.PositiveIntegerField(default=0)
    queries_failed = models.PositiveIntegerField(default=0)
    stats = models.JSONField(
        default=dict, help_text="documents, chunks, tokens, revision, cache hits, seconds, bytes, cost"
    )
    latency = models.JSONField(default=dict, help_text="p50, p95, p99 in ms of embed, search, fuse, rerank, total")
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["test_id", "position"]
        constraints = [
            models.UniqueConstraint(fields=["test", "name"], name="arm_name_is_unique_in_test"),
            models.CheckConstraint(
                condition=Q(status__in=[s.value for s in sorted(ArmStatus)]), name="arm_status_is_known"
            ),
        ]
        indexes = [models.Index(fields=["status", "leased_until"], name="arm_by_status")]

    def __str__(self) -> str:
        return self.name


class CollectionUse(models.Model):
    """A test holds a collection until its clean-up; a collection that nobody holds may be deleted."""

    test = models.ForeignKey(AbTest, on_delete=models.CASCADE, related_name="collection_uses")
    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="uses")

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["test", "collection"], name="collection_use_is_unique")]

    def __str__(self) -> str:
        return f"{self.test_id} holds {self.collection_id}"


class QueryResult(models.Model):
    """What one arm found for one query. A second run of the same arm replaces it: never two rows."""

    test = models.ForeignKey(AbTest, on_delete=models.CASCADE, related_name="results")
    arm = models.ForeignKey(Arm, on_delete=models.CASCADE, related_name="results")
    query = models.ForeignKey(Query, on_delete=models.RESTRICT, related_name="results")
    is_failed = models.BooleanField(default=False)
    error_code = models.CharField(max_length=64, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    ranked_ids = models.JSONField(default=list, help_text="external ids of documents, best first")
    scores = models.JSONField(default=list, help_text="rounded to 6 decimals")
    metrics = models.JSONField(default=dict, help_text="value by measure; None where no document is relevant")
    stages = models.JSONField(default=dict, help_text="rank of each relevant document in each stage")
    latency = models.JSONField(null=True, help_text="ms by step, for queries of the latency sample")

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["arm", "query"], name="query_result_is_unique")]
        indexes = [
            models.Index(fields=["test", "id"], name="query_result_by_test"),
            models.Index(fields=["test", "id"], condition=Q(is_failed=True), name="query_result_failed"),
        ]

    def __str__(self) -> str:
        return f"{self.arm_id} {self.query_id}"


class UploadedRun(models.Model):
    """A ranking made elsewhere (a TREC run), to be an arm of tests over one query set."""

    public_id = models.CharField(max_length=24, unique=True, default=new_public_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="uploaded_runs")
    query_set = models.ForeignKey(QuerySet, on_delete=models.RESTRICT, related_name="uploaded_runs")
    name = models.CharField(max_length=120)
    content_hash = models.CharField(max_length=64)
    rankings = models.JSONField(help_text="by query id: document ids and scores, best first")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="uploaded_run_name_is_unique")]

    def __str__(self) -> str:
        return self.name
