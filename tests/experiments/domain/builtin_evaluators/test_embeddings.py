"""Likeness of meaning: the cosine, and the model that a wheel brings."""

import logging
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cosine as scipy_distance

from experiments.domain.builtin_evaluators import embeddings
from experiments.domain.builtin_evaluators.embeddings import cosine, embedding_similarity

VECTORS = {"a": [1.0, 2.0, 3.0], "b": [-2.0, 0.5, 4.0], "c": [-1.0, -2.0, -3.0], "zero": [0.0] * 3}


def embed(texts):
    return np.array([VECTORS[text] for text in texts], dtype=np.float32)


@pytest.fixture
def restored_logging():
    """The package sets up the root logger when it is imported."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_the_cosine_is_that_of_scipy():
    random = np.random.default_rng(7)
    for _ in range(20):
        left, right = random.normal(size=(2, 50))
        assert cosine(left.tolist(), right.tolist()) == pytest.approx(1 - scipy_distance(left, right), abs=1e-12)


def test_similarity_is_the_cosine_of_the_vectors_of_any_embedder():
    assert embedding_similarity("a", "b", embed=embed) == pytest.approx(
        1 - scipy_distance(VECTORS["a"], VECTORS["b"]), abs=1e-12
    )
    assert embedding_similarity("a", "c", embed=embed) == pytest.approx(-1.0, abs=1e-12)
    assert embedding_similarity("a", ["c", "a"], embed=embed) == pytest.approx(1.0, abs=1e-12)
    assert embedding_similarity({"answer": "a"}, {"gold": "a"}, embed=embed) <= 1.0


def test_vectors_without_a_direction_are_told():
    with pytest.raises(ValueError, match="a vector has no direction"):
        embedding_similarity("a", "zero", embed=embed)
    with pytest.raises(ValueError, match="the vectors have 3 and 2 dimensions"):
        cosine([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="embed made 1 vectors of 2 texts"):
        embedding_similarity("a", "b", embed=lambda texts: [[1.0]])


def test_the_offline_model_gives_what_its_own_package_gives(restored_logging):
    """Held against the package's own inference class over the same two files."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer
    from wordllama.inference import WordLlamaInference

    folder = Path(find_spec("wordllama").origin).parent
    weights = load_file(folder / "weights/l2_supercat_256.safetensors")["embedding.weight"]
    words = Tokenizer.from_file(str(folder / "tokenizers/l2_supercat_tokenizer_config.json"))
    theirs = WordLlamaInference(weights, words).similarity("i went to the car", "i went to the pawn shop, Grüße!")
    assert embedding_similarity("i went to the car", "i went to the pawn shop, Grüße!") == pytest.approx(
        theirs, abs=1e-6
    )
    with pytest.raises(ValueError, match="an empty text has no vector"):
        embedding_similarity("i went to the car", "")


def test_the_offline_model_leaves_the_programs_logging_alone():
    code = (
        "import logging, sys\n"
        "from experiments.domain.builtin_evaluators import find\n"
        "assert find('embedding_similarity')('a cat', 'a cat') > 0.999\n"
        "print(logging.getLogger().handlers, 'wordllama' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] False\n"


def test_without_embedder_and_model_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "wordllama", None)
    embeddings._loaded.cache_clear()
    with pytest.raises(ImportError, match=r"give embed=, or wordllama: pip install 'hhweb\[wordllama\]'"):
        embedding_similarity("a", "b")
