"""Shapes of the answers about tests, results and collections."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from embeddings_ab.models import AbTest, Collection
from embeddings_ab.selectors.reports import has_report


class FailureOut(serializers.Serializer[Any]):
    """Why something did not succeed."""

    code = serializers.CharField(help_text="stable, for programs")
    message = serializers.CharField()


@extend_schema_field(FailureOut(allow_null=True))
class FailureField(serializers.Field[Any, Any, Any, Any]):
    """Code and sentence of a row's failure, or null."""

    def __init__(self) -> None:
        super().__init__(source="*", read_only=True)

    def to_representation(self, value: Any) -> dict[str, str] | None:
        """From the two columns that every job has."""
        return failure(value.error_code, value.error_message)


def failure(code: str, message: str) -> dict[str, str] | None:
    """The shape of `FailureOut`; no code, no failure."""
    return {"code": code, "message": message} if code else None


class VersionOut(serializers.Serializer[Any]):
    """A version of a corpus or of a query set."""

    id = serializers.CharField(source="public_id")
    name = serializers.CharField()
    version = serializers.IntegerField()
    content_hash = serializers.CharField()


class AbTestOut(serializers.Serializer[Any]):
    """A test without its arms and report."""

    id = serializers.CharField(source="public_id")
    name = serializers.CharField()
    status = serializers.CharField()
    corpus = VersionOut()
    query_set = VersionOut()
    primary_metric = serializers.CharField()
    control = serializers.CharField()
    registration_hash = serializers.CharField(help_text="over all that decides, made at creation")
    report_hash = serializers.CharField(help_text="empty until the test has a report")
    result_count = serializers.IntegerField(help_text="results stored when the report was written")
    error = FailureField()
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    deadline_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True, help_text="when it lets go of its collections")


class ArmOut(serializers.Serializer[Any]):
    """An arm: what was asked for, where it stands, what it took."""

    name = serializers.CharField()
    position = serializers.IntegerField()
    status = serializers.CharField()
    spec = serializers.DictField(help_text="every default written out")
    queries_done = serializers.IntegerField()
    queries_failed = serializers.IntegerField()
    stats = serializers.DictField(help_text="documents, chunks, tokens, revision, cache hits, seconds, bytes, cost")
    latency = serializers.DictField(help_text="p50, p95, p99 in ms of embed, search, fuse, rerank, total")
    error = FailureField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class AbTestDetailOut(AbTestOut):
    """A test with its arms, its whole specification and, once it has ended, its report.

    The view gives the arms as `context["arms"]`, so that they are read once.
    """

    seed = serializers.IntegerField()
    spec = serializers.DictField(help_text="every default written out")
    arms = serializers.SerializerMethodField()
    report = serializers.SerializerMethodField(
        help_text="aggregates, comparisons with verdicts, slices, losses; null until the test has ended"
    )

    @extend_schema_field(ArmOut(many=True))
    def get_arms(self, test: AbTest) -> list[dict[str, Any]]:
        """In the order of the specification."""
        return [dict(ArmOut(arm).data) for arm in self.context["arms"]]

    def get_report(self, test: AbTest) -> dict[str, Any] | None:
        """A test that goes on again shows none until it ends."""
        return test.report if has_report(test) else None


class CollectionOut(serializers.Serializer[Any]):
    """A collection: what it was made from, how far its build is, what it took, who holds it."""

    id = serializers.CharField(source="public_id")
    kind = serializers.CharField()
    status = serializers.CharField()
    content_hash = serializers.CharField()
    corpus = VersionOut()
    query_set = VersionOut(allow_null=True)
    provider = serializers.SerializerMethodField(help_text="null for a lexical index")
    model = serializers.SerializerMethodField(method_name="model_of")
    revision = serializers.SerializerMethodField(help_text="what really answered, not what was asked for")
    dimensions = serializers.SerializerMethodField()
    document_count = serializers.IntegerField()
    chunk_count = serializers.IntegerField(allow_null=True, help_text="null until the texts are cut")
    chunks_done = serializers.IntegerField()
    token_count = serializers.IntegerField()
    cache_hits = serializers.IntegerField()
    embedded_count = serializers.IntegerField()
    provider_calls = serializers.IntegerField()
    build_seconds = serializers.FloatField()
    byte_count = serializers.IntegerField()
    cost = serializers.DecimalField(max_digits=18, decimal_places=8, allow_null=True, help_text="null: no price known")
    currency = serializers.CharField()
    holders = serializers.IntegerField(help_text="tests that hold it; one that nobody holds may be deleted")
    error = FailureField()
    created_at = serializers.DateTimeField()
    ready_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField()

    def get_provider(self, row: Collection) -> str | None:
        """Of its space."""
        return row.space.provider if row.space else None

    def model_of(self, row: Collection) -> str | None:
        """Of its space."""
        return row.space.model if row.space else None

    def get_revision(self, row: Collection) -> str | None:
        """Of its space."""
        return row.space.revision if row.space else None

    def get_dimensions(self, row: Collection) -> int | None:
        """Of its space."""
        return row.space.dimensions if row.space else None


class CollectionDetailOut(CollectionOut):
    """A collection with everything that its content depends on."""

    recipe = serializers.DictField()


class ArmProgressOut(serializers.Serializer[Any]):
    """How far one arm is."""

    status = serializers.CharField()
    chunks_done = serializers.IntegerField()
    chunks = serializers.IntegerField()
    queries_done = serializers.IntegerField()
    queries = serializers.IntegerField()
    queries_failed = serializers.IntegerField()
    fraction = serializers.FloatField()
    error = FailureOut(allow_null=True)


class ProgressOut(serializers.Serializer[Any]):
    """How far a test is."""

    status = serializers.CharField()
    arms = serializers.DictField(child=ArmProgressOut())
    fraction = serializers.FloatField(help_text="0 to 1")
    eta_seconds = serializers.FloatField(allow_null=True)
    error = FailureOut(allow_null=True)


class ArmPlanOut(serializers.Serializer[Any]):
    """What one arm would take."""

    documents = serializers.IntegerField()
    chunks = serializers.IntegerField()
    texts_to_embed = serializers.IntegerField()
    cached = serializers.IntegerField()
    provider_calls = serializers.IntegerField()
    tokens = serializers.IntegerField()
    cost = serializers.CharField(allow_null=True, help_text="null while no price is known")
    currency = serializers.CharField()
    minutes = serializers.FloatField(allow_null=True)


class PlanOut(serializers.Serializer[Any]):
    """What a test would take; nothing is started."""

    arms = serializers.DictField(child=ArmPlanOut())
    queries = serializers.IntegerField()
    warnings = serializers.ListField(child=serializers.CharField())


class FoundOut(serializers.Serializer[Any]):
    """What an arm found for a query."""

    arm = serializers.CharField()
    is_failed = serializers.BooleanField()
    error = FailureOut(allow_null=True)
    ranked_ids = serializers.ListField(child=serializers.CharField(), help_text="best first")
    scores = serializers.ListField(child=serializers.FloatField())
    metrics = serializers.DictField(child=serializers.FloatField(allow_null=True))
    latency = serializers.DictField(
        child=serializers.FloatField(), allow_null=True, help_text="ms by step, for queries of the latency sample"
    )


class ResultOut(FoundOut):
    """One result; `ranked_ids` and `scores` are cut at `depth`."""

    id = serializers.IntegerField()
    query_id = serializers.CharField()


class ResultPlaceOut(serializers.Serializer[Any]):
    """Where a page of results stands; `page` and `has_prev` are null on pages asked for by `after`."""

    page = serializers.IntegerField(allow_null=True)
    limit = serializers.IntegerField()
    total = serializers.IntegerField()
    total_pages = serializers.IntegerField()
    has_next = serializers.BooleanField()
    has_prev = serializers.BooleanField(allow_null=True)


class ResultPageOut(serializers.Serializer[Any]):
    """Results, where they stand, and where to go on."""

    results = ResultOut(many=True)
    pagination = ResultPlaceOut()
    next_cursor = serializers.CharField(allow_null=True, help_text="send as `after`; null on the last page")


class FoundWithStagesOut(FoundOut):
    """The same with the rank of every relevant document in each stage."""

    stages = serializers.DictField()


class QueryDetailOut(serializers.Serializer[Any]):
    """One query and what every arm found for it."""

    query_id = serializers.CharField()
    text = serializers.CharField()
    metadata = serializers.DictField()
    judgments = serializers.DictField(child=serializers.IntegerField(), help_text="grade by document id")
    arms = FoundWithStagesOut(many=True)


class MoverOut(serializers.Serializer[Any]):
    """A query that an arm moved."""

    query_id = serializers.CharField()
    text = serializers.CharField()
    kind = serializers.CharField(help_text="wins, losses or ties")
    value = serializers.FloatField(help_text="of the arm")
    against = serializers.FloatField(help_text="of the arm it is compared with")
    difference = serializers.FloatField(help_text="value - against")


class AggregatesOut(serializers.Serializer[Any]):
    """Means with intervals, bounds, latency and cost of every arm."""

    test_id = serializers.CharField()
    status = serializers.CharField()
    report_hash = serializers.CharField()
    primary_metric = serializers.CharField()
    control = serializers.CharField()
    arms = serializers.ListField(child=serializers.DictField())
    agreement = serializers.ListField(child=serializers.DictField(), help_text="RBO and Jaccard; need no judgments")
    losses = serializers.DictField(help_text="by arm: lost queries and the stages to blame")
    warnings = serializers.ListField(child=serializers.CharField())


class SignificanceOut(serializers.Serializer[Any]):
    """Comparisons of one measure against the control."""

    test_id = serializers.CharField()
    report_hash = serializers.CharField()
    metric = serializers.CharField()
    role = serializers.CharField(help_text="primary or exploratory")
    control = serializers.CharField()
    alpha = serializers.FloatField()
    margin = serializers.FloatField(allow_null=True)
    seed = serializers.IntegerField()
    draws = serializers.IntegerField()
    comparisons = serializers.ListField(
        child=serializers.DictField(), help_text="difference, interval, p, adjusted p, wins, verdict, sentence, …"
    )
    all_pairs = serializers.ListField(child=serializers.DictField(), help_text="randomised Tukey, from three arms on")
    slices = serializers.ListField(child=serializers.DictField())
    warnings = serializers.ListField(child=serializers.CharField())
