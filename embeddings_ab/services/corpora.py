"""Use cases that write corpora: every version is immutable, and the same content is stored once.

Locks are taken in this order: corpus, query set, quota, audit chain. Whoever makes something refer to a corpus locks
its row without blocking others that do the same (FOR NO KEY UPDATE); deleting locks it against them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction

from embeddings_ab.domain.importing.checks import CheckedCorpus, check_documents
from embeddings_ab.domain.importing.faults import Faults
from embeddings_ab.domain.importing.rows import DocumentRow, ImportSummary
from embeddings_ab.domain.names import valid_name
from embeddings_ab.domain.statuses import CollectionStatus
from embeddings_ab.models import Collection, Corpus, Document, QuerySet
from embeddings_ab.selectors.corpora import find_corpus
from embeddings_ab.services.versions import newest_or_next
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.errors import Conflict, NotFound
from governance.models import Resource
from governance.services import audit, quotas

BATCH = 1000
_NAMED = 3


def import_corpus(
    *,
    caller: Caller,
    name: str,
    documents: Iterable[DocumentRow],
    description: str = "",
    source: Mapping[str, Any] | None = None,
    faults: Faults | None = None,
) -> tuple[Corpus, ImportSummary]:
    """Store documents as the next version of `name`, or return the newest version when it holds the same already.

    `faults` is what a streaming parser behind `documents` notes into. `source` says format and file names. Everything
    is checked before anything is written; bad rows are an `InvalidInput` naming the first and counting all.
    """
    caller.require(Action.AB_WRITE)
    name = valid_name(name, noun="corpus")
    checked = check_documents(documents, Faults() if faults is None else faults)
    with transaction.atomic():
        corpus, is_new = _stored(caller, name, description, dict(source or {}), checked)
    return corpus, _summary(checked, is_new)


def _stored(
    caller: Caller, name: str, description: str, source: dict[str, Any], checked: CheckedCorpus
) -> tuple[Corpus, bool]:
    def newest() -> Corpus | None:
        return Corpus.objects.filter(project_id=caller.project_id, name=name).order_by("-version").first()

    def make(version: int) -> Corpus:
        return Corpus.objects.create(
            project_id=caller.project_id,
            name=name,
            version=version,
            description=description,
            content_hash=checked.content_hash,
            document_count=len(checked.documents),
            empty_count=checked.empty_count,
            character_count=checked.character_count,
            source=source,
            created_by=caller.actor_label[:240],
        )

    corpus, is_new = newest_or_next(newest, lambda found: found.content_hash == checked.content_hash, make)
    if not is_new:
        return corpus, False
    quotas.reserve(project_id=caller.project_id, resource=Resource.CORPUS_DOCUMENTS, amount=len(checked.documents))
    for start in range(0, len(checked.documents), BATCH):
        rows = checked.documents[start : start + BATCH]
        Document.objects.bulk_create(
            Document(
                corpus=corpus,
                external_id=row.id,
                ordinal=ordinal,
                title=row.title,
                text=row.text,
                metadata=row.metadata,
            )
            for ordinal, row in enumerate(rows, start)
        )
    audit.record(
        caller=caller,
        action="corpus.import",
        target_kind="corpus",
        target_id=corpus.public_id,
        target_label=str(corpus),
        after={
            "name": name,
            "version": corpus.version,
            "documents": corpus.document_count,
            "hash": corpus.content_hash,
        },
    )
    return corpus, True


def _summary(checked: CheckedCorpus, is_new: bool) -> ImportSummary:
    counts = {
        "documents": len(checked.documents),
        "empty_documents": checked.empty_count,
        "characters": checked.character_count,
        "nul_replaced": checked.nul_count,
    }
    warnings = []
    if checked.empty_count:
        examples = [row.id for row in checked.documents if not (row.title.strip() or row.text.strip())][:_NAMED]
        warnings.append(f"{checked.empty_count} documents have no text, for example {', '.join(examples)}.")
    if checked.nul_count:
        warnings.append(f"{checked.nul_count} documents held U+0000, which was replaced by U+FFFD.")
    return ImportSummary(is_new, counts, tuple(warnings))


@transaction.atomic
def delete_corpus(*, caller: Caller, corpus_id: str) -> str:
    """Delete one version and its documents; its quota is given back. Returns its public id.

    Refused with a sentence while query sets, tests or collections refer to it.
    """
    caller.require(Action.AB_WRITE)
    found = find_corpus(caller, corpus_id, field="corpus_id")
    corpus = Corpus.objects.select_for_update().filter(pk=found.pk).first()
    if corpus is None:
        raise NotFound(f"Field 'corpus_id': {found} was deleted in this moment.", field="corpus_id")
    live = corpus.collections.exclude(status=CollectionStatus.DELETED.value)
    refuse_while_used(
        str(corpus),
        noun="corpus",
        users={
            "query sets": [str(row) for row in corpus.query_sets.order_by("id")[: _NAMED + 1]],
            "tests": list(corpus.ab_tests.order_by("id").values_list("name", flat=True)[: _NAMED + 1]),
            "collections": list(live.order_by("id").values_list("public_id", flat=True)[: _NAMED + 1]),
        },
    )
    before = {"name": corpus.name, "version": corpus.version, "documents": corpus.document_count}
    public_id, label, count = corpus.public_id, str(corpus), corpus.document_count
    Collection.objects.filter(corpus=corpus, status=CollectionStatus.DELETED.value).delete()
    corpus.delete()
    quotas.give_back(project_id=caller.project_id, resource=Resource.CORPUS_DOCUMENTS, amount=count)
    audit.record(
        caller=caller,
        action="corpus.delete",
        target_kind="corpus",
        target_id=public_id,
        target_label=label,
        before=before,
    )
    return public_id


def require_still_there(thing: Corpus | QuerySet, *, field: str, locked: bool = False) -> None:
    """`NotFound` when a thing that was found is gone by now.

    `locked` keeps it from being deleted until commit, but not others from referring to it.
    """
    rows = type(thing)._default_manager.filter(pk=thing.pk)
    if not (rows.select_for_update(no_key=True) if locked else rows).values_list("pk", flat=True).first():
        raise NotFound(f"Field {field!r}: {thing} was deleted in this moment.", field=field, value=str(thing))


def refuse_while_used(label: str, *, noun: str, users: Mapping[str, Sequence[str]]) -> None:
    """`Conflict` naming what refers to a thing that shall be deleted; nothing when nobody does."""
    said = [
        f"{kind} ({', '.join(names[:_NAMED])}{', …' if len(names) > _NAMED else ''})"
        for kind, names in users.items()
        if names
    ]
    if said:
        raise Conflict(
            f"The {noun} {label} is used by {' and '.join(said)}. Delete those first.",
            field="name",
            value=label,
            used_by=[kind for kind, names in users.items() if names],
        )
