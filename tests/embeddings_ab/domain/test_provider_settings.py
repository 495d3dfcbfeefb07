"""What identifies an embedder: defaults, contradictions, and the part that changes a vector."""

from dataclasses import replace

import pytest

from embeddings_ab.domain.provider_errors import TRANSIENT_CAUSES, ProviderFailed
from embeddings_ab.domain.provider_settings import ProviderSettings
from governance.domain.errors import InvalidInput

OPENAI = ProviderSettings("openai", model="m", base_url="https://models.example.com/v1/", secret="key")


def test_local_providers_have_their_model_and_remote_ones_keep_theirs():
    assert ProviderSettings("minilm").model == "all-MiniLM-L6-v2"
    assert OPENAI.model == "m"
    assert OPENAI.base_url == "https://models.example.com/v1"
    assert ProviderSettings("tei", base_url="http://models.example.com").model == ""


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"provider": "word2vec"}, "provider"),
        ({"provider": "minilm", "base_url": "https://models.example.com"}, "base_url"),
        ({"provider": "synthetic", "secret": "key"}, "secret"),
        ({"provider": "minilm", "model": "other"}, "model"),
        ({"provider": "openai", "model": "m"}, "base_url"),
        ({"provider": "openai", "model": "m", "base_url": "ftp://models.example.com"}, "base_url"),
        ({"provider": "openai", "model": "m", "base_url": "https://me:pw@models.example.com"}, "base_url"),
        ({"provider": "cohere", "base_url": "https://models.example.com"}, "model"),
        ({"provider": "minilm", "dimensions": 385}, "dimensions"),
        ({"provider": "synthetic", "dimensions": 0}, "dimensions"),
        ({"provider": "tei", "base_url": "https://models.example.com", "dimensions": 8}, "dimensions"),
        ({"provider": "synthetic", "batch_texts": -1}, "batch_texts"),
        ({"provider": "synthetic", "timeout_seconds": 0}, "timeout_seconds"),
    ],
)
def test_a_contradiction_is_refused_by_its_field(arguments, field):
    with pytest.raises(InvalidInput) as refusal:
        ProviderSettings(**arguments)
    assert refusal.value.details["field"] == field
    assert field.split("_")[0] in refusal.value.message
    assert "pw" not in refusal.value.message


def test_the_identity_leaves_out_what_no_vector_depends_on():
    for change in (
        {"secret": "other"},
        {"batch_texts": 7},
        {"batch_tokens": 7},
        {"parallel_requests": 7},
        {"timeout_seconds": 7.0},
        {"encoding": "float"},
        {"threads": 7},
    ):
        assert replace(OPENAI, **change).identity() == OPENAI.identity()
    for change in (
        {"model": "n"},
        {"revision": "r"},
        {"base_url": "https://other.example.com"},
        {"dimensions": 8},
        {"document_prefix": "d: "},
        {"query_prefix": "q: "},
        {"normalise": False},
    ):
        assert replace(OPENAI, **change).identity() != OPENAI.identity()


def test_dimensions_cut_from_full_vectors_share_an_identity_and_others_do_not():
    assert ProviderSettings("minilm", dimensions=128).identity() == ProviderSettings("minilm").identity()
    assert ProviderSettings("synthetic").identity() == ProviderSettings("synthetic", dimensions=256).identity()
    assert ProviderSettings("synthetic").identity() != ProviderSettings("synthetic", dimensions=128).identity()


def test_roles_share_an_identity_unless_prefix_or_form_tells_them_apart():
    assert OPENAI.identity("document") == OPENAI.identity("query")
    assert replace(OPENAI, query_prefix="q: ").identity("document") == OPENAI.identity("document")
    assert replace(OPENAI, query_prefix="q: ").identity("query") != OPENAI.identity("query")
    cohere = ProviderSettings("cohere", model="m", base_url="https://models.example.com")
    assert cohere.identity("document") != cohere.identity("query")


def test_batch_limits_are_the_providers_own_unless_given():
    assert ProviderSettings("minilm").with_defaults().batch_texts == 32
    assert ProviderSettings("minilm", batch_texts=3).with_defaults().batch_texts == 3
    assert (ProviderSettings("minilm").with_defaults().parallel_requests, OPENAI.with_defaults().parallel_requests) == (
        1,
        4,
    )


def test_only_causes_that_can_heal_are_transient_unless_told_otherwise():
    assert ProviderFailed("x", cause="timeout").is_transient
    assert not ProviderFailed("x", cause="bad_answer").is_transient
    assert not ProviderFailed("x", cause="connection", is_transient=False).is_transient
    assert {"timeout", "connection", "rate_limited", "server_error"} == TRANSIENT_CAUSES
    assert ProviderFailed("x", cause="timeout").details == {"cause": "timeout"}
