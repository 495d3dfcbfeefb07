"""Commands that make tests go: what they send, what they print, how they exit."""

import json

import pytest
import yaml

from embeddings_ab.domain.spec import TestSpec
from hhweb.ab_cli import watching
from hhweb.ab_cli.documents import document
from hhweb.ab_cli.watching import arm_line
from tests.hhweb.ab_cli.serving import Answer, error

SPEC = "name: t\ncorpus: c\nquery_set: c/test\nmetrics: [nDCG@10]\narms:\n  a: {retrieval: lexical}\n"


def progress(status, fraction=1.0, eta=None, **arms):
    return {
        "status": status,
        "fraction": fraction,
        "eta_seconds": eta,
        "arms": {name: arm if isinstance(arm, dict) else {"status": arm} for name, arm in arms.items()},
    }


def metric(mean):
    return {"mean": mean, "low": mean - 0.02, "high": mean + 0.02, "n": 225, "undefined": 0}


def comparison(arm, verdict, **more):
    row = {
        "arm": arm,
        "control": "bm25",
        "metric": "nDCG@10",
        "role": "primary",
        "difference": 0.031,
        "interval_low": 0.005,
        "interval_high": 0.056,
        "p": 0.0002,
        "adjusted_p": 0.018,
        "wins": 107,
        "ties": 30,
        "losses": 88,
        "n_common": 225,
        "verdict": verdict,
        "sentence": f"{arm} beats bm25 by 0.031 nDCG@10.",
    }
    return row | more


def finished(status="completed", verdict="better", **more):
    arms = {
        "bm25": {"status": "completed", "queries_failed": 0, "metrics": {"nDCG@10": metric(0.3689)}},
        "minilm": {"status": status, "queries_failed": 0, "metrics": {"nDCG@10": metric(0.3995)}},
    }
    latency = {"total": {"p50": 15.2, "p95": 21.0, "p99": 30.0}}
    return {
        "id": "t1",
        "name": "first",
        "status": status,
        "primary_metric": "nDCG@10",
        "control": "bm25",
        "registration_hash": "r" * 64,
        "report_hash": "a" * 64,
        "error": None,
        "arms": [
            {"name": "bm25", "status": "completed", "error": None, "latency": {}, "stats": {}},
            {"name": "minilm", "status": status, "error": None, "latency": latency, "stats": {"embedded": 3}},
        ],
        "report": {
            "test": {"name": "first"},
            "arms": arms,
            "comparisons": [comparison("minilm", verdict)],
            "warnings": ["Only 40 queries."],
        },
    } | more


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


def prepare(served, test, *progresses):
    served.answer("POST", "/tests", {"id": "t1", "status": "created"})
    served.answer("POST", "/tests/t1/start", {"id": "t1", "status": "queued"})
    served.answer("GET", "/tests/t1/progress", *(progresses or [progress(test["status"])]))
    served.answer("GET", "/tests/t1", test)


def test_run_creates_once_and_starts(served, run, spec):
    prepare(served, finished())
    result = run("run", spec)
    assert result.exit_code == 0
    assert result.output == "test t1\nIt runs. To see how it goes: hhweb ab watch t1\n"
    assert served.calls() == ["POST /tests", "POST /tests/t1/start"]
    assert served.asked[0].body == yaml.safe_load(SPEC)
    assert len(served.asked[0].headers["idempotency-key"]) == 36
    assert "idempotency-key" not in served.asked[1].headers


def test_wait_and_json_print_one_document(served, run, spec):
    prepare(served, finished(), progress("queued", 0.0), progress("running", 0.5), progress("completed"))
    result = run("run", spec, "--wait", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert result.stderr == ""
    assert (found["test_id"], found["status"], found["report_hash"]) == ("t1", "completed", "a" * 64)
    assert found["arms"]["minilm"]["metrics"]["nDCG@10"] == metric(0.3995)
    assert found["arms"]["minilm"]["latency"]["total"] == {"p50": 15.2, "p95": 21.0, "p99": 30.0}
    assert found["comparisons"][0]["verdict"] == "better"
    assert found["comparisons"][0]["sentence"] == "minilm beats bm25 by 0.031 nDCG@10."
    assert [call for call in served.calls() if call.endswith("progress")] == ["GET /tests/t1/progress"] * 3


def test_json_without_wait_tells_the_test_as_it_stands(served, run, spec):
    test = {"id": "t1", "name": "t", "status": "queued", "report": None, "report_hash": "", "arms": [{"name": "a"}]}
    prepare(served, test)
    result = run("run", spec, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "schema": 1,
        "test_id": "t1",
        "name": "t",
        "status": "queued",
        "primary_metric": None,
        "control": None,
        "registration_hash": None,
        "report_hash": None,
        "error": None,
        "arms": {
            "a": {"status": None, "error": None, "queries_failed": None, "metrics": {}, "latency": {}, "stats": {}}
        },
        "comparisons": [],
        "warnings": [],
    }


def test_outcome_puts_the_verdict_before_the_table(served, run):
    prepare(served, finished())
    result = run("watch", "t1")
    assert result.exit_code == 0
    assert result.stdout.startswith("minilm beats bm25 by 0.031 nDCG@10.\n")
    assert "bm25 (control)" in result.stdout
    assert "0.3995" in result.stdout
    assert "[0.3795, 0.4195]" in result.stdout
    assert "15 ms" in result.stdout
    assert "Beware: Only 40 queries." in result.stdout
    assert "a" * 64 in result.stdout


def test_an_undecided_sentence_gets_its_arm_in_front(served, run):
    test = finished()
    test["report"]["comparisons"] = [comparison("minilm", "undecided", sentence="undecided: too few.")]
    prepare(served, test)
    assert run("watch", "t1").stdout.startswith("minilm: undecided: too few.\n")


@pytest.mark.parametrize(
    ("status", "verdict", "options", "code"),
    [
        ("completed", "better", ["--fail-if-worse"], 0),
        ("completed", "undecided", ["--fail-if-worse"], 0),
        ("completed", "worse", [], 0),
        ("completed", "worse", ["--fail-if-worse"], 3),
        ("incomplete", "worse", ["--fail-if-worse"], 1),
        ("failed", "better", [], 1),
        ("cancelled", "better", ["--json"], 1),
    ],
)
def test_exit_code_tells_the_outcome(served, run, status, verdict, options, code):
    prepare(served, finished(status, verdict))
    assert run("watch", "t1", *options).exit_code == code


def test_fail_if_worse_looks_at_the_registered_comparison_alone(served, run, spec):
    test = finished()
    test["report"]["comparisons"].append(comparison("minilm", "worse", role="exploratory", metric="R@10"))
    prepare(served, test)
    assert run("run", spec, "--fail-if-worse").exit_code == 0


def test_a_failed_test_says_why(served, run):
    test = finished("failed", error={"code": "timeout", "message": "It took longer than 60 s."}, report=None)
    test["arms"][1]["error"] = {"code": "unauthorised", "message": "The provider refused the key."}
    prepare(served, test)
    result = run("watch", "t1")
    assert result.exit_code == 1
    assert "It took longer than 60 s." in result.stdout
    assert "minilm: The provider refused the key." in result.stdout


def test_progress_is_a_line_per_step_on_standard_error(served, run):
    building = {"status": "building", "chunks_done": 512, "chunks": 1400, "fraction": 0.3}
    steps = [
        progress("queued", 0.0, minilm="pending"),
        progress("running", 0.3, 42.4, minilm=building),
        progress("running", 0.31, 41.0, minilm=building),
        progress("running", 0.8, 300.0, minilm={"status": "running", "queries_done": 3, "queries": 225}),
        progress("completed", 1.0, minilm="completed"),
    ]
    prepare(served, finished(), *steps)
    assert run("watch", "t1").stderr.splitlines() == [
        "test queued",
        "  minilm: pending",
        "test running",
        "  minilm: building, 512 of 1,400 chunks",
        "  25% done, about 42 s left",
        "  minilm: running, 3 of 225 queries",
        "  75% done, about 5 min 0 s left",
        "test completed",
        "  minilm: completed",
    ]


def test_a_failed_arm_shows_its_reason_while_others_go_on():
    assert arm_line({"status": "failed", "error": {"code": "x", "message": "No key."}}) == "failed: No key."
    assert arm_line({"status": "building", "chunks": 0}) == "building"


def test_a_test_that_was_not_started_is_not_waited_for(served, run):
    prepare(served, finished(), progress("created", 0.0))
    result = run("watch", "t1")
    assert result.exit_code == 1
    assert "hhweb ab start t1" in result.output


def test_timeout_leaves_the_test_alone(served, run, clock):
    prepare(served, finished("running", report=None), progress("running", 0.1))
    result = run("watch", "t1", "--timeout", "3", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["status"] == "running"
    assert result.stderr == "It is still running after 3 s and goes on without us.\n"
    assert not any(call.startswith("POST") for call in served.calls())


def test_a_server_that_restarts_is_waited_for_but_not_for_ever(served, run, clock):
    prepare(served, finished(), Answer(raw=b"<html>"), Answer(raw=b"<html>"), progress("completed"))
    assert run("watch", "t1").exit_code == 0
    served.answer("GET", "/tests/t1/progress", Answer(raw=b"<html>"))
    result = run("watch", "t1")
    assert result.exit_code == 2
    assert clock.now > 60


def test_interrupting_says_that_the_test_goes_on(served, run, monkeypatch, clock):
    def interrupt(seconds):
        raise KeyboardInterrupt

    prepare(served, finished(), progress("running", 0.1))
    monkeypatch.setattr(clock, "sleep", interrupt)
    result = run("watch", "t1")
    assert result.exit_code == 1
    assert "The test goes on without us: hhweb ab watch t1" in result.stderr


def test_on_a_terminal_there_are_bars(served, run, monkeypatch):
    shown = []

    class Bars(watching._Bars):
        def _update(self, name, fraction, said):
            shown.append((name, fraction, said))
            super()._update(name, fraction, said)

    monkeypatch.setattr(watching, "_Lines", Bars)
    steps = [
        progress("running", 0.25, 8.4, minilm={"status": "ready", "fraction": 0.8}),
        progress("completed", 1.0, minilm={"status": "completed", "fraction": 1.0}),
    ]
    prepare(served, finished(), *steps)
    assert run("watch", "t1").exit_code == 0
    assert shown == [
        ("all", 0.25, "running, about 8 s left"),
        ("  minilm", 0.8, "ready"),
        ("all", 1.0, "completed"),
        ("  minilm", 1.0, "completed"),
    ]


@pytest.mark.parametrize(("step", "said"), [("start", "started"), ("cancel", "cancelled"), ("resume", "resumed")])
def test_moves_post_and_say_what_happened(served, run, step, said):
    served.answer("POST", f"/tests/t1/{step}", {"id": "t1"})
    result = run(step, "t1")
    assert (result.exit_code, result.output) == (0, f"test t1 {said}\n")
    assert served.calls() == [f"POST /tests/t1/{step}"]


def test_deleting_asks_unless_told_not_to(served, run):
    served.answer("DELETE", "/tests/t1", None)
    assert run("delete", "t1", input="n\n").exit_code == 1
    assert served.calls() == []
    assert run("delete", "t1", "--yes").output == "test t1 deleted\n"
    assert served.calls() == ["DELETE /tests/t1"]


def test_plan_shows_what_would_be_embedded_and_starts_nothing(served, run, spec):
    arm = {"documents": 1400, "chunks": 1400, "texts_to_embed": 1625, "cached": 0, "provider_calls": 26}
    arms = {
        "minilm": arm | {"tokens": 310_000, "cost": "0.4200", "currency": "USD", "minutes": 1.5},
        "convex": arm | {"texts_to_embed": 0, "tokens": 0, "cost": None, "currency": "", "minutes": None},
        "bm25": arm | {"cost": "0", "currency": "", "minutes": 0.0},
    }
    plan = {"arms": arms, "queries": 225, "warnings": ["Few queries."]}
    served.answer("POST", "/plan", plan)
    shown = run("plan", spec).output
    assert "Plan for 225 queries; nothing was started" in shown
    assert "1,625" in shown
    assert "0.42 USD" in shown
    assert "no price" in shown
    assert "90.00 s" in shown
    assert "Beware: Few queries." in shown
    assert json.loads(run("plan", spec, "--json").output) == plan
    assert served.calls() == ["POST /plan", "POST /plan"]


def test_a_refused_specification_exits_with_two_and_starts_nothing(served, run, spec):
    served.answer("POST", "/tests", error(400, "Field 'arms.a.fusion.alpha' is 2; it lies between 0 and 1."))
    result = run("run", spec, "--wait")
    assert result.exit_code == 2
    assert result.output == "Error: Field 'arms.a.fusion.alpha' is 2; it lies between 0 and 1.\n"
    assert served.calls() == ["POST /tests"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"arms:\n  a: 1\n  a: 2\n", "line 3: 'a' stands twice"),
        (b"a: [1\n", "line 2"),
        (b"- a\n", "holds no specification"),
        (b"", "hhweb ab init"),
        (b"a: !!python/object:os.system {}\n", "line 1"),
        (b"? [a, b]\n: 1\n", "cannot be a key"),
        (b"name: \xff\n", "is not UTF-8"),
    ],
)
def test_files_that_are_no_specification_are_refused_before_anything_is_sent(served, run, tmp_path, content, said):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    result = run("run", path)
    assert result.exit_code == 2
    assert said in result.output
    assert served.asked == []


def test_dates_and_anchors_in_a_specification_arrive_as_people_meant_them(served, run, tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text("name: 2026-11-21\nbase: &base {retrieval: lexical}\narms: {a: {<<: *base}}\n")
    served.answer("POST", "/plan", {"arms": {}, "queries": 0})
    run("plan", path)
    assert served.asked[0].body == {
        "name": "2026-11-21",
        "base": {"retrieval": "lexical"},
        "arms": {"a": {"retrieval": "lexical"}},
    }


def test_init_writes_a_valid_commented_example_and_overwrites_nothing(run, tmp_path):
    result = run("init", "mine.yaml")
    assert (result.exit_code, result.output) == (0, "Wrote mine.yaml. Edit it, then: hhweb ab plan mine.yaml\n")
    text = (tmp_path / "mine.yaml").read_text()
    assert text.startswith("# ")
    assert TestSpec.model_validate(yaml.safe_load(text)).control == "bm25"
    (tmp_path / "mine.yaml").write_text("precious")
    assert run("init", "mine.yaml").exit_code == 2
    assert (tmp_path / "mine.yaml").read_text() == "precious"
    assert "cannot be written" in run("init", "no/where.yaml").output


def test_the_document_survives_an_error_told_as_text():
    found = document({"id": "t1", "status": "failed", "error_message": "Lost.", "arms": []})
    assert (found["error"], found["test_id"]) == ("Lost.", "t1")
