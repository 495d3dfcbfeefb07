"""Files of A/B tests: golden files, formulas, audit, flat statements; the report as a document."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from embeddings_ab.domain import export_rows
from embeddings_ab.models import Arm, QueryResult
from embeddings_ab.selectors import result_pages
from embeddings_ab.services.exports import export_results
from governance.domain.errors import InvalidInput
from governance.models import AuditEntry
from tests.embeddings_ab.factories import make_corpus, make_query_set, make_results, make_test_row
from tests.embeddings_ab.finished import METRICS, make_finished_test
from tests.factories import make_client, make_project, make_token

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
DOCS = Path(__file__).resolve().parents[3] / "docs" / "exports.md"
FILES = {
    "ab-results-v1.csv": "format=csv",
    "ab-results-v1.json": "format=json",
    "ab-trec-v1.trec": "format=trec&arm=bm25",
    "ab-qrels-v1.qrels": "format=qrels",
}


@pytest.fixture
def test_id(caller):
    """A finished test with fixed results."""
    return make_finished_test(caller).public_id


def body_of(answer):
    assert answer.status_code == 200, answer.content
    assert answer.streaming
    return b"".join(answer.streaming_content).decode()


def fixed(text, project, test_id):
    """The file with ids that differ from run to run replaced; result ids are counted from 1."""
    text = text.replace(project.public_id, "project-1").replace(test_id, "test-1")
    keys = sorted(QueryResult.objects.values_list("pk", flat=True))
    for place, key in enumerate(keys, start=1):
        text = re.sub(rf"(?m)^{key},", f"{place},", text).replace(f'"result_id":{key},', f'"result_id":{place},')
    return text


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_exactly_its_golden_file(api, project, test_id, name):
    answer = api.get(f"/api/v1/ab/tests/{test_id}/export?{FILES[name]}")
    text = fixed(body_of(answer), project, test_id)
    golden = GOLDEN / name
    if not golden.exists():  # a new file: write it, look at it, commit it
        golden.write_bytes(text.encode())
        pytest.fail(f"{golden.name} was missing and has been written")
    assert text == golden.read_bytes().decode()
    assert answer["X-Hhweb-Schema"] == name.partition("-v")[0]
    assert answer["X-Hhweb-Schema-Version"] == "1"
    start, _, extension = name.rpartition(".")
    assert re.search(rf'filename="hhweb-{start}-{test_id}[a-z0-9-]*\.{extension}"$', answer["Content-Disposition"])


def test_the_header_begins_as_promised_and_ends_with_the_measures(api, test_id):
    header = body_of(api.get(f"/api/v1/ab/tests/{test_id}/export")).partition("\r\n")[0]
    assert header == (
        "result_id,arm_id,arm,query_id,status,error_code,ranked_ids,scores,latency_ms,latency_json,metrics_json,"
        "nDCG@10,R@10"
    )
    assert tuple(header.split(",")) == (*export_rows.RESULT_COLUMNS, *METRICS)


def test_the_document_lists_every_column():
    section = DOCS.read_text().partition(f"### `{export_rows.NAME}`, version {export_rows.VERSION}")[2]
    columns = re.findall(r"^\| `(\w+)` \|", section.partition("\n### ")[0], re.MULTILINE)
    assert tuple(columns) == export_rows.RESULT_COLUMNS


def test_no_cell_runs_as_a_formula_and_no_text_of_a_document_leaves(api, test_id):
    """W21: chunk text in every row, cells unescaped."""
    text = body_of(api.get(f"/api/v1/ab/tests/{test_id}/export"))
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert {row["query_id"] for row in rows} == {"'=q/2", "q1", "q3"}
    for row in rows:
        for cell in row.values():
            assert not cell.startswith(("=", "+", "@", "\t", "\r"))
    assert "secret chunk text" not in text
    assert "wing lift" not in text


def test_cells_keep_every_digit_and_undefined_is_empty(api, test_id):
    text = body_of(api.get(f"/api/v1/ab/tests/{test_id}/export"))
    rows = {(row["arm"], row["query_id"]): row for row in csv.DictReader(io.StringIO(text, newline=""))}
    assert float(rows["minilm", "q1"]["scores"].strip("[]")) == 0.125
    assert rows["bm25", "q3"]["nDCG@10"] == ""
    assert rows["minilm", "q3"]["status"] == "failed"
    assert rows["minilm", "q3"]["error_code"] == "timeout"
    assert rows["bm25", "q1"]["latency_ms"] == "1.5"
    assert json.loads(rows["bm25", "'=q/2"]["metrics_json"])["nDCG@10 highest"] == 0.75


def test_one_arm_alone_can_be_asked_for(api, test_id):
    read = json.loads(body_of(api.get(f"/api/v1/ab/tests/{test_id}/export?format=json&arm=minilm")))
    assert {row["arm"] for row in read["rows"]} == {"minilm"}
    assert len(read["rows"]) == 3
    assert read["filters"]["arm"] == "minilm"
    assert read["columns"] == [*export_rows.RESULT_COLUMNS, *METRICS]


def test_a_trec_run_ranks_as_it_was_ranked_here(api, test_id):
    """Scores are n - rank: trec_eval would order the tied 2.0 and 2.0 of q1 by document id, backwards."""
    lines = body_of(api.get(f"/api/v1/ab/tests/{test_id}/export?format=trec&arm=bm25")).splitlines()
    assert [line.split(" ") for line in lines if line.startswith("q1 ")] == [
        ["q1", "Q0", "d3", "1", "1", "bm25"],
        ["q1", "Q0", "d1", "2", "0", "bm25"],
    ]


def test_the_blank_in_an_arms_name_breaks_no_column():
    assert list(export_rows.run_lines("q", ["d"], "my arm")) == ["q Q0 d 1 0 my_arm\n"]


def test_ir_measures_scores_run_and_qrels_as_the_test_did(api, caller):
    """The files are what trec_eval reads: nDCG@10 by hand, and by ir_measures of the exported files."""
    ir_measures = pytest.importorskip("ir_measures")
    test_id = make_finished_test(caller).public_id
    base = f"/api/v1/ab/tests/{test_id}/export"
    run = body_of(api.get(f"{base}?format=trec&arm=bm25"))
    qrels = body_of(api.get(f"{base}?format=qrels"))
    scored = ir_measures.iter_calc(
        [ir_measures.parse_measure("RR"), ir_measures.parse_measure("nDCG@10")],
        list(ir_measures.read_trec_qrels(qrels)),
        list(ir_measures.read_trec_run(run)),
    )
    found = {(str(one.measure), one.query_id): one.value for one in scored}
    # q1: d3 (grade 1) before d1 (grade 2); "=q/2": d1 (grade 0) before d2 (grade 1).
    assert found["RR", "q1"] == 1
    assert found["RR", "=q/2"] == 0.5
    assert found["nDCG@10", "q1"] == pytest.approx((1 + 2 / 1.584962500721156) / (2 + 1 / 1.584962500721156))


def test_a_run_of_several_arms_asks_which_and_a_single_arm_needs_no_name(api, caller, test_id):
    answer = api.get(f"/api/v1/ab/tests/{test_id}/export?format=trec")
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == "arm"
    assert "bm25, minilm" in answer.json()["error"]["message"]
    single = make_test_row(make_query_set(caller), arms=["only"])
    make_results(single, ["d1"], metrics={})
    text = body_of(api.get(f"/api/v1/ab/tests/{single.public_id}/export?format=trec"))
    assert text.splitlines()[0].split(" ")[1:] == ["Q0", "d1", "1", "0", "only"]


@pytest.mark.parametrize(
    ("parameters", "field"),
    [("format=xml", "format"), ("arm=x", "arm"), ("format=qrels&arm=bm25", "arm"), ("fromat=csv", "fromat")],
)
def test_wrong_parameters_are_refused_by_name_and_not_audited(api, test_id, parameters, field):
    answer = api.get(f"/api/v1/ab/tests/{test_id}/export?{parameters}")
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == field
    assert not AuditEntry.objects.filter(action="ab_test.export").exists()


def test_the_service_refuses_unknown_formats_for_every_edge_and_takes_csv_where_none_is_named(caller, test_id):
    with pytest.raises(InvalidInput, match="csv, json, trec or qrels"):
        export_results(caller=caller, test_id=test_id, format="xml")
    made = export_results(caller=caller, test_id=test_id, format="")
    assert made.headers["Content-Type"].startswith("text/csv")


def test_failed_queries_have_no_line_in_a_run(api, test_id):
    text = body_of(api.get(f"/api/v1/ab/tests/{test_id}/export?format=trec&arm=minilm"))
    QueryResult.objects.filter(arm__name="minilm").update(is_failed=True)
    assert text.count("\n") == 3
    assert body_of(api.get(f"/api/v1/ab/tests/{test_id}/export?format=trec&arm=minilm")) == ""


@pytest.mark.parametrize("path", [*(f"export?{query}" for query in FILES.values()), "report.html"])
def test_each_file_is_audited_once_before_it_is_read(api, test_id, path):
    api.get(f"/api/v1/ab/tests/{test_id}/{path}")
    entry = AuditEntry.objects.get(action="ab_test.export")
    assert (entry.target_kind, entry.target_id) == ("ab_test", test_id)
    assert entry.after["schema"].startswith("ab-")
    assert entry.after["filters"]["test_id"] == test_id


def test_neither_strangers_nor_keys_without_the_right_get_or_audit_a_file(project, test_id):
    paths = [f"/api/v1/ab/tests/{test_id}/{path}" for path in ("export", "report.html")]
    stranger = make_client(make_token(make_project()))
    for scopes in (["ab.read"], ["exports.read"]):
        limited = make_client(make_token(project, scopes=scopes))
        assert {limited.get(path).status_code for path in paths} == {403}
    assert {stranger.get(path).status_code for path in paths} == {404}
    assert not AuditEntry.objects.filter(action="ab_test.export").exists()


def test_an_accept_header_does_not_choose_the_file(api, test_id):
    answer = api.get(f"/api/v1/ab/tests/{test_id}/export?format=trec&arm=bm25", headers={"accept": "application/json"})
    assert answer["Content-Type"] == "text/plain; charset=utf-8"


def test_the_report_is_one_document_that_needs_no_network(api, test_id):
    answer = api.get(f"/api/v1/ab/tests/{test_id}/report.html")
    assert answer.status_code == 200, answer.content
    text = answer.content.decode()
    assert answer["Content-Type"] == "text/html; charset=utf-8"
    assert answer["Content-Disposition"] == f'attachment; filename="hhweb-ab-report-{test_id}.html"'
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert "a" * 64 in text  # the report hash
    assert not re.search(r'(src|href)="(https?:)?//', text)


def test_rows_are_read_in_short_statements_while_they_are_sent(caller):
    corpus = make_corpus(caller)
    query_set = make_query_set(caller, corpus, queries={f"q{n:04}": "x" for n in range(1203)}, grades={})
    test = make_test_row(query_set, arms=["a", "b"])
    make_results(test, ["d1"], metrics={"nDCG@10": 0.5})
    with CaptureQueriesContext(connection) as captured:
        made = export_results(caller=caller, test_id=test.public_id)
        before = sum("queryresult" in query["sql"].replace("_", "") for query in captured)
        text = b"".join(made.pieces).decode()
    statements = [query["sql"] for query in captured if "queryresult" in query["sql"].replace("_", "")]
    assert before == 0
    assert text.count("\r\n") == 2407
    assert len(statements) == 4  # three chunks with rows and the one that finds the end
    assert result_pages.EXPORT_CHUNK == 1000
    assert all("LIMIT 1000" in sql and "OFFSET" not in sql for sql in statements)


def test_a_long_run_comes_in_pieces(caller):
    corpus = make_corpus(caller)
    query_set = make_query_set(caller, corpus, queries={f"q{n:04}": "x" for n in range(60)}, grades={})
    test = make_test_row(query_set, arms=["a"])
    make_results(test, [f"document-{n}" for n in range(100)], metrics={})
    pieces = list(export_results(caller=caller, test_id=test.public_id, format="trec").pieces)
    assert len(pieces) > 1
    assert max(len(piece) for piece in pieces) < 80_000
    assert b"".join(pieces).count(b"\n") == 6000


def test_judgments_are_read_in_chunks_too(caller, api):
    corpus = make_corpus(caller)
    queries = {f"q{n:04}": "x" for n in range(1300)}
    query_set = make_query_set(
        caller, corpus, queries=queries, grades={q: dict.fromkeys(("d1", "d10", "d2", "d3"), 1) for q in queries}
    )
    test = make_test_row(query_set, arms=["a"])
    text = body_of(api.get(f"/api/v1/ab/tests/{test.public_id}/export?format=qrels"))
    assert text.count("\n") == 5200
    assert text.startswith("q0000 0 d1 1\n")
    assert len(set(text.splitlines())) == 5200


def test_arms_are_told_by_place_and_name(api, test_id):
    Arm.objects.filter(name="minilm").update(name="MiniLM L6 v2")
    text = body_of(api.get(f"/api/v1/ab/tests/{test_id}/export"))
    rows = csv.DictReader(io.StringIO(text, newline=""))
    assert {(row["arm_id"], row["arm"]) for row in rows} == {("0", "bm25"), ("1", "MiniLM L6 v2")}
