"""Faulty specifications: every one is refused by path, value and remedy."""

import json

import pytest

from embeddings_ab.domain.spec import TestSpec
from embeddings_ab.domain.spec_errors import read_spec
from governance.domain.errors import InvalidInput

LEXICAL = {"retrieval": "lexical"}
VECTOR = {"retrieval": "vector", "provider": "minilm"}
HYBRID = {"retrieval": "hybrid", "provider": "minilm"}
REMOTE = {"retrieval": "vector", "provider": "openai", "base_url": "https://api.example", "model": "m"}


def spec(arm=None, **changes):
    """A good specification with one arm `b` beside a good `a`, and changed fields."""
    arms = {"a": LEXICAL} if arm is None else {"a": LEXICAL, "b": arm}
    return {"name": "t", "corpus": "c", "query_set": "q", "metrics": ["nDCG@10"], "arms": arms, **changes}


def refusal(data):
    with pytest.raises(InvalidInput) as caught:
        read_spec(data)
    json.dumps(caught.value.details, allow_nan=False)  # whatever was sent, the answer is JSON
    return caught.value


def test_a_good_specification_is_read_with_its_defaults():
    read = read_spec(spec(HYBRID))
    assert isinstance(read, TestSpec)
    assert read.arms["b"].fusion.method == "rrf"
    assert read.arms["b"].lexical.engine == "bm25s"


@pytest.mark.parametrize(
    ("arm", "field", "value", "says"),
    [
        ({**HYBRID, "fusion": {"method": "convex", "alpha": 1.5}}, "fusion.alpha", 1.5, "at least 0 and at most 1"),
        ({**HYBRID, "fusion": {"method": "convex", "alpha": -0.1}}, "fusion.alpha", -0.1, "at least 0 and at most 1"),
        ({**HYBRID, "fusion": {"method": "rrf", "alpha": 0.7}}, "fusion.alpha", 0.7, "'rrf' has no such setting"),
        ({**HYBRID, "fusion": {"method": "convex", "k": 30}}, "fusion.k", 30, "'convex' has no such setting"),
        (
            {**HYBRID, "fusion": {"vector_weight": 0, "lexical_weight": 0}},
            "fusion.vector_weight",
            0,
            "cannot both be 0",
        ),
        ({**VECTOR, "provider": "minlm"}, "provider", "minlm", "Did you mean 'minilm'?"),
        ({**VECTOR, "provider": "acme"}, "provider", "acme", "Use one of 'synthetic', 'minilm', 'wordllama'"),
        ({"retrieval": "vector"}, "provider", None, "needs provider"),
        ({**LEXICAL, "provider": "minilm"}, "provider", "minilm", "embeds nothing"),
        ({**LEXICAL, "fusion": "rrf"}, "fusion", "rrf", "use 'hybrid'"),
        ({**LEXICAL, "index": "hnsw"}, "index", "hnsw", "searches no vectors"),
        ({**LEXICAL, "lexical": {"engine": "sqlite_fts5", "k1": 1.2}}, "lexical.k1", 1.2, "only engine 'bm25s'"),
        ({**VECTOR, "lexical": "bm25s"}, "lexical", "bm25s", "no lexical side"),
        ({"retrieval": "vector", "provider": "openai"}, "base_url", None, "needs base_url and model"),
        ({**VECTOR, "base_url": "https://x.example"}, "base_url", "https://x.example", "calls nobody"),
        ({**VECTOR, "index": "hnws"}, "index.kind", "hnws", "Did you mean 'hnsw'?"),
        ({**VECTOR, "index": {"kind": "exact", "m": 20}}, "index.m", 20, "no such setting"),
        ({**VECTOR, "index": "hnsw", "quantisation": "bits"}, "quantisation", "bits", "only index 'exact'"),
        ({**VECTOR, "chunking": {"method": "none", "size": 64}}, "chunking.method", "none", "neither size nor overlap"),
        (
            {**VECTOR, "chunking": {"method": "tokens", "size": 64, "overlap": 64}},
            "chunking.overlap",
            64,
            "must be smaller than size",
        ),
        ({**VECTOR, "chunkng": {}}, "chunkng", None, "Did you mean 'chunking'?"),
        ({**VECTOR, "fusion": None, "candidate_depth": 1001}, "candidate_depth", 1001, "at least 1 and at most 1000"),
        ({**VECTOR, "reranker": "http"}, "reranker.url", None, "needs url"),
        ({**VECTOR, "reranker": "cross_encoder"}, "reranker.path", None, "needs path"),
        ({"retrieval": "external"}, "external", None, "exactly when retrieval is 'external'"),
        ({"retrieval": "run"}, "run", None, "exactly when retrieval is 'run'"),
        ({"retrieval": "run", "run": "r", "reranker": "overlap"}, "chunking", None, "brings its own ranking"),
        ("lexical", "", "lexical", "Give a mapping"),
        ({**VECTOR, "index": {"kind": ["exact"]}}, "index.kind", None, "Use one of"),
    ],
)
def test_a_faulty_arm_is_refused_by_path_value_and_remedy(arm, field, value, says):
    error = refusal(spec(arm))
    path = ".".join(filter(None, ("arms.b", field)))
    assert error.status == 400
    assert error.details["field"] == path
    assert error.details["value"] == value
    assert says in error.message
    assert repr(path) in error.message


@pytest.mark.parametrize(
    ("changes", "field", "value", "says"),
    [
        ({"control": "zz"}, "control", "zz", "arms are a"),
        ({"metrics": ["AP", "AP"]}, "metrics", None, "one is named twice"),
        ({"metrics": []}, "metrics", None, "empty"),
        ({"metrics": "AP"}, "metrics", "AP", "Give a list"),
        ({"alpha": 0}, "alpha", 0, "greater than 0 and less than 0.5"),
        ({"alpha": 0.5}, "alpha", 0.5, "greater than 0 and less than 0.5"),
        ({"margin": float("nan")}, "margin", "nan", "finite"),
        ({"seed": -1}, "seed", -1, "at least 0"),
        ({"name": ""}, "name", "", "at least 1 character"),
        ({"arms": {}}, "arms", None, "empty"),
        ({"arms": []}, "arms", None, "mapping"),
        ({"arms": {"=1+1": LEXICAL}}, "arms.=1+1", "=1+1", "begins with a letter or digit"),
        ({"clean_up": {"ttl_hours": -1}}, "clean_up.ttl_hours", -1, "at least 0"),
        ({"limits": {"max_docs": 5}}, "limits.max_docs", 5, "Did you mean 'max_documents'?"),
        ({"media_ids": [1]}, "media_ids", None, "Known here: alpha, arms"),
    ],
)
def test_a_faulty_test_is_refused_by_path_value_and_remedy(changes, field, value, says):
    error = refusal(spec(**changes))
    assert error.details["field"] == field
    assert error.details["value"] == value
    assert says in error.message


def test_all_faults_are_told_at_once_up_to_twenty():
    error = refusal({})
    assert [each["field"] for each in error.details["problems"]] == ["name", "corpus", "query_set", "metrics", "arms"]
    assert "all 5 problems" in error.message
    many = {f"arm {n}": {"retrieval": "vector"} for n in range(30)}
    assert len(refusal(spec(arms=many)).details["problems"]) == 20


@pytest.mark.parametrize("data", [[], None, "name: x", 5])
def test_what_is_no_mapping_is_refused(data):
    assert refusal(data).details["field"] == "body"


def test_what_stands_where_the_name_of_a_secret_belongs_is_not_repeated():
    key = "sk-" + "x" * 200
    error = refusal(spec({**REMOTE, "secret": key}))
    assert error.details["field"] == "arms.b.secret"
    assert "sk-" not in json.dumps([error.message, error.details])


def test_long_values_are_cut():
    error = refusal(spec({**VECTOR, "provider": "x" * 10_000}))
    assert len(error.details["value"]) == 100
    assert len(error.message) < 500
