"""Nothing wrong passes the door of a provider, and the message says which text."""

import numpy as np
import pytest

from embeddings_ab.adapters.embedding_providers.door import checked_batch, cut_dimensions, refuse_empty, unit_rows
from embeddings_ab.domain.provider_errors import ProviderFailed


def checked(vectors, *, texts=2, dimensions=2, normalise=True):
    return checked_batch(vectors, texts=texts, dimensions=dimensions, normalise=normalise, provider="the model")


def test_good_vectors_come_out_as_unit_rows_of_float32():
    vectors = checked([[3, 4], [0.0, -2.0]])
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [[np.float32(0.6), np.float32(0.8)], [0.0, -1.0]]


def test_vectors_stay_as_they_are_without_normalising_but_zero_is_refused_all_the_same():
    assert checked([[3, 4], [0, 2]], normalise=False).tolist() == [[3, 4], [0, 2]]
    with pytest.raises(ProviderFailed, match="zero vector for text 1"):
        checked([[3, 4], [0, 0]], normalise=False)


def test_a_zero_vector_made_by_cutting_dimensions_is_refused():
    with pytest.raises(ProviderFailed, match="zero vector for text 0"):
        cut_dimensions(np.array([[0, 1]], dtype=np.float32), 1, normalise=True)


def test_no_texts_give_no_vectors():
    assert checked([], texts=0).shape == (0, 2)


@pytest.mark.parametrize(
    ("vectors", "position", "words"),
    [
        ([[1, 2]], None, "1 vectors for 2 texts"),
        ([[1, 2], [1, 2, 3]], 1, "3 numbers for text 1"),
        ([[], [1, 2]], 0, "0 numbers for text 0"),
        ([[1, 2], 5], 1, "0 numbers for text 1"),
        ([[1, 2], "ab"], 1, "0 numbers for text 1"),
        ([[1, 2], [1, "b"]], None, "something else than numbers"),
        ([[1, 2], [None, {}]], None, "something else than numbers"),
        ([[[1], [2]], [[1], [2]]], None, "nested"),
        ([[1, 2], [1, float("nan")]], 1, "NaN or an infinite number for text 1"),
        ([[float("inf"), 2], [1, 2]], 0, "NaN or an infinite number for text 0"),
        ([[1, 2], [1e300, 2]], 1, "NaN or an infinite number for text 1"),
        ([[1, 2], [0, 0]], 1, "zero vector for text 1"),
    ],
)
def test_a_wrong_answer_is_named_with_its_text(vectors, position, words):
    with pytest.raises(ProviderFailed, match=words) as failure:
        checked(vectors)
    assert failure.value.cause == "bad_answer"
    assert not failure.value.is_transient
    assert failure.value.details.get("position") == position


def test_dimensions_are_those_of_the_first_vector_when_none_are_expected():
    assert checked([[1, 0, 0], [0, 1, 0]], dimensions=None).shape == (2, 3)
    with pytest.raises(ProviderFailed, match="2 numbers for text 1 of the batch, expected 3"):
        checked([[1, 0, 0], [0, 1]], dimensions=None)


def test_a_row_has_the_same_bits_whatever_stands_beside_it():
    rows = np.random.default_rng(7).standard_normal((50, 384)).astype(np.float32)
    together = unit_rows(rows)
    assert all(unit_rows(rows[i : i + 1])[0].tobytes() == together[i].tobytes() for i in range(50))


def test_very_small_vectors_keep_their_direction():
    assert checked([[3e-30, 4e-30], [1, 0]])[0].tolist() == pytest.approx([0.6, 0.8])


def test_dimensions_are_cut_and_the_rest_is_of_length_one_again():
    full = np.array([[0.6, 0.0, 0.8], [0.0, 1.0, 0.0]], dtype=np.float32)
    assert cut_dimensions(full, None, normalise=True) is full
    assert cut_dimensions(full, 3, normalise=True) is full
    assert cut_dimensions(full, 2, normalise=True).tolist() == [[1, 0], [0, 1]]
    assert cut_dimensions(full, 2, normalise=False).tolist() == [[np.float32(0.6), 0], [0, 1]]
    with pytest.raises(ValueError, match="between 1 and 3"):
        cut_dimensions(full, 4, normalise=True)


def test_an_empty_text_is_named_by_its_position():
    refuse_empty(["a", "b"], provider="the model")
    with pytest.raises(ProviderFailed, match="text 2 of the batch is empty") as failure:
        refuse_empty(["a", "b", "\t \n"], provider="the model")
    assert (failure.value.cause, failure.value.is_transient) == ("input_rejected", False)
