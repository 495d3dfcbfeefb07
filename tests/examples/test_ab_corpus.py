"""The demo's test collection: stable ids, honest judgments, nothing that points nowhere."""

import json
import re

import pytest
import yaml

from embeddings_ab.domain.spec import TestSpec
from examples.demo import ab_corpus, ab_demo

FOLDER = ab_corpus.HERE / "ab"


def queries():
    return [json.loads(line) for line in (FOLDER / "queries.jsonl").read_text(encoding="utf-8").splitlines()]


def test_every_judged_section_exists():
    known = {document["_id"] for document in ab_corpus.documents()}
    judged = {document for grades in ab_demo.judgments().values() for document in grades}
    assert sorted(judged - known) == [], "a heading was renamed: correct its id in examples/demo/ab/qrels.tsv"


def test_at_least_forty_queries_are_judged_with_grades_of_one_to_three():
    ids = [query["_id"] for query in queries()]
    judged = ab_demo.judgments()
    assert len(ids) == len(set(ids)) >= 40
    assert judged.keys() == set(ids)
    assert {grade for grades in judged.values() for grade in grades.values()} == {1, 2, 3}
    assert all(max(grades.values()) == 3 for grades in judged.values())


def test_no_query_is_a_heading():
    def words(text):
        return set(re.findall(r"\w+", text.lower()))

    titles = [words(document["title"]) for document in ab_corpus.documents()]
    assert [query["text"] for query in queries() if words(query["text"]) in titles] == []


def test_ids_are_unique_and_fit_for_trec():
    ids = [document["_id"] for document in ab_corpus.documents()]
    assert len(ids) == len(set(ids)) > 100
    assert ids == sorted(ids)
    assert [id for id in ids if re.search(r"\s", id)] == []
    assert all(document["text"] for document in ab_corpus.documents() if not document["_id"].startswith("docs/openapi"))


def test_sections_are_cut_at_headings_and_not_inside_fences():
    page = """above
# Top

first

## Part `one`

```sh
# no heading
```

### Deeper
x
## Part one
y
## Empty
# Last, one
| a | b |
|---|---|
| c\\|d | [e](f.md) |
"""
    assert list(ab_corpus.sections("p.md", page)) == [
        {"_id": "p.md#top", "title": "p.md", "text": "above"},
        {"_id": "p.md", "title": "Top", "text": "first"},
        {"_id": "p.md#part-one", "title": "Top: Part one", "text": "# no heading"},
        {"_id": "p.md#deeper", "title": "Top: Part one: Deeper", "text": "x"},
        {"_id": "p.md#part-one-1", "title": "Top: Part one", "text": "y"},
        {"_id": "p.md#last-one", "title": "Last, one", "text": "a: b\nc\\|d: e"},
    ]


def test_operations_say_method_address_and_parameters():
    parameters = [{"name": "limit", "description": "at most 500"}, {"name": "page"}]
    schema = {
        "paths": {
            "/x": {
                "get": {"operationId": "list_x", "summary": "List x", "parameters": parameters},
                "put": {"operationId": "put_x", "description": "Write x.\nAll of it."},
                "delete": {"operationId": "delete_x"},
            }
        }
    }
    assert list(ab_corpus.operations(schema)) == [
        {"_id": "docs/openapi.yaml#list_x", "title": "List x", "text": "GET /x\nlimit: at most 500\npage"},
        {"_id": "docs/openapi.yaml#put_x", "title": "Write x.", "text": "PUT /x\nWrite x.\nAll of it."},
        {"_id": "docs/openapi.yaml#delete_x", "title": "", "text": "DELETE /x"},
    ]


def test_the_folder_is_in_beirs_layout(tmp_path):
    ab_corpus.write_folder(tmp_path)
    lines = (tmp_path / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == ab_corpus.documents()
    assert (tmp_path / "queries.jsonl").read_bytes() == (FOLDER / "queries.jsonl").read_bytes()
    assert (tmp_path / "qrels" / "test.tsv").read_text().startswith("query-id\tcorpus-id\tscore\n")


@pytest.mark.parametrize("name", ["docs.yaml", "alpha.yaml"])
def test_specifications_are_valid(name):
    spec = TestSpec.model_validate(yaml.safe_load((FOLDER / name).read_text(encoding="utf-8")))
    assert set(ab_demo.MEASURES) <= set(spec.metrics)


def test_measures_agree_with_hand_computed_values():
    grades = {"a": 3, "b": 2, "c": 1}
    assert ab_demo.ndcg(["c", "b", "a"], grades, 10) == pytest.approx(0.7900, abs=5e-5)
    assert ab_demo.ndcg(["x", "a"], {"a": 1}, 1) == 0
    assert ab_demo.recall(["x", "a", "b"], grades, 2) == pytest.approx(1 / 3)
    assert ab_demo.reciprocal_rank(["x", "y", "b"], grades, 10) == pytest.approx(1 / 3)
    assert ab_demo.reciprocal_rank(["x", "y", "b"], grades, 2) == 0


def test_a_wrong_mean_and_a_missing_ranking_are_faults():
    judged = ab_demo.judgments()
    best = {query: sorted(grades, key=grades.get, reverse=True) for query, grades in judged.items()}
    rows = [{"arm": "ideal", "query_id": query, "ranked_ids": ranking} for query, ranking in best.items()]
    means = {measure: {"mean": 1.0} for measure in ab_demo.MEASURES}
    assert ab_demo.faults_of({"name": "t", "arms": {"ideal": {"metrics": means}}}, rows) == []
    wrong = means | {"R@10": {"mean": 0.999}, "MRR@10": {"mean": None}}
    assert ab_demo.faults_of({"name": "t", "arms": {"ideal": {"metrics": wrong}}}, rows) == [
        "t, ideal: R@10 is 0.999 on the server and 1.0 here",
        "t, ideal: MRR@10 is None on the server and 1.0 here",
    ]
    assert ab_demo.faults_of({"name": "t", "arms": {"ideal": {"metrics": means}}}, rows[1:]) == [
        f"t, ideal: {len(judged) - 1} rankings for {len(judged)} queries"
    ]
