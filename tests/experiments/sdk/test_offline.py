"""evaluate() with the server away, slow to answer or unwilling, and with no room on the disk."""

import copy

import pytest

from experiments.sdk.errors import InvalidRequest
from experiments.sdk.running import open_run
from experiments.sdk.transport.client import Client, RetryPolicy
from experiments.sdk.transport.replay import replay
from experiments.sdk.transport.spool import Spool
from tests.experiments.sdk.fault_server import answer, drop_after_storing, drop_before_storing
from tests.experiments.sdk.squares import ROWS, is_spool_empty, kept, right, square

pytestmark = pytest.mark.usefixtures("no_threads_left")

RUN = "run-1"
TRACES = "/opentelemetry"


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """Little patience with a server that is away."""
    monkeypatch.setattr(open_run, "CLOSE_SECONDS", 0.3)
    monkeypatch.setattr(open_run, "START", RetryPolicy(attempts=2, first_delay_seconds=0.01))


def deliver(server):
    with Client(server_url=server.url, api_key="key") as client:
        return replay(client, Spool())


def without_times(server, run_id):
    """What the server has of a run, as a value that another run of the same data equals."""
    found = {}
    for key, session in kept(server, run_id).items():
        shown = copy.deepcopy({name: value for name, value in session.items() if not name.endswith("_time")})
        del shown["session_id"], shown["metadata"]["run_id"]
        spans = [
            {name: value for name, value in span["values"].items() if "run_id" not in name and "session_id" not in name}
            for span in server.spans.values()
            if span["values"]["honeyhive.session_id"] == session["session_id"]
        ]
        found[key] = (shown, spans)
    run = copy.deepcopy(server.runs[run_id])
    return found, {name: run[name] for name in ("name", "status", "datapoint_ids", "configuration", "metadata")}


def test_a_run_without_a_server_is_replayed_to_what_a_normal_run_is(run, server, alone, capsys):
    normal = run(square, ROWS, name="n", evaluators=[right], repetitions=2)
    server.stop()
    summary = run(square, ROWS, name="n", evaluators=[right], repetitions=2, run_id=RUN)

    assert (summary.status, summary.run_id, summary.metrics.details) == ("pending_upload", RUN, [])
    assert "No answer from" in summary.error
    assert summary.spool_path == str(alone / "spool" / f"run-{RUN}")
    assert [outcome.outputs for outcome in summary.outcomes] == [outcome.outputs for outcome in normal.outcomes]
    assert [outcome.metrics for outcome in summary.outcomes] == [{"right": True}] * 24
    assert {outcome.delivered for outcome in summary.outcomes} == {False}
    told = capsys.readouterr().err
    assert "could not take 24 finished datapoints" in told
    assert f"deliver it with `hhweb spool replay {RUN}`" in told
    waiting = f"Waiting up to 0.3 s for {server.url} to answer again; Ctrl-C does not wait."
    assert [line for line in told.splitlines() if line != waiting] == summary.notices

    server.start()
    (replayed,) = deliver(server)
    assert (replayed.error, replayed.delivered, replayed.is_finished) == (None, 24, True)
    once = without_times(server, RUN)
    assert once == without_times(server, normal.run_id)
    assert sorted(server.runs[RUN]["event_ids"]) == sorted(outcome.session_id for outcome in summary.outcomes)
    assert deliver(server) == []
    assert without_times(server, RUN) == once
    assert is_spool_empty(alone)


def test_replaying_twice_after_an_answer_was_lost_changes_nothing(run, server, alone):
    server.stop()
    run(square, ROWS, run_id=RUN)
    server.start()
    server.plan(*[drop_after_storing()] * 2, path=TRACES)
    server.plan(*[drop_after_storing()] * 2, path="/v1/runs")
    (replayed,) = deliver(server)
    assert replayed.error is None
    assert {session["metadata"]["datapoint_id"] for session in server.sessions.values()} == {
        f"EXT-row-{n}" for n in range(12)
    }
    assert len(server.sessions) == len(server.spans) == 12
    assert server.runs[RUN]["status"] == "completed"
    assert is_spool_empty(alone)


def test_a_server_that_goes_away_for_good_leaves_the_rest_in_the_spool(run, server):
    def stop_at_five(inputs):
        if inputs["n"] == 5:
            server.stop()
        return square(inputs, None)

    summary = run(stop_at_five, ROWS, run_id=RUN, max_workers=1)
    assert summary.status == "pending_upload"
    delivered = {outcome.datapoint_id for outcome in summary.outcomes if outcome.delivered}
    assert delivered == {datapoint_id for datapoint_id, _ in kept(server, RUN)} < {f"EXT-row-{n}" for n in range(6)}
    assert Spool().pending()[0].datapoints == 12 - len(delivered)
    server.start()
    deliver(server)
    assert set(kept(server, RUN)) == {(f"EXT-row-{n}", 0) for n in range(12)}
    assert server.runs[RUN]["status"] == "completed"


def test_refusals_for_a_while_and_lost_answers_are_overcome(run, server, alone, monkeypatch):
    monkeypatch.setattr(open_run, "CLOSE_SECONDS", 10.0)
    server.plan(answer(503), drop_after_storing(), path="/v1/runs", method="POST")
    server.plan(answer(429, retry_after=0.05), answer(503, retry_after=0), drop_before_storing(), path=TRACES)
    server.plan(answer(502), drop_after_storing(), path="/v1/runs", method="PUT")
    server.plan(answer(429, retry_after=0.05), answer(504), path="/result")
    summary = run(square, ROWS, run_id=RUN, evaluators=[right])
    assert summary.status == "completed"
    assert {outcome.delivered for outcome in summary.outcomes} == {True}
    assert set(kept(server, RUN)) == {(f"EXT-row-{n}", 0) for n in range(12)}
    assert summary.metrics.get_metric("right").aggregate == 1.0
    assert is_spool_empty(alone)


def test_a_batch_whose_answer_was_lost_is_stored_once(run, server, monkeypatch):
    monkeypatch.setattr(open_run, "CLOSE_SECONDS", 10.0)
    server.plan(drop_after_storing(), drop_after_storing(), path=TRACES)
    summary = run(square, ROWS, run_id=RUN)
    assert summary.status == "completed"
    assert sum(server.deliveries.values()) > 12
    assert len(server.sessions) == len(server.spans) == 12


def test_a_run_that_could_not_be_created_at_first_is_created_at_its_end(run, server, alone):
    server.plan(*[answer(503)] * 2, path="/v1/runs", method="POST")
    summary = run(square, ROWS, run_id=RUN, name="late")
    assert (summary.status, summary.notices) == ("completed", [])
    assert (server.runs[RUN]["name"], server.runs[RUN]["status"]) == ("late", "completed")
    assert len(kept(server, RUN)) == 12
    assert is_spool_empty(alone)


def test_a_run_that_the_server_refuses_is_an_error_and_leaves_nothing(run, server, alone):
    server.plan(answer(400, body={"message": "Field 'name' is too long."}), path="/v1/runs", method="POST")
    with pytest.raises(InvalidRequest, match="too long"):
        run(square, ROWS)
    assert server.sessions == {}
    assert is_spool_empty(alone)


def test_a_key_that_is_revoked_in_the_middle_leaves_everything_in_the_spool(run, server):
    def revoke(inputs):
        server.api_key = "another"
        return square(inputs, None)

    summary = run(revoke, ROWS, run_id=RUN, max_workers=1)
    assert summary.status == "pending_upload"
    assert summary.error == "The API key is unknown."
    assert Spool().pending()[0].datapoints == 12
    server.api_key = None
    deliver(server)
    assert len(kept(server, RUN)) == 12


def test_a_run_that_was_deleted_meanwhile_still_gives_back_what_was_done(run, server):
    def delete(inputs):
        server.runs.pop(RUN, None)
        return square(inputs, None)

    summary = run(delete, ROWS, run_id=RUN)
    assert summary.status == "pending_upload"
    assert "does not exist" in summary.error
    assert [outcome.outputs for outcome in summary.outcomes] == [{"value": n * n} for n in range(12)]
    assert len(kept(server, RUN)) == 12


@pytest.mark.parametrize("is_away", [False, True])
def test_a_spool_that_cannot_be_used_is_told_and_needed_only_without_a_server(
    run, server, alone, monkeypatch, capsys, is_away
):
    (alone / "file").write_text("")
    monkeypatch.setenv("HH_SPOOL_DIR", str(alone / "file" / "spool"))
    if is_away:
        server.stop()
    summary = run(square, ROWS, run_id=RUN)
    assert "cannot be used: Not a directory. Finished datapoints are kept in memory only" in summary.notices[0]
    assert summary.spool_path is None
    assert len(summary.outcomes) == 12
    if is_away:
        assert summary.status == "pending_upload"
        assert "12 finished datapoints are stored nowhere" in summary.notices[-1]
        assert "EXT-row-0, EXT-row-1" in summary.notices[-1]
    else:
        assert summary.status == "completed"
        assert len(kept(server, RUN)) == 12


@pytest.mark.parametrize("is_away", [False, True])
def test_a_spool_without_room_is_told_and_what_is_lost_is_named(run, server, alone, monkeypatch, is_away):
    monkeypatch.setenv("HH_SPOOL_MAX_BYTES", "9000")
    if is_away:
        server.stop()
    summary = run(square, ROWS, run_id=RUN, max_workers=1)
    assert any("The spool is full: 9000 bytes" in notice for notice in summary.notices)
    if not is_away:
        assert summary.status == "completed"
        assert len(kept(server, RUN)) == 12
        assert is_spool_empty(alone)
        return
    waiting = Spool().pending()[0].datapoints
    assert 0 < waiting < 12
    assert summary.status == "pending_upload"
    assert f"could not take {waiting} finished datapoints" in summary.notices[-2]
    lost = [f"EXT-row-{n}" for n in range(waiting, 12)]
    assert f"{len(lost)} finished datapoints are stored nowhere" in summary.notices[-1]
    assert summary.notices[-1].endswith(f"they end with this process: {', '.join(lost[:10])}.")
    server.start()
    deliver(server)
    assert set(kept(server, RUN)) == {(f"EXT-row-{n}", 0) for n in range(waiting)}
    # What is stored nowhere is run again, and nothing else.
    calls = []
    run(lambda inputs: calls.append(inputs["n"]), ROWS, resume=RUN, max_workers=1)
    assert calls == list(range(waiting, 12))


def test_a_result_that_cannot_be_read_does_not_hide_that_all_is_stored(run, server):
    server.plan(answer(400, body={"message": "no result today"}), path="/result")
    summary = run(square, ROWS, run_id=RUN)
    assert (summary.status, summary.error) == ("completed", "no result today")
    assert summary.notices == ["Everything is stored, but the result could not be read (no result today)."]
    assert len(summary.outcomes) == len(kept(server, RUN)) == 12
