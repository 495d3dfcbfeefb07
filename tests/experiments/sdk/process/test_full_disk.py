"""A full disk for the spool, in real processes: nothing is lost while the server answers; else the loss is named."""

import os
import subprocess

import pytest

from experiments.sdk.transport.client import Client
from experiments.sdk.transport.replay import replay
from experiments.sdk.transport.spool import Spool
from tests.experiments.sdk.squares import kept

pytestmark = pytest.mark.process

RUN = "run-1"
COUNT = 60


@pytest.fixture
def limits(alone):
    """Settings of a client whose spool has room for a few datapoints: a small disk, else small files."""
    (alone / "spool").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20k", "tmpfs", str(alone / "spool")]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        yield {"file_bytes": 12_000}
        return
    yield {}
    subprocess.run(["umount", str(alone / "spool")], check=True)


def test_a_full_disk_loses_nothing_while_the_server_answers(server, start, alone, limits):
    child = start(run_id=RUN, datapoints=COUNT, **limits)
    code, summary = child.ended()
    assert (code, summary["status"], summary["spool_path"]) == (0, "completed", None)
    assert set(kept(server, RUN)) == {(f"EXT-row-{n}", 0) for n in range(COUNT)}
    assert server.runs[RUN]["status"] == "completed"
    assert "Traceback" not in child.said()
    assert Spool().pending() == []


def test_a_full_disk_without_a_server_keeps_what_it_can_and_names_the_rest(server, start, alone, limits):
    server.stop()
    child = start(run_id=RUN, datapoints=COUNT, patience=0.2, workers=1, **limits)
    code, summary = child.ended()
    assert (code, summary["status"]) == (0, "pending_upload")
    assert "Traceback" not in child.said()
    assert set(summary["notices"]) <= set(child.said().splitlines())
    assert "cannot be written" in child.said()

    (waiting,) = Spool().pending()
    count = waiting.datapoints
    assert 0 < count < COUNT
    assert f"{COUNT - count} finished datapoints are stored nowhere" in summary["notices"][-1]
    assert f"they end with this process: EXT-row-{count}, EXT-row-{count + 1}," in summary["notices"][-1]
    server.start()
    with Client(server_url=server.url, api_key="key") as client:
        (replayed,) = replay(client, Spool())
    assert (replayed.error, replayed.delivered) == (None, count)
    assert set(kept(server, RUN)) == {(f"EXT-row-{n}", 0) for n in range(count)}
