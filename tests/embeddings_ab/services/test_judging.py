"""Pools: made of the right documents in the right order, dealt out so that nobody judges what somebody else has."""

import datetime as dt
import threading

import pytest
from django.db import connection
from django.utils import timezone

from embeddings_ab.models import AbTest, JudgingItem, JudgingPool, Label
from embeddings_ab.services.judging import assign_items, create_pool, delete_pool, next_item, skip_item
from embeddings_ab.services.labels import label_item, publish_labels
from governance.domain.errors import Conflict, Forbidden, InvalidInput, NotFound
from governance.models import AuditEntry
from tests.embeddings_ab.factories import make_caller, make_corpus, make_query_set
from tests.embeddings_ab.judging import make_judge, make_pool, make_pooled_test
from tests.embeddings_ab.pipeline import started

pytestmark = pytest.mark.django_db


def names(items) -> list[tuple[str, str]]:
    return [(item.query.external_id, item.document_id) for item in items]


def taken(judge, pool, **more):
    return next_item(caller=judge, pool_id=pool.public_id, user=judge.actor_label, **more)


def test_a_pool_holds_what_is_not_judged_most_useful_first(caller):
    pool = make_pool(caller)

    items = list(JudgingItem.objects.filter(pool=pool))
    # d3 moves from rank 3 to 1; d2 falls out of rank 2; both arms agree on q2, so a label there decides nothing.
    assert names(items) == [("q1", "d2"), ("q1", "d3"), ("q2", "d4"), ("q2", "d5")]
    assert items[0].priority > items[1].priority > 0
    assert [item.priority for item in items[2:]] == [0.0, 0.0]
    assert items[1].found_by == {"new": 1, "old": 3}
    entry = AuditEntry.objects.get(action="judging_pool.create")
    assert (entry.target_id, entry.after["items"]) == (pool.public_id, 4)
    assert [row["grade"] for row in pool.scale] == [0, 1, 2, 3]


def test_a_pool_of_everything_holds_judged_documents_too(caller):
    pool = make_pool(caller, only_unjudged=False)

    assert {("q1", "d1")} < set(names(JudgingItem.objects.filter(pool=pool)))


def test_what_was_published_meanwhile_is_not_pooled_again(caller):
    test = make_pooled_test(caller)
    pool, judge = make_pool(caller, test=test), make_judge(caller, "ada")
    item = taken(judge, pool)
    label_item(caller=judge, pool_id=pool.public_id, item_id=item.pk, grade=1)
    publish_labels(caller=caller, pool_id=pool.public_id, source="human")

    again = make_pool(caller, test=test, name="more")
    assert names([item]) == [("q1", "d2")]
    assert ("q1", "d2") not in names(JudgingItem.objects.filter(pool=again))


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"name": " "}, "name"),
        ({"depth": 0}, "depth"),
        ({"depth": 101}, "depth"),
        ({"labels_per_item": 11}, "labels_per_item"),
        ({"guidelines": "x" * 20_001}, "guidelines"),
        ({"scale": [{"grade": 0, "label": "no"}]}, "scale"),
        ({"scale": [{"grade": 0, "label": "no"}, {"grade": 0, "label": "yes"}]}, "scale"),
        ({"scale": [{"grade": 0, "label": "no"}, {"grade": 10, "label": "yes"}]}, "scale.1.grade"),
        ({"scale": [{"grade": True, "label": "no"}, {"grade": 1, "label": "yes"}]}, "scale.0.grade"),
        ({"scale": [{"grade": 0, "label": ""}, {"grade": 1, "label": "yes"}]}, "scale.0.label"),
        ({"scale": [{"grade": 0}, {"grade": 1, "label": "yes"}]}, "scale.0.label"),
    ],
)
def test_a_bad_pool_is_refused_naming_the_field(caller, settings, field):
    with pytest.raises(InvalidInput) as refused:
        make_pool(caller, **settings)
    assert refused.value.details["field"] == field
    assert field in refused.value.message
    assert not JudgingPool.objects.exists()


def test_a_pool_needs_results_and_something_to_judge(caller):
    test = make_pooled_test(caller, status="running")
    with pytest.raises(Conflict, match="running"):
        make_pool(caller, test=test)
    AbTest.objects.filter(pk=test.pk).update(status="incomplete")
    make_pool(caller, test=test)
    with pytest.raises(Conflict, match="'to judge'"):
        make_pool(caller, test=test)
    with pytest.raises(NotFound):
        create_pool(caller=caller, test_id="nobody", name="x")
    empty = make_pooled_test(make_judge(caller, "owner", role="owner"), name="other")
    empty.results.all().delete()
    with pytest.raises(Conflict, match="nothing to judge"):
        make_pool(caller, test=empty, name="empty")


def test_too_many_documents_are_refused(caller, monkeypatch):
    monkeypatch.setattr("embeddings_ab.services.judging.MAX_ITEMS", 3)
    with pytest.raises(InvalidInput, match="at most 3"):
        make_pool(caller)


def test_two_people_never_hold_the_same_document(caller):
    pool, ada, bob = make_pool(caller), make_judge(caller, "ada"), make_judge(caller, "bob")

    first, second = taken(ada, pool), taken(bob, pool)
    assert names([first, second]) == [("q1", "d2"), ("q1", "d3")]
    assert taken(ada, pool) == first  # the page may be opened again
    label_item(caller=ada, pool_id=pool.public_id, item_id=first.pk, grade=1)
    assert names([taken(ada, pool)]) == [("q2", "d4")]
    assert taken(bob, pool) == second


def test_a_hold_ends(caller):
    pool, ada, bob = make_pool(caller), make_judge(caller, "ada"), make_judge(caller, "bob")
    first = taken(ada, pool)
    JudgingItem.objects.filter(pk=first.pk).update(held_until=timezone.now() - dt.timedelta(minutes=1))

    assert taken(bob, pool) == first


def test_a_labelled_document_is_done(caller):
    pool, ada, bob = make_pool(caller), make_judge(caller, "ada"), make_judge(caller, "bob")
    seen = []
    while item := taken(ada, pool):
        label_item(caller=ada, pool_id=pool.public_id, item_id=item.pk, grade=0)
        seen.append(item)
    assert len(seen) == 4
    JudgingItem.objects.update(held_until=None)
    assert taken(bob, pool) is None


def test_a_pool_may_ask_for_two_labels_of_each(caller):
    pool = make_pool(caller, labels_per_item=2)
    ada, bob, eve = (make_judge(caller, name) for name in ("ada", "bob", "eve"))

    first = taken(ada, pool)
    assert taken(bob, pool) == first
    for judge in (ada, bob):
        label_item(caller=judge, pool_id=pool.public_id, item_id=first.pk, grade=1)
    assert taken(eve, pool) != first
    assert taken(ada, pool) != first


def test_one_label_on_its_way_and_one_there_are_two(caller):
    pool = make_pool(caller, labels_per_item=2)
    ada, bob, eve = (make_judge(caller, name) for name in ("ada", "bob", "eve"))
    first = taken(ada, pool)
    label_item(caller=ada, pool_id=pool.public_id, item_id=first.pk, grade=1)
    JudgingItem.objects.filter(pk=first.pk).update(held_until=None)

    assert taken(bob, pool) == first
    assert taken(eve, pool) != first


def test_skipping_lets_others_judge(caller):
    pool, ada, bob = make_pool(caller), make_judge(caller, "ada"), make_judge(caller, "bob")
    first = taken(ada, pool)
    skip_item(caller=ada, pool_id=pool.public_id, item_id=first.pk, user="ada")

    assert taken(ada, pool, without=[first.pk]) != first
    assert taken(bob, pool) == first
    skip_item(caller=ada, pool_id=pool.public_id, item_id=first.pk, user="ada")  # another's hold is not hers to end
    first.refresh_from_db()
    assert first.held_by == "bob"
    with pytest.raises(NotFound):
        skip_item(caller=ada, pool_id=pool.public_id, item_id=2**70, user="ada")


def test_assignment_deals_whole_queries(caller):
    pool, _ada, bob = make_pool(caller), make_judge(caller, "ada"), make_judge(caller, "bob")

    assert assign_items(caller=caller, pool_id=pool.public_id, users=["ada", "bob", "ada"]) == 4
    assert {(i.query.external_id, i.assigned_to) for i in JudgingItem.objects.all()} == {("q1", "ada"), ("q2", "bob")}
    assert names([taken(bob, pool)]) == [("q2", "d4")]
    foreign = JudgingItem.objects.filter(assigned_to="ada").first()
    with pytest.raises(NotFound, match="assigned to 'ada'"):
        label_item(caller=bob, pool_id=pool.public_id, item_id=foreign.pk, grade=0)
    assert AuditEntry.objects.get(action="judging_pool.assign").after == {"users": ["ada", "bob"], "items": 4}
    assert assign_items(caller=caller, pool_id=pool.public_id, users=[]) == 4
    assert names([taken(make_judge(caller, "eve"), pool)]) == [("q1", "d2")]


def test_only_members_who_may_judge_are_assigned(caller):
    pool = make_pool(caller)
    make_judge(caller, "vera", role="viewer")
    make_judge(caller, "ada")

    for name in ("vera", "nobody"):
        with pytest.raises(InvalidInput, match="there are ada") as refused:
            assign_items(caller=caller, pool_id=pool.public_id, users=["ada", name])
        assert refused.value.details == {"field": "users", "value": name}


def test_judging_needs_its_right(caller):
    pool, viewer = make_pool(caller), make_judge(caller, "vera", role="viewer")
    item = JudgingItem.objects.first()
    for act in (
        lambda: taken(viewer, pool),
        lambda: skip_item(caller=viewer, pool_id=pool.public_id, item_id=item.pk, user="vera"),
        lambda: label_item(caller=viewer, pool_id=pool.public_id, item_id=item.pk, grade=0),
        lambda: assign_items(caller=viewer, pool_id=pool.public_id, users=[]),
        lambda: delete_pool(caller=viewer, pool_id=pool.public_id),
        lambda: make_pool(viewer),
    ):
        with pytest.raises(Forbidden):
            act()


def test_a_deleted_pool_takes_its_labels_along(caller):
    pool, ada = make_pool(caller), make_judge(caller, "ada")
    label_item(caller=ada, pool_id=pool.public_id, item_id=taken(ada, pool).pk, grade=2)
    delete_pool(caller=caller, pool_id=pool.public_id)

    assert not Label.objects.exists()
    assert AuditEntry.objects.get(action="judging_pool.delete").before == {"name": "to judge", "items": 4, "labels": 1}
    with pytest.raises(NotFound):
        taken(ada, pool)


@pytest.mark.django_db(transaction=True)
def test_many_people_at_once_get_different_documents(caller):
    if connection.vendor == "sqlite":
        pytest.skip("SQLite writes one at a time: threads would only wait for each other")
    pool = make_pool(caller)
    judges = [make_judge(caller, f"judge {n}") for n in range(4)]
    found: list[JudgingItem | None] = []
    together = threading.Barrier(len(judges), timeout=60)

    def judge(one) -> None:
        try:
            together.wait()
            found.append(taken(one, pool))
        finally:
            connection.close()

    threads = [threading.Thread(target=judge, args=(one,)) for one in judges]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert len({item.pk for item in found if item is not None}) == 4


@pytest.mark.django_db(transaction=True)
def test_a_team_without_judgments_makes_its_own(jobs):
    caller = make_caller()
    corpus = make_corpus(caller, name="wings")
    query_set = make_query_set(caller, corpus, name="wings/new", grades={})
    test = started(caller, corpus, query_set)
    jobs.run()
    test.refresh_from_db()
    assert test.status == "completed", test.error_message
    assert test.report["arms"]["lexical"]["metrics"]["nDCG@3"]["mean"] is None

    pool, ada = make_pool(caller, test=test, depth=3), make_judge(caller, "ada")
    right = {"q1": "d1", "q2": "d2", "q3": "d10"}
    while item := taken(ada, pool):
        grade = 3 if right[item.query.external_id] == item.document_id else 0
        label_item(caller=ada, pool_id=pool.public_id, item_id=item.pk, grade=grade)
    published, _, _ = publish_labels(caller=caller, pool_id=pool.public_id, source="human")
    assert str(published) == "wings/new@2"

    again = started(caller, corpus, published)
    jobs.run()
    again.refresh_from_db()
    lexical = again.report["arms"]["lexical"]["metrics"]["nDCG@3"]
    assert (lexical["mean"], lexical["n"], lexical["undefined"]) == (1.0, 3, 0)
