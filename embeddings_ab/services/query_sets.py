"""Use cases that write query sets: queries and graded judgments, immutable by version, checked against a corpus."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from django.db import transaction

from embeddings_ab.domain.importing.checks import CheckedQuerySet, check_query_set
from embeddings_ab.domain.importing.faults import Faults
from embeddings_ab.domain.importing.rows import ImportSummary, JudgmentRow, QueryRow
from embeddings_ab.domain.names import valid_name
from embeddings_ab.domain.statuses import CollectionStatus
from embeddings_ab.models import Collection, Corpus, Judgment, Query, QuerySet
from embeddings_ab.selectors.corpora import find_corpus, known_documents
from embeddings_ab.selectors.query_sets import find_query_set
from embeddings_ab.services.corpora import BATCH, refuse_while_used, require_still_there
from embeddings_ab.services.versions import newest_or_next
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.errors import InvalidInput, NotFound
from governance.services import audit


def import_query_set(
    *,
    caller: Caller,
    name: str,
    corpus: str,
    queries: Iterable[QueryRow],
    judgments: Iterable[JudgmentRow],
    grade_map: Mapping[int, int] | None = None,
    drop_dangling: bool = False,
    description: str = "",
    source: Mapping[str, Any] | None = None,
    faults: Faults | None = None,
) -> tuple[QuerySet, ImportSummary]:
    """Store queries and judgments as the next version of `name`, or return the newest version when it is the same.

    `corpus` is a name, name@version or id. The same content over another version of the same corpus is the same query
    set; over another corpus it is a new version. Rules and refusals: `domain/importing/checks.py`.
    """
    caller.require(Action.AB_WRITE)
    name = valid_name(name, noun="query set")
    found = find_corpus(caller, corpus)
    try:
        checked = check_query_set(
            queries,
            judgments,
            known_documents=partial(known_documents, found),
            grade_map=grade_map,
            drop_dangling=drop_dangling,
            faults=Faults() if faults is None else faults,
        )
    except InvalidInput:
        require_still_there(found, field="corpus")  # without it every document dangles
        raise
    with transaction.atomic():
        query_set, is_new = _stored(caller, name, _kept(found), checked, description, dict(source or {}))
    return query_set, _summary(checked, is_new)


def _kept(corpus: Corpus) -> Corpus:
    """The corpus, locked against deletion until commit, but not against others that refer to it."""
    require_still_there(corpus, field="corpus", locked=True)
    return corpus


def _stored(
    caller: Caller,
    name: str,
    corpus: Corpus,
    checked: CheckedQuerySet,
    description: str,
    source: dict[str, Any],
) -> tuple[QuerySet, bool]:
    def newest() -> QuerySet | None:
        rows = QuerySet.objects.filter(project_id=caller.project_id, name=name).select_related("corpus")
        return rows.order_by("-version").first()

    def is_same(found: QuerySet) -> bool:
        return found.content_hash == checked.content_hash and found.corpus.name == corpus.name

    def make(version: int) -> QuerySet:
        return QuerySet.objects.create(
            project_id=caller.project_id,
            corpus=corpus,
            name=name,
            version=version,
            description=description,
            content_hash=checked.content_hash,
            query_count=len(checked.queries),
            judged_query_count=checked.judged_count,
            judgment_count=len(checked.judgments),
            greatest_grade=checked.greatest_grade,
            source=source,
            created_by=caller.actor_label[:240],
        )

    query_set, is_new = newest_or_next(newest, is_same, make)
    if not is_new:
        return query_set, False
    _insert(query_set, checked)
    audit.record(
        caller=caller,
        action="query_set.import",
        target_kind="query_set",
        target_id=query_set.public_id,
        target_label=str(query_set),
        after={
            "name": name,
            "version": query_set.version,
            "corpus": str(corpus),
            "queries": query_set.query_count,
            "judgments": query_set.judgment_count,
            "hash": query_set.content_hash,
        },
    )
    return query_set, True


def _insert(query_set: QuerySet, checked: CheckedQuerySet) -> None:
    pks: dict[str, int] = {}
    for start in range(0, len(checked.queries), BATCH):
        rows = checked.queries[start : start + BATCH]
        stored = Query.objects.bulk_create(
            Query(query_set=query_set, external_id=row.id, ordinal=ordinal, text=row.text, metadata=row.metadata)
            for ordinal, row in enumerate(rows, start)
        )
        pks.update((query.external_id, query.pk) for query in stored)
    for start in range(0, len(checked.judgments), BATCH):
        Judgment.objects.bulk_create(
            Judgment(query_id=pks[row.query_id], document_id=row.document_id, grade=row.grade, source=row.source)
            for row in checked.judgments[start : start + BATCH]
        )


def _summary(checked: CheckedQuerySet, is_new: bool) -> ImportSummary:
    unjudged = len(checked.queries) - checked.judged_count
    counts = {
        "queries": len(checked.queries),
        "judged_queries": checked.judged_count,
        "unjudged_queries": unjudged,
        "judgments": len(checked.judgments),
        "nul_replaced": checked.nul_count,
        **checked.dropped,
    }
    warnings = list(checked.warnings)
    if unjudged and checked.judgments:
        warnings.append(f"{unjudged} queries have no judgment; they are left out of every mean.")
    for kind in ("dangling_documents", "dangling_queries"):
        if count := checked.dropped[kind]:
            warnings.append(f"{count} judgments were left out ({kind.replace('_', ' ')}).")
    return ImportSummary(is_new, counts, tuple(warnings))


@transaction.atomic
def delete_query_set(*, caller: Caller, query_set_id: str) -> str:
    """Delete one version with its queries and judgments. Returns its public id.

    Refused with a sentence while tests, uploaded runs, judging pools or collections refer to it.
    """
    caller.require(Action.AB_WRITE)
    found = find_query_set(caller, query_set_id, field="query_set_id")
    query_set = QuerySet.objects.select_for_update().filter(pk=found.pk).first()
    if query_set is None:
        raise NotFound(f"Field 'query_set_id': {found} was deleted in this moment.", field="query_set_id")
    live = query_set.collections.exclude(status=CollectionStatus.DELETED.value)
    few = slice(0, 4)
    refuse_while_used(
        str(query_set),
        noun="query set",
        users={
            "tests": list(query_set.ab_tests.order_by("id").values_list("name", flat=True)[few]),
            "uploaded runs": list(query_set.uploaded_runs.order_by("id").values_list("name", flat=True)[few]),
            "judging pools": list(query_set.judging_pools.order_by("id").values_list("name", flat=True)[few]),
            "collections": list(live.order_by("id").values_list("public_id", flat=True)[few]),
        },
    )
    public_id, label = query_set.public_id, str(query_set)
    before = {
        "name": query_set.name,
        "version": query_set.version,
        "queries": query_set.query_count,
        "judgments": query_set.judgment_count,
    }
    Collection.objects.filter(query_set=query_set, status=CollectionStatus.DELETED.value).delete()
    query_set.delete()
    audit.record(
        caller=caller,
        action="query_set.delete",
        target_kind="query_set",
        target_id=public_id,
        target_label=label,
        before=before,
    )
    return public_id
