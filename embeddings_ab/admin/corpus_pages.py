"""Console pages of corpora and query sets: what is searched, and what is asked."""

from typing import Any

from django.db.models import Count
from django.db.models.functions import Left
from django.http import HttpResponseBase

from embeddings_ab.admin.words import status_kind, status_words
from embeddings_ab.models import Document
from embeddings_ab.selectors.ab_tests import tests
from embeddings_ab.selectors.corpora import corpora, documents_in_order, find_corpus
from embeddings_ab.selectors.query_sets import find_query_set, queries_in_order, query_sets
from governance.admin.pages import PAGE_SIZE, Visit, clean, page, page_of
from governance.domain import formats
from governance.domain.actions import Action

SHOWN_TESTS = 10


def start_of(visit: Visit) -> int:
    """First ordinal of `?from=`."""
    text = clean(visit.request.GET.get("from"))
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def used_by(visit: Visit, **of: Any) -> list[dict[str, Any]]:
    """The newest tests over a corpus or query set."""
    return [
        {"test": test, "kind": status_kind(test.status), "words": status_words(test.status)}
        for test in tests(visit.caller).filter(**of)[:SHOWN_TESTS]
    ]


@page(Action.AB_READ)
def corpora_page(visit: Visit) -> HttpResponseBase:
    """Versions of corpora, newest first."""
    name = clean(visit.request.GET.get("name"))
    rows = corpora(visit.caller)
    if name:
        rows = rows.filter(name__icontains=name)
    found = page_of(rows, visit.request)
    keys = [corpus.pk for corpus in found.rows]
    used = dict(tests(visit.caller).filter(corpus__in=keys).order_by().values_list("corpus").annotate(n=Count("id")))
    sets = dict(
        query_sets(visit.caller).filter(corpus__in=keys).order_by().values_list("corpus").annotate(n=Count("id"))
    )
    return visit.render(
        "console/ab_corpora.html",
        title="Corpora",
        page=found,
        name=name,
        lines=[
            {"corpus": corpus, "tests": used.get(corpus.pk, 0), "query_sets": sets.get(corpus.pk, 0)}
            for corpus in found.rows
        ],
    )


@page(Action.AB_READ)
def corpus_page(visit: Visit, corpus_id: str) -> HttpResponseBase:
    """One version: counts, query sets, tests and a page of its documents."""
    corpus = find_corpus(visit.caller, corpus_id)
    first = start_of(visit)
    rows = documents_in_order(corpus).filter(ordinal__gte=first)
    shown: list[Document] = list(rows.annotate(start=Left("text", 400)).defer("text")[: PAGE_SIZE + 1])
    kept = corpus.document_count - corpus.empty_count
    return visit.render(
        "console/ab_corpus.html",
        title=str(corpus),
        corpus=corpus,
        mean_length=corpus.character_count // kept if kept else None,
        versions=list(corpora(visit.caller).filter(name=corpus.name).order_by("-version")[:20]),
        query_sets=list(query_sets(visit.caller).filter(corpus__name=corpus.name)[:20]),
        tests=used_by(visit, corpus=corpus),
        documents=shown[:PAGE_SIZE],
        first=first,
        later=str(shown[PAGE_SIZE].ordinal) if len(shown) > PAGE_SIZE else "",
    )


@page(Action.AB_READ)
def query_sets_page(visit: Visit) -> HttpResponseBase:
    """Versions of query sets, newest first."""
    name = clean(visit.request.GET.get("name"))
    rows = query_sets(visit.caller)
    if name:
        rows = rows.filter(name__icontains=name)
    found = page_of(rows, visit.request)
    keys = [row.pk for row in found.rows]
    used = dict(
        tests(visit.caller).filter(query_set__in=keys).order_by().values_list("query_set").annotate(n=Count("id"))
    )
    return visit.render(
        "console/ab_query_sets.html",
        title="Query sets",
        page=found,
        name=name,
        lines=[{"query_set": row, "tests": used.get(row.pk, 0)} for row in found.rows],
    )


@page(Action.AB_READ)
def query_set_page(visit: Visit, query_set_id: str) -> HttpResponseBase:
    """One version: counts, tests and a page of its queries."""
    query_set = find_query_set(visit.caller, query_set_id)
    first = start_of(visit)
    shown = list(queries_in_order(query_set).filter(ordinal__gte=first)[: PAGE_SIZE + 1])
    judged = query_set.judged_query_count
    return visit.render(
        "console/ab_query_set.html",
        title=str(query_set),
        query_set=query_set,
        judged=formats.rate(judged, query_set.query_count),
        per_query=f"{query_set.judgment_count / judged:.1f}" if judged else formats.UNDEFINED,
        versions=list(query_sets(visit.caller).filter(name=query_set.name).order_by("-version")[:20]),
        tests=used_by(visit, query_set=query_set),
        queries=[{"query": query, "judged": getattr(query, "judgment_count", 0)} for query in shown[:PAGE_SIZE]],
        first=first,
        later=str(shown[PAGE_SIZE].ordinal) if len(shown) > PAGE_SIZE else "",
    )
