"""Further attempts: of preparations, of single calls, of decisions, of builds that take longer than one turn."""

import pytest
from django.db import OperationalError

from embeddings_ab.domain.statuses import ArmStatus, TestStatus
from embeddings_ab.models import Collection, Embedding
from embeddings_ab.services import collection_builds, decisions
from tests.embeddings_ab.factories import QUERIES, TEXTS, make_caller, make_corpus, make_query_set
from tests.embeddings_ab.pipeline import started
from tests.embeddings_ab.provider_server import ProviderServer
from tests.embeddings_ab.remote import BUILD, let_time_pass, paid, permit, remote_arm

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


def test_a_provider_that_is_away_at_the_preparation_is_asked_again(material, jobs, server):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set, arms={"vector": remote_arm(server)})
    server.fail("server_error", path="/v1/embeddings")
    jobs.run()
    arm = test.arms.get()
    assert (arm.status, arm.error_code, arm.attempts) == (ArmStatus.PENDING, "server_error", 1)
    assert arm.next_attempt_at is not None
    let_time_pass(jobs)
    test.refresh_from_db()
    assert test.status == TestStatus.COMPLETED
    assert test.arms.get().error_code == ""


def test_a_provider_that_refuses_at_the_preparation_fails_its_arm_alone(material, jobs, server):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set, arms={"lexical": LEXICAL, "vector": remote_arm(server)})
    server.fail("unauthorised", path="/v1/embeddings")
    jobs.run()
    test.refresh_from_db()
    assert test.status == TestStatus.INCOMPLETE
    assert dict(test.arms.values_list("name", "status")) == {"lexical": "completed", "vector": "failed"}
    assert test.arms.get(name="vector").error_code == "unauthorised"


def test_a_hiccup_of_one_search_call_is_tried_again_at_once(material, jobs, server):
    caller, corpus, query_set = material
    server.state.documents = dict(TEXTS)
    arms = {"asked": {"retrieval": "external", "external": {"url": f"{server.url}/search"}}}
    test = started(caller, corpus, query_set, arms=arms, latency_queries=0)
    server.fail("server_error", path="/search")
    jobs.run()
    test.refresh_from_db()
    assert test.status == TestStatus.COMPLETED
    assert len(server.calls_of("/search")) == len(QUERIES) + 1


@pytest.mark.parametrize("error", [OperationalError("the database is away"), ZeroDivisionError("a mistake")])
def test_a_decision_is_tried_again_only_for_what_can_heal(material, jobs, monkeypatch, error):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set, arms={"lexical": LEXICAL})
    original, calls = decisions.make, []

    def make(*arguments):
        calls.append(1)
        if len(calls) == 1:
            raise error
        return original(*arguments)

    monkeypatch.setattr(decisions, "make", make)
    jobs.run()
    let_time_pass(jobs)
    test.refresh_from_db()
    if isinstance(error, OperationalError):
        assert (test.status, len(calls)) == (TestStatus.COMPLETED, 2)
    else:
        assert (test.status, test.error_code, len(calls)) == (TestStatus.FAILED, "internal_error", 1)


def test_a_long_build_hands_on_after_its_turn_and_pays_nothing_twice(material, jobs, server, monkeypatch):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set, arms={"vector": remote_arm(server)})
    turns = []  # each with the number of batches that were stored when it began

    def is_over(self):
        if not turns or turns[-1][0] is not self:
            turns.append((self, Embedding.objects.count()))
        return Embedding.objects.count() > turns[-1][1]

    monkeypatch.setattr(collection_builds.Turn, "is_over", property(is_over))
    jobs.run(until=BUILD)
    jobs.run()
    let_time_pass(jobs)
    test.refresh_from_db()
    assert test.status == TestStatus.COMPLETED
    assert paid(server) == ONCE
    documents = Collection.objects.get(kind="documents")
    assert documents.lease_token == 2  # claimed anew for the second batch
    assert documents.provider_calls == 2
