"""The canary texts stay what they are, and drift is the least cosine."""

import hashlib

import numpy as np
import pytest

from embeddings_ab.adapters.embedding_providers.canary import (
    CANARY_TEXTS,
    DRIFT_LIMIT,
    drift,
    fingerprint,
    has_drifted,
)

VECTORS = np.eye(3, dtype=np.float32)


def test_the_texts_never_change():
    """Stored fingerprints stand on these bytes: a change would look like another model everywhere."""
    assert len(CANARY_TEXTS) == len(set(CANARY_TEXTS)) == 20
    assert (
        hashlib.sha256("\0".join(CANARY_TEXTS).encode()).hexdigest()
        == "7f8f9b4e25cb7f52ffe973cbc7735aca37f67fda3dbd5d5aa832b43e71d3c3af"
    )
    assert DRIFT_LIMIT == 0.9999


def test_drift_is_the_least_cosine_of_a_text():
    turned = VECTORS.copy()
    turned[1] = [0.0, np.cos(0.02), np.sin(0.02)]
    assert drift(VECTORS, VECTORS * 7) == pytest.approx(1)
    assert drift(VECTORS, turned) == pytest.approx(np.cos(0.02))
    assert has_drifted(VECTORS, turned)
    turned[1] = [0.0, np.cos(0.01), np.sin(0.01)]  # cosine 0.99995
    assert not has_drifted(VECTORS, turned)


def test_another_shape_a_lost_vector_and_nan_are_drift():
    assert drift(VECTORS, VECTORS[:2]) == -1
    assert drift(VECTORS, VECTORS[:, :2]) == -1
    assert drift(VECTORS[:0], VECTORS[:0]) == -1
    assert drift(VECTORS, VECTORS * [[1], [0], [1]]) == -1
    assert drift(VECTORS, VECTORS * [[1], [np.nan], [1]]) == -1
    zero = VECTORS * np.array([[1], [0], [1]], dtype=np.float32)
    assert drift(zero, zero) == pytest.approx(1)


def test_the_fingerprint_forgives_the_last_digits_and_nothing_else():
    assert fingerprint(VECTORS) == fingerprint(VECTORS + np.float32(1e-6)) == fingerprint(VECTORS * 1.0 - 1e-9)
    assert fingerprint(VECTORS) != fingerprint(VECTORS + np.float32(1e-3))
    assert fingerprint(VECTORS) != fingerprint(VECTORS.reshape(1, 9))
