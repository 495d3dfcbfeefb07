"""Rerankers: hand-computed overlap, the three HTTP forms against a real server, a cross-encoder written out slowly."""

import json
import math

import numpy as np
import pytest

from embeddings_ab.adapters.rerankers import http, open_reranker
from embeddings_ab.adapters.rerankers.cross_encoder import model_folder
from embeddings_ab.domain.provider_errors import ProviderFailed
from embeddings_ab.domain.spec import Reranker
from governance.outbound.client import GuardedClient
from tests.embeddings_ab.adapters.bert_reference import last_layer
from tests.embeddings_ab.provider_server import ProviderServer

TEXTS = ["a recipe with three eggs", "High-speed shock, shock WAVES", "waves on the sea", ""]
FORMS = {"cohere": "/v2/rerank", "jina": "/v1/rerank", "tei": "/rerank"}


@pytest.fixture
def server():
    with ProviderServer() as running:
        yield running


@pytest.fixture
def client():
    with GuardedClient(allowed_private_hosts=frozenset({"127.0.0.1"})) as opened:
        yield opened


def over_http(form, server, client, **options):
    spec = Reranker(kind="http", form=form, url=f"{server.url}{FORMS[form]}", **options)
    return open_reranker(spec, secret_value="value" if spec.secret else None, client=client)


def test_overlap_weighs_the_querys_words_by_rarity_and_saturating_count():
    reranker = open_reranker(Reranker())
    # n = 4; shock is in one text (twice there), waves in two.
    shock, waves = math.log(1 + 3.5 / 1.5), math.log(1 + 2.5 / 2.5)
    whole = shock + waves
    assert reranker.rerank("Shock waves!", TEXTS) == pytest.approx(
        [0, (shock * 2 / 3 + waves / 2) / whole, waves / 2 / whole, 0], abs=1e-12
    )
    assert reranker.rerank("?", TEXTS) == [0, 0, 0, 0]
    assert reranker.rerank("shock", []) == []
    reranker.close()


@pytest.mark.parametrize("form", FORMS)
def test_scores_come_in_the_order_of_the_texts(form, server, client):
    reranker = over_http(form, server, client, model="m", secret="key")
    assert reranker.rerank("shock waves", TEXTS) == [0, 1, 0.5, 0]
    [call] = server.calls
    assert (call.path, call.authorization) == (FORMS[form], "Bearer value")
    assert (
        call.body
        == {
            "cohere": {"query": "shock waves", "documents": TEXTS, "top_n": 4, "model": "m"},
            "jina": {"query": "shock waves", "documents": TEXTS, "top_n": 4, "model": "m", "return_documents": False},
            "tei": {"query": "shock waves", "texts": TEXTS, "raw_scores": False, "truncate": True},
        }[form]
    )
    assert reranker.rerank("shock waves", []) == []
    assert len(server.calls) == 1
    reranker.close()


def test_a_long_list_is_cut_into_calls_that_the_server_takes(server, client, monkeypatch):
    monkeypatch.setitem(http.MOST_TEXTS, "tei", 3)
    assert over_http("tei", server, client).rerank("shock waves", TEXTS) == [0, 1, 0.5, 0]
    assert [len(call.body["texts"]) for call in server.calls] == [3, 1]
    assert "model" not in server.calls[0].body


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("fault", "cause", "transient"),
    [
        ("rate_limited", "rate_limited", True),
        ("server_error", "server_error", True),
        ("unauthorised", "unauthorised", False),
        ("wrong_count", "bad_answer", False),
        ("nan", "bad_answer", False),
        ("not_json", "bad_answer", False),
    ],
)
def test_each_fault_of_a_reranker_has_its_cause(form, fault, cause, transient, server, client):
    server.fail(fault)
    with pytest.raises(ProviderFailed) as failure:
        over_http(form, server, client).rerank("shock waves", TEXTS)
    assert (failure.value.cause, failure.value.is_transient) == (cause, transient)


class Saying:
    def __init__(self, body):
        self.json, self.headers, self.status = body, {}, 200

    def post_json(self, url, payload, *, headers=None, timeout=None):
        return self

    get = post_json


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "no list of scores"),
        ({"results": 1}, "no list of scores"),
        ({"results": [{"index": 2, "relevance_score": 1}]}, "index 2, expected 0 to 1"),
        ({"results": [{"index": 0, "relevance_score": 1}] * 2}, "index 0, expected 0 to 1, each once"),
        ({"results": [{"relevance_score": 1}]}, "index None"),
        ({"results": [{"index": 0, "relevance_score": "1"}]}, "score '1' for text 0"),
        ({"results": [{"index": 0, "relevance_score": True}]}, "score True for text 0"),
        ({"results": [{"index": 0, "relevance_score": 1}]}, "1 scores for 2 texts"),
    ],
)
def test_a_wrong_answer_of_a_reranker_is_named(body, words):
    reranker = open_reranker(Reranker(kind="http", url="https://models.example.com/rerank"), client=Saying(body))
    with pytest.raises(ProviderFailed, match=words) as failure:
        reranker.rerank("q", ["a", "b"])
    assert failure.value.cause == "bad_answer"


def test_an_http_reranker_needs_the_client_and_the_value_of_its_secret():
    spec = Reranker(kind="http", url="https://models.example.com/rerank", secret="key")
    with pytest.raises(ValueError, match="outbound client"):
        open_reranker(spec)
    with pytest.raises(ProviderFailed, match="secret 'key'") as failure:
        open_reranker(spec, client=Saying({}))
    assert failure.value.cause == "unauthorised"


WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "shock", "waves", "high", "speed", "a", "recipe", "with", "eggs", "on"]
CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 16,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "layer_norm_eps": 1e-12,
}


def cross_encoder(folder, *, classes=1, scale=1.0):
    """A small random cross-encoder in `folder`: the files a published one has."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    random = np.random.default_rng(5)
    width, inner = CONFIG["hidden_size"], CONFIG["intermediate_size"]
    shapes = {
        "bert.embeddings.word_embeddings.weight": (len(WORDS), width),
        "bert.embeddings.position_embeddings.weight": (24, width),
        "bert.embeddings.token_type_embeddings.weight": (2, width),
        "bert.pooler.dense.weight": (width, width),
        "bert.pooler.dense.bias": (width,),
        "classifier.weight": (classes, width),
        "classifier.bias": (classes,),
    }
    norms = ["bert.embeddings.LayerNorm"]
    for number in range(CONFIG["num_hidden_layers"]):
        layer = f"bert.encoder.layer.{number}"
        for name, rows, columns in (
            ("attention.self.query", width, width),
            ("attention.self.key", width, width),
            ("attention.self.value", width, width),
            ("attention.output.dense", width, width),
            ("intermediate.dense", inner, width),
            ("output.dense", width, inner),
        ):
            shapes |= {f"{layer}.{name}.weight": (rows, columns), f"{layer}.{name}.bias": (rows,)}
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    for name in norms:
        shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    tensors = {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    tensors["classifier.weight"] *= scale
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    tokenizer = Tokenizer(models.WordPiece({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    return tensors


def opened(folder, path="small"):
    return open_reranker(Reranker(kind="cross_encoder", path=path), models_folder=folder)


PAIRS = {
    "shock waves": [2, 4, 5, 3, 4, 5, 6, 7, 3],
    "a recipe with eggs": [2, 4, 5, 3, 8, 9, 10, 11, 3],
    "": [2, 4, 5, 3, 3],
}


@pytest.mark.parametrize("classes", [1, 2])
def test_a_cross_encoder_scores_as_the_architecture_written_out(classes, tmp_path):
    tensors = cross_encoder(tmp_path / "small", classes=classes)
    texts = ["shock waves high speed", "a recipe with eggs", ""]
    scores = opened(tmp_path).rerank("shock waves", texts)
    for score, ids in zip(scores, PAIRS.values(), strict=True):
        segments = [0] * 4 + [1] * (len(ids) - 4)
        first = last_layer(tensors, CONFIG, ids, segments, prefix="bert.")[0]
        pooled = np.tanh(tensors["bert.pooler.dense.weight"] @ first + tensors["bert.pooler.dense.bias"])
        logits = tensors["classifier.weight"] @ pooled + tensors["classifier.bias"]
        assert score == pytest.approx(logits[1] - logits[0] if classes == 2 else logits[0], abs=2e-5)
    assert len(set(scores)) == 3
    assert opened(tmp_path).rerank("shock waves", texts[::-1]) == scores[::-1]
    assert opened(tmp_path).rerank("shock waves", []) == []


def test_a_long_pair_is_cut_to_what_the_model_reads(tmp_path):
    cross_encoder(tmp_path / "small")
    reranker = opened(tmp_path)
    long, longer = reranker.rerank("shock waves", ["eggs " * 50, "eggs " * 500])
    assert long == longer
    reranker.close()


def test_a_score_that_is_not_finite_is_a_bad_answer(tmp_path):
    cross_encoder(tmp_path / "small", scale=np.inf)
    with pytest.raises(ProviderFailed, match="for text 0") as failure:
        opened(tmp_path).rerank("shock waves", ["eggs"])
    assert failure.value.cause == "bad_answer"


@pytest.mark.parametrize("path", ["..", "../outside", "/etc", "small/../../outside"])
def test_a_path_out_of_the_operators_folder_is_refused(path, tmp_path):
    (tmp_path / "models").mkdir()
    cross_encoder(tmp_path / "outside")
    with pytest.raises(ProviderFailed, match="leads out of the folder") as failure:
        model_folder(path, tmp_path / "models")
    assert failure.value.cause == "refused"


def test_a_cross_encoder_that_is_not_there_or_of_another_kind_is_told(tmp_path):
    with pytest.raises(ProviderFailed, match="no folder of local models") as failure:
        model_folder("small", None)
    assert failure.value.cause == "refused"
    with pytest.raises(ProviderFailed, match=r"model\.safetensors is missing") as failure:
        opened(tmp_path, "absent")
    assert failure.value.cause == "not_installed"
    cross_encoder(tmp_path / "three", classes=3)
    with pytest.raises(ProviderFailed, match="3 classes"):
        opened(tmp_path, "three")
    cross_encoder(tmp_path / "other")
    (tmp_path / "other" / "config.json").write_text(json.dumps(CONFIG | {"model_type": "deberta"}))
    with pytest.raises(ProviderFailed, match="only BERT"):
        opened(tmp_path, "other")
