"""Replay: what waits in the spool comes to the server once, however often it is tried and whoever was killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.sdk.errors import ConfigurationError, SpoolError
from experiments.sdk.transport.client import Client, RetryPolicy
from experiments.sdk.transport.delivery import Delivery
from experiments.sdk.transport.replay import ReplayedRun, replay
from experiments.sdk.transport.spool import Spool
from tests.experiments.sdk.fault_server import FaultServer, answer, drop_after_storing
from tests.experiments.sdk.transport.samples import HEADER, RUN, client_of, finished, session_id

ROOT = Path(__file__).resolve().parents[4]
FINISH = {"status": "completed", "event_ids": [session_id(number) for number in range(5)]}


def ids(count: int) -> set[str]:
    return {session_id(number) for number in range(count)}


def left_waiting(spool: Spool, url: str, *, count: int = 5, run_id: str = RUN, is_finished: bool = True) -> None:
    """A run that came to its end while the server was away, or was killed before."""
    create = {"run_id": run_id, "name": "nightly"}
    run_spool = spool.open_run(run_id, {**HEADER, "server_url": url, "create": create})
    for number in range(count):
        run_spool.append(finished(number, run_id))
    if is_finished:
        run_spool.finish(FINISH)
    run_spool.close()


def test_a_run_is_created_then_filled_then_ended(server: FaultServer, client: Client, spool: Spool) -> None:
    left_waiting(spool, server.url)
    seen: list[ReplayedRun] = []
    done = replay(client, spool, on_progress=seen.append)
    expected = ReplayedRun(RUN, "nightly", server.url, delivered=5, is_finished=True)
    assert done == seen == [expected]
    assert [(each.method, each.path) for each in server.requests] == [
        ("POST", "/v1/runs"),
        ("POST", "/opentelemetry/v1/traces"),
        ("PUT", "/v1/runs/run-1"),
    ]
    assert set(server.sessions) == ids(5)
    assert server.runs[RUN]["status"] == "completed"
    assert list(spool.folder.iterdir()) == []
    assert replay(client, spool) == []


def test_the_same_spool_replayed_twice_doubles_nothing(
    server: FaultServer, client: Client, spool: Spool, tmp_path: Path
) -> None:
    left_waiting(spool, server.url)
    shutil.copytree(spool.folder, tmp_path / "copy")
    replay(client, spool)
    before = (dict(server.sessions), dict(server.spans), dict(server.runs))
    (again,) = replay(client, Spool(tmp_path / "copy"))
    assert (again.delivered, again.error, again.is_finished) == (5, None, True)
    assert (server.sessions, server.spans, server.runs) == before


@pytest.mark.parametrize("path", ["/v1/runs", "/opentelemetry", "/v1/runs/run-1"])
def test_a_lost_answer_at_any_step_is_made_good(server: FaultServer, client: Client, spool: Spool, path: str) -> None:
    left_waiting(spool, server.url)
    server.plan(drop_after_storing(), path=path, when=lambda request: request.path.endswith((path, "traces")))
    (done,) = replay(client, spool)
    assert (done.delivered, done.error, done.is_finished) == (5, None, True)
    assert (set(server.sessions), len(server.runs), len(server.spans)) == (ids(5), 1, 10)


@pytest.mark.parametrize("path", ["/v1/runs", "/opentelemetry", "/v1/runs/run-1"])
def test_a_replay_that_fails_in_the_middle_goes_on_where_it_stopped(
    server: FaultServer, spool: Spool, path: str
) -> None:
    left_waiting(spool, server.url)
    server.plan(*[answer(503, retry_after=900)] * 2, path=path)
    with client_of(server.url, retries=RetryPolicy(attempts=1)) as client:
        (first,) = replay(client, spool, timeout_seconds=1.0)
        assert first.error is not None
        assert "planned 503" in first.error
        assert [each.is_finished for each in spool.pending()] == [True]
        server.forget_plans()
        (second,) = replay(client, spool)
    assert (second.error, second.is_finished) == (None, True)
    assert set(server.sessions) == ids(5)
    assert spool.pending() == []


def test_an_interrupt_keeps_the_end_of_the_run(
    server: FaultServer, client: Client, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_waiting(spool, server.url)

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(client, "update_run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            replay(client, spool)
    (done,) = replay(client, spool)
    assert (done.delivered, done.is_finished, server.runs[RUN]["status"]) == (0, True, "completed")


def test_runs_of_other_servers_are_refused_with_the_remedy(server: FaultServer, client: Client, spool: Spool) -> None:
    left_waiting(spool, "http://elsewhere.test")
    (refused,) = replay(client, spool)
    assert refused.error == (
        f"It waits for http://elsewhere.test, not for {server.url}: replay it with that address and its key."
    )
    assert (server.requests, refused.pending) == ([], 5)
    (moved,) = replay(client, spool, allow_other_server=True)
    assert (moved.error, set(server.sessions)) == (None, ids(5))


def test_a_function_gives_each_server_its_client(server: FaultServer, spool: Spool) -> None:
    left_waiting(spool, server.url)
    left_waiting(spool, "http://elsewhere.test", run_id="run-2")
    made: list[Client] = []

    def client_for(url: str) -> Client:
        if url != server.url:
            raise ConfigurationError(f"No key for {url}.")
        made.append(client_of(url))
        return made[-1]

    first, second = replay(client_for, spool)
    assert (first.run_id, first.error, first.is_finished) == (RUN, None, True)
    assert (second.run_id, second.error, second.pending) == ("run-2", "No key for http://elsewhere.test.", 5)
    with pytest.raises(Exception, match="closed"):
        made[0].list_runs()


def test_one_run_can_be_chosen(server: FaultServer, client: Client, spool: Spool) -> None:
    left_waiting(spool, server.url)
    left_waiting(spool, server.url, run_id="run-2")
    assert [each.run_id for each in replay(client, spool, run_id="run-2")] == ["run-2"]
    assert replay(client, spool, run_id="unknown") == []
    assert [each.run_id for each in spool.pending()] == [RUN]


def test_a_living_run_is_left_alone(server: FaultServer, client: Client, spool: Spool) -> None:
    run_spool = spool.open_run(RUN, {"server_url": server.url, **HEADER})
    run_spool.append(finished(0))
    (busy,) = replay(client, spool)
    assert (busy.is_busy, busy.error) == (True, "It is being executed or replayed by another process.")
    assert server.requests == []
    run_spool.close()


def test_what_the_server_refuses_stays_until_it_is_thrown_away(
    server: FaultServer, client: Client, spool: Spool
) -> None:
    left_waiting(spool, server.url)
    bad = session_id(3).encode()
    server.plan(*[answer(400)] * 20, path="/opentelemetry", when=lambda request: bad in request.raw)
    (done,) = replay(client, spool)
    assert (done.delivered, done.pending, done.error, done.is_finished) == (4, 0, None, True)
    assert done.refused == {session_id(3): "planned 400"}
    assert [each.datapoints for each in spool.pending()] == [1]
    assert spool.discard(RUN) == 1
    assert spool.pending() == []


def test_too_little_time_is_said(server: FaultServer, client: Client, spool: Spool) -> None:
    left_waiting(spool, server.url)
    (done,) = replay(client, spool, timeout_seconds=0.0)
    assert (done.pending, done.error) == (5, "5 datapoints were not taken within 0 s.")


def test_a_spool_that_is_no_folder_is_an_error(client: Client, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolError, match="cannot be read"):
        replay(client, Spool(tmp_path / "file"))


# --- killed processes


def started(url: str, folder: Path, count: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.experiments.sdk.transport.child", url, str(folder), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def killed_after(child: "subprocess.Popen[str]", count: int) -> int:
    """Kill the child once it has put so many datapoints; how many it had put."""
    assert child.stdout is not None
    for _ in range(count):
        child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    rest = child.stdout.read().split()
    child.wait()
    child.stdout.close()
    return count + len(rest)


@pytest.mark.parametrize("is_away", [True, False])
def test_a_killed_client_loses_no_finished_datapoint(
    server: FaultServer, client: Client, spool: Spool, is_away: bool
) -> None:
    if is_away:
        server.stop()
    else:
        server.plan(answer(503), drop_after_storing(), answer(503), path="/opentelemetry")
    child = started(server.url, spool.folder, 100_000)
    put = killed_after(child, 150)
    (pending,) = spool.pending()
    assert (pending.is_locked, pending.is_finished) == (False, False)
    if is_away:
        assert put <= pending.datapoints <= put + 1  # one may be on disk of which nobody was told
        server.start()
    (done,) = replay(client, spool)
    assert (done.error, done.is_finished) == (None, False)
    expected = ids(put)
    assert expected <= set(server.sessions) <= expected | {session_id(put)}
    assert len(server.spans) == 2 * len(server.sessions)
    assert RUN in server.runs
    assert spool.pending() == []


def test_a_killed_replay_loses_nothing(server: FaultServer, client: Client, spool: Spool) -> None:
    left_waiting(spool, server.url, count=40)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # delivers eight, then is killed while the server hangs
        try:
            run_spool = spool.reopen(RUN)
            Delivery(client_of(server.url), run_spool, batch_datapoints=8).start()
            os.read(reading, 1)
        finally:
            os._exit(1)
    while len(server.sessions) < 8:
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)
    (done,) = replay(client, spool)
    assert done.error is None
    assert set(server.sessions) == ids(40)
    assert len(server.spans) == 80
