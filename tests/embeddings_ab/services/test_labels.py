"""Labels: whose they are, what they replace, and what publishing makes of them."""

import pytest

from embeddings_ab.models import JudgingItem, Judgment, Label, QuerySet
from embeddings_ab.selectors.judging import agreement, progress, query_progress
from embeddings_ab.services.labels import (
    LabelRow,
    label_item,
    preview_publication,
    publish_labels,
    record_labels,
    undo_label,
)
from governance.domain.errors import Conflict, InvalidInput
from governance.models import AuditEntry
from tests.embeddings_ab.judging import make_judge, make_pool

pytestmark = pytest.mark.django_db


def item_of(pool, query, document) -> JudgingItem:
    return JudgingItem.objects.get(pool=pool, query__external_id=query, document_id=document)


def judge(caller, pool, query, document, grade):
    return label_item(caller=caller, pool_id=pool.public_id, item_id=item_of(pool, query, document).pk, grade=grade)


def by_model(caller, pool, *rows, labeller="model a"):
    labels = [LabelRow(query, document, grade, "llm", labeller) for query, document, grade in rows]
    return record_labels(caller=caller, pool_id=pool.public_id, labels=labels)


def test_a_second_grade_of_one_person_replaces_the_first(caller):
    pool, ada = make_pool(caller), make_judge(caller, "ada")

    label, before = judge(ada, pool, "q1", "d2", 1)
    assert (label.labeller, label.source, label.grade, before) == ("ada", "human", 1, None)
    again, before = judge(ada, pool, "q1", "d2", 3)
    assert (again.pk, again.grade, before) == (label.pk, 3, 1)
    changes = AuditEntry.objects.filter(action="label.write").order_by("sequence").values_list("before", "after")
    assert list(changes) == [(None, {"grade": 1}), ({"grade": 1}, {"grade": 3})]


def test_grades_are_those_of_the_scale(caller):
    pool, ada = make_pool(caller), make_judge(caller, "ada")
    with pytest.raises(InvalidInput, match="has 0, 1, 2, 3") as refused:
        judge(ada, pool, "q1", "d2", 4)
    assert refused.value.details == {"field": "grade", "value": 4}
    with pytest.raises(InvalidInput, match="comment"):
        label_item(
            caller=ada, pool_id=pool.public_id, item_id=item_of(pool, "q1", "d2").pk, grade=1, comment="x" * 2001
        )


def test_human_labels_need_a_signed_in_person(caller):
    pool = make_pool(caller)
    with pytest.raises(InvalidInput, match="signed-in"):
        judge(caller, pool, "q1", "d2", 1)
    with pytest.raises(InvalidInput, match=r"labels\.0\.source"):
        record_labels(caller=caller, pool_id=pool.public_id, labels=[LabelRow("q1", "d2", 1, "human", "ada")])
    assert not Label.objects.exists()


def test_nobody_labels_in_anothers_name(caller):
    pool, ada = make_pool(caller), make_judge(caller, "ada")
    with pytest.raises(InvalidInput, match="you are 'ada'") as refused:
        record_labels(caller=ada, pool_id=pool.public_id, labels=[LabelRow("q1", "d2", 1, "human", "bob")])
    assert refused.value.details["field"] == "labels.0.labeller"
    record_labels(caller=ada, pool_id=pool.public_id, labels=[LabelRow("q1", "d2", 1, "human")])
    assert list(Label.objects.values_list("source", "labeller")) == [("human", "ada")]


def test_labels_of_people_and_models_stand_side_by_side(caller):
    pool, ada = make_pool(caller), make_judge(caller, "ada")
    judge(ada, pool, "q1", "d2", 1)

    assert by_model(caller, pool, ("q1", "d2", 3), labeller="ada") == {"labels": 1, "new": 1, "changed": 0}
    assert by_model(caller, pool, ("q1", "d2", 2), ("q1", "d3", 0), labeller="ada") == {
        "labels": 2,
        "new": 1,
        "changed": 1,
    }
    assert set(Label.objects.values_list("source", "labeller", "grade")) == {
        ("human", "ada", 1),
        ("llm", "ada", 2),
        ("llm", "ada", 0),
    }
    entry = AuditEntry.objects.filter(action="labels.write").order_by("sequence").last()
    assert entry.after == {"labels": 2, "new": 1, "changed": 1, "labellers": ["llm: ada"]}


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (LabelRow("q1", "d9", 1, "llm", "m"), "labels.1.document_id"),
        (LabelRow("q2", "d2", 1, "llm", "m"), "labels.1.document_id"),
        (LabelRow("q\x00", "d2", 1, "llm", "m"), "labels.1.document_id"),
        (LabelRow("q1", "d2", 7, "llm", "m"), "labels.1.grade"),
        (LabelRow("q1", "d2", 1, "imported", "m"), "labels.1.source"),
        (LabelRow("q1", "d2", 1, "llm", " "), "labels.1.labeller"),
        (LabelRow("q1", "d2", 1, "llm", "m" * 151), "labels.1.labeller"),
        (LabelRow("q1", "d2", 1, "llm", "m", "c" * 2001), "labels.1.comment"),
        (LabelRow("q1", "d3", 1, "llm", "m"), "labels.1"),
    ],
)
def test_a_batch_is_stored_whole_or_not_at_all(caller, row, field):
    pool = make_pool(caller)
    with pytest.raises(InvalidInput) as refused:
        record_labels(caller=caller, pool_id=pool.public_id, labels=[LabelRow("q1", "d3", 1, "llm", "m"), row])
    assert refused.value.details["field"] == field
    assert not Label.objects.exists()


def test_a_batch_has_bounds(caller):
    pool = make_pool(caller)
    for labels in ([], [LabelRow("q1", "d2", 1)] * 1001):
        with pytest.raises(InvalidInput, match="1 to 1000"):
            record_labels(caller=caller, pool_id=pool.public_id, labels=labels)


def test_undo_takes_back_the_newest_label_of_the_person(caller):
    pool, ada, bob = make_pool(caller), make_judge(caller, "ada"), make_judge(caller, "bob")
    judge(ada, pool, "q1", "d2", 1)
    judge(ada, pool, "q1", "d3", 2)
    judge(bob, pool, "q2", "d4", 2)

    assert undo_label(caller=ada, pool_id=pool.public_id).document_id == "d3"
    assert set(Label.objects.values_list("labeller", "item__document_id")) == {("ada", "d2"), ("bob", "d4")}
    assert AuditEntry.objects.get(action="label.delete").before == {"grade": 2}
    assert undo_label(caller=ada, pool_id=pool.public_id).document_id == "d2"
    assert undo_label(caller=ada, pool_id=pool.public_id) is None


def test_publishing_makes_the_next_version_and_keeps_each_source(caller):
    pool, ada = make_pool(caller), make_judge(caller, "ada")
    judge(ada, pool, "q1", "d2", 1)
    judge(ada, pool, "q2", "d4", 0)

    query_set, summary, found = publish_labels(caller=caller, pool_id=pool.public_id, source="human")
    assert (query_set.name, query_set.version, summary.is_new) == ("asked", 2, True)
    stored = Judgment.objects.filter(query__query_set=query_set)
    assert set(stored.values_list("query__external_id", "document_id", "grade", "source")) == {
        ("q1", "d1", 2, "imported"),
        ("q1", "d6", 0, "imported"),
        ("q1", "d2", 1, "human"),
        ("q2", "d4", 0, "human"),
    }
    assert (found.new, found.changed, found.same, found.kept) == (2, 0, 0, 0)
    assert query_set.judged_query_count == 2
    assert Judgment.objects.filter(query__query_set=pool.query_set).count() == 2  # the old version is as it was
    entry = AuditEntry.objects.get(action="labels.publish")
    assert (entry.after["query_set"], entry.after["new"]) == ("asked@2", 2)

    same, summary, found = publish_labels(caller=caller, pool_id=pool.public_id, source="human")
    assert (same.pk, summary.is_new, found.same) == (query_set.pk, False, 2)


def test_publishing_keeps_imported_grades_unless_asked(caller):
    pool, ada = make_pool(caller, only_unjudged=False), make_judge(caller, "ada")
    judge(ada, pool, "q1", "d1", 0)

    kept, summary, found = publish_labels(caller=caller, pool_id=pool.public_id, source="human")
    assert (kept.version, summary.is_new, found.kept) == (1, False, 1)
    changed, _, found = publish_labels(caller=caller, pool_id=pool.public_id, source="human", overwrite=True)
    assert (changed.version, found.changed) == (2, 1)
    judgment = Judgment.objects.get(query__query_set=changed, document_id="d1")
    assert (judgment.grade, judgment.source) == (0, "human")


def test_labels_of_models_and_people_are_published_apart(caller):
    pool, ada = make_pool(caller), make_judge(caller, "ada")
    judge(ada, pool, "q1", "d2", 1)
    by_model(caller, pool, ("q1", "d2", 3), ("q1", "d3", 2))
    publish_labels(caller=caller, pool_id=pool.public_id, source="human")

    query_set, _, found = publish_labels(caller=caller, pool_id=pool.public_id, source="llm")
    assert (query_set.version, found.new, found.kept) == (3, 1, 1)
    stored = Judgment.objects.filter(query__query_set=query_set, document_id__in=["d2", "d3"])
    assert dict(stored.values_list("document_id", "source")) == {"d2": "human", "d3": "llm"}
    # The person thinks again: her own grade follows.
    judge(ada, pool, "q1", "d2", 2)
    again, _, found = publish_labels(caller=caller, pool_id=pool.public_id, source="human")
    assert (again.version, found.changed) == (4, 1)


def test_several_labels_settle_by_rule(caller):
    pool = make_pool(caller)
    for labeller, grade in (("a", 3), ("b", 0), ("c", 2), ("d", 0)):
        by_model(caller, pool, ("q1", "d2", grade), labeller=labeller)

    def grade(rule: str) -> int:
        found = preview_publication(caller=caller, pool_id=pool.public_id, source="llm", rule=rule)
        return next(row.grade for row in found.judgments if row.document_id == "d2")

    assert (grade("majority"), grade("mean"), grade("latest")) == (0, 1, 0)
    assert QuerySet.objects.count() == 1


def test_publishing_may_go_to_another_query_set(caller):
    pool, ada = make_pool(caller), make_judge(caller, "ada")
    judge(ada, pool, "q1", "d2", 1)

    query_set, _, _ = publish_labels(caller=caller, pool_id=pool.public_id, source="human", name="judged anew")
    assert str(query_set) == "judged anew@1"
    assert query_set.source["base"] == "asked@1"


@pytest.mark.parametrize(
    ("settings", "error", "field"),
    [
        ({"source": "imported"}, InvalidInput, "source"),
        ({"source": "llm"}, Conflict, "source"),
        ({"source": "human", "rule": "best"}, InvalidInput, "rule"),
    ],
)
def test_bad_publishing_is_refused(caller, settings, error, field):
    pool, ada = make_pool(caller), make_judge(caller, "ada")
    judge(ada, pool, "q1", "d2", 1)
    with pytest.raises(error) as refused:
        publish_labels(caller=caller, pool_id=pool.public_id, **settings)
    assert refused.value.details["field"] == field
    assert QuerySet.objects.count() == 1


def test_progress_counts_people_and_models_apart(caller):
    pool, ada, bob = make_pool(caller, labels_per_item=2), make_judge(caller, "ada"), make_judge(caller, "bob")
    judge(ada, pool, "q1", "d2", 1)
    judge(ada, pool, "q1", "d3", 1)
    judge(bob, pool, "q1", "d2", 1)
    by_model(caller, pool, ("q2", "d4", 0))

    found = progress(pool)
    assert (found.items, found.done, found.labelled) == (4, 1, {"human": 2, "llm": 1})
    assert [(row.source, row.labeller, row.labels) for row in found.labellers] == [
        ("human", "ada", 2),
        ("human", "bob", 1),
        ("llm", "model a", 1),
    ]
    query = item_of(pool, "q1", "d2").query_id
    assert (query_progress(pool, query, "bob").items, query_progress(pool, query, "bob").judged) == (2, 1)


def test_agreement_is_measured_within_and_between_sources(caller):
    pool, ada, bob = make_pool(caller, only_unjudged=False), make_judge(caller, "ada"), make_judge(caller, "bob")
    for document, first, second in (("d1", 2, 2), ("d2", 0, 1), ("d3", 3, 3)):
        judge(ada, pool, "q1", document, first)
        judge(bob, pool, "q1", document, second)
    by_model(caller, pool, ("q1", "d1", 2), ("q1", "d2", 0))

    found = agreement(pool)
    assert (found.groups["human"].n, found.groups["human"].labels) == (3, 6)
    # Coincidences of d1, d2, d3: 2·(2,2), (0,1), (1,0), 2·(3,3); observed 2/6, expected (36 - 1 - 1 - 4 - 4)/30.
    assert found.groups["human"].nominal == pytest.approx(1 - (2 / 6) / (26 / 30))
    assert found.groups["llm"].n == 0
    assert [(pair.a, pair.b, pair.agreed, pair.n) for pair in found.labellers["human"]] == [("ada", "bob", 2, 3)]
    between = {(pair.a, pair.b): (pair.agreed, pair.n) for pair in found.sources}
    # Ada and Bob differ on d2: the lower grade of two equally frequent ones stands for them.
    assert between == {("human", "imported"): (1, 1), ("human", "llm"): (2, 2), ("imported", "llm"): (1, 1)}
    assert found.to_json()["groups"]["llm"]["words"] == "undefined"
