"""Small vectors: what they stand for, how far they are off, and the search through them."""

import numpy as np
import pytest

from embeddings_ab.domain.quantisation import KINDS, normalised, quantise, score_blocks, search, truncated
from embeddings_ab.domain.ranking import canonical


def some_vectors(count, dimensions, seed=1, clusters=20):
    """Unit vectors that lie in clusters, as texts do."""
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(clusters, dimensions))
    points = centres[draw.integers(0, clusters, count)] + 0.4 * draw.normal(size=(count, dimensions))
    return normalised(points.astype(np.float32))


VECTORS = some_vectors(3000, 70)
QUERIES = normalised(VECTORS[::120] + np.float32(0.03) * some_vectors(25, 70, seed=2))
TABLE = np.sort(np.random.default_rng(3).integers(0, 1200, 3000)).astype(np.int32)


def overlap_at_10(found, exact):
    return np.mean(
        [len(set(a[:10].tolist()) & set(b[:10].tolist())) / 10 for a, b in zip(found.units, exact.units, strict=True)]
    )


def test_unquantised_search_equals_a_full_sort_in_double_precision():
    found = search(quantise(VECTORS, "float32"), QUERIES, TABLE, 15)
    for row, query in enumerate(QUERIES):
        products = VECTORS.astype(np.float64) @ query.astype(np.float64)
        units, scores, chunks = canonical(TABLE, products, np.arange(3000))
        assert found.units[row].tolist() == units[:15].tolist()
        assert found.chunks[row].tolist() == chunks[:15].tolist()
        assert found.scores[row] == pytest.approx(scores[:15], abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rescore", [0, 40])
def test_a_querys_result_does_not_depend_on_the_others(kind, rescore):
    """A product with one row rounds otherwise than one with many: to the bit the same all the same."""
    kept = quantise(VECTORS, kind)
    together = search(kept, QUERIES, TABLE, 20, rescore=rescore, exact=VECTORS)
    for row in range(len(QUERIES)):
        alone = search(kept, QUERIES[row : row + 1], TABLE, 20, rescore=rescore, exact=VECTORS)
        assert alone.units[0].tolist() == together.units[row].tolist()
        assert alone.scores[0].tobytes() == together.scores[row].tobytes()


@pytest.mark.parametrize("rows", [1, 2, 7, 24])
def test_scores_do_not_depend_on_the_size_of_the_blocks(rows):
    whole = np.concatenate(list(score_blocks(QUERIES, VECTORS)))
    blocks = list(score_blocks(QUERIES, VECTORS, block_bytes=rows * 4 * 3000))
    assert [len(block) for block in blocks][:-1] == [max(2, rows)] * (len(blocks) - 1)
    assert np.concatenate(blocks).tobytes() == whole.tobytes()


def test_sizes():
    sizes = {kind: quantise(VECTORS, kind).bytes for kind in KINDS}
    assert sizes == {
        "float32": 3000 * 70 * 4,
        "float16": 3000 * 70 * 2,
        "int8": 3000 * 70 + 70 * 4,
        "bits": 3000 * 2 * 8,
    }


def test_errors_are_bounded_by_half_a_step():
    eight = quantise(VECTORS, "int8")
    assert np.abs(eight.data * eight.scale - VECTORS).max() <= eight.scale.max() / 2 * 1.001
    assert np.abs(eight.data).max() == 127
    half = quantise(VECTORS, "float16").data.astype(np.float32)
    assert np.abs(half - VECTORS).max() <= 2.0**-11
    assert quantise(np.zeros((2, 3), dtype=np.float32), "int8").data.tolist() == [[0, 0, 0]] * 2


def test_bits_score_the_product_of_signs():
    found = search(quantise(VECTORS, "bits"), QUERIES[:3], TABLE, 1200)
    signs = np.where(VECTORS > 0, 1, -1)
    for row in range(3):
        expected = signs @ np.where(QUERIES[row] > 0, 1, -1)
        assert found.scores[row].tolist() == [expected[chunk] for chunk in found.chunks[row]]
        assert found.scores[row].max() == expected.max()


def test_rescored_bits_order_their_best_exactly_and_keep_the_rest_behind():
    bits = quantise(VECTORS, "bits")
    plain = search(bits, QUERIES, TABLE, 100)
    found = search(bits, QUERIES, TABLE, 100, rescore=30, exact=VECTORS)
    for row, query in enumerate(QUERIES):
        head = found.units[row][:30]
        assert set(head.tolist()) == set(plain.units[row][:30].tolist())
        assert found.units[row][30:].tolist() == plain.units[row][30:].tolist()
        products = VECTORS.astype(np.float64) @ query.astype(np.float64)
        best = {unit: products[unit == TABLE].max() for unit in head}
        assert head.tolist() == sorted(best, key=lambda unit: (-best[unit], unit))
        assert found.scores[row][:30] == pytest.approx(sorted(best.values(), reverse=True), abs=1e-7)
        assert (np.diff(found.scores[row]) <= 0).all()
        assert products[found.chunks[row][:30]] == pytest.approx(found.scores[row][:30], abs=1e-7)


def test_small_vectors_find_almost_what_whole_ones_find():
    exact = search(quantise(VECTORS, "float32"), QUERIES, TABLE, 10)
    shares = {}
    for kind in KINDS:
        shares[kind] = overlap_at_10(search(quantise(VECTORS, kind), QUERIES, TABLE, 10), exact)
    rescored = overlap_at_10(search(quantise(VECTORS, "bits"), QUERIES, TABLE, 10, rescore=200, exact=VECTORS), exact)
    assert shares["float32"] == 1
    assert shares["float16"] >= 0.98
    assert shares["int8"] >= 0.95
    assert shares["bits"] < rescored
    assert rescored >= 0.9


def test_fewer_dimensions_have_unit_length_again():
    cut = truncated(VECTORS, 10)
    assert cut.shape == (3000, 10)
    assert np.linalg.norm(cut, axis=1) == pytest.approx(np.ones(3000), abs=1e-6)
    assert cut[0] == pytest.approx(VECTORS[0, :10] / np.linalg.norm(VECTORS[0, :10]), abs=1e-6)
    assert truncated(np.array([[0, 0, 1]], dtype=np.float32), 2).tolist() == [[0, 0]]
    with pytest.raises(ValueError, match="71 dimensions"):
        truncated(VECTORS, 71)


def test_what_cannot_be_searched_is_an_error():
    with pytest.raises(ValueError, match="unknown quantisation"):
        quantise(VECTORS, "int4")
    with pytest.raises(ValueError, match="not finite"):
        quantise(np.array([[np.nan]], dtype=np.float32), "int8")
    with pytest.raises(ValueError, match="do not fit 70"):
        search(quantise(VECTORS, "float32"), QUERIES[:, :5], TABLE, 3)
    with pytest.raises(ValueError, match="exact vectors"):
        search(quantise(VECTORS, "bits"), QUERIES, TABLE, 3, rescore=5)


def test_nothing_kept_finds_nothing():
    none = np.zeros((0, 4), dtype=np.float32)
    for kind in KINDS:
        found = search(quantise(none, kind), np.ones((1, 4), dtype=np.float32), TABLE[:0], 3, rescore=2, exact=none)
        assert found.units[0].tolist() == []
