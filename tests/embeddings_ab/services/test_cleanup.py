"""Clean-up: tests let go when they should, collections that nobody holds go, results stay, quotas come back once."""

import datetime as dt
import shutil

import pytest
from django.db import transaction

from embeddings_ab.domain.statuses import CollectionStatus, TestStatus
from embeddings_ab.models import AbTest, Collection, CollectionUse, Embedding, EmbeddingSpace, QueryResult
from embeddings_ab.services import ab_tests, arm_preparation, artifact_files, cleanup, collections
from governance.domain.errors import Conflict
from governance.models import AuditEntry
from governance.models.clock import from_now
from tests.embeddings_ab.factories import QUERIES, TEXTS, make_caller, make_corpus, make_query_set
from tests.embeddings_ab.pipeline import spec_of, started
from tests.embeddings_ab.remote import BUILD, used
from tests.governance.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

LONG = dt.timedelta(days=400)
KINDS = 3  # documents, queries, lexical index


@pytest.fixture
def material():
    caller = make_caller()
    corpus = make_corpus(caller, name="wings")
    return caller, corpus, make_query_set(caller, corpus, name="wings/test")


def unused_for(delta: dt.timedelta) -> None:
    Collection.objects.update(last_used_at=from_now(-delta))


def expired(test: AbTest) -> None:
    AbTest.objects.filter(pk=test.pk).update(expires_at=from_now(-dt.timedelta(seconds=1)))


def statuses() -> set[str]:
    return set(Collection.objects.values_list("status", flat=True))


def test_a_test_that_cleans_up_on_completion_keeps_its_results(material, jobs):
    caller, corpus, query_set = material
    before = used(caller)
    test = started(caller, corpus, query_set, clean_up={"on_complete": True})
    jobs.run()
    test.refresh_from_db()
    folders = [artifact_files.folder_of(collection) for collection in Collection.objects.all()]
    assert all(folder.is_dir() for folder in folders)
    swept = cleanup.sweep()
    assert swept["released"] == [test.public_id]
    assert not CollectionUse.objects.exists()
    unused_for(cleanup.IDLE)
    assert len(cleanup.sweep()["deleted"]) == KINDS
    jobs.run()
    assert statuses() == {CollectionStatus.DELETED}
    assert not any(folder.exists() for folder in folders)
    # W11: clean-up on completion took the test and its results along.
    again = AbTest.objects.get(pk=test.pk)
    assert (again.status, again.report, again.report_hash) == (test.status, test.report, test.report_hash)
    assert QueryResult.objects.filter(test=test).count() == 9
    assert (used(caller)["collections"], used(caller)["chunks"]) == (before["collections"], before["chunks"])
    assert used(caller)["vector_bytes"] == 7 * 64 * 4  # the vectors stay for the next test, until nobody used them long


def test_the_vectors_that_stayed_make_the_collections_anew(material, jobs):
    caller, corpus, query_set = material
    first = started(caller, corpus, query_set, clean_up={"on_complete": True})
    jobs.run()
    cleanup.sweep()
    unused_for(cleanup.IDLE)
    cleanup.sweep()
    jobs.run()
    second = started(caller, corpus, query_set)
    jobs.run()
    first.refresh_from_db()
    second.refresh_from_db()
    assert (second.status, second.report_hash) == (TestStatus.COMPLETED, first.report_hash)
    assert Collection.objects.filter(status="ready").count() == KINDS
    assert sum(Collection.objects.filter(status="ready").values_list("embedded_count", flat=True)) == 0


def test_a_test_lets_go_when_its_time_is_over_and_not_before(material, jobs):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set, clean_up={"ttl_hours": 5})
    jobs.run()
    test.refresh_from_db()
    left = test.expires_at - test.finished_at
    assert dt.timedelta(hours=4, minutes=59) < left < dt.timedelta(hours=5, minutes=1)
    unused_for(LONG)
    assert cleanup.sweep()["released"] == []
    assert statuses() == {CollectionStatus.READY}
    expired(test)
    assert cleanup.sweep()["released"] == [test.public_id]
    cleanup.sweep()
    assert statuses() == {CollectionStatus.READY}  # used until now: the next test may want them
    unused_for(cleanup.IDLE)
    cleanup.sweep()
    assert statuses() == {CollectionStatus.DELETING}
    jobs.run()
    assert statuses() == {CollectionStatus.DELETED}


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_a_test_without_a_verdict_lets_go_as_well(material, jobs, end):
    caller, corpus, query_set = material
    before = used(caller)
    limits = {"timeout_seconds": 3600} if end == "failed" else {}
    test = started(caller, corpus, query_set, limits=limits)
    jobs.run(until=BUILD)
    if end == "failed":
        AbTest.objects.filter(pk=test.pk).update(deadline_at=from_now(-dt.timedelta(seconds=1)))
        jobs.waiting.append(("embeddings_ab.tasks.ab_tests.advance_test", test.pk))
    else:
        ab_tests.cancel_test(caller=caller, test_id=test.public_id)
    jobs.run()
    test.refresh_from_db()
    assert test.status == end
    assert statuses() <= {CollectionStatus.FAILED, CollectionStatus.READY}
    assert test.expires_at > test.finished_at + dt.timedelta(hours=167)
    expired(test)
    assert cleanup.sweep()["released"] == [test.public_id]
    unused_for(cleanup.IDLE)
    cleanup.sweep()
    jobs.run()
    assert statuses() == {CollectionStatus.DELETED}
    assert {**used(caller), "vector_bytes": 0, "embedding_tokens": 0} == before


def test_a_shared_collection_stays_as_long_as_one_test_holds_it(material, jobs):
    """W12: shared collections were flagged on both sides and never deleted."""
    caller, corpus, query_set = material
    first = started(caller, corpus, query_set)
    second = started(caller, corpus, query_set)
    jobs.run()
    assert Collection.objects.count() == KINDS
    expired(first)
    cleanup.sweep()
    unused_for(LONG)
    assert cleanup.sweep()["deleted"] == []
    held = Collection.objects.first()
    with pytest.raises(Conflict, match=second.public_id):
        cleanup.delete_collection(caller=caller, collection_id=held.public_id)
    expired(second)
    cleanup.sweep()
    unused_for(LONG)
    assert len(cleanup.sweep()["deleted"]) == KINDS
    jobs.run()
    assert statuses() == {CollectionStatus.DELETED}


def test_a_dry_run_says_the_same_and_deletes_nothing(material, jobs):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set)
    jobs.run()
    expired(test)
    dry = cleanup.sweep(dry_run=True)
    assert (dry["released"], dry["dry_run"]) == ([test.public_id], True)
    assert CollectionUse.objects.count() == KINDS
    cleanup.sweep()
    unused_for(LONG)
    dry = cleanup.sweep(dry_run=True)
    assert statuses() == {CollectionStatus.READY}
    wet = cleanup.sweep()
    assert (wet["deleted"], len(wet["deleted"])) == (dry["deleted"], KINDS)
    EmbeddingSpace.objects.update(last_used_at=from_now(-LONG))
    dry = cleanup.sweep(dry_run=True)
    assert list(dry["vectors"].values()) == [len(TEXTS) + len(QUERIES)]
    assert Embedding.objects.count() == len(TEXTS) + len(QUERIES)


def test_several_beats_at_once_delete_once_and_give_back_once(material, jobs):
    caller, corpus, query_set = material
    other = make_corpus(caller, name="others", texts={"d1": "another text"})
    started(caller, corpus, query_set)
    kept = started(caller, other, make_query_set(caller, other, name="others/test", grades={"q1": {"d1": 1}}))
    jobs.run()
    AbTest.objects.exclude(pk=kept.pk).update(expires_at=from_now(-dt.timedelta(seconds=1)))
    cleanup.sweep()
    unused_for(LONG)
    results = at_once(4, lambda _: cleanup.sweep())
    assert [result for result in results if isinstance(result, BaseException)] == []
    deletions = [pk for task, pk in jobs.waiting if task.endswith("delete_collection")]
    assert len(deletions) == len(set(deletions))
    held = CollectionUse.objects.count()
    assert used(caller)["collections"] == held
    assert used(caller)["chunks"] == 2
    for pk in deletions:
        assert at_once(2, lambda _, pk=pk: cleanup.delete_artifacts(collection_id=pk)) == [None, None]
    assert Collection.objects.filter(status="deleted").count() == len(deletions)


def test_vectors_of_unused_spaces_go_in_batches_and_give_their_bytes_back_once(material, jobs, monkeypatch):
    caller, corpus, query_set = material
    monkeypatch.setattr(cleanup, "VECTOR_BATCH", 3)
    started(caller, corpus, query_set, clean_up={"on_complete": True})
    jobs.run()
    EmbeddingSpace.objects.update(last_used_at=from_now(-LONG))
    cleanup.sweep()
    assert Embedding.objects.count() == 7  # its collections are there
    unused_for(LONG)
    cleanup.sweep()
    left = []
    for _ in range(4):
        at_once(2, lambda _: cleanup.sweep())
        left.append((Embedding.objects.count(), used(caller)["vector_bytes"]))
    assert left[-1] == (0, 0)
    assert all(size == count * 64 * 4 for count, size in left)
    cleanup.sweep()
    assert not EmbeddingSpace.objects.exists()
    assert Collection.objects.filter(space=None).count() == KINDS


def test_vectors_used_not_long_ago_stay(material, jobs):
    caller, corpus, query_set = material
    started(caller, corpus, query_set, clean_up={"on_complete": True})
    jobs.run()
    cleanup.sweep()
    unused_for(LONG)
    cleanup.sweep()
    EmbeddingSpace.objects.update(last_used_at=from_now(-LONG))
    started(caller, corpus, query_set, clean_up={"on_complete": True})
    jobs.run()  # a build took them from the cache
    cleanup.sweep()
    unused_for(LONG)
    cleanup.sweep()
    cleanup.sweep()
    assert Embedding.objects.count() == 7


def test_an_expired_test_may_be_started_again_and_makes_what_is_missing(material, jobs):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set)
    jobs.run(until=BUILD)
    ab_tests.cancel_test(caller=caller, test_id=test.public_id)
    jobs.run()
    expired(test)
    cleanup.sweep()
    unused_for(LONG)
    cleanup.sweep()
    jobs.run()
    ab_tests.start_test(caller=caller, test_id=test.public_id)
    jobs.run()
    test.refresh_from_db()
    assert test.status == TestStatus.COMPLETED
    assert CollectionUse.objects.filter(test=test).count() == KINDS


def test_a_lost_deletion_is_sent_again(material, jobs):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set)
    jobs.run()
    expired(test)
    cleanup.sweep()
    unused_for(LONG)
    cleanup.sweep()
    jobs.waiting.clear()
    cleanup.sweep()
    assert not jobs.waiting  # its message may still be on the way
    Collection.objects.update(dispatched_at=from_now(-dt.timedelta(minutes=3)))
    cleanup.sweep()
    jobs.run()
    assert statuses() == {CollectionStatus.DELETED}


def test_deleting_one_collection_is_audited_and_a_missing_folder_does_no_harm(material, jobs):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set)
    jobs.run()
    ab_tests.delete_test(caller=caller, test_id=test.public_id)
    one = Collection.objects.filter(kind="documents").get()
    shutil.rmtree(artifact_files.folder_of(one))
    cleanup.delete_collection(caller=caller, collection_id=one.public_id)
    jobs.run()
    one.refresh_from_db()
    assert (one.status, one.byte_count) == (CollectionStatus.DELETED, 0)
    assert AuditEntry.objects.filter(action="collection.delete", target_id=one.public_id).count() == 1
    with pytest.raises(Conflict, match="deleted"):
        cleanup.delete_collection(caller=caller, collection_id=one.public_id)
    assert used(caller)["collections"] == KINDS - 1


def test_who_takes_hold_while_another_test_is_cancelled_keeps_the_build(material, jobs):
    caller, corpus, query_set = material
    first = started(caller, corpus, query_set)
    jobs.run(until=BUILD)
    second = ab_tests.create_test(caller=caller, spec=spec_of(corpus, query_set))
    ab_tests.start_test(caller=caller, test_id=second.public_id)

    def work(number: int) -> None:
        if number:
            ab_tests.cancel_test(caller=caller, test_id=first.public_id)
        else:
            for arm in second.arms.all():
                arm_preparation.prepare_arm(arm_id=arm.pk)

    assert at_once(2, work) == [None, None]
    jobs.run()
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.status, second.status) == (TestStatus.CANCELLED, TestStatus.COMPLETED)
    assert statuses() == {CollectionStatus.READY}
    with transaction.atomic():
        collections.call_off_unneeded([*Collection.objects.values_list("pk", flat=True)])
    assert statuses() == {CollectionStatus.READY}  # what is ready is never called off
