"""The three remote forms against a real server, through the guarded client."""

import threading

import numpy as np
import pytest

from embeddings_ab.adapters.embedding_providers import canary, open_provider
from embeddings_ab.adapters.embedding_providers.remote import estimated_tokens
from embeddings_ab.adapters.outbound_calls import translated
from embeddings_ab.domain.provider_errors import ProviderFailed
from embeddings_ab.domain.provider_settings import ProviderSettings
from governance.domain.errors import DomainError
from governance.outbound.client import GuardedClient
from tests.embeddings_ab.provider_server import ProviderServer

FORMS = ["openai", "cohere", "tei"]
PATHS = {"openai": "/v1/embeddings", "cohere": "/v2/embed", "tei": "/embed"}
TEXTS = ["shock waves at high speed", "high-speed shock waves", "a recipe with three eggs"]


@pytest.fixture
def server():
    with ProviderServer() as running:
        yield running


@pytest.fixture
def client():
    with GuardedClient(allowed_private_hosts=frozenset({"127.0.0.1"})) as opened:
        yield opened


def opened(form, server, client, *, key=None, **options):
    base = f"{server.url}/v1" if form == "openai" else server.url
    model = "" if form == "tei" else "m"
    options = {"model": model, "secret": "key" if key else ""} | options
    return open_provider(ProviderSettings(form, base_url=base, **options), secret_value=key, client=client)


def expected(server, form, role="document", dimensions=64):
    words = [f"search_{role} {text}" if form == "cohere" else text for text in TEXTS]
    return np.array([server.vector(text, dimensions) for text in words], dtype=np.float32)


@pytest.mark.parametrize("form", FORMS)
def test_vectors_come_in_the_order_of_the_texts_with_tokens_and_revision(form, server, client):
    provider = opened(form, server, client)
    assert (provider.revision, provider.dimensions, provider.is_local) == ("", None, False)
    batch = provider.embed(TEXTS, "document")
    assert batch.vectors == pytest.approx(expected(server, form), abs=1e-6)
    assert batch.vectors.dtype == np.float32
    assert batch.tokens == 14
    revision = {"openai": "m-1", "cohere": "m", "tei": f"test-embedder {1:040x} float32"}[form]
    assert batch.revision == provider.revision == provider.ask_revision() == revision
    assert provider.dimensions == 64
    provider.close()


@pytest.mark.parametrize("encoding", ["base64", "float"])
def test_the_openai_form_sends_model_encoding_and_dimensions(encoding, server, client):
    provider = opened("openai", server, client, encoding=encoding, dimensions=16)
    server.fail("shuffled")
    batch = provider.embed(TEXTS, "query")
    assert batch.vectors == pytest.approx(expected(server, "openai", dimensions=16), abs=1e-6)
    [call] = server.embed_calls
    assert call.body == {"model": "m", "input": TEXTS, "encoding_format": encoding, "dimensions": 16}


def test_the_cohere_form_tells_documents_from_queries(server, client):
    provider = opened("cohere", server, client, dimensions=16)
    assert provider.embed(TEXTS, "query").vectors == pytest.approx(expected(server, "cohere", "query", 16), abs=1e-6)
    provider.embed(TEXTS, "document")
    assert [call.body["input_type"] for call in server.embed_calls] == ["search_query", "search_document"]
    assert server.embed_calls[0].body["output_dimension"] == 16
    assert server.embed_calls[0].path == "/v2/embed"
    versioned = ProviderSettings("cohere", model="m", base_url=f"{server.url}/v2")
    open_provider(versioned, client=client).embed(TEXTS, "query")
    assert server.calls[-1].path == "/v2/embed"


def test_the_tei_form_keeps_to_the_servers_batch_size_and_asks_for_the_revision_once(server, client):
    server.state.most_texts = 2
    provider = opened("tei", server, client)
    batch = provider.embed(TEXTS, "document")
    provider.embed(TEXTS[:1], "document")
    assert batch.vectors == pytest.approx(expected(server, "tei"), abs=1e-6)
    assert batch.tokens == 14
    assert [call.path for call in server.calls] == ["/info", "/embed", "/embed", "/embed"]
    assert server.calls[1].body == {"inputs": TEXTS[:2], "normalize": True, "truncate": True}


def test_the_tei_form_refuses_another_model_than_the_one_asked_for(server, client):
    with pytest.raises(ProviderFailed, match="model 'test-embedder' at /info, but 'other' was asked for"):
        opened("tei", server, client, model="other").ask_revision()
    assert opened("tei", server, client, model="test-embedder").ask_revision()
    server.fail("no_vectors", path="/embed")
    with pytest.raises(ProviderFailed, match="no list of 3 vectors"):
        opened("tei", server, client).embed(TEXTS, "document")
    server.state.model = ""
    with pytest.raises(ProviderFailed, match="no 'model_id' at /info"):
        opened("tei", server, client).ask_revision()


@pytest.mark.parametrize("form", FORMS)
def test_the_key_goes_into_the_header_and_a_wrong_one_is_unauthorised(form, server, client):
    server.state.key = "right"
    opened(form, server, client, key="right").embed(TEXTS, "document")
    assert {call.authorization for call in server.calls} == {"Bearer right"}
    with pytest.raises(ProviderFailed) as failure:
        opened(form, server, client, key="wrong").embed(TEXTS, "document")
    assert (failure.value.cause, failure.value.is_transient) == ("unauthorised", False)
    assert "wrong" not in failure.value.message


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("fault", "cause", "transient"),
    [
        ("rate_limited", "rate_limited", True),
        ("server_error", "server_error", True),
        ("bad_request", "input_rejected", False),
        ("unauthorised", "unauthorised", False),
        ("redirect", "refused", False),
        ("not_json", "bad_answer", False),
        ("wrong_count", "bad_answer", False),
        ("wrong_dimension", "bad_answer", False),
        ("nan", "bad_answer", False),
        ("zero", "bad_answer", False),
        ("no_vectors", "bad_answer", False),
    ],
)
def test_each_fault_has_its_cause_and_the_next_call_is_unharmed(form, fault, cause, transient, server, client):
    provider = opened(form, server, client)
    server.fail(fault, path=PATHS[form])
    with pytest.raises(ProviderFailed) as failure:
        provider.embed(TEXTS, "document")
    assert (failure.value.cause, failure.value.is_transient) == (cause, transient)
    assert provider.embed(TEXTS, "document").vectors == pytest.approx(expected(server, form), abs=1e-6)
    assert server.texts_embedded in (3, 6)  # 6 where the fault was in the vectors


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), (None, None), ("soon", None)])
def test_the_wait_that_was_asked_for_is_in_the_error(header, seconds, server, client):
    server.fail("rate_limited", retry_after=header)
    with pytest.raises(ProviderFailed) as failure:
        opened("openai", server, client).embed(TEXTS, "document")
    assert failure.value.retry_after_seconds == seconds
    assert failure.value.details["http_status"] == 429


def test_a_server_that_hangs_is_a_timeout(server, client):
    server.fail("hang")
    with pytest.raises(ProviderFailed) as failure:
        opened("openai", server, client, timeout_seconds=0.3).embed(TEXTS, "document")
    assert (failure.value.cause, failure.value.is_transient) == ("timeout", True)


def test_a_server_that_is_not_there_is_a_connection_failure(server, client):
    provider = opened("openai", server, client)
    server.stop()
    with pytest.raises(ProviderFailed) as failure:
        provider.embed(TEXTS, "document")
    assert (failure.value.cause, failure.value.is_transient) == ("connection", True)
    server.start(0)


def test_a_private_address_that_nobody_allowed_is_refused(server):
    with GuardedClient(allowed_private_hosts=frozenset()) as strict, pytest.raises(ProviderFailed) as failure:
        opened("openai", server, strict).embed(TEXTS, "document")
    assert (failure.value.cause, failure.value.is_transient) == ("refused", False)
    assert not server.calls


def test_closing_the_client_ends_a_call_that_is_under_way(server, client):
    server.fail("hang")
    provider, failures = opened("openai", server, client), []

    def call():
        try:
            provider.embed(TEXTS, "document")
        except ProviderFailed as failure:
            failures.append(failure)

    thread = threading.Thread(target=call)
    thread.start()
    waiter = threading.Event()
    for _ in range(6000):
        if server.calls:
            break
        waiter.wait(0.01)
    assert server.calls
    client.close()
    thread.join(60)
    assert not thread.is_alive()
    assert [(failure.cause, failure.is_transient) for failure in failures] == [("connection", False)]


def test_a_reported_revision_other_than_the_one_asked_for_is_refused(server, client):
    provider = opened("openai", server, client, revision="m-1")
    assert provider.ask_revision() == "m-1"
    assert server.embed_calls[0].texts == ("revision",)
    server.change_model()
    with pytest.raises(ProviderFailed, match="revision 'm-2', but 'm-1' was asked for") as failure:
        provider.embed(TEXTS, "document")
    assert failure.value.cause == "bad_answer"


def test_a_revision_of_several_words_may_be_asked_for_by_its_commit(server, client):
    opened("tei", server, client, revision=f"{1:040x}").embed(TEXTS, "document")
    with pytest.raises(ProviderFailed, match="was asked for"):
        opened("tei", server, client, revision=f"{2:040x}").embed(TEXTS, "document")


def test_a_model_changed_behind_its_name_shows_in_the_canary_alone(server, client):
    server.state.reports_version = False
    provider = opened("openai", server, client)
    before = provider.embed(canary.CANARY_TEXTS, "document")
    same = provider.embed(canary.CANARY_TEXTS, "document")
    assert not canary.has_drifted(before.vectors, same.vectors)
    server.change_model()
    after = provider.embed(canary.CANARY_TEXTS, "document")
    assert after.revision == before.revision == "m"
    assert canary.has_drifted(before.vectors, after.vectors)


def test_dimensions_that_change_between_batches_are_a_bad_answer(server, client):
    provider = opened("openai", server, client)
    provider.embed(TEXTS, "document")
    server.state.dimensions = 32
    with pytest.raises(ProviderFailed, match="32 numbers for text 0 of the batch, expected 64"):
        provider.embed(TEXTS, "document")


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_text_is_refused_before_the_call(form, server, client):
    with pytest.raises(ProviderFailed, match="text 1 of the batch is empty"):
        opened(form, server, client).embed(["a", " "], "document")
    assert not server.calls


@pytest.mark.parametrize("form", FORMS)
def test_an_answer_of_unit_vectors_is_kept_raw_without_normalising(form, server, client):
    batch = opened(form, server, client, normalise=False).embed(TEXTS, "document")
    assert batch.vectors.tobytes() == expected(server, form).tobytes()


class Saying:
    """A client that answers with one given body."""

    def __init__(self, body):
        self.json, self.headers, self.status = body, {}, 200

    def post_json(self, url, payload, *, headers=None, timeout=None):
        return self

    get = post_json


def rows(*indexes):
    return [{"index": index, "embedding": [1.0, float(number)]} for number, index in enumerate(indexes)]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (rows(0, 0), "indexes other than 0 to 1"),
        (rows(1, 2), "indexes other than 0 to 1"),
        (rows(0, None), "indexes other than 0 to 1"),
        (rows(0, True), "indexes other than 0 to 1"),
        ([{"index": 0}, {"index": 1}], "expected 2"),
        ([{"embedding": "AAA"}, {"embedding": "AAAAAAAA"}], "not base64 of float32"),
        ([{"embedding": "AAAA"}, {"embedding": "AAAAAAAA"}], "not base64 of float32"),
    ],
)
def test_openai_rows_that_cannot_be_put_in_order_are_a_bad_answer(data, words):
    settings = ProviderSettings("openai", model="m", base_url="https://models.example.com/v1")
    with pytest.raises(ProviderFailed, match=words):
        open_provider(settings, client=Saying({"data": data})).embed(["a", "b"], "document")


def test_openai_rows_without_indexes_and_usage_are_taken_as_they_come():
    settings = ProviderSettings("openai", model="m", base_url="https://models.example.com/v1", normalise=False)
    data = [{"embedding": [3, 1]}, {"embedding": [1, 2]}]
    batch = open_provider(settings, client=Saying({"data": data, "system_fingerprint": "fp"})).embed(
        ["a", "b"], "document"
    )
    assert batch.vectors.tolist() == [[3, 1], [1, 2]]
    assert (batch.tokens, batch.revision) == (2, "m fp")


def test_remote_tokens_are_estimated_generously_for_other_scripts():
    assert estimated_tokens("word" * 10) == 10
    assert estimated_tokens("") == 1
    assert estimated_tokens("東京は日本の首都です。") == 11
    assert open_provider(
        ProviderSettings("cohere", model="m", base_url="https://models.example.com"), client=Saying({})
    ).count_tokens(["abcde", "ü"]) == [2, 1]


def test_an_error_without_a_cause_is_a_refusal():
    failure = translated(DomainError("no such host"), who="openai at x")
    assert (failure.cause, failure.is_transient, failure.message) == ("refused", False, "openai at x: no such host")
