"""A finished test by rows: two arms, three queries, one failed in one arm, and a report; every number by hand."""

from typing import Any

from embeddings_ab.models import AbTest, Arm, Query, QueryResult
from tests.embeddings_ab.factories import make_corpus, make_query_set, make_test_row

METRICS = ["nDCG@10", "R@10"]
REPORT: dict[str, Any] = {
    "schema": 1,
    "test": {
        "name": "finished",
        "primary_metric": "nDCG@10",
        "control": "bm25",
        "alpha": 0.05,
        "margin": None,
        "seed": 7,
        "draws": 1000,
        "corpus": {"name": "c", "version": 1, "content_hash": "0" * 64, "documents": 4},
        "query_set": {
            "name": "q",
            "version": 1,
            "content_hash": "1" * 64,
            "queries": 3,
            "judged_queries": 2,
            "judgments": 4,
        },
    },
    "arms": {
        arm: {
            "status": "completed",
            "queries_failed": 0,
            "metrics": {
                name: {"mean": mean, "low": None, "high": None, "n": 2, "undefined": 1, "lowest": mean, "highest": 1.0}
                for name in METRICS
            },
        }
        for arm, mean in (("bm25", 0.5), ("minilm", 0.75))
    },
    "comparisons": [
        {
            "arm": "minilm",
            "control": "bm25",
            "metric": name,
            "role": "primary" if name == "nDCG@10" else "exploratory",
            "difference": 0.25,
            "low": 0.1,
            "high": 0.4,
            "p": 0.5,
            "adjusted_p": 0.5,
            "correction": "Holm",
            "sign_p": 1.0,
            "t_p": None,
            "wilcoxon_p": None,
            "wins": 1,
            "ties": 1,
            "losses": 0,
            "effect_size": None,
            "sd": None,
            "mde": None,
            "queries_needed": 40,
            "equivalence_p": None,
            "n_common": 2,
            "verdict": "undecided",
            "reason": "too few",
            "sentence": "minilm against bm25: undecided, about 38 more queries.",
            "warnings": [],
        }
        for name in METRICS
    ],
    "all_pairs": [],
    "agreement": [{"a": "bm25", "b": "minilm", "rbo": 0.5, "jaccard": 0.4, "k": 10}],
    "slices": [
        {
            "key": "kind",
            "value": "=short",
            "slice_label": "=short",
            "arm": "minilm",
            "n_common": 2,
            "difference": 0.25,
            "p": 0.5,
            "adjusted_p": 0.5,
            "verdict": "undecided",
            "warnings": ["fewer than 30 queries"],
        }
    ],
    "losses": {arm: {"lost_queries": 0, "stages": {}} for arm in ("bm25", "minilm")},
    "warnings": ["Only 2 queries have judgments."],
}
# By arm and query: ranked ids, scores, metrics, latency. The query "=q/2" asks for care in paths and spreadsheets.
FOUND: dict[str, dict[str, tuple[list[str], list[float], dict[str, float | None], dict[str, float] | None]]] = {
    "bm25": {
        "=q/2": (["d1", "d2"], [2.5, 1.0], {"nDCG@10": 0.5, "R@10": 1.0, "nDCG@10 highest": 0.75}, None),
        "q1": (["d3", "d1"], [2.0, 2.0], {"nDCG@10": 0.5, "R@10": 0.5}, {"search": 1.25, "total": 1.5}),
        "q3": ([], [], {"nDCG@10": None, "R@10": None}, None),
    },
    "minilm": {
        "=q/2": (["d2", "d1"], [0.75, -0.5], {"nDCG@10": 1.0, "R@10": 1.0}, None),
        "q1": (["d1"], [0.125], {"nDCG@10": 0.5, "R@10": 0.25}, None),
        "q3": ([], [], {}, None),
    },
}


def make_finished_test(caller: Any, **fields: Any) -> AbTest:
    """The test with its six results; `fields` of the row."""
    query_set = make_query_set(
        caller,
        make_corpus(caller, texts={"d1": "one", "d2": "two", "d3": "three", "d4": "secret chunk text"}),
        queries={"q1": "wing lift", "=q/2": "heat in slabs", "q3": "buckling"},
        grades={"q1": {"d1": 2, "d3": 1}, "=q/2": {"d2": 1, "d1": 0}},
    )
    test = make_test_row(
        query_set,
        **{
            "name": "finished",
            "status": "completed",
            "report": REPORT,
            "report_hash": "a" * 64,
            "result_count": 6,
            "spec": {
                "name": "finished",
                "corpus": str(query_set.corpus),
                "query_set": str(query_set),
                "metrics": METRICS,
                "arms": {name: {"retrieval": "lexical"} for name in FOUND},
            },
            **fields,
        },
    )
    queries = {query.external_id: query for query in Query.objects.filter(query_set=query_set)}
    for arm in Arm.objects.filter(test=test):
        for name, (ranked_ids, scores, metrics, latency) in FOUND[arm.name].items():
            failed = arm.name == "minilm" and name == "q3"
            QueryResult.objects.create(
                test=test,
                arm=arm,
                query=queries[name],
                is_failed=failed,
                error_code="timeout" if failed else "",
                error_message="The provider did not answer within 60 s." if failed else "",
                ranked_ids=ranked_ids,
                scores=scores,
                metrics=metrics,
                latency=latency,
                stages={"d1": {"chunked": True, "final": 1}} if name == "q1" else {},
            )
    return test
