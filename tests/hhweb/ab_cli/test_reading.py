"""Commands that read: tables for people, JSON for programs, whole files or none."""

import json

import pytest

from tests.hhweb.ab_cli.serving import PREFIX, Answer, error
from tests.hhweb.ab_cli.test_running import comparison, finished


def page(*rows, total=None):
    return {"results": list(rows), "pagination": {"total": len(rows) if total is None else total}}


TEST = {
    "id": "t1",
    "name": "first [x]",
    "status": "completed",
    "primary_metric": "nDCG@10",
    "control": "bm25",
    "created_at": "2026-11-21T12:00:00Z",
}


def test_list_shows_tests_and_how_many_more_there_are(served, run):
    served.answer("GET", "/tests", page(TEST, total=1200))
    result = run("list", "--limit", "1")
    assert "first [x]" in result.stdout
    assert result.stderr == "1 of 1,200 rows; --limit takes up to 500.\n"
    assert json.loads(run("list", "--json").stdout) == [TEST]


def row(query, **more):
    found = {
        "query_id": query,
        "arm": "bm25",
        "is_failed": False,
        "error": None,
        "ranked_ids": ["d1", "d2", "d3", "d4"],
        "metrics": {"nDCG@10": 0.25, "nDCG@10 lowest": 0.1, "R@10": None},
    }
    return found | more


def test_results_show_measures_first_documents_and_failures(served, run):
    failure = row("q2", is_failed=True, error={"code": "x", "message": "No answer."}, metrics={}, ranked_ids=[])
    served.answer("GET", "/tests/t1/results", page(row("q1"), failure))
    result = run("results", "t1", "--arm", "bm25", "--limit", "2", "--page", "3")
    assert served.asked[0].path == f"{PREFIX}/tests/t1/results?arm=bm25&limit=2&page=3"
    assert "d1, d2, d3" in result.stdout
    assert "d4" not in result.stdout
    assert "0.2500" in result.stdout
    assert "lowest" not in result.stdout
    assert "failed: No answer." in result.stdout
    assert result.stderr == ""
    assert len(json.loads(run("results", "t1", "--json").stdout)) == 2


def test_compare_shows_the_deciding_metric_unless_another_is_asked_for(served, run):
    test = finished()
    exploratory = comparison("minilm", "worse", role="exploratory", metric="R@10", adjusted_p=None, p=0.00001)
    test["report"]["comparisons"].append(exploratory)
    served.answer("GET", "/tests/t1", test)
    shown = run("compare", "t1").stdout
    assert shown.startswith("minilm beats bm25")
    assert "[+0.0050, +0.0560]" in shown
    assert "107 / 30 / 88" in shown
    assert "R@10" not in shown
    other = run("compare", "t1", "--metric", "R@10").stdout
    assert other.startswith("Exploratory: minilm beats bm25")
    assert "<0.001" in other
    assert json.loads(run("compare", "t1", "--metric", "R@10", "--json").stdout) == [exploratory]


def test_compare_refuses_a_metric_that_was_not_compared(served, run):
    served.answer("GET", "/tests/t1", finished())
    result = run("compare", "t1", "--metric", "nDGC@10")
    assert result.exit_code == 2
    assert "'nDGC@10' is not compared; choose one of nDCG@10." in result.output


def test_compare_of_a_test_that_runs_says_so(served, run):
    served.answer("GET", "/tests/t1", finished("running", report=None))
    result = run("compare", "t1")
    assert result.exit_code == 1
    assert "Test t1 is running and has no comparisons." in result.output


def test_export_writes_a_whole_file(served, run, tmp_path):
    served.answer("GET", "/tests/t1/export", Answer(raw=b"a,b\r\n\xff"))
    result = run("export", "t1", "--format", "trec", "--arm", "bm25", "-o", "out.run")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "Wrote out.run\n")
    assert (tmp_path / "out.run").read_bytes() == b"a,b\r\n\xff"
    assert served.asked[0].path == f"{PREFIX}/tests/t1/export?format=trec&arm=bm25"
    assert not (tmp_path / "out.run.part").exists()


def test_export_goes_to_standard_output_by_default(served, run):
    served.answer("GET", "/tests/t1/export", Answer(raw=b"a,b\r\n"))
    assert run("export", "t1").stdout_bytes == b"a,b\r\n"
    assert served.asked[0].path == f"{PREFIX}/tests/t1/export?format=csv"


def test_export_of_the_report_has_its_own_address(served, run, tmp_path):
    served.answer("GET", "/tests/t1/report.html", Answer(raw=b"<!doctype html>"))
    assert run("export", "t1", "--format", "html", "-o", "r.html").exit_code == 0
    assert (tmp_path / "r.html").read_bytes() == b"<!doctype html>"
    assert run("export", "t1", "--format", "html", "--arm", "a").exit_code == 2


def test_half_a_download_leaves_what_was_there(served, run, tmp_path):
    (tmp_path / "out.csv").write_text("old")
    served.answer("GET", "/tests/t1/export", Answer(raw=b"half", length=100))
    assert run("export", "t1", "-o", "out.csv").exit_code == 2
    assert (tmp_path / "out.csv").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "out.csv"]


@pytest.mark.parametrize("format", ["csv", "html"])
def test_a_refused_export_makes_no_file(served, run, tmp_path, format):
    for path in ("export", "report.html"):
        served.answer("GET", f"/tests/t1/{path}", error(409, "Test t1 is running and has no report."))
    result = run("export", "t1", "--format", format, "-o", "out")
    assert (result.exit_code, result.output) == (2, "Error: Test t1 is running and has no report.\n")
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_said(served, run):
    served.answer("GET", "/tests/t1/export", Answer(raw=b"x"))
    result = run("export", "t1", "-o", "no/out.csv")
    assert result.exit_code == 1
    assert "no/out.csv cannot be written" in result.output
