"""`hhweb experiments start|watch|…`: runs of the server on a real server, and what is said when things go wrong."""

import json

import pytest

from experiments.sdk.transport.client import Client, RetryPolicy
from hhweb.client_cli import watching
from hhweb.client_cli.server_experiments import status_lines
from tests.experiments.sdk.fault_server import FaultServer, answer, drop_before_storing

pytestmark = pytest.mark.process

ROWS = [{"inputs": {"a": a, "b": 1}, "ground_truth": {"answer": str(a + 1)}} for a in (1, 2, 3)]
PROGRESS = {
    "run_id": "r",
    "status": "running",
    "counts": {"pending": 5, "running": 1, "completed": 3, "failed": 1, "cancelled": 0},
    "total": 10,
    "finished": 4,
    "fraction": 0.4,
    "waiting_for_retry": 2,
    "rate_per_second": 2.0,
    "eta_seconds": 3.0,
    "attempts": 8,
    "failures": 3,
    "lost_attempts": 1,
    "prompt_tokens": 1200,
    "completion_tokens": 30,
    "cost": "0.001200000",
    "with_cost": 3,
    "error": None,
}


@pytest.fixture
def spec(alone, client):
    """Writes a specification for a callable; its dataset is there. The file's name."""
    if not client.datasets(name="server rows"):
        dataset = client.create_dataset({"name": "server rows"})
        mapping = {"inputs": ["a", "b"], "ground_truth": ["answer"]}
        flat = [{**row["inputs"], **row["ground_truth"]} for row in ROWS]
        client.add_datapoints(dataset, flat, mapping)

    def write(target, **changes):
        body = {"name": f"{target} on the server", "target": {"kind": "callable", "name": target}, **changes}
        body.setdefault("evaluators", [{"name": "exact_match"}])
        (alone / "spec.json").write_text(json.dumps(body))
        return "spec.json"

    return write


def test_a_run_is_started_watched_run_again_and_compared(run, document, spec):
    first = run("experiments", "start", spec("steady"), "--dataset", "server rows", "--watch")
    (run_id,) = [line[4:] for line in first.stdout.splitlines() if line.startswith("run ")]
    options = ["--dataset", "server rows", "--baseline", run_id, "--name", "again", "--tag", "x", "--watch"]
    again = document("experiments", "start", spec("steady", tags=["a"]), *options)
    rerun = document("experiments", "rerun", run_id, "--name", "once more", "--watch")

    assert first.exit_code == 0
    assert "3 passed" in first.stdout
    assert "run completed" in first.stderr
    assert (again["experiment"]["name"], again["experiment"]["tags"]) == ("again", ["a", "x"])
    assert again["experiment"]["baseline_run_id"] == again["comparison"]["old_run_id"] == run_id
    assert again["result"]["status"] == "completed"
    assert len(again["result"]["passed"]) == 3
    pinned = [each["experiment"]["dataset"]["version_id"] for each in (again, rerun)]
    assert pinned[0] == pinned[1]
    assert rerun["comparison"] is None


def test_failures_are_told_counted_and_tried_again(run, document, spec):
    failed = run("experiments", "start", spec("picky"), "--dataset", "server rows", "--watch")
    run_id = failed.stdout.split()[1]
    retried = run("experiments", "retry-failed", run_id)
    allowed = run("experiments", "watch", run_id, "--allow-failures", "--json")
    found = document("experiments", "status", run_id)

    assert (failed.exit_code, retried.exit_code, allowed.exit_code) == (1, 0, 0)
    assert "callable_error: 1 datapoints, like" in failed.stderr
    assert "ValueError: no twos" in failed.stderr
    assert "1 datapoints are tried again" in retried.stdout
    assert len(json.loads(allowed.stdout)["result"]["failed"]) == 1
    progress = found["progress"]
    assert (progress["attempts"], progress["failures"], progress["counts"]["failed"]) == (4, 2, 1)


def test_a_run_is_paused_resumed_and_cancelled(run, document, spec):
    started = document("experiments", "start", spec("slow", repetitions=50), "--dataset", "server rows")
    run_id = started["run_id"]
    late = run("experiments", "watch", run_id, "--timeout", "1")
    while document("experiments", "status", run_id)["status"] != "running":
        pass
    moves = [run("experiments", move, run_id) for move in ("pause", "resume", "cancel")]
    after = run("experiments", "watch", run_id)
    refused = run("experiments", "resume", run_id)

    assert late.exit_code == 1
    assert "after 1 s and goes on without us" in late.stderr
    assert [move.stdout for move in moves] == [f"run {run_id} {s}\n" for s in ("paused", "running", "cancelled")]
    assert (after.exit_code, refused.exit_code) == (1, 2)
    assert "150 cancelled" in after.stderr
    assert "cannot be resumed" in refused.stderr


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("- a\n", [], "spec.yaml holds no specification; give name, dataset_id and target"),
        ("name: a\nname: b\n", [], "spec.yaml, line 2: 'name' stands twice"),
        ("name: a\n", ["--dataset", "nowhere"], "There is no dataset 'nowhere'"),
        ("name: a\n", ["--dataset", "server rows"], "Field 'target': It is missing"),
        ("name: a\nrepetitions: 0\n", [], "repetitions: Give a number that is at least 1 and at most 100."),
        ("name: a\n", ["--baseline", "no such run"], "No run has the id or name 'no such run'"),
        (
            "name: a\ntarget: {kind: callable, name: unknown}\n",
            ["--dataset", "server rows"],
            "target.name",
        ),
    ],
)
def test_what_cannot_start_is_refused_in_clear_words(run, spec, alone, text, options, said):
    spec("steady")
    (alone / "spec.yaml").write_text(text)

    result = run("experiments", "start", "spec.yaml", *options)

    assert (result.exit_code, result.stdout) == (2, "")
    assert said in " ".join(result.stderr.split())


def test_runs_of_clients_are_not_the_servers(run, client):
    run_id = client.create_run({"name": "a client's own"}).run_id

    for command in ("watch", "status", "pause", "rerun"):
        result = run("experiments", command, run_id)
        assert result.exit_code == 2
        assert "executed by the server" in result.stderr or "that the server executes" in result.stderr


def test_other_servers_execute_no_runs(lonely, alone):
    (alone / "spec.json").write_text('{"name": "x"}')
    with FaultServer(is_hhweb=False) as other:
        result = lonely("experiments", "start", "spec.json", "--url", other.url, "--api-key", "k")

    assert result.exit_code == 2
    assert "is no hhweb and executes no runs; `hhweb experiments run` does it here" in result.stderr


def test_a_lost_answer_starts_nothing_twice(lonely, alone):
    (alone / "spec.json").write_text('{"name": "x"}')
    made = {"run_id": "r", "datapoint_runs": 3, "dataset": {"version": 1}}
    with FaultServer() as other:
        other.plan(drop_before_storing(), answer(503), answer(202, body=made), path="/api/v1/experiments")
        result = lonely("experiments", "start", "spec.json", "--url", other.url, "--api-key", "k")
        keys = [each.headers.get("idempotency-key") or each.headers.get("Idempotency-Key") for each in other.requests]

    assert (result.exit_code, result.stdout) == (0, "run r\n")
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert keys[0]


def progress(status="running", done=4, **more):
    counts = {**PROGRESS["counts"], "completed": done - 1, "pending": 9 - done}
    return {**PROGRESS, "status": status, "counts": counts, "finished": done, "fraction": done / 10, **more}


def test_watching_survives_a_server_that_is_away_and_says_a_line_for_each_tenth(monkeypatch, capsys):
    monkeypatch.setattr(watching, "POLL_SECONDS", (0.01, 0.01))
    with FaultServer() as other:
        other.plan(
            answer(200, body=progress("queued", 1)),
            answer(200, body=progress(done=2)),
            answer(503),
            answer(200, body=progress(done=2)),
            answer(200, body=progress(done=5)),
            answer(200, body=progress("completed", 10)),
            path="/progress",
        )
        with Client(server_url=other.url, api_key="k", retries=RetryPolicy(attempts=1)) as client:
            ended = watching.wait_for_end(client, "/api/v1/experiments/r", "r", timeout=None)

    assert ended["status"] == "completed"
    assert capsys.readouterr().err.splitlines() == [
        "run queued",
        "  1 of 10 done, 1 failed, 2.0/s, about 3 s left",
        "run running",
        "  2 of 10 done, 1 failed, 2.0/s, about 3 s left",
        "  5 of 10 done, 1 failed, 2.0/s, about 3 s left",
        "run completed",
    ]


def test_watching_ends_when_the_run_paused_by_itself(monkeypatch, capsys):
    monkeypatch.setattr(watching, "POLL_SECONDS", (0.01, 0.01))
    error = {"code": "quota_exceeded", "message": "The quota of events is used up."}
    with FaultServer() as other:
        paused = progress("paused")
        other.plan(
            answer(200, body=paused),
            answer(200, body=paused),
            answer(200, body={**paused, "error": error}),
            path="/pro",
        )
        with Client(server_url=other.url, api_key="k") as client:
            ended = watching.wait_for_end(client, "/api/v1/experiments/r", "r", timeout=None)

    assert ended["error"] == error
    assert capsys.readouterr().err.splitlines() == [
        "run paused",
        "  4 of 10 done, 1 failed, 2.0/s, about 3 s left",
        "run paused: The quota of events is used up.",
    ]


def test_status_says_what_is_known_and_nothing_else():
    found = {
        "name": "nightly",
        "run_id": "r",
        "status": "paused",
        "error": {"code": "c", "message": "Why."},
        "dataset": {"name": "d", "version": 2},
        "progress": PROGRESS,
        "errors_by_cause": [
            {"error_class": "timeout", "failed": 1, "retrying": 2, "example": "Late.", "example_datapoint_id": "p"}
        ],
    }

    assert status_lines(found) == [
        "nightly (r): paused: Why.",
        "  dataset d, version 2",
        "  4 of 10 done, 1 failed, 2.0/s, about 3 s left",
        "  5 pending, 1 running, 3 completed, 1 failed (2 to be tried again)",
        "  8 attempts, 3 failures, 1 lost with their worker",
        "  1,200 prompt tokens, 30 completion tokens, cost 0.001200000 for 3 datapoints",
        "  timeout: 3 datapoints, like p: Late.",
    ]
    bare = {**PROGRESS, "prompt_tokens": None, "completion_tokens": None, "cost": None, "lost_attempts": 0}
    assert len(status_lines({**found, "errors_by_cause": [], "error": None, "progress": bare})) == 5
