"""Bad input, line by line of the specification: a clear 4xx that names the field, before anything is built."""

import pytest

from embeddings_ab.models import AbTest, Arm, Collection
from governance.models import Quota
from governance.services.providers import create_rule
from tests.embeddings_ab.factories import make_corpus, make_query_set, make_run

LEXICAL = {"retrieval": "lexical"}
SYNTHETIC = {"retrieval": "vector", "provider": "synthetic", "dimensions": 64}
HYBRID = {"retrieval": "hybrid", "provider": "synthetic", "dimensions": 64}
REMOTE = {"retrieval": "vector", "provider": "openai", "model": "m", "base_url": "https://api.example.com/v1"}


def body_of(arm=None, **changes):
    arms = {"a": LEXICAL} if arm is None else {"a": LEXICAL, "b": arm}
    body = {"name": "t", "corpus": "wings", "query_set": "wings/test", "metrics": ["nDCG@10"], "arms": arms}
    return {**body, "draws": 1000, **changes}


@pytest.fixture
def ready(caller):
    """A corpus with queries, and another one with its own."""
    make_query_set(caller, make_corpus(caller, name="wings"), name="wings/test")
    other = make_query_set(caller, make_corpus(caller, name="slabs", texts={"x": "y"}), name="slabs/test", grades={})
    make_run(caller, other, name="elsewhere", rankings={"q1": [("x", 1.0)]})


def refused(api, body):
    """The refusal's details and message, the same for a create and for a plan."""
    before = dict(Quota.objects.values_list("resource", "used"))
    answers = [api.post(f"/api/v1/ab/{path}", body, content_type="application/json") for path in ("plan", "tests")]
    assert 400 <= answers[1].status_code < 500, answers[1].content
    assert [model.objects.count() for model in (AbTest, Arm, Collection)] == [0, 0, 0]
    assert dict(Quota.objects.values_list("resource", "used")) == before
    errors = [answer.json()["error"] for answer in answers]
    for error in errors:
        error["details"].pop("request_id")
    assert errors[0] == errors[1]
    return answers[1].status_code, errors[1]


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        (body_of({**SYNTHETIC, "provider": "acme"}), "arms.b.provider", "Use one of"),
        (body_of(metrics=["nDGC@10"]), "metrics", "nDCG"),
        (body_of(metrics=["nDCG"]), "metrics", "nDCG@10"),
        (body_of(metrics=["nDCG@1001"]), "metrics", "1000"),
        (body_of(metrics=["nDCG@0"]), "metrics", "1 to 1000"),
        (body_of(metrics=["R@10", "recall@10"]), "metrics", "twice"),
        (body_of(primary_metric="quality"), "primary_metric", "quality"),
        (body_of({**HYBRID, "fusion": {"method": "convex", "alpha": 1.01}}), "arms.b.fusion.alpha", "at most 1"),
        (body_of({**HYBRID, "fusion": {"method": "convex", "alpha": -1}}), "arms.b.fusion.alpha", "at least 0"),
        (body_of({**HYBRID, "fusion": {"method": "rrf", "alpha": 0.7}}), "arms.b.fusion.alpha", "no such setting"),
        (body_of({**LEXICAL, "provider": "synthetic"}), "arms.b.provider", "embeds nothing"),
        (body_of({**SYNTHETIC, "candidate_depth": 5000}), "arms.b.candidate_depth", "at most 1000"),
        (body_of(control="zz"), "control", "arms are a"),
        (body_of(query_set="slabs/test"), "query_set", "slabs"),
        (body_of({"retrieval": "run", "run": "nowhere"}), "arms.b.run", "nowhere"),
        (body_of({"retrieval": "run", "run": "elsewhere"}), "arms.b.run", "wings/test"),
        (body_of(limits={"max_documents": 3}), "limits.max_documents", "has 4"),
        (body_of(limits={"max_queries": 2}), "limits.max_queries", "has 3"),
        (body_of(chunk_size=5), "chunk_size", "no such field"),
        ([], "body", "mapping"),
    ],
)
def test_it_is_refused_by_field_before_anything_is_built(api, ready, body, field, says):
    status, error = refused(api, body)
    assert status == 400
    assert error["details"]["field"].removesuffix(".0").removesuffix(".1") == field
    assert says in error["message"]


@pytest.mark.parametrize(("changes", "field"), [({"corpus": "x"}, "corpus"), ({"query_set": "x@3"}, "query_set")])
def test_what_is_not_there_is_refused_by_field(api, ready, changes, field):
    status, error = refused(api, body_of(**changes))
    assert status in (400, 404)
    assert error["details"]["field"] == field


def test_a_provider_off_the_allow_list_is_refused_by_field(api, ready):
    status, error = refused(api, body_of(REMOTE))
    assert (status, error["code"]) == (403, "provider_not_allowed")
    assert error["details"]["field"] == "arms.b.provider"
    assert "not allowed" in error["message"]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/v1",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/v1",
        "http://2130706433/v1",
        "http://10.0.0.8/v1",
    ],
)
def test_private_addresses_are_refused_by_field(api, ready, caller, url):

    for provider in ("openai", "external"):
        create_rule(caller=caller, effect="allow", provider=provider)
    status, error = refused(api, body_of({**REMOTE, "base_url": url}))
    assert status in (400, 403)
    assert error["details"]["field"] == "arms.b.base_url"
    status, error = refused(api, body_of({"retrieval": "external", "external": {"url": url}}))
    assert status in (400, 403)
    assert error["details"]["field"] == "arms.b.external.url"


def test_a_secret_that_is_not_there_is_refused_by_field(api, ready, caller):

    create_rule(caller=caller, effect="allow", provider="openai")
    status, error = refused(api, body_of({**REMOTE, "base_url": "https://93.184.215.14/v1", "secret": "nobody"}))
    assert status in (400, 404)
    assert error["details"]["field"] == "arms.b.secret"


def test_a_full_quota_is_refused_and_says_which(api, ready):
    Quota.objects.filter(resource="ab_tests").update(ceiling=0)
    answer = api.post("/api/v1/ab/tests", body_of(), content_type="application/json")
    assert answer.status_code == 429
    error = answer.json()["error"]
    assert error["code"] == "quota_exceeded"
    assert "ab_tests" in str(error)
    assert not AbTest.objects.exists()


@pytest.mark.postgres_only
def test_an_arm_of_postgres_is_accepted_on_postgres(api, ready):
    answer = api.post(
        "/api/v1/ab/tests",
        body_of({"retrieval": "lexical", "lexical": "postgres_fts"}),
        content_type="application/json",
    )
    assert answer.status_code == 201, answer.content


def test_an_arm_of_postgres_is_refused_on_sqlite(api, ready):
    from django.db import connection

    if connection.vendor == "postgresql":
        pytest.skip("PostgreSQL runs it")
    _, error = refused(api, body_of({"retrieval": "lexical", "lexical": "postgres_fts"}))
    assert error["details"]["field"] == "arms.b.lexical.engine"
    assert "--database postgres" in error["message"]
