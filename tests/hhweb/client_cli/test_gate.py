"""`hhweb gate` against a real server: every outcome, its exit code, and what it writes."""

import json
import uuid
from pathlib import Path

import pytest
from lxml import etree

from tests.experiments.sdk.github_server import serve_github
from tests.hhweb.client_cli.seeding import store_run

pytestmark = pytest.mark.process

XSD = etree.XMLSchema(file=str(Path(__file__).parents[2] / "experiments" / "sdk" / "junit-10.xsd"))
OLD = [0.5 + n / 100 for n in range(40)]


@pytest.fixture
def old(client):
    return store_run(client, "plain", {"accuracy": OLD, "latency": [100.0] * 40})


def outcomes(result):
    return {check["rule"]: check["outcome"] for check in json.loads(result.stdout)["checks"]}


def test_a_good_run_passes_and_says_by_how_much(run, client, old):
    new = store_run(client, "hints", {"accuracy": [v + 0.03 for v in OLD], "latency": [90.0] * 40})
    options = ["--max-regression", "accuracy=0.02", "--max-regression", "latency=5", "--min", "accuracy=0.72"]
    result = run("gate", "--run", new, "--baseline", old, *options, "--max", "latency=95", "--require-pass-rate", 1)
    assert result.exit_code == 0, result.output
    assert "hints against plain: passed\n" in result.stdout
    assert "accuracy: at most 0.02 worse than the baseline: From 0.695 to 0.725: " in result.stdout
    assert ": better by 0.03 (higher is better), 40 common datapoints." in result.stdout
    assert "no values missing: All 40 executions have values of accuracy, latency." in result.stdout
    assert "latency: at most 95: The average of 40 values is 90." in result.stdout
    assert f"/console/runs/compare/?baseline={old}&candidate={new}" in result.stdout


def test_a_regression_fails_with_the_exit_code_of_a_run_that_did_not_pass(run, client, old):
    new = store_run(client, "worse", {"accuracy": [v - 0.03 for v in OLD], "latency": [103.0] * 40})
    result = run("gate", "--run", new, "--baseline", old, "--max-regression", "accuracy=0.02", "--json")
    assert result.exit_code == 1
    assert outcomes(result)["accuracy: at most 0.02 worse than the baseline"] == "failed"
    assert run("gate", "--run", new, "--baseline", old, "--max-regression", "accuracy=0.03").exit_code == 0
    lower = run("gate", "--run", new, "--baseline", old, "--max-regression", "latency=2")
    assert "From 100 to 103: worse by 3 (lower is better), 40 common datapoints." in lower.stdout


def test_confidence_fails_only_what_is_not_noise(run, client, old):
    # Both lose 0.01 on average: one on every datapoint alike, the other now here, now there.
    steady = store_run(client, "steady", {"accuracy": [v - 0.01 + (n % 2) / 1000 for n, v in enumerate(OLD)]})
    noisy = store_run(client, "noisy", {"accuracy": [v - 0.01 + (0.2 if n % 2 else -0.2) for n, v in enumerate(OLD)]})
    options = ["--baseline", old, "--confidence", 0.95, "--max-regression"]

    failed = run("gate", "--run", steady, *options, "accuracy=0", "--json")
    assert (failed.exit_code, outcomes(failed)["accuracy: not worse"]) == (1, "failed")
    assert run("gate", "--run", steady, *options, "accuracy=0.02").exit_code == 0

    unsure = run("gate", "--run", noisy, *options, "accuracy=0.02")
    assert unsure.exit_code == 0
    assert "passed, 1 rule undecided" in unsure.stdout
    assert "warn  accuracy: at most 0.02 worse than the baseline: Too small a sample." in unsure.stdout
    assert "About 770 more datapoints would be needed to tell a regression of 0.02 from noise." in unsure.stdout
    assert run("gate", "--run", noisy, *options, "accuracy=0.02", "--strict").exit_code == 1


def test_too_few_pairs_are_too_few_whatever_they_say(run, client):
    old = store_run(client, "few", {"accuracy": [0.9] * 5})
    new = store_run(client, "few worse", {"accuracy": [0.1] * 5})
    result = run("gate", "--run", new, "--baseline", old, "--max-regression", "accuracy=0.1", "--confidence", "0.95")
    assert result.exit_code == 0
    assert "5 common datapoints; no paired test of fewer than 6 can reach this confidence" in result.stdout


def test_crashes_and_unfinished_runs_fail_each_by_name(run, client):
    new = store_run(client, "crashing", {"accuracy": OLD}, status="failed", crashed={3: "boom", 4: "boom"})
    result = run("gate", "--run", new, "--require-pass-rate", "0.9", "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert [(check["rule"], check["outcome"], check["message"]) for check in report["checks"]] == [
        ("run completed", "failed", "The run is failed: not everything that it measures is there."),
        ("no crashed datapoints", "failed", "2 datapoints crashed: datapoint-3, datapoint-4."),
        ("pass rate of at least 0.9", "passed", "38 of 40 datapoints passed: 0.95."),
    ]
    ended = run("gate", "--run", new, "--max-crashed", "2", "--json")
    assert outcomes(ended)["at most 2 crashed datapoints"] == "passed"


def test_values_that_an_evaluator_left_out_fail_and_are_counted(run, client):
    gaps = store_run(
        client,
        "gaps",
        {"accuracy": OLD[:36], "exact": [1.0] * 40},
        crashed={39: "boom"},
        passing_ranges={"accuracy": {}},
    )
    options = ["gate", "--run", gaps, "--max-crashed", "1"]
    result = run(*options, "--min", "accuracy=0.1", "--min", "exact=1")
    assert result.exit_code == 1
    assert (
        "FAIL  no values missing: 3 of 39 executions have no value of 'accuracy': evaluators failed or were not asked."
        in result.stdout
    )
    assert "accuracy: at least 0.1: The average of 36 values is 0.675." in result.stdout
    assert run(*options, "--min", "accuracy=0.1", "--max-missing", "3").exit_code == 0
    assert run(*options, "--min", "exact=1").exit_code == 0  # accuracy is not judged
    ranged = store_run(
        client, "ranged", {"accuracy": OLD[:36], "exact": [1.0] * 40}, passing_ranges={"accuracy": {"min": 0.1}}
    )
    judged = run("gate", "--run", ranged, "--require-pass-rate", "1")
    assert (judged.exit_code, "4 of 40 executions have no value of 'accuracy'" in judged.stdout) == (1, True)


def test_a_run_is_no_baseline_of_itself(run, client):
    name = f"alone {uuid.uuid4()}"
    new = store_run(client, name, {"accuracy": OLD[:3]})
    for reference in (name, new[:13]):
        result = run("gate", "--run", name, "--baseline", reference)
        assert (result.exit_code, f"No run but {new} itself is" in result.stderr) == (2, True), result.stderr


def test_a_missing_metric_fails_and_says_where_it_is_missing(run, client, old):
    new = store_run(client, "renamed", {"exactness": OLD})
    options = ["--max-regression", "accuracy=0.02", "--max-regression", "exactness=0", "--min", "f1=0.1"]
    for confidence in ([], ["--confidence", "0.9"]):
        result = run("gate", "--run", new, "--baseline", old, *options, *confidence)
        assert result.exit_code == 1
        assert "The run has no values of 'accuracy'." in result.stdout
        assert "The baseline has no values of 'exactness'." in result.stdout
        assert "The run has no values of 'f1'; it has exactness." in result.stdout


def test_the_first_run_of_a_branch_passes_when_it_may(run, client, old):
    branch = f"branch-{uuid.uuid4()}"
    first = store_run(client, "first", {"accuracy": OLD}, branch=branch)
    options = ["--run", first, "--baseline", f"latest:{branch}", "--max-regression", "accuracy=0"]
    refused = run("gate", *options)
    assert refused.exit_code == 1
    assert f"There is no baseline: no completed run is 'latest:{branch}' yet." in refused.stdout
    allowed = run("gate", *options, "--allow-missing-baseline")
    assert allowed.exit_code == 0
    assert "first: passed, 1 rule skipped" in allowed.stdout
    second = store_run(client, "second", {"accuracy": OLD}, branch=branch)
    found = run("gate", "--run", second, "--baseline", f"latest:{branch}", "--max-regression", "accuracy=0", "--json")
    assert json.loads(found.stdout)["baseline_id"] == first
    wrong = run("gate", "--run", first, "--baseline", "no-such-run", "--allow-missing-baseline", "--min", "accuracy=0")
    assert wrong.exit_code == 2


def test_runs_without_a_common_datapoint_have_no_baseline(run, client, old):
    other = store_run(client, "elsewhere", {"accuracy": OLD[:3]}, prefix="other")
    options = ["--run", other, "--baseline", old, "--max-regression", "accuracy=0"]
    result = run("gate", *options)
    assert (result.exit_code, "no datapoint in common" in result.stdout) == (1, True)
    assert run("gate", *options, "--allow-missing-baseline").exit_code == 0


def test_summary_and_junit_are_written_escaped(run, client, alone, monkeypatch):
    metric = 'a|b <script>`x` @org "quoted"'
    old = store_run(client, "old *run*\nwith lines", {metric: OLD})
    new = store_run(client, "<b>new</b> \x1b[31m", {metric: [v - 0.2 for v in OLD]})
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(alone / "step.md"))
    options = ["--run", new, "--baseline", old, "--max-regression", f"{metric}=0.01", "--confidence", "0.9"]
    result = run("gate", *options, "--junit", alone / "gate.xml")
    assert result.exit_code == 1, result.output

    summary = (alone / "step.md").read_text()
    assert summary.startswith("## ❌ hhweb gate: 1 of 4 rules failed\n")
    assert "<script>" not in summary
    assert "<b>" not in summary
    assert "@org" not in summary
    rows = [line for line in summary.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {4, 8}

    document = etree.parse(str(alone / "gate.xml"))
    XSD.assertValid(document)
    suite = document.find("testsuite")
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "1", "0")
    assert suite.findall("testcase")[3].get("name") == f"{metric}: at most 0.01 worse than the baseline"

    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    run("gate", *options, "--summary", alone / "other.md")
    assert (alone / "other.md").read_text() == summary


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--max-regression", "accuracy=0.1"], "--max-regression needs --baseline"),
        (["--max-regression", "accuracy=-0.1", "--baseline", "latest"], "give 0 or more"),
        (["--min", "accuracy"], "'accuracy' is not metric=number, like accuracy=0.02."),
        (["--min", "accuracy=nan"], "is not metric=number"),
        (["--min", "a=1", "--min", "a=2"], "'a' is named twice"),
        (["--confidence", "0.9"], "give --max-regression as well"),
        (["--confidence", "0.2", "--max-regression", "a=1", "--baseline", "x"], "0.2 is not in the range"),
        (
            ["--confidence", "0.9", "--max-regression", "a=1", "--baseline", "x", "--aggregate-function", "p90"],
            "Intervals are of means",
        ),
        (["--run", "nothing-like-it"], "No run has the id or name"),
    ],
)
def test_wrong_usage_is_refused_with_the_remedy(run, options, said):
    result = run("gate", *options)
    assert (result.exit_code, said in result.stderr) == (2, True), result.output


def test_a_file_that_cannot_be_written_is_named(run, client, old, alone):
    result = run("gate", "--run", old, "--junit", alone / "no" / "gate.xml")
    assert result.exit_code == 2
    assert "gate.xml cannot be written: No such file or directory." in result.stderr


def test_a_comment_is_kept_and_its_absence_told_without_failing(run, client, old, alone, monkeypatch):
    options = ["gate", "--run", old, "--comment"]
    result = run(*options)
    assert (result.exit_code, "No comment was written: this is no GitHub job" in result.stderr) == (0, True)
    (alone / "event.json").write_text('{"pull_request": {"number": 7}}')
    with serve_github() as github:
        monkeypatch.setenv("GITHUB_API_URL", github.url)
        monkeypatch.setenv("GITHUB_REPOSITORY", "o/r")
        monkeypatch.setenv("GITHUB_EVENT_PATH", str(alone / "event.json"))
        told = run(*options)
        assert (told.exit_code, "No comment was written. No GITHUB_TOKEN" in told.stderr) == (0, True)
        monkeypatch.setenv("GITHUB_TOKEN", github.token)
        assert "Comment: https://github.test/o/r/pull/7#issuecomment-1001" in run(*options).stderr
        assert "hhweb gate: passed" in github.comments[1001]["body"]


def test_latest_means_the_same_experiment_first(run, client):
    branch = f"branch-{uuid.uuid4()}"
    name = f"answers {branch}"
    first = store_run(client, name, {"accuracy": OLD}, branch=branch)
    other = store_run(client, f"{name}, another", {"accuracy": OLD}, branch=branch)
    store_run(client, name, {"accuracy": OLD}, branch="elsewhere")
    new = store_run(client, name, {"accuracy": OLD}, branch="feature")
    lone = store_run(client, "of its own name", {"accuracy": OLD}, branch="feature")
    for judged, expected in ((new, first), (lone, other)):
        found = run(
            "gate", "--run", judged, "--baseline", f"latest:{branch}", "--max-regression", "accuracy=0", "--json"
        )
        assert json.loads(found.stdout)["baseline_id"] == expected
