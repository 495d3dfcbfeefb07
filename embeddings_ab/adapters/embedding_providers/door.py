"""The door of every provider: what may go in, and what may come out as vectors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from embeddings_ab.domain.provider_errors import ProviderFailed


def refuse_empty(texts: Sequence[str], *, provider: str) -> None:
    """Raise ProviderFailed (input_rejected) naming the position of the first text without a visible character."""
    for position, text in enumerate(texts):
        if not text.strip():
            raise ProviderFailed(
                f"text {position} of the batch is empty; {provider} cannot embed it, leave empty texts out",
                cause="input_rejected",
                position=position,
            )


def checked_batch(
    vectors: Any, *, texts: int, dimensions: int | None, normalise: bool, provider: str
) -> npt.NDArray[np.float32]:
    """Vectors as float32 (texts, dimensions), of unit length when asked; anything else is ProviderFailed (bad_answer).

    `dimensions` None accepts any, the same for all. Messages name the position of the first wrong text, from 0.
    """
    if len(vectors) != texts:
        raise _bad(f"{provider} returned {len(vectors)} vectors for {texts} texts")
    if not texts:
        return np.empty((0, dimensions or 0), np.float32)
    expected = dimensions or _length(vectors[0])
    for position, vector in enumerate(vectors):
        if _length(vector) != expected or not expected:
            raise _bad(
                f"{provider} returned {_length(vector)} numbers for text {position} of the batch, expected {expected}",
                position=position,
            )
    try:
        # Numbers too large for float32 become infinite here and are found below.
        with np.errstate(over="ignore"):
            checked = np.ascontiguousarray(vectors, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise _bad(f"{provider} returned a vector with something else than numbers") from error
    if checked.shape != (texts, expected):
        raise _bad(f"{provider} returned nested vectors of shape {checked.shape}, expected {(texts, expected)}")
    if (wrong := _first((~np.isfinite(checked)).any(axis=1))) is not None:
        raise _bad(f"{provider} returned NaN or an infinite number for text {wrong} of the batch", position=wrong)
    # Also without normalising: a raw vector of the cache is normalised later, by the arms that ask for it.
    if (zero := _first(~checked.any(axis=1))) is not None:
        raise _zero(zero, provider)
    return unit_rows(checked, provider=provider) if normalise else checked


def unit_rows(vectors: npt.NDArray[np.float32], *, provider: str = "the model") -> npt.NDArray[np.float32]:
    """The rows at length 1, each on its own, lengths summed in float64. A zero row is ProviderFailed (bad_answer)."""
    lengths = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1))
    if (zero := _first(lengths == 0)) is not None:
        raise _zero(zero, provider)
    unit: npt.NDArray[np.float32] = (vectors / lengths[:, None]).astype(np.float32)
    return unit


def cut_dimensions(
    vectors: npt.NDArray[np.float32], dimensions: int | None, *, normalise: bool
) -> npt.NDArray[np.float32]:
    """The first `dimensions` numbers of each full vector, at length 1 again when asked. None keeps all."""
    if dimensions is None or dimensions == vectors.shape[1]:
        return vectors
    if not 1 <= dimensions < vectors.shape[1]:
        raise ValueError(f"dimensions {dimensions} must be between 1 and {vectors.shape[1]}")
    short = np.ascontiguousarray(vectors[:, :dimensions])
    return unit_rows(short) if normalise else short


def _length(vector: Any) -> int:
    return len(vector) if hasattr(vector, "__len__") and not isinstance(vector, str | bytes | dict) else 0


def _first(wrong: Any) -> int | None:
    return int(np.argmax(wrong)) if wrong.any() else None


def _zero(position: int, provider: str) -> ProviderFailed:
    return _bad(
        f"{provider} returned a zero vector for text {position} of the batch, which has no direction", position=position
    )


def _bad(message: str, **details: Any) -> ProviderFailed:
    return ProviderFailed(message, cause="bad_answer", **details)
