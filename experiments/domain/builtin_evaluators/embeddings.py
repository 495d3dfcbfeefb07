"""Likeness of meaning by the vectors of two texts."""

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments.domain.builtin_evaluators.operands import library, operands, text_of, texts_of

Embed = Callable[[list[str]], Sequence[Sequence[float]]]


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


@functools.lru_cache(maxsize=1)
def _wordllama() -> Embed:
    """The model in the wheel, from its files: the package's own loader misses its tokenizer and asks a hub for it."""
    folder = Path(library("wordllama", "wordllama").__file__).parent
    weights = library("safetensors.numpy", "wordllama").load_file(folder / "weights/l2_supercat_256.safetensors")
    words = library("tokenizers", "wordllama").Tokenizer.from_file(
        str(folder / "tokenizers/l2_supercat_tokenizer_config.json")
    )
    model = library("wordllama.inference", "wordllama").WordLlamaInference(weights["embedding.weight"], words)

    def embed(texts: list[str]) -> Sequence[Sequence[float]]:
        if "" in map(str.strip, texts):
            raise ValueError("an empty text has no vector")
        vectors: Sequence[Sequence[float]] = model.embed(texts, norm=True).tolist()
        return vectors

    return embed
