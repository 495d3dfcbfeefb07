"""Reads of query sets, queries, judgments and uploaded runs, always inside the caller's project."""

from collections.abc import Iterator

from django.db.models import F, Func, IntegerField, OuterRef, QuerySet, Subquery

from embeddings_ab.domain.importing.rows import JudgmentRow, QueryRow
from embeddings_ab.models import Judgment, Query, UploadedRun
from embeddings_ab.models import QuerySet as StoredQuerySet
from embeddings_ab.selectors.versions import find_version
from governance.domain.caller import Caller
from governance.domain.errors import NotFound

_BATCH = 1000


def query_sets(caller: Caller) -> "QuerySet[StoredQuerySet]":
    """The project's query sets, all versions, newest first, with their corpora."""
    return StoredQuerySet.objects.filter(project_id=caller.project_id).select_related("corpus").order_by("-id")


def find_query_set(caller: Caller, text: str, *, field: str = "query_set") -> StoredQuerySet:
    """One version by `name` (the newest), `name@3` or public id, or `NotFound`."""
    return find_version(query_sets(caller), text, noun="query set", field=field)


def queries_in_order(query_set: StoredQuerySet) -> "QuerySet[Query]":
    """Queries by ordinal, each with `judgment_count`."""
    judgments = Judgment.objects.filter(query=OuterRef("pk")).order_by()
    count = judgments.annotate(n=Func(F("pk"), function="COUNT")).values("n")
    rows = Query.objects.filter(query_set=query_set).annotate(judgment_count=Subquery(count, IntegerField()))
    return rows.order_by("ordinal")


def iter_queries(query_set: StoredQuerySet) -> Iterator[QueryRow]:
    """Queries by ordinal, read in batches."""
    rows = Query.objects.filter(query_set=query_set).order_by("ordinal")
    for row in rows.values_list("external_id", "text", "metadata").iterator(chunk_size=_BATCH):
        yield QueryRow(*row)


def iter_judgments(query_set: StoredQuerySet) -> Iterator[JudgmentRow]:
    """Judgments by ordinal of their query, then in order of import: by document id, bytes ascending."""
    rows = Judgment.objects.filter(query__query_set=query_set).order_by("query__ordinal", "id")
    for row in rows.values_list("query__external_id", "document_id", "grade", "source").iterator(chunk_size=_BATCH):
        yield JudgmentRow(*row)


def grades_by_query(query_set: StoredQuerySet) -> dict[str, dict[str, int]]:
    """Grades by query id and document id; queries without judgments are not in it."""
    found: dict[str, dict[str, int]] = {}
    for row in iter_judgments(query_set):
        found.setdefault(row.query_id, {})[row.document_id] = row.grade
    return found


def uploaded_runs(caller: Caller) -> "QuerySet[UploadedRun]":
    """The project's uploaded runs, newest first, without their rankings until asked for."""
    rows = UploadedRun.objects.filter(project_id=caller.project_id)
    return rows.select_related("query_set").defer("rankings").order_by("-id")


def find_uploaded_run(caller: Caller, text: str, *, field: str = "run") -> UploadedRun:
    """One run by name or public id, or `NotFound`."""
    rows = uploaded_runs(caller)
    found = None
    if "\x00" not in text:
        found = rows.filter(name=text.strip()).first() or rows.filter(public_id=text.strip()).first()
    if found is None:
        raise NotFound(
            f"Field {field!r}: this project has no uploaded run {text[:80]!r}. GET /api/v1/ab/runs lists them.",
            field=field,
            value=text[:200],
        )
    return found
