"""Bodies and answers of `/api/v1/ab/judging-pools…`: what is read is strict, what is shown is described for OpenAPI."""

from typing import Any

from pydantic import BaseModel, ConfigDict
from rest_framework import serializers

from embeddings_ab.models import JudgingPool
from embeddings_ab.services.judging import DEFAULT_SCALE


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class PoolBody(_Strict):
    """A new pool. The service says what may be in it."""

    test_id: str
    name: str
    depth: int = 10
    guidelines: str = ""
    scale: list[Any] = list(DEFAULT_SCALE)
    labels_per_item: int = 1
    only_unjudged: bool = True


class LabelBody(_Strict):
    """One label of a batch."""

    query_id: str
    document_id: str
    grade: int
    source: str = "llm"
    labeller: str = ""
    comment: str = ""


class LabelsBody(_Strict):
    """A batch of labels."""

    labels: list[LabelBody]


class AssignBody(_Strict):
    """Who judges; nobody named: anybody may."""

    users: list[str]


class PublishBody(_Strict):
    """What is published, and how several labels of one document settle."""

    source: str
    rule: str = "majority"
    name: str = ""
    overwrite: bool = False
    dry_run: bool = False


class ScaleGradeOut(serializers.Serializer[Any]):
    """One grade of a scale."""

    grade = serializers.IntegerField(min_value=0, max_value=9)
    label = serializers.CharField(max_length=40)  # type: ignore[assignment]
    help = serializers.CharField(required=False, allow_blank=True)


class PoolIn(serializers.Serializer[Any]):
    """What a new pool takes."""

    test_id = serializers.CharField(help_text="a completed or incomplete A/B test")
    name = serializers.CharField(max_length=120)
    depth = serializers.IntegerField(
        required=False, min_value=1, max_value=100, default=10, help_text="ranks of each arm that are pooled"
    )
    guidelines = serializers.CharField(required=False, allow_blank=True)
    scale = ScaleGradeOut(many=True, required=False)
    labels_per_item = serializers.IntegerField(
        required=False, min_value=1, max_value=10, default=1, help_text="human labels that every document needs"
    )
    only_unjudged = serializers.BooleanField(required=False, default=True)


class PoolOut(serializers.Serializer[Any]):
    """One pool."""

    id = serializers.CharField(source="public_id")
    name = serializers.CharField()
    test_id = serializers.SerializerMethodField(allow_null=True)
    query_set = serializers.CharField(source="query_set.public_id")
    query_set_name = serializers.CharField(source="query_set.name")
    query_set_version = serializers.IntegerField(source="query_set.version")
    depth = serializers.IntegerField()
    guidelines = serializers.CharField()
    scale = ScaleGradeOut(many=True)
    labels_per_item = serializers.IntegerField()
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()

    def get_test_id(self, pool: JudgingPool) -> str | None:
        """None once the test is deleted."""
        return pool.test.public_id if pool.test is not None else None


class LabellerOut(serializers.Serializer[Any]):
    """What one labeller has done."""

    source = serializers.ChoiceField(choices=["human", "llm"])  # type: ignore[assignment]
    labeller = serializers.CharField()
    labels = serializers.IntegerField()
    last_at = serializers.DateTimeField()


class PoolProgressOut(serializers.Serializer[Any]):
    """How far a pool is."""

    items = serializers.IntegerField()
    done = serializers.IntegerField(help_text="documents with as many human labels as labels_per_item")
    labelled = serializers.DictField(child=serializers.IntegerField(), help_text="documents with a label, by source")
    labellers = LabellerOut(many=True)


class PoolDetailOut(PoolOut):
    """One pool, and how far it is."""

    progress = PoolProgressOut()


class LabelOut(serializers.Serializer[Any]):
    """One label."""

    source = serializers.CharField()  # type: ignore[assignment]
    labeller = serializers.CharField()
    grade = serializers.IntegerField()
    comment = serializers.CharField()
    updated_at = serializers.DateTimeField()


class PoolItemOut(serializers.Serializer[Any]):
    """One document to judge for one query, with the labels it has."""

    query_id = serializers.CharField()
    query = serializers.CharField(help_text="text of the query")
    document_id = serializers.CharField()
    title = serializers.CharField(required=False, help_text="with texts=true")
    text = serializers.CharField(required=False, help_text="with texts=true")
    priority = serializers.FloatField(help_text="how much the label may move the verdict; see the manual")
    found_by = serializers.DictField(child=serializers.IntegerField(), help_text="rank by arm")
    assigned_to = serializers.CharField()
    labels = LabelOut(many=True)


class ItemParametersIn(serializers.Serializer[Any]):
    """What is shown of items."""

    texts = serializers.BooleanField(required=False, default=False, help_text="With title and text of each document.")


class LabelIn(serializers.Serializer[Any]):
    """One label. Models are named by `labeller`; a signed-in person's own labels leave it out."""

    query_id = serializers.CharField(max_length=255)
    document_id = serializers.CharField(max_length=255)
    grade = serializers.IntegerField()
    source = serializers.ChoiceField(choices=["llm", "human"], required=False, default="llm")  # type: ignore[assignment]
    labeller = serializers.CharField(required=False, max_length=150)
    comment = serializers.CharField(required=False, max_length=2000)


class LabelsIn(serializers.Serializer[Any]):
    """A batch of at most 1,000 labels, stored whole or not at all."""

    labels = LabelIn(many=True)


class LabelCountsOut(serializers.Serializer[Any]):
    """What a batch did."""

    labels = serializers.IntegerField()
    new = serializers.IntegerField()
    changed = serializers.IntegerField(help_text="same source and labeller, another grade than before")


class AssignIn(serializers.Serializer[Any]):
    """Members who shall judge; an empty list frees everything."""

    users = serializers.ListField(child=serializers.CharField())


class AssignedOut(serializers.Serializer[Any]):
    """How many documents were dealt or freed."""

    items = serializers.IntegerField()


class GroupAgreementOut(serializers.Serializer[Any]):
    """Krippendorff's alpha of the labellers of one source; null where undefined."""

    n = serializers.IntegerField(help_text="documents with two labels or more")
    labellers = serializers.IntegerField()
    labels = serializers.IntegerField()
    nominal = serializers.FloatField(allow_null=True)
    ordinal = serializers.FloatField(allow_null=True)
    interval = serializers.FloatField(allow_null=True)
    words = serializers.CharField()


class PairAgreementOut(serializers.Serializer[Any]):
    """Cohen's kappa of two labellers or sources, plain and with quadratic weights; null where undefined."""

    a = serializers.CharField()
    b = serializers.CharField()
    n = serializers.IntegerField(help_text="documents that both graded")
    agreed = serializers.IntegerField()
    kappa = serializers.FloatField(allow_null=True)
    weighted_kappa = serializers.FloatField(allow_null=True)
    words = serializers.CharField()


class AgreementOut(serializers.Serializer[Any]):
    """Agreement within sources, of pairs of labellers, and between sources."""

    groups = serializers.DictField(child=GroupAgreementOut())
    labellers = serializers.DictField(child=serializers.ListField(child=PairAgreementOut()))
    sources = PairAgreementOut(many=True)


class PublishIn(serializers.Serializer[Any]):
    """What is published."""

    source = serializers.ChoiceField(choices=["human", "llm"])  # type: ignore[assignment]
    rule = serializers.ChoiceField(choices=["majority", "mean", "latest"], required=False, default="majority")
    name = serializers.CharField(required=False, allow_blank=True, help_text="another query set than the pool's")
    overwrite = serializers.BooleanField(
        required=False, default=False, help_text="also replace judgments of other sources"
    )
    dry_run = serializers.BooleanField(required=False, default=False, help_text="count, and write nothing")


class PublicationOut(serializers.Serializer[Any]):
    """What publishing wrote, or with dry_run would write."""

    query_set = serializers.CharField(allow_null=True, help_text="id of the version; null with dry_run")
    version = serializers.IntegerField(allow_null=True)
    is_new = serializers.BooleanField()
    base = serializers.CharField(help_text="the version that the labels were merged into")
    new = serializers.IntegerField()
    changed = serializers.IntegerField()
    same = serializers.IntegerField()
    kept = serializers.IntegerField(help_text="judged by another source, which stays")
    judgments = serializers.IntegerField()
