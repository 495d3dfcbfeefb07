"""Lexical engines behind their one protocol: what all of them keep, and what each one is."""

import hashlib
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from django.db import connection

from embeddings_ab.adapters.lexical_indexes import bm25, build_index, drop_index, open_index
from embeddings_ab.domain.spec import Lexical
from governance.domain.errors import InvalidInput

FILES = ["bm25s", "sqlite_fts5"]
ENGINES = [*FILES, pytest.param("postgres_fts", marks=[pytest.mark.postgres_only, pytest.mark.django_db])]
TEXTS = [
    "The quick brown fox jumps over the lazy dog",
    "A fox is a fox; foxes are quick",
    "Turtles are slow animals, slower than dogs",
    "nothing to see",
]


@pytest.fixture
def opened(tmp_path):
    """Builds and opens an index over texts; every index is closed again."""
    made = []

    def make(engine, texts, documents=None, **settings):
        table = np.arange(len(texts), dtype=np.int32) if documents is None else np.array(documents, dtype=np.int32)
        spec = Lexical(engine=engine, **settings)
        folder = tmp_path / f"index-{len(made)}"
        build_index(spec, folder=folder, table=f"t{len(made)}", texts=texts, documents=table)
        made.append(open_index(spec, folder=folder, table=f"t{len(made)}", documents=table))
        return made[-1]

    yield make
    for index in made:
        index.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_only_documents_that_share_a_word_are_found_best_first(opened, engine):
    found = opened(engine, TEXTS).search(["quick fox", "turtles", "unheard", "", "see a fox"], 10)
    assert [sorted(units.tolist()) for units in found.units] == [[0, 1], [2], [], [], [0, 1, 3]]
    assert all((scores > 0).all() and (np.diff(scores) <= 0).all() for scores in found.scores)
    assert [chunks.tolist() for chunks in found.chunks] == [units.tolist() for units in found.units]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_document_ranks_by_its_best_chunk_and_depth_counts_documents(opened, engine):
    texts = ["apple pie"] * 30 + ["a pear and an apple and much more of other words", "pear"]
    found = opened(engine, texts, [0] * 30 + [4, 9]).search(["apple"], 2)
    assert found.units[0].tolist() == [0, 4]
    assert found.chunks[0].tolist() == [0, 30]


@pytest.mark.parametrize("engine", ENGINES)
def test_ties_at_the_depth_go_to_the_lowest_ordinals(opened, engine):
    found = opened(engine, ["same words here"] * 50, list(range(100, 150))).search(["words"], 7)
    assert found.units[0].tolist() == list(range(100, 107))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "query",
    [
        'fox" OR "dog',
        "fox AND NOT (dog*",
        "text : fox ^ + -",
        "NEAR(fox dog, 2)",
        "'; DROP TABLE chunks; -- fox",
        "fox\0dog",
        "%s %(name)s {fox} \\ fox",
        "fox or or not and near",
        " ".join(f"word{number}" for number in range(3000)) + " fox",
    ],
)
def test_operators_and_quotes_in_a_query_mean_nothing(opened, engine, query):
    index = opened(engine, TEXTS)
    found = index.search([query], 10)
    if "word2999" not in query or engine != "sqlite_fts5":  # it looks at the first thousand words
        assert {0, 1} <= set(found.units[0].tolist())
    assert index.search(["fox"], 10).units[0].tolist()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_batch_finds_what_single_queries_find(opened, engine):
    index = opened(engine, TEXTS)
    queries = ["quick fox", "slow dogs", "lazy turtles see nothing"]
    together = index.search(queries, 3)
    for row, query in enumerate(queries):
        alone = index.search([query], 3)
        assert alone.units[0].tolist() == together.units[row].tolist()
        assert alone.scores[0].tobytes() == together.scores[row].tobytes()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("texts", [[], ["", "  "], ["..."]])
def test_an_index_without_words_finds_nothing(opened, engine, texts):
    assert opened(engine, texts).search(["fox", "..."], 5).units[0].tolist() == []


@pytest.mark.parametrize("engine", FILES)
def test_an_index_that_is_not_there_is_said(tmp_path, engine):
    with pytest.raises(FileNotFoundError):
        open_index(Lexical(engine=engine), folder=tmp_path, table="t", documents=np.array([0], dtype=np.int32))


def test_texts_and_documents_must_fit(tmp_path):
    with pytest.raises(ValueError, match="1 texts, but 2"):
        build_index(Lexical(), folder=tmp_path, table="t", texts=["a"], documents=np.array([0, 1], dtype=np.int32))


def test_bm25_is_lucenes_formula(opened):
    """By hand: idf = ln(1 + (N - n + 0.5) / (n + 0.5)); tf / (tf + k1 (1 - b + b length / average))."""
    texts = ["fox fox hen", "hen cow cow cow", "cow"]
    found = opened("bm25s", texts, k1=1.2, b=0.6, stop_words="none").search(["fox hen cow cow"], 3)
    average = (3 + 4 + 1) / 3

    def part(count, length, documents):
        idf = math.log(1 + (3 - documents + 0.5) / (documents + 0.5))
        return idf * count / (count + 1.2 * (1 - 0.6 + 0.6 * length / average))

    expected = {
        0: part(2, 3, 1) + part(1, 3, 2),
        1: part(1, 4, 2) + 2 * part(3, 4, 2),
        2: 2 * part(1, 1, 2),
    }
    assert dict(zip(found.units[0].tolist(), found.scores[0].tolist(), strict=True)) == pytest.approx(
        expected, rel=1e-6
    )


def test_bm25_stop_words_and_stemmer(opened):
    assert opened("bm25s", TEXTS).search(["the"], 5).units[0].tolist() == []
    assert opened("bm25s", TEXTS, stop_words="none").search(["the"], 5).units[0].tolist() == [0]
    assert opened("bm25s", TEXTS).search(["turtle"], 5).units[0].tolist() == []
    stemmed = opened("bm25s", TEXTS, stemmer="english")
    assert stemmed.search(["turtle jumping"], 5).units[0].tolist() == [2, 0]


def test_bm25_refuses_languages_it_does_not_know(tmp_path):
    for settings, field in (({"stemmer": "klingon"}, "lexical.stemmer"), ({"stop_words": "tlh"}, "lexical.stop_words")):
        given = {"k1": 1.5, "b": 0.75, "stop_words": "en", "stemmer": "none"} | settings
        with pytest.raises(InvalidInput, match="is unknown; choose one of ") as refused:
            bm25.build(tmp_path, ["a"], **given)
        assert refused.value.details["field"] == field


def test_bm25_counts_documents_that_have_no_text(tmp_path):
    scores = []
    for count in (None, 4, 40):
        folder = tmp_path / str(count)
        documents = np.array([0, 3], dtype=np.int32)
        build_index(
            Lexical(), folder=folder, table="t", texts=["red fox", "cow"], documents=documents, document_count=count
        )
        scores.append(open_index(Lexical(), folder=folder, table="t", documents=documents).search(["fox"], 5).scores[0])
    assert scores[0].tolist() == scores[1].tolist()
    for count, found in ((4, scores[1]), (40, scores[2])):
        idf, average = math.log(1 + (count - 1 + 0.5) / (1 + 0.5)), 3 / count
        assert found.tolist() == pytest.approx([idf / (1 + 1.5 * (0.25 + 0.75 * 2 / average))], rel=1e-6)


def test_bm25_refuses_an_index_of_fewer_chunks(tmp_path):
    build_index(Lexical(), folder=tmp_path, table="t", texts=["a fox"], documents=np.array([0], dtype=np.int32))
    with pytest.raises(ValueError, match="1 rows, not 2"):
        open_index(Lexical(), folder=tmp_path, table="t", documents=np.array([0, 1], dtype=np.int32))


HASH_OF_FILES = """
import pathlib, sys, numpy as np
from embeddings_ab.adapters.lexical_indexes import bm25
bm25.build(pathlib.Path(sys.argv[1]), ["foxes jump", "a dog jumps", "jumping dogs and foxes"],
           k1=1.5, b=0.75, stop_words="en", stemmer="english")
"""


def test_bm25_files_are_the_same_in_every_process(tmp_path):
    """Words numbered through a set would differ with the seed of the process."""
    hashes = []
    for seed in "12":
        folder = tmp_path / seed
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", HASH_OF_FILES, str(folder)], check=True, env=environment)
        hashes.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())])
    assert len(hashes[0]) == 4
    assert hashes[0] == hashes[1]


def test_bm25_prints_nothing(opened, capfd):
    opened("bm25s", TEXTS).search(["fox"], 5)
    assert capfd.readouterr() == ("", "")


def test_fts5_is_a_file_of_ours_and_stores_no_text(tmp_path):
    build_index(
        Lexical(engine="sqlite_fts5"),
        folder=tmp_path,
        table="t",
        texts=["unmistakable secret sentence"],
        documents=np.array([0], dtype=np.int32),
    )
    (path,) = tmp_path.iterdir()
    assert b"unmistakable secret" not in path.read_bytes()


def test_nothing_is_dropped_for_engines_of_files():
    for engine in FILES:
        drop_index(Lexical(engine=engine), table="anything at all")


@pytest.mark.postgres_only
@pytest.mark.django_db
def test_postgres_tables_are_made_once_and_dropped():
    spec, documents = Lexical(engine="postgres_fts"), np.array([0], dtype=np.int32)
    where = {"folder": None, "table": "c0ffee"}
    with pytest.raises(LookupError, match="no table hhweb_ab_words_c0ffee"):
        open_index(spec, **where, documents=documents)
    build_index(spec, **where, texts=["fox"], documents=documents)
    build_index(spec, **where, texts=["another"], documents=documents)  # there already: kept
    assert open_index(spec, **where, documents=documents).search(["fox"], 1).units[0].tolist() == [0]
    for _ in range(2):
        drop_index(spec, table="c0ffee")
        with connection.cursor() as cursor:
            assert "hhweb_ab_words_c0ffee" not in connection.introspection.table_names(cursor)


@pytest.mark.postgres_only
@pytest.mark.django_db
def test_postgres_refuses_names_that_are_not_ids():
    for name in ('x"; DROP TABLE y; --', "", "x" * 31):
        with pytest.raises(ValueError, match="no id of a collection"):
            build_index(
                Lexical(engine="postgres_fts"),
                folder=None,
                table=name,
                texts=[],
                documents=np.array([], dtype=np.int32),
            )


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_postgres_says_which_setting_cuts_a_text_too_long():
    text = " ".join(f"{number:x}words" for number in range(200_000))
    with pytest.raises(InvalidInput, match="too long") as refused:
        build_index(
            Lexical(engine="postgres_fts"),
            folder=None,
            table="long",
            texts=[text],
            documents=np.array([0], dtype=np.int32),
        )
    assert refused.value.details["field"] == "chunking"
    with connection.cursor() as cursor:
        assert "hhweb_ab_words_long" not in connection.introspection.table_names(cursor)


@pytest.mark.django_db
@pytest.mark.skipif(os.environ.get("HHWEB_TEST_DATABASE") != "sqlite", reason="needs another database than PostgreSQL")
def test_postgres_fts_is_refused_elsewhere():
    for call in (build_index, open_index):
        arguments = {"texts": ["a"]} if call is build_index else {}
        with pytest.raises(InvalidInput, match="needs PostgreSQL") as refused:
            call(
                Lexical(engine="postgres_fts"),
                folder=None,
                table="t",
                documents=np.array([0], dtype=np.int32),
                **arguments,
            )
        assert refused.value.details["field"] == "lexical.engine"
    drop_index(Lexical(engine="postgres_fts"), table="t")
