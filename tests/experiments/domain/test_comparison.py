"""Comparison of two runs' columns."""

import pytest

from experiments.domain.comparison import Column, compare_columns, pair_columns, presence


def column(values=None, *, name="m", event="fn", kind="chain", aggregate=1.0) -> Column:
    return Column(name, "CLIENT_SIDE", event, kind, aggregate, values or {})


OLD = column({"a": 1.0, "b": 2.0, "c": 3.0, "only old": 9.0}, aggregate=2.0)
NEW = column({"c": 3.0, "b": 1.0, "a": 4.0, "only new": 0.0}, aggregate=3.0)
COMMON = ["b", "a", "c", "without"]


def test_every_key_of_the_wire() -> None:
    assert compare_columns(OLD, NEW, common=COMMON, direction="higher").as_wire() == {
        "metric_name": "m",
        "metric_type": "CLIENT_SIDE",
        "event_name": "fn",
        "event_type": "chain",
        "direction": "higher",
        "old_aggregate": 2.0,
        "new_aggregate": 3.0,
        "difference": 1.0,
        "percentage_change": 50.0,
        "found_count": 3,
        "improved_count": 1,
        "degraded_count": 1,
        "same_count": 1,
        "improved": ["a"],
        "degraded": ["b"],
        "same": ["c"],
        "old_values": [2.0, 1.0, 3.0],
        "new_values": [1.0, 4.0, 3.0],
    }


def test_lower_is_better_turns_the_verdict_and_no_number() -> None:
    higher = compare_columns(OLD, NEW, common=COMMON, direction="higher").as_wire()
    lower = compare_columns(OLD, NEW, common=COMMON, direction="lower").as_wire()

    assert (lower["improved"], lower["degraded"], lower["same"]) == (["b"], ["a"], ["c"])
    assert lower["difference"] == higher["difference"]
    assert lower["percentage_change"] == higher["percentage_change"]


@pytest.mark.parametrize(("old", "new"), [(None, NEW), (OLD, None)])
def test_metric_of_one_run_only(old, new) -> None:
    entry = compare_columns(old, new, common=COMMON, direction="higher").as_wire()

    assert [entry["old_aggregate"], entry["new_aggregate"]].count(None) == 1
    assert (entry["found_count"], entry["improved"], entry["old_values"]) == (0, [], [])
    assert "difference" not in entry
    assert "percentage_change" not in entry


def test_change_from_zero_has_no_percentage() -> None:
    entry = compare_columns(column(aggregate=0.0), column(aggregate=2.0), common=[], direction="higher").as_wire()

    assert entry["difference"] == 2.0
    assert "percentage_change" not in entry


def test_no_side_at_all_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one side"):
        compare_columns(None, None, common=[], direction="higher")


def test_pairs_by_metric_and_event_with_chain_and_session_level_last() -> None:
    chain, tool, model = column(), column(event="step", kind="tool"), column(event="llm", kind="model")
    session = column(name="a", event="session", kind="session")

    assert pair_columns([chain, model], [session, chain, tool]) == [
        (model, None),
        (None, tool),
        (None, session),
        (chain, chain),
    ]


def test_types_pair_where_names_are_ambiguous() -> None:
    chain, tool = column(), column(kind="tool")

    assert pair_columns([chain], [tool]) == [(chain, tool)]
    assert pair_columns([chain, tool], [tool]) == [(tool, tool), (chain, None)]


def test_presence_of_events() -> None:
    assert presence([("fn", "chain"), ("old", "tool")], [("fn", "chain"), ("new", "tool")]) == [
        {"event_name": "fn", "event_type": "chain", "presence": "both"},
        {"event_name": "new", "event_type": "tool", "presence": "new"},
        {"event_name": "old", "event_type": "tool", "presence": "old"},
    ]
