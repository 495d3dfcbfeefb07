"""Shapes of what is imported, for answers and the OpenAPI file."""

from typing import Any

from rest_framework import serializers


class ImportOut(serializers.Serializer[Any]):
    """What an import did."""

    is_new = serializers.BooleanField(help_text="false: the newest version held the same already")
    counts = serializers.DictField(child=serializers.IntegerField())
    warnings = serializers.ListField(child=serializers.CharField())


class CorpusOut(serializers.Serializer[Any]):
    """One version of a corpus, without its documents."""

    id = serializers.CharField(source="public_id")
    name = serializers.CharField()
    version = serializers.IntegerField()
    description = serializers.CharField()
    content_hash = serializers.CharField()
    document_count = serializers.IntegerField()
    empty_count = serializers.IntegerField(help_text="documents without any text")
    character_count = serializers.IntegerField()
    source = serializers.JSONField()  # type: ignore[assignment]
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()


class ImportedCorpusOut(CorpusOut):
    """The same, and what the import did."""

    imported = ImportOut()


class DocumentOut(serializers.Serializer[Any]):
    """One document in its place by id, bytes ascending."""

    id = serializers.CharField(source="external_id")
    ordinal = serializers.IntegerField()
    title = serializers.CharField()
    text = serializers.CharField()
    metadata = serializers.JSONField()


class DocumentIn(serializers.Serializer[Any]):
    """A document; other keys become metadata."""

    id = serializers.CharField(max_length=255)
    text = serializers.CharField(allow_blank=True)
    title = serializers.CharField(required=False, allow_blank=True)
    metadata = serializers.DictField(required=False)


class CorpusIn(serializers.Serializer[Any]):
    """What importing a corpus takes."""

    name = serializers.CharField(max_length=120)
    documents = DocumentIn(many=True)
    description = serializers.CharField(required=False, allow_blank=True)
    source = serializers.DictField(required=False, help_text="format and file names, kept as they are")  # type: ignore[assignment]


class DifferenceOut(serializers.Serializer[Any]):
    """Documents from an old version to a new one."""

    added = serializers.IntegerField()
    removed = serializers.IntegerField()
    changed = serializers.IntegerField(help_text="title, text or metadata")
    unchanged = serializers.IntegerField()


class QuerySetOut(serializers.Serializer[Any]):
    """One version of a query set, without its queries."""

    id = serializers.CharField(source="public_id")
    name = serializers.CharField()
    version = serializers.IntegerField()
    corpus = serializers.CharField(source="corpus.public_id")
    corpus_name = serializers.CharField(source="corpus.name")
    corpus_version = serializers.IntegerField(source="corpus.version")
    description = serializers.CharField()
    content_hash = serializers.CharField()
    query_count = serializers.IntegerField()
    judged_query_count = serializers.IntegerField(help_text="queries with at least one judgment")
    judgment_count = serializers.IntegerField()
    greatest_grade = serializers.IntegerField()
    source = serializers.JSONField()  # type: ignore[assignment]
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()


class ImportedQuerySetOut(QuerySetOut):
    """The same, and what the import did."""

    imported = ImportOut()


class QueryOut(serializers.Serializer[Any]):
    """One query in its place by id, bytes ascending."""

    id = serializers.CharField(source="external_id")
    ordinal = serializers.IntegerField()
    text = serializers.CharField()
    metadata = serializers.JSONField()
    judgment_count = serializers.IntegerField()


class QueryIn(serializers.Serializer[Any]):
    """A query; other keys become metadata."""

    id = serializers.CharField(max_length=255)
    text = serializers.CharField()
    metadata = serializers.DictField(required=False)


class JudgmentIn(serializers.Serializer[Any]):
    """A grade: 0 is not relevant, greater is more relevant."""

    query_id = serializers.CharField(max_length=255)
    document_id = serializers.CharField(max_length=255)
    grade = serializers.IntegerField()


class QuerySetIn(serializers.Serializer[Any]):
    """What importing a query set takes."""

    name = serializers.CharField(max_length=120)
    corpus = serializers.CharField(help_text="name, name@version or id")
    queries = QueryIn(many=True)
    judgments = JudgmentIn(many=True, required=False)
    grade_map = serializers.DictField(
        required=False,
        allow_null=True,
        child=serializers.IntegerField(),
        help_text="new grade by grade as sent; needed for negative grades and scales that run backwards",
    )
    drop_dangling = serializers.BooleanField(
        required=False, help_text="leave out judgments of documents and queries that are not there"
    )
    description = serializers.CharField(required=False, allow_blank=True)
    source = serializers.DictField(required=False, help_text="format and file names, kept as they are")  # type: ignore[assignment]


class UploadedRunOut(serializers.Serializer[Any]):
    """An uploaded run, without its rankings."""

    id = serializers.CharField(source="public_id")
    name = serializers.CharField()
    query_set = serializers.CharField(source="query_set.public_id")
    query_set_name = serializers.CharField(source="query_set.name")
    query_set_version = serializers.IntegerField(source="query_set.version")
    content_hash = serializers.CharField()
    created_at = serializers.DateTimeField()


class ImportedRunOut(UploadedRunOut):
    """The same, and what the import did."""

    imported = ImportOut()


class RankedIn(serializers.Serializer[Any]):
    """One document of a ranking; greater scores are better."""

    document_id = serializers.CharField(max_length=255)
    score = serializers.FloatField()


class UploadedRunIn(serializers.Serializer[Any]):
    """What uploading a run takes: `rankings` or `trec`."""

    name = serializers.CharField(max_length=120)
    query_set = serializers.CharField(help_text="name, name@version or id")
    rankings = serializers.DictField(
        required=False, child=serializers.ListField(child=RankedIn()), help_text="by query id"
    )
    trec = serializers.CharField(required=False, help_text="six columns: query, Q0, document, rank, score, tag")
    drop_dangling = serializers.BooleanField(
        required=False, help_text="leave out documents and queries that are not there"
    )
