"""Likeness of meaning by the vectors of two texts."""

import functools
import math
import threading
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from experiments.domain.builtin_evaluators.operands import library, operands, text_of, texts_of

Embed = Callable[[list[str]], Sequence[Sequence[float]]]
_loading = threading.Lock()


def embedding_similarity(
    outputs: Any,
    ground_truth: Any,
    *,
    embed: Embed | None = None,
    key: str | None = None,
    expected_key: str | None = None,
) -> float:
    """Cosine of the vectors of output and ground truth, -1 to 1; of a list of accepted texts the best.

    `embed` makes vectors (lists or arrays of numbers) of a list of texts; without it WordLlama does (256 dimensions,
    offline, `pip install 'hhweb[wordllama]'`). Undefined (ValueError) without ground truth and for zero vectors.
    """
    output, expected = operands(outputs, ground_truth, key, expected_key)
    texts = [text_of("outputs", output), *texts_of("ground_truth", expected)]
    vectors = [[float(number) for number in vector] for vector in (embed or _wordllama())(texts)]
    if len(vectors) != len(texts):
        raise ValueError(f"embed made {len(vectors)} vectors of {len(texts)} texts")
    return max(cosine(vectors[0], vector) for vector in vectors[1:])


def cosine(left: Sequence[float], right: Sequence[float]) -> float:
    """Cosine of the angle between two vectors, -1 to 1. Raises ValueError for zero, infinite or uneven vectors."""
    if len(left) != len(right):
        raise ValueError(f"the vectors have {len(left)} and {len(right)} dimensions")
    lengths = math.hypot(*left) * math.hypot(*right)
    if not (0 < lengths < math.inf):
        raise ValueError("a vector has no direction: it is zero or not finite")
    product = math.fsum(a * b for a, b in zip(left, right, strict=True))
    return max(-1.0, min(1.0, product / lengths))


def _wordllama() -> Embed:
    with _loading:  # the first datapoints of a run ask at once, and lru_cache would let each of them load
        return _loaded()


@functools.lru_cache(maxsize=1)
def _loaded() -> Embed:
    """The mean of the vectors of a text's tokens, from the two files in the wheel.

    The package itself is not imported: it sets the level of the root logger, and its loader misses its own tokenizer
    and asks a hub for it.
    """
    found = find_spec("wordllama")
    if found is None or found.origin is None:
        raise ImportError("give embed=, or wordllama: pip install 'hhweb[wordllama]'")
    folder = Path(found.origin).parent
    weights = library("safetensors.numpy", "wordllama").load_file(folder / "weights/l2_supercat_256.safetensors")
    vectors = weights["embedding.weight"].astype("float32")
    words = library("tokenizers", "wordllama").Tokenizer.from_file(
        str(folder / "tokenizers/l2_supercat_tokenizer_config.json")
    )
    words.no_padding()
    words.no_truncation()

    def vector(text: str) -> Sequence[float]:
        ids = [min(each, len(vectors) - 1) for each in words.encode(text, add_special_tokens=False).ids]
        if not ids:
            raise ValueError("an empty text has no vector")
        mean: list[float] = vectors[ids].mean(axis=0).tolist()
        return mean

    return lambda texts: [vector(text) for text in texts]
