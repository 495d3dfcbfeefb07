"""Vector indexes behind their one protocol: exact ones equal a full sort, approximate ones come near it."""

import hashlib
import os

import numpy as np
import pytest
from django.db import connection

from embeddings_ab.adapters import database_tables
from embeddings_ab.adapters.vector_indexes import check_settings, drop_index, hnsw, open_index, pgvector
from embeddings_ab.domain.quantisation import normalised
from embeddings_ab.domain.ranking import canonical
from embeddings_ab.domain.spec import Index, Quantisation
from governance.domain.errors import InvalidInput

POSTGRES = [pytest.mark.postgres_only, pytest.mark.django_db]
EXACT = ["exact", pytest.param("pgvector_exact", marks=POSTGRES)]
GRAPHS = ["hnsw", pytest.param("pgvector_hnsw", marks=POSTGRES)]
DRAW = np.random.default_rng(5)
VECTORS = normalised(DRAW.normal(size=(1200, 24)).astype(np.float32))
QUERIES = normalised(VECTORS[::60] + np.float32(0.1) * DRAW.normal(size=(20, 24)).astype(np.float32))
TABLE = np.sort(DRAW.integers(0, 700, 1200)).astype(np.int32)


@pytest.fixture
def opened(tmp_path):
    """Opens an index over vectors; every index is closed again."""
    made = []

    def make(kind, vectors=VECTORS, documents=TABLE, quantisation="float32", **settings):
        made.append(
            open_index(
                Index(kind=kind, **settings),
                Quantisation(kind=quantisation),
                folder=tmp_path,
                table="c0ffee",
                vectors=vectors,
                documents=documents,
            )
        )
        return made[-1]

    yield make
    for index in made:
        index.close()


def full_sort(query, depth):
    """Units, scores and chunks in double precision."""
    products = VECTORS.astype(np.float64) @ query.astype(np.float64)
    units, scores, chunks = canonical(TABLE, products, np.arange(len(VECTORS)))
    return units[:depth], scores[:depth], chunks[:depth]


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("depth", [1, 10, 1000])
def test_exact_indexes_equal_a_full_sort(opened, kind, depth):
    found = opened(kind).search(QUERIES, depth)
    for row, query in enumerate(QUERIES):
        units, scores, chunks = full_sort(query, depth)
        assert found.units[row].tolist() == units.tolist()
        assert found.scores[row] == pytest.approx(scores, abs=1e-6)
        assert found.chunks[row].tolist() == chunks.tolist()


@pytest.mark.parametrize("kind", EXACT)
def test_exact_indexes_settle_ties_by_ordinal(opened, kind):
    same = np.tile(np.array([[0.6, 0.8]], dtype=np.float32), (300, 1))
    found = opened(kind, same, np.arange(300, dtype=np.int32)).search(np.array([[1, 0]], dtype=np.float32), 20)
    assert found.units[0].tolist() == list(range(20))


@pytest.mark.parametrize("kind", GRAPHS)
def test_graphs_find_nearly_all(opened, kind):
    found = opened(kind, ef_search=200).search(QUERIES, 10)
    shares = [
        len(set(found.units[row].tolist()) & set(full_sort(query, 10)[0].tolist())) / 10
        for row, query in enumerate(QUERIES)
    ]
    assert np.mean(shares) >= 0.95
    for row, query in enumerate(QUERIES):
        products = VECTORS[found.chunks[row]].astype(np.float64) @ query.astype(np.float64)
        assert found.scores[row] == pytest.approx(products, abs=1e-6)
        assert (np.diff(found.scores[row]) <= 0).all()
        assert TABLE[found.chunks[row]].tolist() == found.units[row].tolist()


@pytest.mark.parametrize("kind", GRAPHS)
def test_graphs_return_as_many_documents_as_asked_however_small_their_search(opened, kind):
    """More documents than ef_search, and more than the list of chunks of that length holds."""
    found = opened(kind, ef_search=10).search(QUERIES[:5], 400)
    assert [len(units) for units in found.units] == [400] * 5
    assert all(len(set(units.tolist())) == 400 for units in found.units)


@pytest.mark.parametrize("kind", [*EXACT, *GRAPHS])
def test_a_batch_finds_what_single_queries_find(opened, kind):
    index = opened(kind)
    together = index.search(QUERIES, 15)
    for row in range(len(QUERIES)):
        alone = index.search(QUERIES[row : row + 1], 15)
        assert alone.units[0].tolist() == together.units[row].tolist()
        assert alone.scores[0].tobytes() == together.scores[row].tobytes()


@pytest.mark.parametrize("kind", [*EXACT, *GRAPHS])
def test_an_index_knows_its_size(opened, kind):
    assert opened(kind).bytes >= VECTORS.nbytes


@pytest.mark.parametrize("kind", ["float16", "int8", "bits"])
def test_quantised_vectors_are_searched(opened, kind):
    index = opened("exact", quantisation=kind)
    assert index.bytes < VECTORS.nbytes
    found = index.search(QUERIES, 1)
    best = [full_sort(query, 1)[0][0] for query in QUERIES]
    assert np.mean([units[0] for units in found.units] == np.array(best)) >= 0.9


def test_vectors_may_be_mapped_from_a_file(opened, tmp_path):
    np.save(tmp_path / "vectors.npy", VECTORS)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    found, expected = opened("exact", mapped).search(QUERIES, 5), opened("exact").search(QUERIES, 5)
    assert [units.tolist() for units in found.units] == [units.tolist() for units in expected.units]


@pytest.mark.parametrize("kind", ["exact", "hnsw"])
def test_queries_of_other_dimensions_are_errors(opened, kind):
    with pytest.raises(ValueError, match="do not fit 24 dimensions"):
        opened(kind).search(QUERIES[:, :5], 3)


def test_vectors_and_documents_must_fit(opened):
    with pytest.raises(ValueError, match="1200 vectors, but 2"):
        opened("exact", documents=TABLE[:2])


def test_a_graph_is_a_file_made_once_and_the_same_every_time(opened, tmp_path):
    one = hnsw.build(tmp_path / "one", VECTORS, m=8, ef_construction=40)
    other = hnsw.build(tmp_path / "other", VECTORS, m=8, ef_construction=40)
    assert hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest()
    made = one.stat().st_mtime_ns
    assert hnsw.build(tmp_path / "one", VECTORS, m=8, ef_construction=40) == one
    assert one.stat().st_mtime_ns == made
    assert hnsw.build(tmp_path / "one", VECTORS, m=9, ef_construction=40) != one
    assert {path.suffix for path in (tmp_path / "one").iterdir()} == {".usearch"}


def test_a_graph_over_other_chunks_is_refused(tmp_path):
    path = hnsw.build(tmp_path, VECTORS, m=8, ef_construction=40)
    with pytest.raises(ValueError, match="1200 chunks, not 3"):
        hnsw.HnswIndex(path, TABLE[:3], dimensions=24, ef_search=10)


@pytest.mark.parametrize("kind", ["exact", "hnsw"])
def test_an_empty_index_finds_nothing(opened, kind):
    found = opened(kind, VECTORS[:0], TABLE[:0]).search(QUERIES[:2], 5)
    assert [units.tolist() for units in found.units] == [[], []]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"kind": "pgvector_hnsw", "m": 50, "ef_construction": 99}, "index.ef_construction"),
        ({"kind": "pgvector_hnsw", "ef_construction": 1001}, "index.ef_construction"),
        ({"kind": "pgvector_hnsw", "ef_search": 1001}, "index.ef_search"),
    ],
)
def test_what_pgvector_refuses_is_refused_before(settings, field):
    with pytest.raises(InvalidInput) as refused:
        check_settings(Index(**settings))
    assert refused.value.details["field"] == field


def test_dimensions_are_limited_by_kind():
    check_settings(Index(kind="pgvector_hnsw"), dimensions=2000)
    check_settings(Index(kind="exact"), dimensions=16_384)
    for kind, dimensions in (("pgvector_hnsw", 2001), ("pgvector_exact", 16_001)):
        with pytest.raises(InvalidInput, match="at most") as refused:
            check_settings(Index(kind=kind), dimensions=dimensions, field="arms.a.index")
        assert refused.value.details["field"] == "arms.a.index.kind"


@pytest.mark.postgres_only
@pytest.mark.django_db
def test_postgres_keeps_every_bit_of_a_vector():
    odd = np.array([[1e-38, -3.4e38, 1 / 3], [0.0, -0.0, np.float32(0.1)]], dtype=np.float32)
    name = pgvector.build("bits", odd)
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT chunk, vector::text FROM "{name}" ORDER BY chunk')
        rows = cursor.fetchall()
    kept = np.array([[float(number) for number in text.strip("[]").split(",")] for _, text in rows], dtype=np.float32)
    assert [chunk for chunk, _ in rows] == [0, 1]
    assert kept.tolist() == odd.tolist()


@pytest.mark.postgres_only
@pytest.mark.django_db
@pytest.mark.parametrize("ef_search", [0, 100])
def test_postgres_keeps_half_precision_in_half_the_room(ef_search):
    graph = {"m": 16, "ef_construction": 100} if ef_search else {}
    name = pgvector.build("half", VECTORS, half_precision=True, **graph)
    found = pgvector.PgvectorIndex(name, TABLE, ef_search=ef_search).search(QUERIES, 5)
    for row, query in enumerate(QUERIES):
        products = VECTORS[found.chunks[row]].astype(np.float64) @ query.astype(np.float64)
        assert found.scores[row] == pytest.approx(products, abs=5e-3)


@pytest.mark.postgres_only
@pytest.mark.django_db
def test_postgres_takes_the_way_that_is_measured(opened):
    """A small table would be scanned whole even with an index: it would measure nothing."""
    opened("pgvector_hnsw")
    index = opened("pgvector_hnsw")
    plans = {}
    for name, chosen in (("graph", index), ("scan", opened("pgvector_exact"))):
        with database_tables.reading(*chosen._settings) as cursor:
            order = "distance" if name == "graph" else "distance, chunk"
            literal = "[" + ",".join(["0.1"] * 24) + "]"
            cursor.execute(
                f'EXPLAIN SELECT chunk, vector <#> %s::vector AS distance FROM "{chosen._name}"'
                f" ORDER BY {order} LIMIT 5",
                [literal],
            )
            plans[name] = "\n".join(line for (line,) in cursor.fetchall())
    assert "Index Scan using" in plans["graph"]
    assert "Seq Scan" in plans["scan"]
    with connection.cursor() as cursor:  # the settings end with the block, inside a transaction as well
        for setting in ("enable_seqscan", "enable_indexscan"):
            cursor.execute("SELECT current_setting(%s)", [setting])
            assert cursor.fetchone() == ("on",)


@pytest.mark.postgres_only
@pytest.mark.django_db
def test_postgres_tables_are_shared_by_equal_settings_and_dropped_together(opened):
    opened("pgvector_exact")
    opened("pgvector_exact")
    opened("pgvector_hnsw")
    opened("pgvector_hnsw", m=8)
    opened("pgvector_exact", normalised(VECTORS[:, :8]))
    pgvector.build("c0ffee2", VECTORS[:5])

    def tables():
        with connection.cursor() as cursor:
            return sorted(name for name in connection.introspection.table_names(cursor) if "_vectors_c0ffee" in name)

    assert tables() == [
        "hhweb_ab_vectors_c0ffee.24",
        "hhweb_ab_vectors_c0ffee.24-16-100",
        "hhweb_ab_vectors_c0ffee.24-8-100",
        "hhweb_ab_vectors_c0ffee.8",
        "hhweb_ab_vectors_c0ffee2.24",
    ]
    drop_index(table="c0ffee")
    drop_index(table="c0ffee")
    assert tables() == ["hhweb_ab_vectors_c0ffee2.24"]
    with pytest.raises(LookupError, match="no table"):
        pgvector.PgvectorIndex("hhweb_ab_vectors_c0ffee.24", TABLE)


@pytest.mark.postgres_only
@pytest.mark.django_db
def test_postgres_rows_that_are_missing_are_an_error():
    """An index may return too few in silence; that would be read as a worse model."""
    name = pgvector.build("few", VECTORS[:5])
    index = pgvector.PgvectorIndex(name, np.arange(9, dtype=np.int32))
    with pytest.raises(RuntimeError, match="5 rows instead of 6"):
        index.search(QUERIES[:1], 6)


@pytest.mark.postgres_only
@pytest.mark.django_db
def test_a_server_without_pgvector_is_said(opened, monkeypatch):
    monkeypatch.setattr(pgvector, "_EXTENSION", "no_such_extension")
    with pytest.raises(InvalidInput, match="needs the extension pgvector") as refused:
        opened("pgvector_exact")
    assert refused.value.details["field"] == "index.kind"


@pytest.mark.django_db
@pytest.mark.skipif(os.environ.get("HHWEB_TEST_DATABASE") != "sqlite", reason="needs another database than PostgreSQL")
@pytest.mark.parametrize("kind", ["pgvector_exact", "pgvector_hnsw"])
def test_pgvector_is_refused_elsewhere(opened, kind):
    with pytest.raises(InvalidInput, match="needs PostgreSQL") as refused:
        opened(kind)
    assert refused.value.details == {"field": "index.kind", "value": kind}
    with pytest.raises(InvalidInput, match="needs PostgreSQL"):
        pgvector.PgvectorIndex("any", TABLE)
    drop_index(table="c0ffee")
