"""What is pooled, and that the label that may change the verdict comes first; every number by hand."""

import math

import pytest

from embeddings_ab.domain.measures import parse_measure
from embeddings_ab.domain.pooling import PoolItem, build_pool

NDCG = parse_measure("nDCG@3")


def pool(rankings, **changes) -> list[PoolItem]:
    settings = {
        "judged": {},
        "control": "old",
        "p_values": {"new": 0.05},
        "alpha": 0.05,
        "measure": NDCG,
        "depth": 3,
        **changes,
    }
    return build_pool(rankings, **settings)


def test_priority_is_the_formula_of_the_module() -> None:
    found = pool({"old": {"q": ["a", "b"]}, "new": {"q": ["b", "c"]}})

    # Nothing is judged: chance 1/2, grade 1, ideal 1. p stands at alpha: weight 1. Worth by rank: 1, 0.6309, 0.5.
    second = 1 / math.log2(3)
    assert [(item.document_id, item.found_by) for item in found] == [
        ("a", {"old": 1}),
        ("c", {"new": 2}),
        ("b", {"new": 1, "old": 2}),
    ]
    assert [item.priority for item in found] == pytest.approx([0.5, 0.5 * second, 0.5 * (1 - second)], abs=1e-11)


def test_known_relevant_documents_lower_the_stakes_and_set_the_grade() -> None:
    found = pool({"old": {"q": ["a"]}, "new": {"q": []}}, judged={"q": {"x": 2, "y": 0}, "p": {"z": 4}})

    # Usual grade (2 + 4) / 2 = 3, chance 1/2 (x and y were never pooled), ideal 3 + 2·0.6309.
    assert found[0].priority == pytest.approx(0.5 * 3 / (3 + 2 / math.log2(3)), abs=1e-11)


def test_the_chance_of_relevance_follows_what_was_found_at_that_rank() -> None:
    lists = {"old": {"q": ["a", "b"], "r": ["c", "d"], "s": ["e", "f"]}, "new": {}}
    found = pool(lists, judged={"q": {"a": 1, "b": 0}, "r": {"c": 1, "d": 0}}, measure=parse_measure("P@3"))

    # 2 of 4 judged are relevant, drawn to (2 + 1) / (4 + 2); rank 1: (2 + 2.5) / (2 + 5), rank 2: 2.5 / 7.
    assert [(item.document_id, item.priority) for item in found] == [
        ("e", pytest.approx(4.5 / 7, abs=1e-11)),
        ("f", pytest.approx(2.5 / 7, abs=1e-11)),
    ]


def test_a_settled_verdict_weighs_less_than_a_close_one() -> None:
    lists = {"old": {"q": ["x"]}, "close": {"q": ["x", "a"]}, "settled": {"q": ["x", "b"]}}
    found = pool(lists, p_values={"close": 0.06, "settled": 1e-9})

    assert [item.document_id for item in found] == ["a", "b", "x"]
    assert found[1].priority < found[0].priority / 100
    unknown = pool(lists, p_values={"settled": 0.05})
    assert [item.priority for item in unknown[:2]] == [unknown[0].priority] * 2


def test_ties_go_by_query_then_document() -> None:
    lists = {"old": {"q2": ["b"], "q1": ["b"], "q10": ["a"]}, "new": {}}

    assert [(item.query_id, item.document_id) for item in pool(lists)] == [("q1", "b"), ("q10", "a"), ("q2", "b")]
    assert pool(lists) == pool({"new": {}, "old": dict(reversed(lists["old"].items()))})


def test_only_documents_within_the_depth_are_pooled_but_deeper_ranks_count() -> None:
    lists = {"old": {"q": ["a", "b", "c"]}, "new": {"q": ["c", "b", "a"]}}
    found = pool(lists, depth=1)

    assert {item.document_id for item in found} == {"a", "c"}
    assert found[0].priority == pytest.approx(0.5 * (1 - 0.5), abs=1e-11)  # rank 1 against rank 3, not against nothing


def test_judged_documents_are_left_out_unless_asked_for() -> None:
    lists = {"old": {"q": ["a", "b"]}, "new": {"q": ["b", "a"]}}

    assert [item.document_id for item in pool(lists, judged={"q": {"a": 1}})] == ["b"]
    both = pool(lists, judged={"q": {"a": 1}}, only_unjudged=False)
    assert {item.document_id for item in both} == {"a", "b"}


@pytest.mark.parametrize(
    ("measure", "worth"),
    [("R@2", [1, 1, 0]), ("Hit@2", [1, 1, 0]), ("MRR", [1, 1 / 2, 1 / 3]), ("AP", [1, 1 / math.log2(3), 0.5])],
)
def test_other_measures_have_their_own_worth(measure: str, worth: list[float]) -> None:
    found = pool({"old": {"q": ["a", "b", "c"]}, "new": {}}, measure=parse_measure(measure))

    by_document = {item.document_id: item.priority for item in found}
    assert [by_document[name] for name in "abc"] == pytest.approx([0.5 * value for value in worth], abs=1e-11)


def test_without_a_control_nothing_has_priority() -> None:
    found = pool({"new": {"q": ["b", "a"]}})

    assert [(item.document_id, item.priority) for item in found] == [("a", 0.0), ("b", 0.0)]


def test_a_repeated_document_counts_at_its_first_rank() -> None:
    found = pool({"old": {"q": ["a", "a"]}, "new": {}})

    assert found == [PoolItem("q", "a", 0.5, {"old": 1})]
