"""Many workers at once and workers that lost their work: each text embedded once, nothing written by who lost it."""

import threading
import time

import pytest
from django.db import OperationalError, connections

from embeddings_ab.domain.statuses import ArmStatus, CollectionStatus, TestStatus
from embeddings_ab.models import AbTest, Arm, Collection, Embedding, QueryResult
from embeddings_ab.services import ab_tests, arm_runs, collection_builds, decisions, embedding_cache, progress
from governance.models.leased_work import LeaseLost
from governance.outbound import limiter
from governance.services.heartbeats import Heartbeat, lease
from tests.embeddings_ab.factories import QUERIES, TEXTS, make_caller, make_corpus, make_query_set
from tests.embeddings_ab.pipeline import started
from tests.embeddings_ab.provider_server import ProviderServer
from tests.embeddings_ab.remote import BUILD, RUN, let_time_pass, paid, permit, remote_arm, used
from tests.governance.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

DECIDE = "embeddings_ab.tasks.ab_tests.decide_test"
ONCE = dict.fromkeys([*TEXTS.values(), *QUERIES.values()], 1)


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


def documents_of(test: AbTest) -> Collection:
    return Collection.objects.get(kind="documents", uses__test=test)


def wait_for(condition, what):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


class InThread(threading.Thread):
    """Work of another worker, with its own connections."""

    def __init__(self, function, **arguments):
        super().__init__(daemon=True)
        self.function, self.arguments, self.error = function, arguments, None

    def run(self):
        try:
            self.function(**self.arguments)
        except BaseException as error:
            self.error = error
        finally:
            connections.close_all()


def take_over(model, pk: int, status: str):
    """Another worker claims the row after its lease ran out."""
    model.objects.filter(pk=pk).update(leased_until=None)
    taken = model.claim(pk, waiting=[], running=status, holder="another", lease=lease())
    assert taken is not None
    return taken


def test_concurrent_identical_builds_embed_once(material, jobs, server):
    caller, corpus, query_set = material
    arms = {"vector": remote_arm(server)}
    tests = [started(caller, corpus, query_set, arms=arms) for _ in range(2)]
    while any(task != BUILD for task, _ in jobs.waiting):  # both tests hold the same collections
        jobs.waiting.rotate(-next(at for at, (task, _) in enumerate(jobs.waiting) if task != BUILD))
        jobs.run_one()
    assert Collection.objects.count() == 2
    server.state.delay_seconds = 0.05
    collection = documents_of(tests[0])
    assert at_once(4, lambda _: collection_builds.build_collection(collection_id=collection.pk)) == [None] * 4
    server.state.delay_seconds = 0.0
    collection.refresh_from_db()
    assert (collection.status, collection.lease_token, collection.embedded_count) == ("ready", 1, len(TEXTS))
    let_time_pass(jobs)
    assert paid(server) == ONCE
    assert {AbTest.objects.get(pk=test.pk).status for test in tests} == {TestStatus.COMPLETED}


def test_builds_that_share_texts_in_one_space_embed_each_text_once(material, jobs, server):
    caller, corpus, query_set = material
    other = make_corpus(caller, name="more wings", texts={**TEXTS, "d4": "flutter of swept wings"})
    others = make_query_set(caller, other, name="more wings/test")
    arms = {"vector": remote_arm(server)}
    tests = [started(caller, corpus, query_set, arms=arms), started(caller, other, others, arms=arms)]
    while any(task != BUILD for task, _ in jobs.waiting):
        jobs.waiting.rotate(-next(at for at, (task, _) in enumerate(jobs.waiting) if task != BUILD))
        jobs.run_one()
    pks = [documents_of(test).pk for test in tests]
    assert len(set(pks)) == 2
    server.state.delay_seconds = 0.05
    assert at_once(2, lambda number: collection_builds.build_collection(collection_id=pks[number])) == [None] * 2
    server.state.delay_seconds = 0.0
    let_time_pass(jobs)
    assert paid(server) == {**ONCE, "flutter of swept wings": 1}
    assert {AbTest.objects.get(pk=test.pk).status for test in tests} == {TestStatus.COMPLETED}
    assert Embedding.objects.count() == len(ONCE) + 1


def test_a_build_that_lost_its_lease_in_a_batch_writes_nothing(material, jobs, server, monkeypatch):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set, arms={"vector": remote_arm(server)})
    jobs.run(until=BUILD)
    work = documents_of(test)
    original, taken = collection_builds._store, []

    def late(work, space, answered):
        taken.append(take_over(Collection, work.pk, CollectionStatus.BUILDING))
        original(work, space, answered)

    with monkeypatch.context() as patched:
        patched.setattr(collection_builds, "_store", late)
        collection_builds.build_collection(collection_id=work.pk)
    assert len(taken) == 1
    work.refresh_from_db()
    assert (work.status, work.lease_holder, work.lease_token) == (CollectionStatus.BUILDING, "another", 2)
    assert (work.embedded_count, work.provider_calls, work.error_code) == (0, 0, "")
    assert Embedding.objects.count() == 0
    Collection.objects.filter(pk=work.pk).update(leased_until=None)  # the other one died
    let_time_pass(jobs)
    assert AbTest.objects.get(pk=test.pk).status == TestStatus.COMPLETED
    assert used(caller)["vector_bytes"] == len(ONCE) * 64 * 4
    assert not Collection.objects.exclude(reserved_tokens=0, reserved_bytes=0).exists()


def test_an_arm_that_lost_its_lease_stores_no_result(material, jobs, monkeypatch):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set, arms={"lexical": {"retrieval": "lexical"}})
    jobs.run(until=RUN)
    arm, original = test.arms.get(), arm_runs.store

    def late(rows):
        take_over(Arm, arm.pk, ArmStatus.RUNNING)
        original(rows)

    with monkeypatch.context() as patched:
        patched.setattr(arm_runs, "store", late)
        jobs.run_one()
    assert QueryResult.objects.count() == 0
    arm.refresh_from_db()
    assert (arm.status, arm.queries_done) == (ArmStatus.RUNNING, 0)
    Arm.objects.filter(pk=arm.pk).update(leased_until=None)
    let_time_pass(jobs)
    assert AbTest.objects.get(pk=test.pk).status == TestStatus.COMPLETED
    assert QueryResult.objects.count() == 3


def test_a_decision_that_lost_its_lease_writes_no_report(material, jobs, monkeypatch):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set, arms={"lexical": {"retrieval": "lexical"}})
    jobs.run(until=DECIDE)
    original = decisions.make

    def late(*arguments):
        take_over(AbTest, test.pk, TestStatus.DECIDING)
        return original(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(decisions, "make", late)
        jobs.run_one()
    test.refresh_from_db()
    assert (test.status, test.report, test.report_hash) == (TestStatus.DECIDING, None, "")
    AbTest.objects.filter(pk=test.pk).update(leased_until=None)
    let_time_pass(jobs)
    test.refresh_from_db()
    assert test.status == TestStatus.COMPLETED


def cancelled_in_flight(caller, test, server, path, function, **arguments):
    """Cancel while `function` waits for an answer that does not come; its thread, ended long before any time-out."""
    server.fail("hang", path=path)
    work = InThread(function, **arguments)
    work.start()
    wait_for(lambda: any(call.fault == "hang" for call in server.calls_of(path)), "the call that hangs")
    ab_tests.cancel_test(caller=caller, test_id=test.public_id)
    work.join(45)  # the call itself would wait for a minute
    assert not work.is_alive()
    assert work.error is None
    test.refresh_from_db()
    assert (test.status, test.error_code) == (TestStatus.CANCELLED, "cancelled")


def test_cancelling_ends_an_embedding_call_that_hangs_and_nothing_is_written_after(material, jobs, server):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set, arms={"vector": remote_arm(server)})
    jobs.run(until=BUILD)
    before = used(caller)
    work = documents_of(test)
    cancelled_in_flight(
        caller, test, server, "/v1/embeddings", collection_builds.build_collection, collection_id=work.pk
    )
    work.refresh_from_db()
    assert (work.status, work.error_code, work.embedded_count) == (CollectionStatus.FAILED, "cancelled", 0)
    assert Embedding.objects.count() == 0
    assert used(caller) == {**before, "collections": 0}
    ab_tests.start_test(caller=caller, test_id=test.public_id)
    jobs.run()
    assert AbTest.objects.get(pk=test.pk).status == TestStatus.COMPLETED


def test_cancelling_ends_a_search_call_that_hangs(material, jobs, server):
    caller, corpus, query_set = material
    server.state.documents = dict(TEXTS)
    arms = {"asked": {"retrieval": "external", "external": {"url": f"{server.url}/search"}}}
    test = started(caller, corpus, query_set, arms=arms)
    jobs.run(until=RUN)
    cancelled_in_flight(caller, test, server, "/search", arm_runs.run_arm, arm_id=test.arms.get().pk)
    assert QueryResult.objects.count() == 0
    assert test.arms.get().status == ArmStatus.CANCELLED


def test_cancelling_ends_a_latency_call_that_hangs(material, jobs, server):
    caller, corpus, query_set = material
    server.state.documents = dict(TEXTS)
    arms = {"asked": {"retrieval": "external", "external": {"url": f"{server.url}/search"}}}
    test = started(caller, corpus, query_set, arms=arms)
    jobs.run(until=DECIDE)
    cancelled_in_flight(caller, test, server, "/search", decisions.decide_test, test_id=test.pk)
    assert test.report is None


def test_cancelling_ends_the_waiting_for_a_slot_as_well(material, jobs, server):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set, arms={"vector": remote_arm(server)})
    jobs.run(until=BUILD)
    pk = documents_of(test).pk
    calls = len(server.embed_calls)
    with limiter.slot(project_id=caller.project_id, provider="openai", limit=1):  # somebody else's call
        work = InThread(collection_builds.build_collection, collection_id=pk)
        work.start()
        wait_for(lambda: Collection.objects.filter(pk=pk, reserved_tokens__gt=0).exists(), "the build")
        ab_tests.cancel_test(caller=caller, test_id=test.public_id)
        work.join(45)  # it would wait for a minute
        assert not work.is_alive()
    assert work.error is None
    assert len(server.embed_calls) == calls
    assert Collection.objects.get(pk=pk).status == CollectionStatus.FAILED


def test_a_collection_that_another_test_waits_for_survives_the_cancelling(material, jobs, server):
    caller, corpus, query_set = material
    arms = {"vector": remote_arm(server)}
    first, second = (started(caller, corpus, query_set, arms=arms) for _ in range(2))
    while any(task != BUILD for task, _ in jobs.waiting):
        jobs.waiting.rotate(-next(at for at, (task, _) in enumerate(jobs.waiting) if task != BUILD))
        jobs.run_one()
    ab_tests.cancel_test(caller=caller, test_id=first.public_id)
    jobs.run()
    assert AbTest.objects.get(pk=second.pk).status == TestStatus.COMPLETED
    assert paid(server) == ONCE


def test_a_heartbeat_renews_the_lease_and_tells_when_it_is_lost(material, jobs, monkeypatch, settings):
    caller, corpus, query_set = material
    settings.LEASE_SECONDS = 5
    monkeypatch.setattr("governance.services.heartbeats.LOOK_SECONDS", 0.02)
    test = started(caller, corpus, query_set, arms={"lexical": {"retrieval": "lexical"}})
    jobs.run(until=RUN)
    arm = Arm.claim(test.arms.get().pk, waiting=["ready"], running="running", holder="me", lease=lease() / 5)
    first = Arm.objects.get(pk=arm.pk).leased_until
    told = threading.Event()
    with Heartbeat(arm, on_lost=told.set) as beat:
        wait_for(lambda: Arm.objects.get(pk=arm.pk).leased_until > first, "a renewal")
        beat.check()
        assert not beat.is_lost
        Arm.objects.filter(pk=arm.pk).update(lease_token=99)
        assert told.wait(60)
        with pytest.raises(LeaseLost):
            beat.check()
    assert beat.is_lost


def test_a_heartbeat_outlives_a_database_that_is_away_for_a_moment(material, jobs, monkeypatch):
    caller, corpus, query_set = material
    monkeypatch.setattr("governance.services.heartbeats.LOOK_SECONDS", 0.02)
    test = started(caller, corpus, query_set, arms={"lexical": {"retrieval": "lexical"}})
    jobs.run(until=RUN)
    arm = Arm.claim(test.arms.get().pk, waiting=["ready"], running="running", holder="me", lease=lease())
    original, looks = Arm.held, []

    def held(self):
        looks.append(1)
        if len(looks) <= 2:
            raise OperationalError("the server closed the connection")
        return original(self)

    monkeypatch.setattr(Arm, "held", held)
    with Heartbeat(arm) as beat:
        wait_for(lambda: len(looks) > 4, "more looks")
        beat.check()
    assert not beat.is_lost


def test_what_got_lost_on_its_way_is_sent_again(material, jobs):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set)
    for _ in range(40):  # every message is lost; the sweep alone moves the test on
        jobs.waiting.clear()
        for model in (Collection, Arm, AbTest):
            model.objects.update(dispatched_at=None)
        progress.send_lost_work()
        for task, pk in list(jobs.waiting):
            jobs.waiting.clear()
            jobs.waiting.append((task, pk))
            jobs.run_one()
        if AbTest.objects.get(pk=test.pk).status == TestStatus.COMPLETED:
            break
    test.refresh_from_db()
    assert test.status == TestStatus.COMPLETED
    assert QueryResult.objects.count() == 9


def test_the_cache_says_which_text_it_misses(material, jobs, server):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set, arms={"vector": remote_arm(server)})
    jobs.run()
    space = documents_of(test).space
    known = embedding_cache.text_hash(TEXTS["d1"])
    assert embedding_cache.load(space, [known, known]).shape == (2, 64)
    with pytest.raises(KeyError, match="0000"):
        embedding_cache.load(space, [known, "0000"])
