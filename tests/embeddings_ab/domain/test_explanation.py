"""The stage to blame for a lost document."""

import pytest

from embeddings_ab.domain.explanation import Stage, blame, blame_of_query, summarise


@pytest.mark.parametrize(
    ("ranks", "stage"),
    [
        ({"vector": 3, "final": 3}, "found"),
        ({"vector": 10, "final": 10}, "found"),
        ({"vector": 11, "final": 11}, "ranked_low"),
        ({"vector": 11, "final": None}, "ranked_low"),
        ({"vector": None, "final": None}, "not_in_candidates"),
        ({"vector": None, "final": None, "chunked": True}, "not_in_candidates"),
        ({"vector": None, "final": None, "chunked": False}, "not_chunked"),
        ({"vector": 2, "lexical": None, "fused": 14, "final": 14}, "fused_out"),
        ({"vector": 40, "lexical": 9, "fused": None, "final": None}, "fused_out"),
        ({"vector": 40, "lexical": 90, "fused": 12, "final": 12}, "ranked_low"),
        ({"vector": 40, "lexical": 90, "fused": 8, "final": 8}, "found"),
        ({"vector": None, "lexical": None, "fused": None, "final": None}, "not_in_candidates"),
        ({"vector": 1, "reranked": 30, "final": 30}, "reranked_down"),
        ({"vector": 50, "reranked": 1, "final": 1}, "found"),
        ({"vector": 50, "reranked": 20, "final": 20}, "ranked_low"),
        ({"vector": 1, "lexical": 2, "fused": 1, "reranked": 11, "final": 11}, "reranked_down"),
        ({"vector": 1, "lexical": None, "fused": 20, "reranked": 15, "final": 15}, "fused_out"),
        ({"final": 30}, "ranked_low"),
        ({"final": None}, "not_in_candidates"),
        ({"final": 1}, "found"),
    ],
)
def test_the_last_stage_before_which_it_was_in_the_top_is_to_blame(ranks, stage):
    assert blame(ranks) == stage


def test_what_counts_as_lost_follows_from_k():
    ranks = {"vector": 4, "lexical": 30, "fused": 7, "final": 7}
    assert [blame(ranks, k=k) for k in (3, 5, 7)] == ["ranked_low", "fused_out", "found"]


def test_a_query_blames_the_stage_that_lost_most():
    low = {"vector": 50, "final": 50}
    away = {"vector": None, "final": None}
    assert blame_of_query([(low, 1), (away, 3), (low, 1)]) == Stage.NOT_IN_CANDIDATES
    assert blame_of_query([(low, 1), (away, 3), (low, 2)]) == Stage.NOT_IN_CANDIDATES  # equal: the earlier stage
    assert blame_of_query([(low, 2), (away, 3), (low, 2)]) == Stage.RANKED_LOW
    assert blame_of_query([({"vector": 1, "final": 1}, 3)]) == Stage.FOUND
    assert blame_of_query([]) == Stage.FOUND


def test_the_waterfall_has_every_stage_in_order():
    found = summarise(["found", "fused_out", Stage.FOUND, "not_chunked"])
    assert list(found) == [
        "not_chunked", "not_in_candidates", "ranked_low", "fused_out", "reranked_down", "found",
    ]  # fmt: skip
    assert list(found.values()) == [1, 0, 0, 1, 0, 2]
    assert sum(summarise([]).values()) == 0
    with pytest.raises(ValueError, match="'lost'"):
        summarise(["lost"])
