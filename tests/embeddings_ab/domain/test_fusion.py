"""Fusion: hand-computed sums, the ends of alpha, order of lists."""

import numpy as np
import pytest

from embeddings_ab.domain.fusion import convex, min_max, reciprocal_rank
from embeddings_ab.domain.ranking import Candidates, candidates_of


def lists(*pairs):
    """Candidates of one query from {unit: score}."""
    return candidates_of([(list(scores), list(scores.values())) for scores in pairs])


DENSE = lists({1: 0.9, 2: 0.8, 3: 0.1})
TEXT = lists({3: 12.0, 4: 8.0, 1: 4.0})


def test_reciprocal_ranks_by_hand():
    fused = reciprocal_rank([DENSE, TEXT], depth=10)
    assert fused.units[0].tolist() == [1, 3, 2, 4]  # 1 and 3 tie exactly, as do 2 and 4: by ordinal
    expected = [1 / 61 + 1 / 63, 1 / 61 + 1 / 63, 1 / 62, 1 / 62]
    assert fused.scores[0].tolist() == pytest.approx(expected, abs=1e-15)
    assert fused.scores[0][0] == fused.scores[0][1]


def test_reciprocal_ranks_with_weights_k_depth_and_limit():
    fused = reciprocal_rank([DENSE, TEXT], depth=2, k=1, weights=[3, 1], limit=3)
    assert fused.units[0].tolist() == [1, 2, 3]
    assert fused.scores[0].tolist() == pytest.approx([3 / 2, 3 / 3, 1 / 2])


def test_a_list_of_weight_zero_is_left_out_whole():
    fused = reciprocal_rank([DENSE, TEXT], depth=10, weights=[1, 0])
    assert fused.units[0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("seed", range(20))
def test_the_order_of_the_lists_changes_no_bit(seed):
    draw = np.random.default_rng(seed)
    arms = [lists(dict(zip(draw.permutation(60)[:40].tolist(), draw.random(40).tolist(), strict=True))) for _ in "abcd"]
    weights = [0.3, 0.7, 1.1, 0.05]
    one = reciprocal_rank(arms, depth=30, weights=weights)
    other = reciprocal_rank(arms[::-1], depth=30, weights=weights[::-1])
    assert one.units[0].tolist() == other.units[0].tolist()
    assert one.scores[0].tobytes() == other.scores[0].tobytes()


def test_convex_by_hand():
    fused = convex(DENSE, TEXT, alpha=0.5, depth=10)
    # dense: 1 -> 1, 2 -> 0.875, 3 -> 0; text: 3 -> 1, 4 -> 0.5, 1 -> 0
    assert fused.units[0].tolist() == [1, 3, 2, 4]
    assert fused.scores[0].tolist() == pytest.approx([0.5, 0.5, 0.4375, 0.25])


def test_convex_scales_what_the_depth_leaves():
    fused = convex(DENSE, TEXT, alpha=0.25, depth=2)
    assert fused.units[0].tolist() == [3, 1, 2, 4]
    assert fused.scores[0].tolist() == pytest.approx([0.75, 0.25, 0.0, 0.0])


def test_convex_gives_nothing_to_a_side_that_tells_nothing_apart():
    fused = convex(lists({5: 0.7, 6: 0.7}), TEXT, alpha=0.9, depth=10)
    assert fused.units[0].tolist() == [3, 4, 1, 5, 6]
    assert fused.scores[0].tolist() == pytest.approx([0.1, 0.05, 0, 0, 0])
    assert min_max(np.array([])).tolist() == []
    assert min_max(np.array([4.0])).tolist() == [0.0]


@pytest.mark.parametrize("seed", range(20))
def test_w03_alpha_zero_is_text_alone_and_alpha_one_vectors_alone(seed):
    """The earlier system read alpha 0 as "not given" and ran 0.7."""
    draw = np.random.default_rng(seed)
    close = 1 + np.arange(50) * 2.0**-52  # differ in the last bit: scaling would tie some of them
    dense = lists(dict(zip(draw.permutation(90)[:50].tolist(), close.tolist(), strict=True)))
    text = lists(dict(zip(draw.permutation(90)[:50].tolist(), draw.integers(0, 5, 50).tolist(), strict=True)))
    for alpha, arm in ((0, text), (1, dense), (0.0, text), (1.0, dense)):
        fused = convex(dense, text, alpha=alpha, depth=30)
        assert fused.units[0].tolist() == arm.units[0][:30].tolist()
        assert fused.scores[0].tolist() == arm.scores[0][:30].tolist()
    assert convex(dense, text, alpha=1, depth=30, limit=7).units[0].tolist() == dense.units[0][:7].tolist()
    assert convex(dense, text, alpha=0.7, depth=30).units[0].tolist() != text.units[0][:30].tolist()


def test_what_cannot_be_fused_is_an_error():
    two = lists({1: 1.0}, {2: 1.0})
    for call, message in (
        (lambda: reciprocal_rank([], depth=5), "nothing"),
        (lambda: reciprocal_rank([DENSE, two], depth=5), "different queries"),
        (lambda: reciprocal_rank([DENSE], depth=5, k=-1), "below 0"),
        (lambda: reciprocal_rank([DENSE, TEXT], depth=5, weights=[0, 0]), "weights"),
        (lambda: reciprocal_rank([DENSE, TEXT], depth=5, weights=[1, -1]), "weights"),
        (lambda: reciprocal_rank([DENSE, TEXT], depth=5, weights=[1]), "weights"),
        (lambda: reciprocal_rank([DENSE, TEXT], depth=5, weights=[1, float("nan")]), "weights"),
        (lambda: convex(DENSE, TEXT, alpha=1.01, depth=5), "alpha"),
        (lambda: convex(DENSE, two, alpha=0.5, depth=5), "different queries"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_queries_without_hits_fuse_to_nothing():
    empty = Candidates([np.array([], dtype=np.int32)], [np.array([])])
    assert reciprocal_rank([empty, empty], depth=5).units[0].tolist() == []
    assert convex(empty, empty, alpha=0.5, depth=5).units[0].tolist() == []
    assert convex(empty, TEXT, alpha=0.5, depth=5).units[0].tolist() == [3, 4, 1]


def test_equal_sums_go_to_the_document_that_the_tie_breaker_ranks_better():
    dense = candidates_of([([1, 2, 3], [3.0, 2.0, 1.0])])
    text = candidates_of([([3, 2, 1], [3.0, 2.0, 1.0])])
    assert reciprocal_rank([dense, text], depth=10).units[0].tolist() == [1, 3, 2]  # 1 and 3 tie, the lower ordinal
    assert reciprocal_rank([dense, text], depth=10, ties_by=text).units[0].tolist() == [3, 1, 2]
    unknown = candidates_of([([2], [1.0])])
    assert reciprocal_rank([dense, text], depth=10, ties_by=unknown).units[0].tolist() == [1, 3, 2]
