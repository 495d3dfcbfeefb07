"""What an earlier system did wrong (W1 to W24): each a test that fails on that behaviour, through the whole pipeline.

Elsewhere stand, besides more detailed ones in `domain/`:

W3   alpha 0 ran as 0.7               services/test_pipeline.py   test_another_alpha_embeds_nothing_and_its_ends_…
W6   failed queries dropped or 0      services/test_faults.py     test_a_query_that_an_endpoint_refuses_leaves_…
W8   dimensions hashed, not asked for services/test_spaces.py     test_a_space_that_was_just_looked_at_costs_no_call
W10  rows doubled by a second run     services/test_pipeline.py   test_running_everything_twice_changes_nothing
W11  clean-up took the results        services/test_cleanup.py    test_a_test_that_cleans_up_on_completion_keeps_…
W12  shared collections never deleted services/test_cleanup.py    test_a_shared_collection_stays_as_long_as_…
W14  a typing error as a measure      domain/test_measures.py     test_w14_a_typo_is_refused_and_never_scores
W21  texts and formulas in exports    api/test_ab_exports.py      test_no_cell_runs_as_a_formula_and_no_text_…
W22  tables without migrations        ../project/test_migrations.py
W24  labels without bounds            test_telemetry.py           test_no_instrument_has_a_label_for_a_model_…
"""

import ast
import inspect
from collections import Counter

import pytest

from embeddings_ab.adapters import vector_indexes
from embeddings_ab.adapters.embedding_providers.synthetic import SyntheticProvider
from embeddings_ab.domain import provider_settings
from embeddings_ab.domain.statuses import ArmStatus, CollectionStatus, TestStatus
from embeddings_ab.models import AbTest, Arm, Collection, Embedding, QueryResult
from embeddings_ab.selectors import ab_tests as selectors
from embeddings_ab.services import ab_tests, arm_files, collection_builds, progress
from governance.domain.errors import InvalidInput
from tests.embeddings_ab.factories import QUERIES, TEXTS, make_caller, make_corpus, make_query_set
from tests.embeddings_ab.pipeline import ARMS, spec_of, started
from tests.embeddings_ab.remote import BUILD
from tests.hhweb.running import ROOT

pytestmark = pytest.mark.django_db(transaction=True)

VECTOR = {"retrieval": "vector", "provider": "synthetic", "dimensions": 64}
# The long document has the word twice: length costs it the first place with BM25 and vectors, not with the reranker.
CROWD = {
    "d01": "alpha one",
    "d02": "alpha alpha " + " ".join(f"padding{n}" for n in range(60)),
    **{f"d{n:02}": f"beta filler{n}" for n in range(3, 23)},
}
ASKED = {"q1": "alpha"}
RIGHT = {"q1": {"d02": 1}}
RERANKER = {"kind": "overlap", "depth": 50}


@pytest.fixture
def material():
    caller = make_caller()
    corpus = make_corpus(caller, name="wings")
    return caller, corpus, make_query_set(caller, corpus, name="wings/test")


@pytest.fixture
def crowd():
    caller = make_caller()
    corpus = make_corpus(caller, name="crowd", texts=CROWD)
    return caller, corpus, make_query_set(caller, corpus, name="crowd/test", queries=ASKED, grades=RIGHT)


@pytest.fixture
def embedded(monkeypatch):
    """Texts that reached the provider."""
    seen: list[str] = []
    original = SyntheticProvider.embed

    def embed(self, texts, role):
        seen.extend(texts)
        return original(self, texts, role)

    monkeypatch.setattr(SyntheticProvider, "embed", embed)
    return seen


def finished(test: AbTest) -> AbTest:
    test.refresh_from_db()
    assert test.status == TestStatus.COMPLETED, (test.error_message, list(test.arms.values("name", "error_message")))
    return test


def rankings(test: AbTest) -> dict[tuple[str, str], list[str]]:
    rows = QueryResult.objects.filter(test=test).select_related("arm", "query")
    return {(row.arm.name, row.query.external_id): row.ranked_ids for row in rows}


def metric(test: AbTest, arm: str, name: str, query: str = "q1") -> float | None:
    return QueryResult.objects.get(test=test, arm__name=arm, query__external_id=query).metrics[name]


def test_w01_three_chunks_of_the_right_document_count_once(jobs):
    caller = make_caller()
    texts = {
        "d1": " ".join(["wing lift slipstream propeller wing lift slipstream propeller"] * 6),
        "d2": "heat conduction in slabs",
        "d3": "buckling of shells",
    }
    corpus = make_corpus(caller, name="long", texts=texts)
    query_set = make_query_set(
        caller, corpus, name="long/test", queries={"q1": "wing lift slipstream"}, grades={"q1": {"d1": 1}}
    )
    chunking = {"method": "tokens", "size": 8, "overlap": 0}
    arms = {"vector": {**VECTOR, "chunking": chunking}, "lexical": {"retrieval": "lexical", "chunking": chunking}}
    test = started(caller, corpus, query_set, arms=arms)
    jobs.run()
    finished(test)
    assert test.arms.get(name="vector").stats["chunks"] >= 6
    for arm in arms:
        found = rankings(test)[arm, "q1"]
        assert len(found) == len(set(found))
        assert metric(test, arm, "nDCG@3") == 1.0  # was 2.13
    assert len(rankings(test)["vector", "q1"]) == 3  # as many documents as asked for, not one thrice


def test_w02_a_reranker_changes_what_is_scored(crowd, jobs):
    caller, corpus, query_set = crowd
    arms = {"plain": {"retrieval": "lexical"}, "reranked": {"retrieval": "lexical", "reranker": RERANKER}}
    test = started(caller, corpus, query_set, arms=arms)
    jobs.run()
    finished(test)
    assert rankings(test)["plain", "q1"][0] == "d01"
    assert rankings(test)["reranked", "q1"][0] == "d02"
    assert metric(test, "reranked", "nDCG@3") == metric(test, "reranked", "MRR@3") == 1.0
    assert metric(test, "plain", "nDCG@3") < 1.0


def test_w04_a_lexical_arm_never_searches_vectors(material, jobs, embedded):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set, arms={"lexical": {"retrieval": "lexical"}})
    jobs.run()
    finished(test)
    assert embedded == []
    assert list(Collection.objects.values_list("kind", flat=True)) == ["lexical"]
    arm = test.arms.get()
    assert (arm.documents, arm.queries) == (None, None)
    # Only documents with a word of "heat in slabs" ("in" is a stop word): vectors would have filled the list.
    assert rankings(test)["lexical", "q2"] == ["d2"]


@pytest.mark.parametrize("retrieval", ["lexical", "vector", "hybrid"])
def test_w05_every_retrieval_can_be_reranked_from_below_the_cut(crowd, jobs, retrieval):
    caller, corpus, query_set = crowd
    arm = {**({} if retrieval == "lexical" else VECTOR), "retrieval": retrieval, "reranker": {**RERANKER, "depth": 100}}
    test = started(caller, corpus, query_set, metrics=["R@1", "nDCG@1"], arms={"arm": arm})
    jobs.run()
    finished(test)
    row = QueryResult.objects.get(test=test)
    assert row.ranked_ids[0] == "d02"
    assert row.stages["d02"]["reranked"] == 1
    assert metric(test, "arm", "R@1") == 1.0
    assert row.stages["d02"]["fused" if retrieval == "hybrid" else retrieval] > 1  # below the cut


def test_w07_a_query_without_judgments_is_in_no_mean(material, jobs):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set)
    jobs.run()
    report = finished(test).report
    for arm in ARMS:
        values = [metric(test, arm, "nDCG@3", query) for query in QUERIES]
        assert values[2] is None
        shown = report["arms"][arm]["metrics"]["nDCG@3"]
        assert (shown["n"], shown["undefined"]) == (2, 1)
        assert shown["mean"] == pytest.approx((values[0] + values[1]) / 2)


def test_w09_whatever_changes_a_vector_changes_the_collection(material, jobs, embedded, monkeypatch):
    caller, corpus, query_set = material

    def collections_of(corpus=corpus, **arm) -> set[int]:
        test = started(caller, corpus, query_set, arms={"vector": {**VECTOR, **arm}})
        jobs.run()
        finished(test)
        return set(test.collection_uses.filter(collection__kind="documents").values_list("collection", flat=True))

    first = collections_of()
    assert collections_of() == first
    edited = make_corpus(caller, name="wings", texts={**TEXTS, "d2": "heat conduction, edited"})
    others = [
        collections_of(corpus=edited),
        collections_of(revision="2"),
        collections_of(dimensions=32),
        collections_of(document_prefix="passage: "),
        collections_of(chunking={"method": "tokens", "size": 16}),
    ]
    monkeypatch.setattr("embeddings_ab.services.arm_preparation.CHUNKER", 99)
    others.append(collections_of())
    assert len(first.union(*others)) == 1 + len(others)
    assert set(map(len, Collection.objects.values_list("content_hash", flat=True))) == {64}  # 256 bits, all of them


def test_w13_limits_and_index_parameters_are_kept(material, jobs, monkeypatch):
    caller, corpus, query_set = material
    for limit, field in (({"max_documents": 3}, "max_documents"), ({"max_queries": 2}, "max_queries")):
        with pytest.raises(InvalidInput, match=f"limits.{field}"):
            ab_tests.create_test(caller=caller, spec=spec_of(corpus, query_set, limits=limit))
    seen = []
    original = vector_indexes.open_index

    def open_index(index, *arguments, **named):
        seen.append((index.kind, index.m, index.ef_construction, index.ef_search))
        return original(index, *arguments, **named)

    monkeypatch.setattr(arm_files.vector_indexes, "open_index", open_index)
    index = {"kind": "hnsw", "m": 5, "ef_construction": 40, "ef_search": 7}
    finished_test = started(caller, corpus, query_set, arms={"vector": {**VECTOR, "index": index}})
    jobs.run()
    finished(finished_test)
    assert set(seen) == {("hnsw", 5, 40, 7)}


def test_w15_significance_is_corrected_and_comes_with_its_size(material, jobs):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set)
    jobs.run()
    report = finished(test).report
    primary = [row for row in report["comparisons"] if row["role"] == "primary"]
    assert [(row["arm"], row["control"]) for row in primary] == [("vector", "lexical"), ("hybrid", "lexical")]
    for row in primary:
        assert row["correction"] == "Holm"
        assert row["adjusted_p"] >= row["p"]
        assert {"d_z", "difference", "interval_low", "interval_high", "mde", "sign_p"} <= set(row)
    assert {row["correction"] for row in report["comparisons"] if row["role"] == "exploratory"} == {
        "Benjamini-Hochberg"
    }


def test_w16_what_runs_is_what_was_created(api, caller, jobs):
    corpus = make_corpus(caller, name="wings")
    query_set = make_query_set(caller, corpus, name="wings/test")
    test = ab_tests.create_test(caller=caller, spec=spec_of(corpus, query_set))
    assert set(inspect.signature(ab_tests.start_test).parameters) == {"caller", "test_id"}
    answer = api.post(
        f"/api/v1/ab/tests/{test.public_id}/start",
        {"arms": {"vector": VECTOR}, "metrics": ["AP"]},
        content_type="application/json",
    )
    assert answer.status_code in (202, 400)
    if answer.status_code == 400:
        ab_tests.start_test(caller=caller, test_id=test.public_id)
    jobs.run()
    registered, spec = test.registration_hash, test.spec
    finished(test)
    assert (test.registration_hash, test.spec) == (registered, spec)
    assert set(test.report["arms"]) == set(ARMS)
    assert set(spec["metrics"]) <= set(test.report["arms"]["vector"]["metrics"])
    assert "AP" not in test.report["arms"]["vector"]["metrics"]


def test_w17_latency_means_the_same_in_every_arm(material, jobs):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set)
    jobs.run()
    finished(test)
    for row in QueryResult.objects.filter(test=test).select_related("arm"):
        steps = {step: ms for step, ms in row.latency.items() if step != "total"}
        assert ("embed" in steps) == (row.arm.name != "lexical")
        assert ("fuse" in steps) == (row.arm.name == "hybrid")
        assert row.latency["total"] == pytest.approx(sum(steps.values()), abs=0.01)
    assert {arm.latency["sample"] for arm in test.arms.all()} == {3}


def test_w18_a_hybrid_arm_searches_with_its_own_model(material, jobs):
    caller, corpus, query_set = material
    alone = {"method": "convex", "alpha": 1}
    arms = {
        **{f"vector {n}": {**VECTOR, "dimensions": n} for n in (8, 64)},
        **{f"hybrid {n}": {**VECTOR, "dimensions": n, "retrieval": "hybrid", "fusion": alone} for n in (8, 64)},
    }
    test = started(caller, corpus, query_set, arms=arms)
    jobs.run()
    finished(test)
    scores = {(r.arm.name, r.query.external_id): r for r in QueryResult.objects.select_related("arm", "query")}
    for query in QUERIES:
        for n in (8, 64):
            assert scores[f"hybrid {n}", query].ranked_ids == scores[f"vector {n}", query].ranked_ids
    assert any(scores["vector 8", query].scores != scores["vector 64", query].scores for query in QUERIES)
    used = {arm.name: arm.documents_id for arm in test.arms.all()}
    assert used["hybrid 8"] == used["vector 8"] != used["hybrid 64"] == used["vector 64"]


def test_w19_a_worker_that_dies_loses_one_batch_and_progress_shows_the_rest(material, jobs, embedded, monkeypatch):
    caller, corpus, query_set = material
    monkeypatch.setitem(provider_settings._BATCH_TEXTS, "synthetic", 1)
    test = started(caller, corpus, query_set, arms={"vector": VECTOR})
    jobs.run(until=BUILD)
    original, stored = collection_builds._store, []

    def die_at_third(work, space, answered):
        stored.append(work.kind)
        if len(stored) == 3:
            raise SystemExit
        original(work, space, answered)

    with monkeypatch.context() as patched:
        patched.setattr(collection_builds, "_store", die_at_third)
        with pytest.raises(SystemExit):
            jobs.run_one()
    test.refresh_from_db()
    shown = selectors.progress(test)
    assert shown["arms"]["vector"]["chunks_done"] == 2
    assert 0 < shown["fraction"] < 1
    assert Embedding.objects.count() == 2
    Collection.objects.filter(status=CollectionStatus.BUILDING).update(leased_until=None)
    Collection.objects.update(dispatched_at=None)
    progress.send_lost_work()
    jobs.run()
    finished(test)
    texts = Counter(text for text in embedded if text in TEXTS.values())
    assert sorted(texts.values()) == [1, 1, 1, 2]


def test_w20_tests_can_be_cancelled_and_mistakes_are_not_tried_again(material, jobs, monkeypatch):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set)
    ab_tests.cancel_test(caller=caller, test_id=test.public_id)
    jobs.run()
    test.refresh_from_db()
    assert test.status == TestStatus.CANCELLED
    broken = started(caller, corpus, query_set, arms={"lexical": {"retrieval": "lexical"}})
    jobs.run(until=BUILD)
    tries = []

    def mistake(*arguments, **named):
        tries.append(1)
        raise AttributeError("'NoneType' object has no attribute 'x'")

    monkeypatch.setattr("embeddings_ab.services.artifact_files.materialise", mistake)
    jobs.run()
    for _ in range(3):
        Collection.objects.update(dispatched_at=None)
        Arm.objects.update(dispatched_at=None)
        progress.send_lost_work()
        jobs.run()
    assert len(tries) == 1
    broken.refresh_from_db()
    assert (broken.status, broken.error_code) == (TestStatus.FAILED, "internal_error")
    assert Arm.objects.get(test=broken).status == ArmStatus.FAILED


def test_w23_nothing_in_the_product_asks_whether_it_is_being_tested():
    """Only `settings/test.py` knows of tests; whatever else read such a switch would test something else than runs."""
    names = {"TESTING", "IS_TEST", "TEST_MODE", "PYTEST_CURRENT_TEST", "pytest"}
    found = []
    for app in ("embeddings_ab", "governance", "experiments", "hhweb"):
        for file in (ROOT / app).rglob("*.py"):
            if "pytest_plugin" in file.name or file.parent.name == "testing":
                continue  # of the pytest plugin, which is about tests
            for node in ast.walk(ast.parse(file.read_text())):
                said = (
                    node.id if isinstance(node, ast.Name)
                    else node.attr if isinstance(node, ast.Attribute)
                    else node.value if isinstance(node, ast.Constant)
                    else node.name if isinstance(node, ast.alias)
                    else None
                )  # fmt: skip
                if isinstance(said, str) and said in names:
                    found.append(f"{file.relative_to(ROOT)}: {said}")
    assert found == []
