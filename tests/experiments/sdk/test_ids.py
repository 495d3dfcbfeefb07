"""Ids: equal to the official SDK's, the same in every process, and nothing a datapoint holds can break them."""

import datetime as dt
import decimal
import hashlib
import json
import os
import subprocess
import sys
import uuid
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from honeyhive.experiments import utils as official
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.sdk import ids
from experiments.sdk.canonical import DEEPEST, canonical_text
from experiments.sdk.errors import ConfigurationError
from tests.experiments.sdk.odd_values import ODD, Plain, function

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
OWN_IDS = st.text(min_size=1) | st.just("EXT-mine") | st.just("")
DATAPOINTS = st.fixed_dictionaries(
    {"inputs": st.dictionaries(st.text(), VALUES, max_size=4)},
    optional={"ground_truth": VALUES, "id": OWN_IDS, "datapoint_id": OWN_IDS | st.none()},
)


@pytest.fixture
def unwarned(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[warnings.WarningMessage]]:
    """As at the start of a process: nothing was said yet. The warnings that follow."""
    monkeypatch.setattr(ids, "_has_warned", False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


# --- as the official SDK makes them


@settings(max_examples=60, deadline=None)
@given(st.lists(DATAPOINTS, max_size=5), st.none() | st.text())
def test_ids_are_those_of_the_official_sdk(datapoints: list[dict[str, Any]], custom: str | None) -> None:
    assert ids.prepare_external_dataset(datapoints, custom) == official.prepare_external_dataset(datapoints, custom)
    assert ids.create_external_dataset(datapoints, "any project", custom) == official.prepare_external_dataset(
        datapoints, custom
    )


@settings(max_examples=50, deadline=None)
@given(DATAPOINTS, st.integers(0, 10_000), st.none() | st.text())
def test_single_ids_are_those_of_the_official_sdk(datapoint: dict[str, Any], index: int, custom: str | None) -> None:
    ours = ids.generate_external_datapoint_id(datapoint, index, custom)
    assert ours == official.generate_external_datapoint_id(datapoint, index, custom)
    assert ids.generate_external_dataset_id([datapoint], custom) == official.generate_external_dataset_id(
        [datapoint], custom
    )


def test_recorded_ids_of_the_official_sdk() -> None:
    """Written down, so that a change of both at once is seen."""
    datapoints: list[dict[str, Any]] = [
        {"inputs": {"q": "a"}},
        {"inputs": {"q": "b"}, "id": "third"},
        {"datapoint_id": "EXT-fourth"},
    ]
    assert ids.prepare_external_dataset(datapoints) == (
        "EXT-e2c8c36e82522762",
        ["EXT-432d3431a99534d3", "EXT-third", "EXT-fourth"],
    )
    assert ids.prepare_external_dataset([]) == ("EXT-4f53cda18c2baa0c", [])


def test_key_order_does_not_matter_and_position_does() -> None:
    first, second = ids.prepare_external_dataset([{"a": 1, "b": 2}, {"b": 2, "a": 1}])[1]
    assert first != second
    assert ids.generate_external_datapoint_id({"b": 2, "a": 1}, 0) == first


@given(
    st.none() | st.text() | st.text().map(lambda text: f"EXT-{text}"),
    st.none() | st.dictionaries(st.text(), SCALARS.filter(lambda value: value == value), max_size=3),
    st.none() | st.lists(st.text(), max_size=2),
)
@settings(max_examples=50, deadline=None)
def test_run_requests_are_those_of_the_official_sdk(
    dataset_id: str | None, metadata: dict[str, Any] | None, names: list[str] | None
) -> None:
    given_metadata = None if metadata is None else dict(metadata)
    ours = ids.prepare_run_request_data(
        "r1", "run", dataset_id=dataset_id, event_ids=names, datapoint_ids=names, metadata=metadata,
        configuration=metadata, description=dataset_id, results=metadata, status="running",
    )  # fmt: skip
    assert metadata == given_metadata  # the official one writes into it
    theirs = official.prepare_run_request_data(
        "r1", "run", dataset_id=dataset_id, event_ids=names, datapoint_ids=names,
        metadata=None if metadata is None else dict(metadata),
        configuration=given_metadata, description=dataset_id, results=given_metadata, status="running",
    )  # fmt: skip
    assert ours == theirs


# --- the older scheme


def older(value: Any) -> str:
    """As the specification writes the older scheme."""
    try:
        text = json.dumps(value, sort_keys=True)
    except Exception:
        text = str(value)
    return f"EXT-{hashlib.md5(text.encode('utf-8')).hexdigest()[:24]}"


@given(st.lists(st.fixed_dictionaries({"inputs": VALUES}), max_size=4))
@settings(max_examples=50, deadline=None)
def test_md5_24_is_the_older_scheme(datapoints: list[dict[str, Any]]) -> None:
    dataset_id, datapoint_ids = ids.prepare_external_dataset(datapoints, id_scheme="md5-24")
    assert dataset_id == older(datapoints)
    assert datapoint_ids == [older(datapoint) for datapoint in datapoints]
    assert datapoint_ids == [ids.generate_datapoint_id(datapoint) for datapoint in datapoints]


def test_md5_24_keeps_the_older_id_of_what_prints_alike_in_every_process(
    unwarned: list[warnings.WarningMessage],
) -> None:
    moment = {"inputs": {"at": dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "raw": b"\x00", 3: decimal.Decimal("1.50")}}
    assert ids.generate_datapoint_id(moment) == older(moment)
    tags = {"inputs": {"tags": {"a", "b", "c"}}}
    assert ids.generate_datapoint_id(tags) == ids.generate_datapoint_id({"inputs": {"tags": {"c", "b", "a"}}})
    assert ids.generate_datapoint_id({"a": "\ud800", "b": b""}).startswith("EXT-")  # a lone surrogate, not in JSON


def test_custom_dataset_ids_are_prefixed_once_in_both_schemes() -> None:
    for scheme in ids.SCHEMES:
        made = [ids.prepare_external_dataset([], own, id_scheme=scheme)[0] for own in ("mine", "EXT-mine", 7)]  # type: ignore[arg-type]
        assert made == ["EXT-mine", "EXT-mine", "EXT-7"]


def test_generate_datapoint_id_chooses_the_scheme_by_the_index() -> None:
    datapoint = {"inputs": {"q": "a"}}
    assert ids.generate_datapoint_id(datapoint, index=3) == official.generate_external_datapoint_id(datapoint, 3)
    assert ids.generate_datapoint_id(datapoint, index=3, id_scheme="md5-24") == older(datapoint)
    with pytest.raises(ConfigurationError, match="give index="):
        ids.generate_datapoint_id(datapoint, id_scheme="sha256-16")
    with pytest.raises(ConfigurationError, match="id_scheme='sha1' is unknown; use one of 'sha256-16', 'md5-24'"):
        ids.prepare_external_dataset([datapoint], id_scheme="sha1")  # type: ignore[arg-type]


# --- own ids


@pytest.mark.parametrize(
    ("datapoint", "expected"),
    [
        ({"id": "x"}, "EXT-x"),
        ({"id": "EXT-x"}, "EXT-x"),
        ({"datapoint_id": "y"}, "EXT-y"),
        ({"id": "x", "datapoint_id": "y"}, "EXT-x"),
        ({"id": 0}, "EXT-0"),
        ({"id": 17}, "EXT-17"),
        ({"id": uuid.UUID(int=1)}, "EXT-00000000-0000-0000-0000-000000000001"),
        ({"id": "", "datapoint_id": "y"}, "EXT-y"),
        ({"id": None, "datapoint_id": 0}, "EXT-0"),
        ({"id": float("nan"), "datapoint_id": "y"}, "EXT-y"),
        ({"id": True, "datapoint_id": "y"}, "EXT-y"),
        ({"id": ""}, ""),
        ({}, ""),
    ],
)
def test_own_ids(datapoint: dict[str, Any], expected: str) -> None:
    assert ids.own_datapoint_id(datapoint) == expected
    if expected:
        assert ids.generate_datapoint_id(datapoint) == expected
        assert ids.generate_datapoint_id(datapoint, index=4) == expected
    else:
        assert ids.generate_datapoint_id(datapoint, index=4) == official.generate_external_datapoint_id(datapoint, 4)


def test_containers_are_no_ids() -> None:
    with pytest.raises(ConfigurationError, match=r"id=\['a'\] is no id; give text or a number, or leave it out"):
        ids.prepare_external_dataset([{"id": ["a"]}])


def test_only_lists_of_dicts_are_datasets() -> None:
    with pytest.raises(ValueError, match="datapoints must be a list of dicts, not dict"):
        ids.create_external_dataset({"a": 1})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"datapoints\[1\] must be a dict, not str"):
        ids.create_external_dataset([{}, "x"])  # type: ignore[list-item]


# --- what JSON cannot hold


IN_ANOTHER_PROCESS = """
import sys, warnings
from tests.experiments.sdk.odd_values import ODD
from experiments.sdk import ids
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print(ids.prepare_external_dataset([ODD, ODD]))
    print(ids.prepare_external_dataset([ODD], id_scheme="md5-24"))
    print(len(caught))
"""


def test_ids_are_the_same_in_processes_with_other_hash_seeds(unwarned: list[warnings.WarningMessage]) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", IN_ANOTHER_PROCESS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "4242")
    ]
    printed = [process.communicate(timeout=60)[0].splitlines() for process in processes]
    here = [
        str(ids.prepare_external_dataset([ODD, ODD])),
        str(ids.prepare_external_dataset([ODD], id_scheme="md5-24")),
    ]
    assert printed == [[*here, "1"], [*here, "1"]]
    assert len(unwarned) == 1


def test_one_warning_says_what_and_what_to_do(unwarned: list[warnings.WarningMessage]) -> None:
    for _ in range(3):
        ids.prepare_external_dataset([{"a": {1, 2}}, {"b": {3}}])
    assert [str(warning.message) for warning in unwarned] == [
        "A datapoint holds what JSON cannot (Object of type set is not JSON serializable); its id is made from a "
        "description of these values. Give datapoints an 'id' of their own to be sure that runs compare."
    ]


def test_plain_json_warns_of_nothing(unwarned: list[warnings.WarningMessage]) -> None:
    ids.prepare_external_dataset([{"a": [1, None, "ü"], "b": (1, 2)}])
    assert unwarned == []


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({1: "x", "b": b""}, {"1": "x", "b": b""}),
        ({"a": {1, 2}}, {"a": [1, 2]}),
        ({"a": b"1"}, {"a": {1}}),
        ({"a": Plain("v")}, {"a": Plain("w")}),
        ({"a": dt.date(2026, 1, 1)}, {"a": dt.date(2026, 1, 2)}),
        ({"a": 10**20_000}, {"a": 10**20_001}),
        ({"a": function}, {"a": Plain}),
    ],
)
def test_different_values_have_different_texts(left: Any, right: Any) -> None:
    assert canonical_text(left) != canonical_text(right)


def test_equal_values_have_equal_texts_whatever_they_are_made_of() -> None:
    assert canonical_text({"a": np.int64(3), "b": (1, 2)}) == canonical_text({"b": [1, 2], "a": 3})
    assert canonical_text({"a": object()}) == canonical_text({"a": object()})
    assert canonical_text(Plain("w")) == canonical_text(Plain("w"))


def test_cycles_and_depths_end(unwarned: list[warnings.WarningMessage]) -> None:
    around: dict[str, Any] = {"a": 1}
    around["self"] = around
    deep: Any = "end"
    for _ in range(5_000):
        deep = [deep]
    assert ids.generate_external_datapoint_id(around, 0) == ids.generate_external_datapoint_id(around, 0)
    assert ids.generate_external_datapoint_id({"deep": deep}, 0).startswith("EXT-")
    assert canonical_text(deep)[0].count("[") == DEEPEST
    while isinstance(deep, list):  # taken apart from the outside: Python frees deep nests by recursion
        deep = deep.pop()


# --- executions


def test_session_ids_are_uuids_of_run_datapoint_repetition_and_occurrence() -> None:
    made = [
        ids.session_id_of("r", "d"),
        ids.session_id_of("r", "d", 1),
        ids.session_id_of("r", "d", 0, 1),
        ids.session_id_of("r", "e"),
        ids.session_id_of("s", "d"),
    ]
    assert len(set(made)) == 5
    assert all(uuid.UUID(text).version == 5 and str(uuid.UUID(text)) == text for text in made)
    assert made[0] == "d605088f-7641-5f93-ad7a-271674bb1b15"  # for ever: a replay after an update must meet it
