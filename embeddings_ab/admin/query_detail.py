"""Console page of one query under two arms: both rankings side by side, and where each relevant document was lost."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models.functions import Left
from django.http import HttpResponseBase

from embeddings_ab.admin.figures_of_report import colours_of, words_of
from embeddings_ab.admin.per_query import TIE, chosen_arms
from embeddings_ab.domain.explanation import Stage, blame
from embeddings_ab.models import AbTest, Document, QueryResult
from embeddings_ab.selectors.ab_tests import arms_of, find_test
from governance.admin.pages import Visit, clean, page
from governance.domain import formats
from governance.domain.actions import Action
from governance.domain.errors import NotFound

DEPTHS = (10, 20, 50, 100)
RELEVANT_AT_MOST = 100
STEPS = ("vector", "lexical", "fused", "reranked")


def cutoff_of(metric: str) -> int:
    """k of `nDCG@10`; 10 for a measure without one."""
    found = re.search(r"@(\d+)$", metric)
    return int(found[1]) if found else 10


def grade_words(grade: int | None, relevant_from: int) -> dict[str, str]:
    """Mark, word and class of a judgment; an unjudged document is not called irrelevant."""
    if grade is None:
        return {"mark": "?", "words": "unjudged", "class": "unjudged"}
    if grade >= relevant_from:
        return {"mark": f"✓ {grade}", "words": f"relevant, grade {grade}", "class": "relevant"}
    return {"mark": f"✗ {grade}", "words": f"not relevant, grade {grade}", "class": "not"}


def moved(rank: int, before: int | None, deep: int, other: str, *, is_second: bool) -> dict[str, str]:
    """How a document stands against the other list, of which `deep` ranks are known; the second list has arrows."""
    if before is None:
        return {"arrow": "", "words": f"not in the top {deep} of {other}" if deep else f"{other} found nothing"}
    if not is_second:
        return {"arrow": "", "words": f"{other}: rank {before}"}
    if before == rank:
        return {"arrow": "=", "words": "same rank"}
    return {"arrow": "↑" if before > rank else "↓", "words": f"from {before}"}


def journey(stage: Mapping[str, Any] | None, rank: int | None, cut: int) -> dict[str, Any]:
    """Ranks of a relevant document through the stages of one arm, and which stage kept it out of the top `cut`."""
    ranks = {**(stage or {})}
    if rank is not None:
        ranks["final"] = rank
    blamed = blame(ranks, k=cut)
    return {
        "steps": [(name, ranks[name]) for name in STEPS if ranks.get(name) is not None],
        "final": ranks.get("final"),
        "lost": "" if blamed == Stage.FOUND else words_of(blamed),
    }


def title_of(document: Document | None) -> str:
    """Title of a document, else the beginning of its text."""
    if document is None:
        return "(not in this corpus version)"
    return document.title or getattr(document, "start", "") or "(empty)"


def ranked_lines(
    mine: QueryResult | None,
    other: QueryResult | None,
    grades: Mapping[str, int],
    documents: Mapping[str, Document],
    relevant_from: int,
    depth: int,
    other_name: str,
    is_second: bool,
) -> list[dict[str, Any]]:
    """The first `depth` hits of one arm, each against its place in the other."""
    if mine is None or mine.is_failed:
        return []
    places = {document: rank for rank, document in enumerate(other.ranked_ids if other else [], start=1)}
    return [
        {
            "rank": rank,
            "id": document,
            "title": title_of(documents.get(document)),
            "score": mine.scores[rank - 1] if rank <= len(mine.scores) else None,
            "grade": grade_words(grades.get(document), relevant_from),
            "moved": moved(rank, places.get(document), len(places), other_name, is_second=is_second),
        }
        for rank, document in enumerate(mine.ranked_ids[:depth], start=1)
    ]


def rank_in(result: QueryResult | None, document: str) -> int | None:
    """Rank of a document from 1, None where it is not listed."""
    if result is None or document not in result.ranked_ids:
        return None
    return int(result.ranked_ids.index(document)) + 1


def flips(
    relevant: Sequence[tuple[str, int]], old: QueryResult | None, new: QueryResult | None, cut: int
) -> dict[str, list[dict[str, Any]]]:
    """Relevant documents that enter or leave the top `cut` from the first arm to the second."""
    entered: list[dict[str, Any]] = []
    left: list[dict[str, Any]] = []
    for document, grade in relevant:
        before, after = rank_in(old, document), rank_in(new, document)
        was, now = before is not None and before <= cut, after is not None and after <= cut
        if was != now:
            (entered if now else left).append({"id": document, "grade": grade, "before": before, "after": after})
    return {"entered": entered, "left": left}


def result_lines(test: AbTest, old: QueryResult | None, new: QueryResult | None) -> list[dict[str, Any]]:
    """Every measure of the query under both arms, the primary one first."""
    found = [result.metrics for result in (old, new) if result is not None]
    names = [
        test.primary_metric,
        *(name for metrics in found for name in metrics if not re.search(r" (low|high)est$", name)),
    ]
    lines = []
    for name in dict.fromkeys(names):
        a = old.metrics.get(name) if old and not old.is_failed else None
        b = new.metrics.get(name) if new and not new.is_failed else None
        by = None if a is None or b is None else b - a
        kind = "" if by is None else "same" if abs(by) <= TIE else "better" if by > 0 else "worse"
        lines.append({"name": name, "old": a, "new": b, "difference": formats.difference(by), "kind": kind})
    return lines


@page(Action.AB_READ)
def query_page(visit: Visit, test_id: str, ordinal: int) -> HttpResponseBase:
    """Why does one arm beat the other on this query?"""
    test = find_test(visit.caller, test_id)
    query = test.query_set.queries.filter(ordinal=ordinal).first() if ordinal < 2**31 else None
    if query is None:
        raise NotFound(f"Query {ordinal} does not exist in this test's query set.", field="ordinal", value=ordinal)
    arms = arms_of(test)
    first, second = chosen_arms(visit, test, arms)
    results = {row.arm_id: row for row in QueryResult.objects.filter(arm__in=[first, second], query=query)}
    old, new = results.get(first.pk), results.get(second.pk)
    asked = clean(visit.request.GET.get("depth"))
    depth = int(asked) if asked in {str(depth) for depth in DEPTHS} else DEPTHS[0]
    relevant_from = int(test.spec.get("relevant_from", 1))
    grades = dict(query.judgments.values_list("document_id", "grade"))
    relevant = sorted(
        ((document, grade) for document, grade in grades.items() if grade >= relevant_from),
        key=lambda item: (-item[1], item[0]),
    )
    wanted = {document for row in results.values() for document in row.ranked_ids[:depth]}
    wanted |= {document for document, _ in relevant[:RELEVANT_AT_MOST]}
    documents = {
        document.external_id: document
        for document in Document.objects.filter(corpus=test.corpus, external_id__in=wanted)
        .annotate(start=Left("text", 240))
        .defer("text", "metadata")
    }
    colours = colours_of(arms)
    cut = cutoff_of(test.primary_metric)
    metrics = result_lines(test, old, new)
    return visit.render(
        "console/ab_query.html",
        title=f"Query {query.external_id}",
        test=test,
        query=query,
        arms=arms,
        first=first,
        second=second,
        depth=depth,
        depths=DEPTHS,
        sides=[
            {
                "arm": arm,
                "colour": colours[arm.name],
                "result": mine,
                "other": theirs,
                "lines": ranked_lines(mine, other, grades, documents, relevant_from, depth, theirs.name, arm is second),
            }
            for arm, mine, other, theirs in ((first, old, new, second), (second, new, old, first))
        ],
        metrics=metrics,
        main=metrics[0],
        judged=len(grades),
        relevant_count=len(relevant),
        relevant=[
            {
                "id": document,
                "grade": grade_words(grade, relevant_from),
                "title": title_of(documents.get(document)),
                "old": journey((old.stages if old else {}).get(document), rank_in(old, document), cut),
                "new": journey((new.stages if new else {}).get(document), rank_in(new, document), cut),
            }
            for document, grade in relevant[:RELEVANT_AT_MOST]
        ],
        flips=flips(relevant, old, new, cut),
        cut=cut,
        before=ordinal - 1 if ordinal > 0 else None,
        after=ordinal + 1 if ordinal + 1 < test.query_set.query_count else None,
    )
