"""What an experiment leaves behind in its process: no thread, no file, no socket, and hardly any memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.sdk.transport.spool import Spool
from tests.hhweb.running import clean_environment

pytestmark = pytest.mark.process

FULL = os.environ.get("HHWEB_PROOF") == "1"
PROGRAM = Path(__file__).with_name("footprint_program.py")
# Of 1,000 datapoints with what their outcomes hold; the allocator keeps some of it.
TOLERATED_MB = 12.0


def measured(server, folder, *arguments):
    done = subprocess.run(
        [sys.executable, str(PROGRAM), server.url, *arguments],
        env=clean_environment() | {"HH_SPOOL_DIR": str(folder / "spool"), "CI": "1"},
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_a_thousand_datapoints_leave_no_thread_file_or_socket_and_little_memory(server, alone):
    found = measured(server, alone, "1000")
    before, after = found["before"], found["after"]
    assert found["statuses"] == ["completed"] * 3
    assert len(server.sessions) == 1100
    assert after["python_threads"] == before["python_threads"] == ["MainThread"]
    assert after["threads"] <= before["threads"]
    assert after["files"] <= before["files"]
    assert after["sockets"] == before["sockets"] == 0
    assert after["resident_mb"] - before["resident_mb"] < TOLERATED_MB
    assert Spool().pending() == []


def test_a_long_run_without_a_server_waits_on_disk_and_not_in_memory(server, alone):
    server.stop()
    count = 20_000 if FULL else 1_000
    found = measured(server, alone, str(count), "offline")
    assert found["statuses"] == ["pending_upload"] * 3
    assert sorted(each.datapoints for each in Spool().pending()) == [50, 50, count]
    # About 4 kB a datapoint on disk; its inputs, outputs and outcome, which the caller gets back, stay in memory.
    assert sum(each.bytes for each in Spool().pending()) > 3_000 * count
    assert found["after"]["resident_mb"] - found["before"]["resident_mb"] < TOLERATED_MB + count / 1000
