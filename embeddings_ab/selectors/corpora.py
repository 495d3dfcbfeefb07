"""Reads of corpora and their documents, always inside the caller's project."""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from itertools import islice

from django.db.models import QuerySet

from embeddings_ab.domain.importing.rows import DocumentRow
from embeddings_ab.models import Corpus, Document
from embeddings_ab.selectors.versions import find_version
from governance.domain.caller import Caller

_BATCH = 1000


def corpora(caller: Caller) -> "QuerySet[Corpus]":
    """The project's corpora, all versions, newest first."""
    return Corpus.objects.filter(project_id=caller.project_id).order_by("-id")


def find_corpus(caller: Caller, text: str, *, field: str = "corpus") -> Corpus:
    """One version by `name` (the newest), `name@3` or public id, or `NotFound`."""
    return find_version(corpora(caller), text, noun="corpus", field=field)


def documents_in_order(corpus: Corpus) -> "QuerySet[Document]":
    """Documents by ordinal."""
    return Document.objects.filter(corpus=corpus).order_by("ordinal")


def iter_documents(corpus: Corpus) -> Iterator[DocumentRow]:
    """Documents by ordinal, read in batches: flat memory."""
    fields = ("external_id", "title", "text", "metadata")
    for row in documents_in_order(corpus).values_list(*fields).iterator(chunk_size=_BATCH):
        yield DocumentRow(*row)


def known_documents(corpus: Corpus, ids: Set[str]) -> set[str]:
    """Those of some external ids that the corpus has; one statement per thousand."""
    known: set[str] = set()
    rest = iter(ids)
    while batch := list(islice(rest, _BATCH)):
        rows = Document.objects.filter(corpus=corpus, external_id__in=batch)
        known.update(rows.values_list("external_id", flat=True))
    return known


@dataclass(frozen=True, slots=True)
class CorpusDifference:
    """What one version has that another has not, in documents."""

    added: int
    removed: int
    changed: int
    unchanged: int


def diff_corpora(old: Corpus, new: Corpus) -> CorpusDifference:
    """Documents added, removed and changed (title, text or metadata) from `old` to `new`; flat memory."""
    if old.content_hash == new.content_hash:
        return CorpusDifference(0, 0, 0, new.document_count)
    before, after = iter_documents(old), iter_documents(new)
    left, right = next(before, None), next(after, None)
    added = removed = changed = unchanged = 0
    while left is not None or right is not None:
        if right is None or (left is not None and left.id < right.id):
            removed += 1
            left = next(before, None)
        elif left is None or right.id < left.id:
            added += 1
            right = next(after, None)
        else:
            changed, unchanged = (changed, unchanged + 1) if left == right else (changed + 1, unchanged)
            left, right = next(before, None), next(after, None)
    return CorpusDifference(added, removed, changed, unchanged)
