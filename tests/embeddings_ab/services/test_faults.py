"""What goes wrong while a test runs: what can heal heals without paying twice, what cannot ends at once with a reason.

A query that failed is neither 0 nor dropped, and nobody writes after he lost his lease.
"""

import shutil
from dataclasses import replace

import pytest
from django.utils import timezone

from embeddings_ab.adapters.embedding_providers.openai import OpenAiProvider
from embeddings_ab.domain.statuses import ArmStatus, CollectionStatus, TestStatus
from embeddings_ab.models import AbTest, Arm, Collection, Embedding, QueryResult
from embeddings_ab.services import ab_tests, artifact_files, provider_access
from governance.models import ProviderRule, Quota
from governance.services.providers import ProviderNotAllowed
from tests.embeddings_ab.factories import GRADES, QUERIES, TEXTS, make_caller, make_corpus, make_query_set
from tests.embeddings_ab.pipeline import started
from tests.embeddings_ab.provider_server import ProviderServer
from tests.embeddings_ab.remote import BUILD, RUN, fail_at, let_time_pass, paid, permit, remote_arm, used

pytestmark = pytest.mark.django_db(transaction=True)

ONCE = dict.fromkeys([*TEXTS.values(), *QUERIES.values()], 1)
LEXICAL = {"retrieval": "lexical"}


@pytest.fixture
def server():
    with ProviderServer() as running:
        yield running


@pytest.fixture
def material(settings, monkeypatch):
    caller = make_caller()
    permit(caller, settings, monkeypatch)
    corpus = make_corpus(caller, name="wings")
    return caller, corpus, make_query_set(caller, corpus, name="wings/test")


def now(test: AbTest) -> AbTest:
    test.refresh_from_db()
    return test


def documents_of(test: AbTest) -> Collection:
    return Collection.objects.get(kind="documents", uses__test=test)


@pytest.mark.parametrize("kind", ["rate_limited", "server_error", "hang"])
def test_what_can_heal_is_tried_again_and_nothing_stored_is_paid_twice(material, jobs, server, monkeypatch, kind):
    caller, corpus, query_set = material
    settings_of = provider_access.settings_of
    seconds = 1 if kind == "hang" else 60
    monkeypatch.setattr(
        provider_access, "settings_of", lambda spec: replace(settings_of(spec), timeout_seconds=seconds)
    )
    test = started(caller, corpus, query_set, arms={"vector": remote_arm(server)})
    jobs.run(until=BUILD)
    fail_at(monkeypatch, server, 2, kind, **({"retry_after": "300"} if kind == "rate_limited" else {}))
    jobs.run_one()  # the first batch of documents is stored, the second meets the fault
    waiting = documents_of(test)
    cause = {"hang": "timeout"}.get(kind, kind)
    assert (waiting.status, waiting.error_code) == (CollectionStatus.PENDING, cause)
    assert Embedding.objects.count() == waiting.embedded_count == 2
    if kind == "rate_limited":  # what the provider asked for is a lower bound
        assert (waiting.next_attempt_at - timezone.now()).total_seconds() > 200
    let_time_pass(jobs)
    assert now(test).status == TestStatus.COMPLETED, test.error_message
    assert paid(server) == ONCE
    ready = documents_of(test)
    assert (ready.status, ready.error_code, ready.embedded_count, ready.provider_calls) == ("ready", "", 4, 2)


def test_a_fault_that_never_heals_gives_up_with_its_cause(material, jobs, server, monkeypatch):
    caller, corpus, query_set = material
    before = used(caller)
    test = started(caller, corpus, query_set, arms={"vector": remote_arm(server)})
    jobs.run(until=BUILD)
    server.fail("server_error", times=100, path="/v1/embeddings")
    for _ in range(12):
        let_time_pass(jobs)
    assert now(test).status == TestStatus.FAILED
    assert test.error_code == "server_error"
    assert "500" in test.arms.get().error_message
    assert test.expires_at is not None
    assert used(caller) == before


@pytest.mark.parametrize(
    ("kind", "cause", "words"),
    [
        ("wrong_dimension", "bad_answer", "63"),
        ("nan", "bad_answer", "NaN"),
        ("zero", "bad_answer", "zero vector"),
        ("unauthorised", "unauthorised", "401"),
        ("bad_request", "input_rejected", "400"),
    ],
)
def test_what_cannot_heal_fails_at_once_and_gives_the_quota_back(material, jobs, server, kind, cause, words):
    caller, corpus, query_set = material
    before = used(caller)
    test = started(caller, corpus, query_set, arms={"vector": remote_arm(server)})
    jobs.run(until=BUILD)
    calls = len(server.embed_calls)
    server.fail(kind, times=20, path="/v1/embeddings")
    jobs.run()
    assert len(server.embed_calls) == calls + (3 if kind == "wrong_dimension" else 2)  # one call for each collection
    server._faults.clear()
    assert now(test).status == TestStatus.FAILED
    arm = test.arms.get()
    assert (arm.status, arm.error_code) == (ArmStatus.FAILED, cause)
    assert words in arm.error_message
    assert test.error_code == cause
    assert set(Collection.objects.values_list("status", "error_code")) == {(CollectionStatus.FAILED, cause)}
    assert Embedding.objects.count() == 0
    assert used(caller) == before
    ab_tests.start_test(caller=caller, test_id=test.public_id)  # the provider was mended
    jobs.run()
    assert now(test).status == TestStatus.COMPLETED
    assert used(caller)["collections"] == 2


def test_a_quota_that_does_not_suffice_fails_the_arm_alone(material, jobs, server):
    caller, corpus, query_set = material
    Quota.objects.filter(project_id=caller.project_id, resource="embedding_tokens").update(ceiling=3)
    before = used(caller)
    test = started(caller, corpus, query_set, arms={"lexical": LEXICAL, "vector": remote_arm(server)})
    jobs.run()
    assert now(test).status == TestStatus.INCOMPLETE
    vector = test.arms.get(name="vector")
    assert (vector.status, vector.error_code) == (ArmStatus.FAILED, "quota_exceeded")
    assert "embedding_tokens is 3" in vector.error_message
    assert paid(server) == {}
    # What stays taken is the lexical index.
    assert used(caller) == {**before, "collections": 1, "chunks": len(TEXTS)}
    Quota.objects.filter(project_id=caller.project_id, resource="embedding_tokens").update(ceiling=1_000)
    ab_tests.start_test(caller=caller, test_id=test.public_id)
    jobs.run()
    assert now(test).status == TestStatus.COMPLETED


def test_a_rule_withdrawn_after_queueing_stops_its_arm_with_a_reason(material, jobs, server):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set, arms={"lexical": LEXICAL, "vector": remote_arm(server)})
    jobs.run(until=BUILD)
    ProviderRule.objects.filter(project_id=caller.project_id).delete()
    jobs.run()
    assert now(test).status == TestStatus.INCOMPLETE
    assert dict(test.arms.values_list("name", "status")) == {"lexical": "completed", "vector": "failed"}
    vector = test.arms.get(name="vector")
    assert vector.error_code == "provider_not_allowed"
    assert "Ask a maintainer" in vector.error_message
    assert paid(server) == {}
    assert test.report["arms"]["vector"]["status"] == "failed"
    with pytest.raises(ProviderNotAllowed):
        ab_tests.start_test(caller=caller, test_id=test.public_id)


def one_failed_query(caller, test, jobs, server, path):
    """Run with one refused call, look at what is stored, resume, look again."""
    jobs.run(until=RUN)
    server.fail("bad_request", path=path)
    jobs.run()
    assert now(test).status == TestStatus.INCOMPLETE
    arm = test.arms.get(name="asked")
    assert (arm.status, arm.queries_failed, arm.error_code) == (ArmStatus.INCOMPLETE, 1, "input_rejected")
    assert arm.error_message.startswith("1 of 3 queries failed")
    failed = QueryResult.objects.get(arm=arm, is_failed=True)
    assert (failed.ranked_ids, failed.metrics, failed.error_code) == ([], {}, "input_rejected")
    assert QueryResult.objects.filter(arm=arm).count() == 3  # W6: neither dropped ...
    figures = test.report["arms"]["asked"]["metrics"]["nDCG@3"]
    assert figures["n"] == 1  # ... nor 0: one of the two judged queries has no value
    verdicts = {(row["verdict"], row["reason"]) for row in test.report["comparisons"] if row["role"] == "primary"}
    assert verdicts == {("undecided", "incomplete")}
    calls = len(server.calls_of(path))
    ab_tests.start_test(caller=caller, test_id=test.public_id)
    jobs.run()
    assert now(test).status == TestStatus.COMPLETED
    assert len(server.calls_of(path)) == calls + 1
    assert test.report["arms"]["asked"]["metrics"]["nDCG@3"]["n"] == 2
    assert not any(row["reason"] == "incomplete" for row in test.report["comparisons"])


def test_a_query_that_an_endpoint_refuses_leaves_the_arm_incomplete_until_retried(material, jobs, server):
    caller, corpus, query_set = material
    server.state.documents = dict(TEXTS)
    arms = {"lexical": LEXICAL, "asked": {"retrieval": "external", "external": {"url": f"{server.url}/search"}}}
    test = started(caller, corpus, query_set, arms=arms, latency_queries=0)
    one_failed_query(caller, test, jobs, server, "/search")


def test_a_query_that_a_reranker_refuses_leaves_the_arm_incomplete_until_retried(material, jobs, server):
    caller, corpus, query_set = material
    reranker = {"kind": "http", "form": "tei", "url": f"{server.url}/rerank"}
    arms = {"lexical": LEXICAL, "asked": {**LEXICAL, "reranker": reranker}}
    test = started(caller, corpus, query_set, arms=arms, latency_queries=0)
    one_failed_query(caller, test, jobs, server, "/rerank")


def test_an_endpoint_that_dies_before_its_latency_is_measured_costs_the_latency_alone(material, jobs, server):
    caller, corpus, query_set = material
    server.state.documents = dict(TEXTS)
    arms = {"lexical": LEXICAL, "asked": {"retrieval": "external", "external": {"url": f"{server.url}/search"}}}
    test = started(caller, corpus, query_set, arms=arms)
    jobs.run(until="embeddings_ab.tasks.ab_tests.decide_test")
    server.fail("bad_request", times=100, path="/search")
    jobs.run()
    assert now(test).status == TestStatus.COMPLETED
    assert test.arms.get(name="asked").latency["sample"] == 0
    assert test.arms.get(name="lexical").latency["sample"] == 3


def test_a_missing_folder_is_made_again_from_the_cache_without_any_call(material, jobs, server):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set, arms={"vector": remote_arm(server), "lexical": LEXICAL})
    jobs.run()
    first = now(test).report_hash
    assert first
    calls = len(server.calls)
    for collection in Collection.objects.all():
        shutil.rmtree(artifact_files.folder_of(collection))
    second = started(caller, corpus, query_set, arms={"vector": remote_arm(server), "lexical": LEXICAL})
    jobs.run()
    assert now(second).report_hash == first
    assert len(server.calls) == calls  # a second identical test embeds nothing and asks nothing
    assert all(artifact_files.folder_of(collection).is_dir() for collection in Collection.objects.all())


def test_a_private_test_shares_nothing(material, jobs, server):
    caller, corpus, query_set = material
    arms = {"vector": remote_arm(server)}
    shared = started(caller, corpus, query_set, arms=arms)
    jobs.run()
    private = started(caller, corpus, query_set, arms=arms, reuse_existing=False)
    jobs.run()
    assert paid(server) == dict.fromkeys(ONCE, 2)
    assert now(private).report_hash == now(shared).report_hash
    assert now(private).status == TestStatus.COMPLETED
    again = started(caller, corpus, query_set, arms=arms)
    jobs.run()
    assert paid(server) == dict.fromkeys(ONCE, 2)  # nor does the private one serve others
    assert set(again.collection_uses.values_list("collection", flat=True)) == set(
        shared.collection_uses.values_list("collection", flat=True)
    )


def test_one_edited_query_is_embedded_alone(material, jobs, server):
    caller, corpus, query_set = material
    arms = {"vector": remote_arm(server)}
    started(caller, corpus, query_set, arms=arms)
    jobs.run()
    edited = make_query_set(
        caller, corpus, name="wings/test", queries={**QUERIES, "q3": "buckled shells"}, grades=GRADES
    )
    started(caller, corpus, edited, arms=arms)
    jobs.run()
    assert paid(server) == {**ONCE, "buckled shells": 1}


def test_a_build_that_breaks_here_says_so_without_naming_its_insides(material, jobs, server, monkeypatch):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set, arms={"vector": remote_arm(server)})
    jobs.run(until=BUILD)

    def broken(self, texts, role):
        raise ZeroDivisionError("password=1234")

    monkeypatch.setattr(OpenAiProvider, "embed", broken)
    jobs.run()
    assert now(test).status == TestStatus.FAILED
    assert test.error_code == "internal_error"
    assert "ZeroDivisionError" in test.error_message
    assert "1234" not in test.error_message
    assert Arm.objects.get(test=test).status == ArmStatus.FAILED
