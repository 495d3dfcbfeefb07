"""Identity of contents and the distance between two orders."""

import hashlib
import itertools

import pytest

from experiments.domain.dataset_versions import changed_fields, fewest_moves, snapshot_hash, version_hash

EMPTY = {"inputs": {}, "history": [], "ground_truth": None, "metadata": None}


def test_the_hash_of_a_datapoint_is_sha256_of_canonical_json() -> None:
    content = {"inputs": {"q": "é", "a": 1.0}, "history": [], "ground_truth": None, "metadata": {"k": [True]}}
    text = '{"ground_truth":null,"history":[],"id":"p1","inputs":{"a":1,"q":"é"},"metadata":{"k":[true]}}'

    assert snapshot_hash("p1", content) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("name", ["inputs", "history", "ground_truth", "metadata"])
def test_every_field_and_the_id_count(name: str) -> None:
    other = {**EMPTY, name: {"x": 1}}

    assert snapshot_hash("p", EMPTY) != snapshot_hash("p", other)
    assert snapshot_hash("p", EMPTY) != snapshot_hash("q", EMPTY)
    assert changed_fields(EMPTY, other) == [name]


def test_numbers_that_a_database_gives_back_in_another_form_are_no_change() -> None:
    sent, read = {**EMPTY, "inputs": {"n": 1e22, "m": 1.0}}, {**EMPTY, "inputs": {"m": 1, "n": 10**22}}

    assert snapshot_hash("p", sent) == snapshot_hash("p", read)
    assert changed_fields(sent, read) == []


def test_the_hash_of_a_version_depends_on_the_order() -> None:
    assert version_hash(["a", "b"]) != version_hash(["b", "a"])
    assert version_hash([]) == hashlib.sha256(b"hhweb dataset version, form 1\n").hexdigest()


def test_the_fewest_moves_are_those_of_an_exhaustive_search() -> None:
    for count in range(7):
        for order in itertools.permutations(range(count)):
            longest = max(
                size
                for size in range(count + 1)
                for kept in itertools.combinations(order, size)
                if list(kept) == sorted(kept)
            )
            assert fewest_moves(order) == count - longest


def test_one_datapoint_put_last_is_one_move() -> None:
    assert fewest_moves([*range(1, 50_000), 0]) == 1
