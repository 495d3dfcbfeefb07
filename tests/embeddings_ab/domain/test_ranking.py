"""The canonical order: ties, repeats, chunks, boundaries; against a slow sort in plain Python."""

import numpy as np
import pytest

from embeddings_ab.domain.ranking import (
    Candidates,
    candidates_of,
    canonical,
    reranked,
    search_each,
    top_documents,
    without_own_documents,
)


def slow_top(row, chunk_document, depth, above=None):
    """(unit, score, chunk) of the best documents, by sorting everything."""
    best = {}
    for chunk, (unit, score) in enumerate(zip(chunk_document, row, strict=True)):
        if unit not in best or score > best[unit][0]:
            best[unit] = (score, chunk)
    ranked = sorted(best.items(), key=lambda item: (-item[1][0], item[0]))
    return [(unit, score, chunk) for unit, (score, chunk) in ranked if above is None or score > above][:depth]


def rows_of(found):
    """The candidates of all queries as (unit, score, chunk)."""
    return [
        list(zip(units.tolist(), scores.tolist(), chunks.tolist(), strict=True))
        for units, scores, chunks in zip(found.units, found.scores, found.chunks, strict=True)
    ]


@pytest.mark.parametrize("seed", range(60))
def test_top_documents_equal_a_full_sort(seed):
    draw = np.random.default_rng(seed)
    chunks = int(draw.integers(1, 5000))
    table = np.sort(draw.integers(0, int(draw.integers(1, 2 * chunks)), chunks)).astype(np.int32)
    if seed % 3 == 0:
        table = np.arange(chunks, dtype=np.int32)
    scores = draw.normal(size=(3, chunks)).round(seed % 4).astype(np.float32)  # few decimals: many ties
    depth = int(draw.integers(1, 150))
    above = 0.0 if seed % 2 else None
    found = top_documents(scores, table, depth, above=above)
    expected = [slow_top(row, table.tolist(), depth, above) for row in scores.tolist()]
    assert rows_of(found) == expected


@pytest.mark.parametrize("documents", [3, 40, 4000])
def test_all_ties_keep_the_lowest_ordinals(documents):
    """A partition alone keeps any of the tied: the boundary is where it would show."""
    found = top_documents(np.ones((2, documents), dtype=np.float32), np.arange(documents, dtype=np.int32), 20)
    assert [units.tolist() for units in found.units] == [list(range(min(20, documents)))] * 2


def test_one_document_of_many_good_chunks_does_not_crowd_out_the_others():
    scores = np.concatenate([np.full(500, 0.9), [0.5, 0.4]]).astype(np.float32)[None]
    table = np.array([0] * 500 + [1, 2], dtype=np.int32)
    assert top_documents(scores, table, 3).units[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("place", [0, 640, 999])
@pytest.mark.parametrize("depth", [5, 900, 2000])
def test_nan_is_an_error_wherever_it_stands(place, depth):
    scores = np.zeros((2, 1000), dtype=np.float32)
    scores[1, place] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        top_documents(scores, np.arange(1000, dtype=np.int32), depth)


def test_shapes_that_do_not_fit_are_errors():
    table = np.array([0, 1, 2], dtype=np.int32)
    with pytest.raises(ValueError, match="do not fit"):
        top_documents(np.zeros((1, 4), dtype=np.float32), table, 1)
    with pytest.raises(ValueError, match="not in order"):
        top_documents(np.zeros((1, 3), dtype=np.float32), table[::-1], 1)
    with pytest.raises(ValueError, match="depth 0"):
        top_documents(np.zeros((1, 3), dtype=np.float32), table, 0)


def test_nothing_to_rank_is_an_empty_list():
    found = top_documents(np.zeros((2, 0), dtype=np.float32), np.array([], dtype=np.int32), 10)
    assert rows_of(found) == [[], []]
    assert len(top_documents(np.zeros((0, 3), dtype=np.float32), np.arange(3, dtype=np.int32), 10)) == 0


def test_minus_zero_becomes_zero():
    found = top_documents(np.array([[-0.0, 0.0]], dtype=np.float32), np.arange(2, dtype=np.int32), 2)
    assert found.units[0].tolist() == [0, 1]
    assert not np.signbit(found.scores[0]).any()
    assert not np.signbit(canonical([1], [-0.0])[1]).any()


def test_w01_repeats_of_one_document_become_one():
    """Three chunks of the one right document gave the earlier system nDCG@3 = 2.13."""
    units, scores, chunks = canonical([7, 3, 7, 7, 3], [0.5, 0.9, 0.8, 0.8, 0.9], [4, 2, 9, 6, 1])
    assert (units.tolist(), scores.tolist(), chunks.tolist()) == ([3, 7], [0.9, 0.8], [1, 6])


def test_canonical_refuses_nan_and_different_lengths():
    with pytest.raises(ValueError, match="NaN"):
        canonical([1, 2], [0.1, float("nan")])
    with pytest.raises(ValueError, match="2 units, but 1 scores"):
        canonical([1, 2], [0.1])


def test_uploaded_lists_are_put_in_order_and_cut():
    found = candidates_of([([5, 2, 5, 9], [1.0, 1.0, 3.0, 0.5]), ([], [])], depth=2)
    assert [units.tolist() for units in found.units] == [[5, 2], []]
    assert found.scores[0].tolist() == [3.0, 1.0]
    assert found.chunks is None


def test_the_querys_own_document_is_dropped_before_the_cut():
    found = Candidates(
        [np.array([4, 1, 2], dtype=np.int32)] * 2, [np.array([3.0, 2.0, 1.0])] * 2, [np.array([0, 1, 2])] * 2
    )
    kept = without_own_documents(found, [4, None], 2)
    assert [units.tolist() for units in kept.units] == [[1, 2], [4, 1]]
    assert kept.scores[0].tolist() == [2.0, 1.0]
    assert [chunks.tolist() for chunks in kept.chunks] == [[1, 2], [0, 1]]
    assert without_own_documents(Candidates(found.units, found.scores), [None, 4], 2).chunks is None


def test_w02_a_reranker_moves_documents_and_w05_from_below_the_cut():
    """The earlier system reordered ids but read documents from the old list, and reranked only the final k."""
    found = Candidates([np.array([3, 8, 5, 1], dtype=np.int32)], [np.array([0.9, 0.8, 0.7, 0.6])], [np.arange(4)])
    moved = reranked(found, [[0.1, 0.5, 0.9]], depth=3)
    assert moved.units[0].tolist() == [5, 8, 3, 1]
    assert moved.chunks[0].tolist() == [2, 1, 0, 3]
    assert moved.scores[0].tolist() == pytest.approx([0.9, 0.5, 0.1, -0.9])
    assert moved.cut(1).units[0].tolist() == [5]  # was third: recall at 1 can rise


def test_a_rerankers_ties_are_settled_by_ordinal():
    found = Candidates([np.array([9, 4, 6], dtype=np.int32)], [np.array([3.0, 2.0, 1.0])])
    assert reranked(found, [[0.5, 0.5, 0.5]], depth=10).units[0].tolist() == [4, 6, 9]


def test_a_rerankers_bad_answers_are_errors():
    found = Candidates([np.array([9, 4], dtype=np.int32)], [np.array([3.0, 2.0])])
    for scores, message in ([[[1.0]], "1 scores"], [[[1.0, float("nan")]], "NaN"], [[], "scores for 0"]):
        with pytest.raises(ValueError, match=message):
            reranked(found, scores, depth=2)


def test_blocks_of_queries_are_joined():
    found = Candidates()
    block = Candidates([np.array([1], dtype=np.int32)], [np.array([1.0])], [np.array([0], dtype=np.int32)])
    found.append(block)
    found.append(block)
    assert len(found) == 2
    assert [chunks.tolist() for chunks in found.chunks] == [[0], [0]]
    found.append(Candidates([np.array([2], dtype=np.int32)], [np.array([1.0])]))
    assert found.chunks is None
    found.append(block)
    assert found.chunks is None


def test_a_source_of_chunks_is_asked_deeper_until_enough_documents_are_there():
    table = np.array([0] * 6 + [1] * 3 + [2], dtype=np.int32)
    scores = np.linspace(1, 0, 10)
    asked = []

    def hits(query, count):
        asked.append((query, count))
        return np.arange(count), scores[:count]

    found = search_each(["a"], hits, table, 2)
    assert found.units[0].tolist() == [0, 1]
    assert found.chunks[0].tolist() == [0, 6]
    assert asked == [("a", 2), ("a", 4), ("a", 8)]


def test_a_source_that_has_no_more_is_not_asked_again():
    asked = []

    def hits(query, count):
        asked.append(count)
        return np.array([4]), np.array([0.5])

    found = search_each(["a"], hits, np.arange(1000, dtype=np.int32), 3)
    assert found.units[0].tolist() == [4]
    assert asked == [3]
