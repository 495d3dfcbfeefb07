"""`hhweb experiments run`: files with experiments, their options, and the exit codes that CI looks at."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest
from click.testing import CliRunner

from experiments.sdk.models import DatapointOutcome, ExperimentResultSummary
from experiments.sdk.transport.client import Client
from hhweb.cli import main
from hhweb.client_cli.exit_codes import exit_code
from tests.experiments.sdk.fault_server import FaultServer, answer
from tests.hhweb.running import clean_environment, wait_for

pytestmark = pytest.mark.process

DECLARED = """
    from experiments import evaluator, experiment

    from words import spelled

    @evaluator
    def exact(outputs, ground_truth):
        return outputs == ground_truth["answer"]

    @experiment(dataset="sums.jsonl", evaluators=[exact], name="sums", passing_ranges={"exact": {"min": 1}})
    def add(inputs):
        print("asked for", inputs["a"])
        return spelled(inputs["a"] + inputs["b"])

    def wrong(inputs):
        return "no idea"
"""
SUMS = [
    {"inputs": {"a": 1, "b": 1}, "ground_truth": {"answer": "2"}},
    {"inputs": {"a": 2, "b": 2}, "ground_truth": {"answer": "4"}},
]


def write(path, text):
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


@pytest.fixture
def folder(alone):
    """A project with a declared experiment, its data and a module of its own."""
    (alone / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in SUMS))
    (alone / "project").mkdir()
    write(alone / "project" / "words.py", "def spelled(number):\n    return str(number)\n")
    write(alone / "project" / "sums.py", DECLARED)
    return alone


def test_the_one_declared_experiment_runs_without_its_name(document, folder):
    done = document("experiments", "run", "project/sums.py")

    (result,) = done["runs"]
    assert (result["name"], result["status"], len(result["passed"]), result["failed"]) == ("sums", "completed", 2, [])
    assert result["comparison"] is None
    assert [outcome["outputs"] for outcome in result["outcomes"]] == ["2", "4"]
    assert str(folder / "project") not in sys.path
    assert "sums" not in sys.modules


def test_what_the_program_prints_stays_apart_from_the_document(run, folder):
    result = run("experiments", "run", "project/sums.py", "--json")

    assert json.loads(result.stdout)["runs"][0]["status"] == "completed"
    assert sorted(result.stderr.splitlines()) == ["asked for 1", "asked for 2"]


def test_people_see_the_result_as_a_table(run, folder):
    result = run("experiments", "run", "project/sums.py:add")

    assert result.exit_code == 0
    assert "completed · 2 passed · 0 failed" in result.stdout
    assert "asked for 1" in result.stdout


def test_options_win_over_what_is_declared(document, run, folder, client):
    (folder / "one.json").write_text(json.dumps(SUMS[:1]))
    options = ["--dataset", "one.json", "--name", "other", "--max-workers", 3, "--repetitions", 2]
    options += ["--metadata", "commit=abc=1", "--passing", "exact_match=0.5:1", "--evaluator", "exact_match"]

    (result,) = document("experiments", "run", "project/sums.py:add", *options)["runs"]

    stored = client.get_run(result["run_id"])
    assert stored.name == "other"
    assert stored.metadata["commit"] == "abc=1"
    assert stored.configuration["max_workers"] == 3
    assert [row["metric_name"] for row in result["metrics"]["details"]] == ["exact_match"]
    assert result["metrics"]["details"][0]["passing_range"] == {"min": 0.5, "max": 1.0}
    assert [outcome["repetition"] for outcome in result["outcomes"]] == [0, 1]


def test_a_plain_function_runs_on_data_and_evaluators_that_are_named(run, folder):
    options = ["--dataset", "sums.jsonl", "--evaluator", "exact", "--evaluator", 'contains={"name": "has"}']

    result = run("experiments", "run", "project/sums.py:wrong", *options, "--passing", "exact=1", "--json")

    assert result.exit_code == 1
    (found,) = json.loads(result.stdout)["runs"]
    assert {row["metric_name"]: row["aggregate"] for row in found["metrics"]["details"]} == {"exact": 0, "has": 0}
    assert (
        run(
            "experiments", "run", "project/sums.py:wrong", *options, "--passing", "exact=1", "--allow-failures"
        ).exit_code
        == 0
    )


def test_a_threshold_of_a_metric_that_is_nowhere_does_not_pass(run, folder):
    result = run("experiments", "run", "project/sums.py", "--passing", "exakt=1", "--allow-failures")

    assert result.exit_code == 1
    assert "metric 'exakt' has a threshold but no value" in result.stderr


def test_a_dataset_of_the_server_takes_the_place_of_the_declared_file(document, folder):
    pushed = document("datasets", "push", "sums.jsonl", "--name", "sums of the command line")

    (result,) = document("experiments", "run", "project/sums.py", "--dataset-id", pushed["dataset_id"])["runs"]

    assert result["run_object"]["dataset_id"] == pushed["dataset_id"]
    assert len(result["passed"]) == 2


def test_a_run_is_compared_with_its_baseline(document, run, folder):
    first = document("experiments", "run", "project/sums.py")["runs"][0]["run_id"]

    (result,) = document("experiments", "run", "project/sums.py", "--baseline", first[:13])["runs"]

    assert result["comparison"]["old_run_id"] == first
    assert result["comparison"]["common_datapoints"] == 2
    assert "2 common datapoints" in run("experiments", "run", "project/sums.py", "--baseline", "latest").stdout


def test_a_comparison_that_fails_does_not_hide_the_result(lonely, folder):
    with FaultServer() as other:
        other.runs["before"] = {"run_id": "before", "name": "before", "status": "completed"}
        other.plan(answer(404), path="/compare-with/")
        options = ["--url", other.url, "--api-key", "any", "--baseline", "before", "--json"]
        result = lonely("experiments", "run", "project/sums.py", *options)

    assert result.exit_code == 0
    assert json.loads(result.stdout)["runs"][0]["comparison"] is None
    assert "It could not be compared with before: planned 404" in result.stderr


def test_a_run_is_resumed_by_the_beginning_of_its_id(run, document, folder):
    first = document("experiments", "run", "project/sums.py")["runs"][0]["run_id"]

    result = run("experiments", "run", "project/sums.py", "--resume", first[:13], "--json")

    (again,) = json.loads(result.stdout)["runs"]
    assert again["run_id"] == first
    assert "asked for" not in result.stderr
    assert [outcome["is_resumed"] for outcome in again["outcomes"]] == [True, True]


def test_evaluate_calls_of_the_file_are_reported(document, run, folder):
    write(
        folder / "script.py",
        """
        from experiments import evaluate

        def positive(outputs):
            return outputs > 0

        for name in ("one", "two"):
            evaluate(lambda inputs: inputs["a"], dataset="sums.jsonl", evaluators=[positive], name=name)
        """,
    )

    assert [result["name"] for result in document("experiments", "run", "script.py")["runs"]] == ["one", "two"]
    result = run("experiments", "run", "script.py", "--name", "three")
    assert result.exit_code == 0
    assert result.stdout.count("2 passed") == 2
    assert "calls evaluate() itself" in result.stderr


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        ("nothing.py", [], "There is no file nothing.py."),
        ("project/sums.py:nothing", [], "no experiment or function 'nothing'. Choose one: `hhweb experiments run"),
        ("project/sums.py:wrong", [], "wrong is a function without data: give --dataset FILE"),
        ("project/sums.py", ["--dataset", "sums.jsonl", "--dataset-id", "x"], "--dataset or --dataset-id, not both"),
        ("project/sums.py", ["--evaluator", "exact={"], "'exact={' does not fit"),
        ("project/sums.py", ["--evaluator", "exact=1"], "'exact=1' does not fit"),
        ("project/sums.py", ["--evaluator", "exakt_match"], "exact_match"),
        ("project/sums.py", ["--passing", "exact"], "'exact' does not fit; write exact=0.8"),
        ("project/sums.py", ["--passing", "exact=:"], "'exact=:' does not fit"),
        ("project/sums.py", ["--passing", "exact=a"], "'exact=a' does not fit"),
        ("project/sums.py", ["--passing", "exact=2:1"], "'exact=2:1' does not fit"),
        ("project/sums.py", ["--passing", "exact=1:2:3"], "'exact=1:2:3' does not fit"),
        ("project/sums.py", ["--metadata", "commit"], "'commit' does not fit; write key=value"),
        ("project/sums.py", ["--baseline", "no such run"], "No run has the id or name 'no such run'"),
        ("project/sums.py", ["--resume", "no such run"], "No run has the id or name 'no such run'"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_runs(run, folder, target, options, said):
    result = run("experiments", "run", target, *options)

    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nowhere_at_all\n", 'File "{}/file.py", line 1, in <module>'),
        ("def broken(:\n", "SyntaxError"),
        ("def some(inputs):\n    return 1\n", "`hhweb experiments run file.py:some --dataset FILE`"),
        ("some = 1\n", "Declare one: put `@experiment"),
        (
            "from experiments import experiment\n"
            "@experiment\ndef one(): ...\n@experiment\ndef two(): ...\nthree = one\n",
            "declares several experiments. Choose one: `hhweb experiments run file.py:one`, `hhweb experiments run "
            "file.py:two`.",
        ),
        ("from experiments import evaluate\nevaluate(print)\n", "Give 'dataset'"),
    ],
)
def test_a_file_without_a_clear_experiment_says_what_to_do(run, folder, text, said):
    (folder / "file.py").write_text(text)

    result = run("experiments", "run", "file.py")

    assert result.exit_code == 2
    assert said.format(folder) in " ".join(result.stderr.split())
    assert "importlib" not in result.stderr


@pytest.mark.parametrize(("ending", "code"), [("sys.exit()", 1), ("sys.exit(0)", 1), ("sys.exit(7)", 7)])
def test_a_file_that_exits_well_does_not_hide_its_failures(run, folder, ending, code):
    program = """
        import sys
        from experiments import evaluate

        evaluate(lambda inputs: 1 / 0, dataset="sums.jsonl")
    """
    write(folder / "script.py", textwrap.dedent(program) + ending)

    assert run("experiments", "run", "script.py").exit_code == code


def test_a_file_that_is_no_python_is_refused(run, folder):
    assert "its name must end with .py" in run("experiments", "run", "sums.jsonl").stderr


def test_a_file_named_like_a_module_does_not_take_its_place(document, folder):
    (folder / "project" / "json.py").write_text((folder / "project" / "sums.py").read_text())

    assert document("experiments", "run", "project/json.py")["runs"][0]["status"] == "completed"
    assert sys.modules["json"] is json


def test_the_files_evaluate_calls_use_the_server_of_the_options(lonely, folder, server):
    result = lonely("experiments", "run", "project/sums.py", "--data", server.data)

    assert result.exit_code == 0, result.output
    assert "HH_API_KEY" not in os.environ


def test_a_run_that_waits_in_the_spool_has_its_own_exit_code_and_is_delivered_later(lonely, folder):
    with FaultServer() as other:
        options = ["--url", other.url, "--api-key", "any"]
        other.plan(*[answer(401)] * 4, path="/opentelemetry")  # the key was revoked in the middle
        waiting = lonely("experiments", "run", "project/sums.py", *options, "--baseline", "x", "--json")
        assert waiting.exit_code == 2  # no such baseline
        waiting = lonely("experiments", "run", "project/sums.py", *options, "--json")

        assert waiting.exit_code == 3
        (result,) = json.loads(waiting.stdout)["runs"]
        assert result["status"] == "pending_upload"
        other.forget_plans()
        replayed = lonely("spool", "replay", *options)

    assert replayed.exit_code == 0
    assert f"2 datapoints delivered. {other.url}/console/runs/{result['run_id']}/" in replayed.stdout
    assert other.runs[result["run_id"]]["status"] == "completed"
    assert len(other.sessions) == 2


def test_an_interrupt_stores_what_has_finished_and_ends_with_130(folder, server):
    write(
        folder / "slow.py",
        """
        import pathlib, sys, time
        from experiments import experiment

        @experiment(dataset=[{"inputs": {"n": n}} for n in range(9)], name="slow", max_workers=1)
        def slow(inputs):
            if inputs["n"] == 2:
                pathlib.Path("modules").write_text(" ".join(sys.modules))
                pathlib.Path("two-are-done").touch()
                time.sleep(0.7)
        """,
    )
    environment = clean_environment() | {"HH_SPOOL_DIR": str(folder / "spool")}
    process = subprocess.Popen(
        [sys.executable, "-m", "hhweb.cli", "experiments", "run", "slow.py", "--data", str(server.data)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for((folder / "two-are-done").exists, "the third datapoint")
    process.send_signal(signal.SIGINT)

    _, said = process.communicate(timeout=60)

    assert process.returncode == 130, said
    assert said.count("Interrupted") == 1
    with Client(server_url=server.url, api_key=server.credentials["api_key"]) as client:
        (stored,) = client.list_runs(name="slow")[0]
    assert stored.status == "cancelled"
    assert len(stored.event_ids) == 3  # the one that was running came to its end
    loaded = (folder / "modules").read_text().split()
    assert [name for name in ("django", "celery", "numpy", "scipy", "pandas", "structlog") if name in loaded] == []


@pytest.mark.parametrize(
    ("fields", "code", "allowed"),
    [
        ({"status": "completed"}, 0, 0),
        ({"status": "completed", "failed": ["a"]}, 1, 0),
        ({"status": "completed", "outcomes": [{"error": "boom"}]}, 1, 0),
        ({"status": "completed", "outcomes": [{"evaluator_errors": {"exact": "boom"}}]}, 1, 0),
        ({"status": "completed", "outcomes": [{"delivered": False}]}, 1, 1),
        ({"status": "failed"}, 1, 1),
        ({"status": "pending_upload", "outcomes": [{"delivered": False, "error": "boom"}]}, 3, 3),
    ],
)
def test_exit_codes_tell_what_happened(fields, code, allowed):
    outcomes = [DatapointOutcome(datapoint_id="d", session_id="s", **each) for each in fields.pop("outcomes", [])]
    result = ExperimentResultSummary(outcomes=outcomes, **fields)

    assert exit_code(result, allow_failures=False) == code
    assert exit_code(result, allow_failures=True) == allowed


def test_help_says_how_to_declare_an_experiment():
    assert "@experiment(dataset=" in CliRunner().invoke(main, ["experiments", "run", "--help"]).stdout
