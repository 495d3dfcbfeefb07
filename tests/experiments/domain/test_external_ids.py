"""Ids of external datasets on their way in and out."""

import pytest

from experiments.domain.external_ids import move_in, move_out


@pytest.mark.parametrize(
    ("dataset_id", "metadata", "wanted"),
    [
        (None, {"a": 1}, (None, "", {"a": 1})),
        ("", {}, (None, "", {})),
        ("managed", {}, ("managed", "", {})),
        ("EXT-1", {"a": 1}, (None, "EXT-1", {"a": 1})),
        (None, {"offline_dataset_id": "EXT-2", "a": 1}, (None, "EXT-2", {"a": 1})),
        ("EXT-1", {"offline_dataset_id": "EXT-2"}, (None, "EXT-1", {})),
        ("managed", {"offline_dataset_id": "EXT-2"}, ("managed", "EXT-2", {})),
        (None, {"offline_dataset_id": "mine"}, (None, "", {"offline_dataset_id": "mine"})),
        (None, {"offline_dataset_id": 5}, (None, "", {"offline_dataset_id": 5})),
    ],
)
def test_moving_in(dataset_id, metadata, wanted) -> None:
    before = dict(metadata)

    assert move_in(dataset_id, metadata) == wanted
    assert metadata == before


def test_moving_out() -> None:
    assert move_out(None, "EXT-1", {"a": 1}) == ("EXT-1", {"a": 1})
    assert move_out("managed", "", {"offline_dataset_id": "mine"}) == ("managed", {"offline_dataset_id": "mine"})
    assert move_out(None, "EXT-1", {"offline_dataset_id": "x"}) == ("EXT-1", {})
