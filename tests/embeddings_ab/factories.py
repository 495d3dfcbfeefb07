"""Plain factories of corpora, query sets, runs and tests, made by the services wherever one exists.

Callers come from `tests/factories.py` or the fixtures `project` and `caller`.
"""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from embeddings_ab.domain.importing.rows import DocumentRow, JudgmentRow, QueryRow, RankedRow
from embeddings_ab.models import AbTest, Arm, Corpus, Query, QueryResult, QuerySet, UploadedRun
from embeddings_ab.services.corpora import import_corpus
from embeddings_ab.services.query_sets import import_query_set
from embeddings_ab.services.uploaded_runs import import_run
from governance.domain.caller import Caller
from governance.services.projects import system_caller
from tests.factories import make_project

_numbers = itertools.count(1)

# Ids in bytes order: d1, d10, d2, d3: ordinal 1 is "d10".
TEXTS = {
    "d1": "lift of a thin wing in a slipstream",
    "d2": "heat conduction in composite slabs",
    "d3": "boundary layer of a flat plate in supersonic flow",
    "d10": "buckling of thin cylindrical shells under axial load",
}
QUERIES = {"q1": "wing lift in a slipstream", "q2": "heat in slabs", "q3": "shell buckling"}
GRADES = {"q1": {"d1": 2, "d3": 1}, "q2": {"d2": 1, "d1": 0}}  # q3 has no judgment


def make_caller() -> Caller:
    """A caller with every right in a new project."""
    return system_caller(make_project())


def documents(texts: Mapping[str, str]) -> list[DocumentRow]:
    """Rows without titles, of texts by id."""
    return [DocumentRow(id=id, text=text) for id, text in texts.items()]


def judgments(grades: Mapping[str, Mapping[str, int]]) -> list[JudgmentRow]:
    """Rows of grades by query id and document id."""
    return [JudgmentRow(query, document, grade) for query, row in grades.items() for document, grade in row.items()]


def make_corpus(caller: Caller, *, name: str = "", texts: Mapping[str, str] = TEXTS) -> Corpus:
    """A corpus of four documents, or of `texts` by id."""
    return import_corpus(caller=caller, name=name or f"corpus {next(_numbers)}", documents=documents(texts))[0]


def make_query_set(
    caller: Caller,
    corpus: Corpus | None = None,
    *,
    name: str = "",
    queries: Mapping[str, str] = QUERIES,
    grades: Mapping[str, Mapping[str, int]] = GRADES,
    metadata: Mapping[str, Mapping[str, Any]] | None = None,
) -> QuerySet:
    """Three queries, two of them judged, over `corpus` (default: a new one); `metadata` by query id."""
    about = metadata or {}
    return import_query_set(
        caller=caller,
        name=name or f"queries {next(_numbers)}",
        corpus=(corpus or make_corpus(caller)).public_id,
        queries=[QueryRow(id, text, dict(about.get(id, {}))) for id, text in queries.items()],
        judgments=judgments(grades),
    )[0]


def make_run(
    caller: Caller, query_set: QuerySet, *, name: str = "", rankings: Mapping[str, Iterable[tuple[str, float]]] = {}
) -> UploadedRun:
    """An uploaded run; the default ranks d1 before d2 for q1."""
    given = rankings or {"q1": [("d1", 2.0), ("d2", 1.0)]}
    rows = [RankedRow(query, document, score) for query, pairs in given.items() for document, score in pairs]
    return import_run(
        caller=caller, name=name or f"run {next(_numbers)}", query_set=query_set.public_id, rankings=rows
    )[0]


def make_test_row(
    query_set: QuerySet, *, arms: Iterable[str] = ("bm25", "minilm"), name: str = "", **fields: Any
) -> AbTest:
    """Rows of a test and its arms, past the services: for selectors, pages and exports. `fields`: of the test."""
    names = list(arms)
    spec = {arm: {"retrieval": "lexical"} for arm in names}
    test = AbTest.objects.create(
        **{
            "project_id": query_set.project_id,
            "name": name or f"test {next(_numbers)}",
            "corpus": query_set.corpus,
            "query_set": query_set,
            "spec": {"arms": spec},
            "registration_hash": "0" * 64,
            "primary_metric": "nDCG@10",
            "control": names[0] if names else "",
            "seed": 7,
            **fields,
        }
    )
    for position, arm in enumerate(names):
        Arm.objects.create(test=test, name=arm, position=position, spec=spec[arm])
    return test


def make_results(test: AbTest, ranked_ids: list[str], *, metrics: Mapping[str, float | None]) -> list[QueryResult]:
    """One result for every arm and query of a test, all alike."""
    queries = list(Query.objects.filter(query_set_id=test.query_set_id))
    return QueryResult.objects.bulk_create(
        QueryResult(
            test=test,
            arm=arm,
            query=query,
            ranked_ids=ranked_ids,
            scores=[float(-rank) for rank in range(len(ranked_ids))],
            metrics=dict(metrics),
        )
        for arm in test.arms.all()
        for query in queries
    )
