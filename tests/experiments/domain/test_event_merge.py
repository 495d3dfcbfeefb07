"""The merge of updates into stored events."""

import pytest

from experiments.domain.event_merge import event_update, merged
from experiments.domain.event_row import BUCKETS


def stored(**fields):
    return {
        **{name: {} for name in BUCKETS},
        "children_ids": [],
        "start_time": 100.0,
        "end_time": 110.0,
        "duration": 10.0,
        "error": None,
        "client_timestamp": None,
        "is_stub": False,
        **fields,
    }


def test_objects_are_merged_key_by_key_with_the_new_value_winning() -> None:
    changed = merged(stored(metadata={"a": 1, "b": {"x": 1}}), event_update({"metadata": {"b": {"y": 2}, "c": None}}))

    assert changed == {"metadata": {"a": 1, "b": {"y": 2}, "c": None}}


@pytest.mark.parametrize("name", BUCKETS)
def test_every_bucket_accumulates(name) -> None:
    assert merged(stored(**{name: {"a": 1}}), event_update({name: {"b": 2}})) == {name: {"a": 1, "b": 2}}


def test_scalars_and_lists_are_replaced() -> None:
    changed = merged(
        stored(children_ids=["a"]), event_update({"children_ids": ["b"], "duration": 5.0, "end_time": 140.0})
    )

    assert changed == {"children_ids": ["b"], "duration": 5.0, "end_time": 140.0}


def test_duration_and_end_follow_each_other() -> None:
    assert merged(stored(), event_update({"end_time": 130.0})) == {"end_time": 130.0, "duration": 30.0}
    assert merged(stored(), event_update({"duration": 5.0})) == {"end_time": 105.0, "duration": 5.0}
    assert merged(stored(), event_update({"end_time": 50.0}))["duration"] == 0.0


def test_nothing_is_derived_from_the_provisional_start_of_a_stub() -> None:
    assert merged(stored(is_stub=True), event_update({"end_time": 130.0})) == {"end_time": 130.0}


def test_scalars_of_an_older_update_lose_and_its_objects_are_still_merged() -> None:
    update = event_update({"duration": 5.0, "metadata": {"a": 1}}, client_timestamp=7)

    assert merged(stored(client_timestamp=8), update) == {"metadata": {"a": 1}}
    assert merged(stored(client_timestamp=7), update) == {"metadata": {"a": 1}, "duration": 5.0, "end_time": 105.0}
    assert merged(stored(client_timestamp=6), update)["client_timestamp"] == 7


def test_ground_truth_moves_from_metadata_to_feedback() -> None:
    assert event_update({"metadata": {"ground_truth": "x", "a": 1}}).buckets == {
        "metadata": {"a": 1},
        "feedback": {"ground_truth": "x"},
    }
    explicit = event_update({"metadata": {"ground_truth": "x"}, "feedback": {"ground_truth": "y"}})
    assert explicit.buckets["feedback"] == {"ground_truth": "y"}


def test_nothing_changes_when_nothing_new_is_said() -> None:
    assert merged(stored(metadata={"a": [1, {"b": 2}]}), event_update({"metadata": {"a": [1, {"b": 2}]}})) == {}
    assert merged(stored(), event_update({"duration": None, "metadata": None})) == {}


@pytest.mark.parametrize(("before", "after"), [(1, True), (1, 1.0), ([1], [1, 2]), ({"a": 1}, {"b": 1})])
def test_kinds_of_values_are_told_apart(before, after) -> None:
    changed = merged(stored(metrics={"m": before}), event_update({"metrics": {"m": after}}))

    assert repr(changed) == repr({"metrics": {"m": after}})
