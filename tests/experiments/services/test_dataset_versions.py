"""Pinning what a dataset holds: once for each content, without reading what did not change, under any concurrency."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from experiments.domain.wire_datasets import DatapointContent
from experiments.models import Datapoint, DatapointSnapshot, Dataset, DatasetVersion, DatasetVersionItem
from experiments.selectors.dataset_versions import diff_versions
from experiments.services import dataset_versions
from experiments.services.datapoints import create_datapoint, delete_datapoint, update_datapoint
from experiments.services.dataset_versions import pin_version, snapshot_dataset
from experiments.services.datasets import add_rows, create_dataset, delete_dataset, remove_datapoint, update_dataset
from governance.domain.errors import Forbidden, NotFound
from governance.models import AuditEntry
from governance.services.projects import system_caller
from tests.factories import make_project
from tests.governance.threads import at_once

pytestmark = pytest.mark.django_db


def fill(caller, name="cases", rows=3):
    dataset = create_dataset(caller=caller, name=name)
    contents = [
        DatapointContent(inputs={"q": n}, history=[{"role": "user"}], ground_truth={"a": n}, metadata={"big": 1e22})
        for n in range(rows)
    ]
    return dataset.public_id, add_rows(caller=caller, dataset_id=dataset.public_id, contents=contents)


def held(version):
    items = DatasetVersionItem.objects.filter(version=version).select_related("snapshot")
    return [(item.position, item.snapshot.datapoint_key, item.snapshot.inputs) for item in items]


def test_a_version_copies_what_the_dataset_holds_in_its_order(caller) -> None:
    dataset_id, ids = fill(caller)
    remove_datapoint(caller=caller, dataset_id=dataset_id, datapoint_id=ids[1])

    version = snapshot_dataset(caller=caller, dataset_id=dataset_id)

    assert (version.number, version.datapoint_count, version.dataset_name) == (1, 2, "cases")
    assert held(version) == [(0, ids[0], {"q": 0}), (1, ids[2], {"q": 2})]
    source = Datapoint.objects.get(public_id=ids[0])
    copy = DatapointSnapshot.objects.get(datapoint_key=ids[0])
    for name in ("inputs", "history", "ground_truth", "metadata"):
        assert getattr(copy, name) == getattr(source, name)


def test_a_version_of_an_empty_dataset_holds_nothing(caller) -> None:
    dataset = create_dataset(caller=caller, name="empty")

    version = snapshot_dataset(caller=caller, dataset_id=dataset.public_id)

    assert (version.number, version.datapoint_count, held(version)) == (1, 0, [])


def test_an_unchanged_dataset_is_pinned_without_reading_its_datapoints(caller) -> None:
    dataset_id, _ = fill(caller)
    first = snapshot_dataset(caller=caller, dataset_id=dataset_id)

    with CaptureQueriesContext(connection) as queries:
        again = snapshot_dataset(caller=caller, dataset_id=dataset_id)

    assert again == first
    assert not [query for query in queries if Datapoint._meta.db_table in query["sql"]]


CHANGES = {
    "a datapoint's inputs": lambda caller, dataset_id, ids: update_datapoint(
        caller=caller, datapoint_id=ids[0], changes={"inputs": {"q": "new"}}
    ),
    "a datapoint's metadata": lambda caller, dataset_id, ids: update_datapoint(
        caller=caller, datapoint_id=ids[0], changes={"metadata": {"m": 1}}
    ),
    "a deleted datapoint": lambda caller, dataset_id, ids: delete_datapoint(caller=caller, datapoint_id=ids[0]),
    "a removed datapoint": lambda caller, dataset_id, ids: remove_datapoint(
        caller=caller, dataset_id=dataset_id, datapoint_id=ids[0]
    ),
    "a link taken away": lambda caller, dataset_id, ids: update_datapoint(
        caller=caller, datapoint_id=ids[0], changes={}, linked_datasets=[]
    ),
    "a datapoint created into it": lambda caller, dataset_id, ids: create_datapoint(
        caller=caller, content=DatapointContent(), linked_datasets=[dataset_id]
    ),
    "rows added": lambda caller, dataset_id, ids: add_rows(
        caller=caller, dataset_id=dataset_id, contents=[DatapointContent()]
    ),
    "another order": lambda caller, dataset_id, ids: update_dataset(
        caller=caller, dataset_id=dataset_id, datapoints=ids[::-1]
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_content_counts_the_revision_up_and_makes_a_version(caller, change) -> None:
    dataset_id, ids = fill(caller)
    other_id, _ = fill(caller, name="others")
    first = snapshot_dataset(caller=caller, dataset_id=dataset_id)
    untouched = Dataset.objects.get(public_id=other_id).revision

    CHANGES[change](caller, dataset_id, ids)

    assert Dataset.objects.get(public_id=dataset_id).revision > first.seen_revision
    assert Dataset.objects.get(public_id=other_id).revision == untouched
    second = snapshot_dataset(caller=caller, dataset_id=dataset_id)
    assert second.number == 2
    assert held(first) == [(n, each, {"q": n}) for n, each in enumerate(ids)]


def test_a_datapoint_of_two_datasets_makes_versions_of_both_and_they_share_its_snapshot(caller) -> None:
    dataset_id, ids = fill(caller, rows=1)
    other = create_dataset(caller=caller, name="others", datapoints=ids).public_id
    for each in (dataset_id, other):
        snapshot_dataset(caller=caller, dataset_id=each)
    assert DatapointSnapshot.objects.count() == 1

    update_datapoint(caller=caller, datapoint_id=ids[0], changes={"ground_truth": {"a": "new"}})

    assert [snapshot_dataset(caller=caller, dataset_id=each).number for each in (dataset_id, other)] == [2, 2]
    assert DatapointSnapshot.objects.count() == 2


def test_content_that_was_there_before_is_the_old_version_again(caller) -> None:
    dataset_id, ids = fill(caller)
    first = snapshot_dataset(caller=caller, dataset_id=dataset_id)
    update_datapoint(caller=caller, datapoint_id=ids[0], changes={"inputs": {"q": "new"}})
    snapshot_dataset(caller=caller, dataset_id=dataset_id)
    update_datapoint(caller=caller, datapoint_id=ids[0], changes={"inputs": {"q": 0.0}})

    back = snapshot_dataset(caller=caller, dataset_id=dataset_id)

    assert (back, back.number) == (first, 1)
    assert back.seen_revision == Dataset.objects.get(public_id=dataset_id).revision
    update_dataset(caller=caller, dataset_id=dataset_id, name="renamed")
    assert snapshot_dataset(caller=caller, dataset_id=dataset_id).pk == first.pk
    assert DatasetVersion.objects.count() == 2


def test_a_numbered_version_is_found_after_its_dataset_was_deleted(caller) -> None:
    dataset_id, _ = fill(caller)
    version = snapshot_dataset(caller=caller, dataset_id=dataset_id)
    delete_dataset(caller=caller, dataset_id=dataset_id)

    assert snapshot_dataset(caller=caller, dataset_id=dataset_id, number=1) == version
    with pytest.raises(NotFound) as unpinnable:
        snapshot_dataset(caller=caller, dataset_id=dataset_id)
    assert unpinnable.value.details["field"] == "dataset_id"


def test_unknown_and_foreign_things_are_not_found_by_name(caller) -> None:
    dataset_id, _ = fill(caller)
    snapshot_dataset(caller=caller, dataset_id=dataset_id)
    stranger = system_caller(make_project())
    for who, number, field in (
        (stranger, None, "dataset_id"),
        (stranger, 1, "dataset_id"),
        (caller, 2, "dataset_version"),
        (caller, 2**70, "dataset_version"),
    ):
        with pytest.raises(NotFound) as refused:
            snapshot_dataset(caller=who, dataset_id=dataset_id, number=number)
        assert refused.value.details["field"] == field


def test_pinning_asks_for_the_right_and_is_audited_once(caller, project) -> None:
    dataset_id, _ = fill(caller)
    reader = system_caller(project)
    object.__setattr__(reader, "allowed", frozenset({"datasets.read"}))
    with pytest.raises(Forbidden):
        pin_version(caller=reader, dataset_id=dataset_id)

    version, is_new = pin_version(caller=caller, dataset_id=dataset_id)
    assert (is_new, pin_version(caller=caller, dataset_id=dataset_id)) == (True, (version, False))

    (entry,) = AuditEntry.objects.filter(action="dataset_version.create")
    assert (entry.target_id, entry.after["number"], entry.after["datapoints"]) == (version.public_id, 1, 3)


def test_statements_of_a_snapshot_do_not_grow_with_its_datapoints(caller) -> None:
    counts = []
    for rows in (1, 400):
        dataset_id, _ = fill(caller, name=f"of {rows}", rows=rows)
        with CaptureQueriesContext(connection) as queries:
            snapshot_dataset(caller=caller, dataset_id=dataset_id)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_contents_beyond_one_chunk_keep_their_order(caller, monkeypatch) -> None:
    monkeypatch.setattr(dataset_versions, "READ_AT_ONCE", 3)
    monkeypatch.setattr(dataset_versions, "WRITTEN_AT_ONCE", 4)
    dataset_id, ids = fill(caller, rows=11)

    version = snapshot_dataset(caller=caller, dataset_id=dataset_id)

    assert held(version) == [(n, each, {"q": n}) for n, each in enumerate(ids)]


def test_a_diff_tells_added_removed_changed_and_moved(caller) -> None:
    dataset_id, ids = fill(caller, rows=6)
    snapshot_dataset(caller=caller, dataset_id=dataset_id)
    update_datapoint(caller=caller, datapoint_id=ids[2], changes={"inputs": {"q": "x"}, "metadata": None})
    (added,) = add_rows(caller=caller, dataset_id=dataset_id, contents=[DatapointContent(inputs={"q": "y"})])
    update_dataset(caller=caller, dataset_id=dataset_id, datapoints=[*ids[1:5], added, ids[0]])
    snapshot_dataset(caller=caller, dataset_id=dataset_id)

    diff = diff_versions(caller, dataset_id=dataset_id, old=1, new=2)

    assert (diff.added, diff.removed, diff.changed, diff.unchanged, diff.moved) == (1, 1, 1, 4, 1)
    assert [(each.kind, each.datapoint_id) for each in diff] == [
        ("removed", ids[5]),
        ("added", added),
        ("changed", ids[2]),
    ]
    changed = diff[2]
    assert changed.changed_fields == ["inputs", "metadata"]
    assert (changed.old.position, changed.old.content["inputs"]) == (2, {"q": 2})
    assert (changed.new.position, changed.new.content["inputs"]) == (1, {"q": "x"})
    assert (diff[0].new, diff[1].old) == (None, None)
    only = diff_versions(caller, dataset_id=dataset_id, old=1, new=2, kind="added")
    assert ([each.kind for each in only], only.removed) == (["added"], 1)
    back = diff_versions(caller, dataset_id=dataset_id, old=2, new=1)
    assert (back.added, back.removed, back.changed, back.moved) == (1, 1, 1, 1)


@pytest.mark.django_db(transaction=True)
def test_many_who_pin_at_once_make_one_version(caller) -> None:
    dataset_id, _ = fill(caller, rows=20)

    answers = at_once(6, lambda _: pin_version(caller=caller, dataset_id=dataset_id))

    assert [each for each in answers if isinstance(each, Exception)] == []
    assert {version.pk for version, _ in answers} == {DatasetVersion.objects.get().pk}
    assert sum(is_new for _, is_new in answers) == 1
    assert DatasetVersionItem.objects.count() == 20


@pytest.mark.django_db(transaction=True)
def test_pins_of_datasets_with_common_datapoints_in_opposite_orders_do_not_deadlock(caller, monkeypatch) -> None:
    monkeypatch.setattr(dataset_versions, "WRITTEN_AT_ONCE", 5)
    _, ids = fill(caller, rows=60)
    orders = [
        create_dataset(caller=caller, name=str(n), datapoints=ids if n % 2 else ids[::-1]).public_id for n in range(4)
    ]

    answers = at_once(4, lambda n: pin_version(caller=caller, dataset_id=orders[n]))

    assert [each for each in answers if isinstance(each, Exception)] == []
    assert DatapointSnapshot.objects.count() == 60
    assert all(held(version)[0][1] == ids[0 if n % 2 else -1] for n, (version, _) in enumerate(answers))


@pytest.mark.django_db(transaction=True)
def test_a_version_is_the_content_at_its_revision_while_others_write(caller) -> None:
    dataset_id, ids = fill(caller, rows=30)

    def work(number):
        if number % 2:
            return [pin_version(caller=caller, dataset_id=dataset_id)[0] for _ in range(4)]
        for n in range(4):
            update_datapoint(caller=caller, datapoint_id=ids[number], changes={"inputs": {"n": n}})
            add_rows(caller=caller, dataset_id=dataset_id, contents=[DatapointContent()])
        return None

    answers = at_once(4, work)

    assert [each for each in answers if isinstance(each, Exception)] == []
    last, _ = pin_version(caller=caller, dataset_id=dataset_id)
    now = [(n, p, Datapoint.objects.get(public_id=p).inputs) for n, (_, p, _) in enumerate(held(last))]
    assert held(last) == now
    assert last.datapoint_count == 38
    for version in DatasetVersion.objects.all():
        assert DatasetVersionItem.objects.filter(version=version).count() == version.datapoint_count
