"""A test from start to verdict in one process: right figures, one row per arm and query, nothing embedded twice."""

import pytest
from django.db import IntegrityError

from embeddings_ab.adapters.embedding_providers.synthetic import SyntheticProvider
from embeddings_ab.domain.statuses import ArmStatus, CollectionStatus, TestStatus
from embeddings_ab.models import AbTest, Arm, Collection, Embedding, QueryResult
from embeddings_ab.services import ab_tests, arm_runs, progress
from embeddings_ab.services.plans import plan_test
from governance.domain.errors import Conflict
from governance.models import AuditEntry, Quota
from tests.embeddings_ab.factories import TEXTS, make_caller, make_corpus, make_query_set
from tests.embeddings_ab.pipeline import ARMS, spec_of, started

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def material():
    caller = make_caller()
    corpus = make_corpus(caller, name="wings")
    return caller, corpus, make_query_set(caller, corpus, name="wings/test")


@pytest.fixture
def embedded(monkeypatch):
    """Texts that reached the provider, canary and warm-up included."""
    seen = []
    original = SyntheticProvider.embed

    def embed(self, texts, role):
        seen.extend(texts)
        return original(self, texts, role)

    monkeypatch.setattr(SyntheticProvider, "embed", embed)
    return seen


def finished(test: AbTest) -> AbTest:
    test.refresh_from_db()
    assert test.status == TestStatus.COMPLETED, (
        test.status,
        test.error_message,
        list(test.arms.values("name", "error_message")),
    )
    return test


def test_three_arms_end_with_a_report(material, jobs):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set)
    jobs.run()
    test = finished(test)
    assert QueryResult.objects.filter(test=test).count() == 3 * 3 == test.result_count
    report = test.report
    assert set(report["arms"]) == set(ARMS)
    # "wing lift in a slipstream" has d1 (grade 2) and d3 (grade 1); "heat in slabs" has d2; q3 has no judgment.
    lexical = {r.query.external_id: r for r in QueryResult.objects.filter(arm__name="lexical").select_related("query")}
    assert lexical["q1"].ranked_ids[0] == "d1"
    assert lexical["q2"].ranked_ids[0] == "d2"
    assert lexical["q2"].metrics["nDCG@3"] == 1.0
    assert lexical["q3"].metrics["nDCG@3"] is None
    assert report["arms"]["lexical"]["metrics"]["nDCG@3"]["n"] == 2
    assert report["arms"]["lexical"]["metrics"]["nDCG@3"]["undefined"] == 1
    primary = [row for row in report["comparisons"] if row["role"] == "primary"]
    assert [(row["arm"], row["metric"], row["verdict"]) for row in primary] == [
        ("vector", "nDCG@3", "undecided"),
        ("hybrid", "nDCG@3", "undecided"),
    ]
    assert {row["role"] for row in report["comparisons"] if row["metric"] != "nDCG@3"} == {"exploratory"}
    assert len(report["all_pairs"]) == 3
    assert test.report_hash


def test_a_second_identical_test_embeds_nothing(material, jobs, embedded):
    caller, corpus, query_set = material
    first = started(caller, corpus, query_set)
    jobs.run()
    count, rows = len(embedded), Embedding.objects.count()
    second = started(caller, corpus, query_set)
    jobs.run()
    assert len(embedded) == count
    assert Embedding.objects.count() == rows == len(TEXTS) + 3
    assert finished(first).report_hash == finished(second).report_hash
    stats = second.arms.get(name="vector").stats
    assert stats["reused"] is True
    assert (stats["embedded"], stats["provider_calls"]) == (0, 0)
    assert Collection.objects.count() == 3


def test_an_edited_document_is_embedded_alone(material, jobs, embedded):
    caller, corpus, query_set = material
    started(caller, corpus, query_set)
    jobs.run()
    embedded.clear()
    edited = make_corpus(caller, name="wings", texts={**TEXTS, "d2": "heat conduction in composite slabs, again"})
    assert edited.version == 2
    test = started(caller, edited, query_set)
    jobs.run()
    finished(test)
    assert embedded == ["heat conduction in composite slabs, again"]


def test_another_alpha_embeds_nothing_and_its_ends_are_the_single_arms(material, jobs, embedded):
    caller, corpus, query_set = material
    started(caller, corpus, query_set)
    jobs.run()
    embedded.clear()
    convex = {
        f"alpha {alpha}": {**ARMS["hybrid"], "fusion": {"method": "convex", "alpha": alpha}} for alpha in (0, 0.5, 1)
    }
    test = started(caller, corpus, query_set, arms={**ARMS, **convex})
    jobs.run()
    finished(test)
    assert embedded == []
    rankings = {
        (r.arm.name, r.query.external_id): r.ranked_ids
        for r in QueryResult.objects.filter(test=test).select_related("arm", "query")
    }
    for query in ("q1", "q2", "q3"):
        # W3: an alpha of 0 ran as 0.7.
        assert rankings["alpha 0", query] == rankings["lexical", query]
        assert rankings["alpha 1", query] == rankings["vector", query]


def test_a_test_that_reuses_nothing_builds_its_own(material, jobs, embedded):
    caller, corpus, query_set = material
    started(caller, corpus, query_set)
    jobs.run()
    embedded.clear()
    test = started(caller, corpus, query_set, reuse_existing=False)
    jobs.run()
    finished(test)
    assert set(TEXTS.values()) <= set(embedded)
    assert Collection.objects.count() == 6


def test_running_everything_twice_changes_nothing(material, jobs):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set)
    jobs.run()
    before = (finished(test).report_hash, QueryResult.objects.count())
    for arm in Arm.objects.filter(test=test):
        arm_runs.run_arm(arm_id=arm.pk)
    progress.send_lost_work()
    jobs.run()
    # W10: a second run doubled the rows.
    assert (finished(test).report_hash, QueryResult.objects.count()) == before
    row = QueryResult.objects.first()
    with pytest.raises(IntegrityError):
        QueryResult.objects.create(test=test, arm=row.arm, query=row.query)


def test_a_worker_that_died_is_replaced_and_the_hash_is_the_same(material, jobs, monkeypatch):
    caller, corpus, query_set = material
    undisturbed = started(caller, corpus, query_set, reuse_existing=False)
    jobs.run()
    wanted = finished(undisturbed).report_hash
    died = []

    def die(rows):
        died.append(len(rows))
        raise SystemExit

    test = started(caller, corpus, query_set, reuse_existing=False)
    with monkeypatch.context() as patched:
        patched.setattr(arm_runs, "store", die)
        with pytest.raises(SystemExit):
            jobs.run()
    arm = Arm.objects.get(test=test, status=ArmStatus.RUNNING)
    Arm.objects.filter(pk=arm.pk).update(leased_until=None)  # the lease has run out
    Arm.objects.filter(test=test).update(dispatched_at=None)
    progress.send_lost_work()
    jobs.run()
    assert len(died) == 1
    assert finished(test).report_hash == wanted


def test_quotas_and_audit_follow(material, jobs):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set)
    jobs.run()
    finished(test)
    used = dict(Quota.objects.filter(project_id=caller.project_id).values_list("resource", "used"))
    assert used["ab_tests"] == 1
    assert used["collections"] == 3
    assert used["chunks"] == 2 * len(TEXTS)  # vectors and lexical index
    assert used["vector_bytes"] == (len(TEXTS) + 3) * 64 * 4
    assert used["embedding_tokens"] > 0
    assert not Collection.objects.exclude(reserved_tokens=0, reserved_bytes=0).exists()
    actions = list(AuditEntry.objects.filter(target_kind="ab_test").order_by("pk").values_list("action", flat=True))
    assert actions == ["ab_test.create", "ab_test.start"]


def test_cancel_and_start_again(material, jobs):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set)
    jobs.run(until="embeddings_ab.tasks.collections.build_collection")
    ab_tests.cancel_test(caller=caller, test_id=test.public_id)
    jobs.run()
    test.refresh_from_db()
    assert test.status == TestStatus.CANCELLED
    assert set(test.arms.values_list("status", flat=True)) == {ArmStatus.CANCELLED}
    assert set(Collection.objects.values_list("status", "error_code")) == {(CollectionStatus.FAILED, "cancelled")}
    with pytest.raises(Conflict, match="cannot be cancelled"):
        ab_tests.cancel_test(caller=caller, test_id=test.public_id)
    ab_tests.start_test(caller=caller, test_id=test.public_id)
    jobs.run()
    finished(test)


def test_a_test_out_of_time_fails_with_its_reason(material, jobs):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set, limits={"timeout_seconds": 3600})
    AbTest.objects.filter(pk=test.pk).update(deadline_at=test.created_at)
    jobs.run()
    test.refresh_from_db()
    assert (test.status, test.error_code) == (TestStatus.FAILED, "out_of_time")


def test_a_plan_tells_what_is_cached(material, jobs):
    caller, corpus, query_set = material
    spec = spec_of(corpus, query_set)
    before = plan_test(caller=caller, spec=spec)
    assert before["arms"]["vector"]["texts_to_embed"] == len(TEXTS) + 3
    assert before["arms"]["hybrid"]["texts_to_embed"] == 0  # shares the vector arm's
    assert before["arms"]["lexical"]["texts_to_embed"] == 0
    started(caller, corpus, query_set)
    jobs.run()
    after = plan_test(caller=caller, spec=spec)
    assert after["arms"]["vector"]["texts_to_embed"] == 0
    assert after["arms"]["vector"]["cached"] == len(TEXTS) + 3
    assert after["arms"]["vector"]["cost"] == "0"


def test_delete_keeps_collections_for_others(material, jobs):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set)
    with pytest.raises(Conflict, match="cancel it"):
        ab_tests.delete_test(caller=caller, test_id=test.public_id)
    jobs.run()
    ab_tests.delete_test(caller=caller, test_id=test.public_id)
    assert not AbTest.objects.exists()
    assert set(Collection.objects.values_list("status", flat=True)) == {CollectionStatus.READY}
