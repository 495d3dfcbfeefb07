"""The bundled Redis and PostgreSQL, started by our own launcher code."""

import os
import shutil
import stat
import subprocess
import time
from pathlib import Path

import psycopg
import pytest
import redis

from hhweb.embedded import postgres_server, processes
from hhweb.embedded.postgres_server import PostgresServer
from hhweb.embedded.processes import EmbeddedServerError
from hhweb.embedded.redis_server import RedisServer


@pytest.fixture
def folder(server_folder, request):
    own = server_folder / f"s{abs(hash(request.node.name)) % 10**8}"
    own.mkdir(mode=0o711)
    yield own
    shutil.rmtree(own)


@pytest.fixture
def redis_server(folder):
    server = RedisServer(folder / "redis")
    server.start()
    yield server
    server.stop()


def test_redis_listens_on_its_private_socket_only(redis_server):
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}
    assert stat.S_IMODE(redis_server.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(redis_server.socket.stat().st_mode) == 0o700


def test_redis_keeps_what_it_was_told_through_a_kill(redis_server):
    with redis.Redis.from_url(redis_server.url) as client:
        client.rpush("jobs", "a", "b")
        time.sleep(1.2)  # appendfsync everysec
    redis_server.process.kill()
    redis_server.process.wait()
    redis_server.start()
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.lrange("jobs", 0, -1) == [b"a", b"b"]


def test_redis_left_over_is_replaced(redis_server):
    left_over = redis_server.process
    second = RedisServer(redis_server.folder)
    second.start()
    try:
        assert left_over.wait(5) == 0
        assert second.answers()
    finally:
        second.stop()
    assert not second.answers()


def test_redis_that_cannot_start_says_why(folder):
    server = RedisServer(folder / "redis")
    (server.folder / "appendonly.aof").write_text("not a log of redis\n")
    with pytest.raises(EmbeddedServerError, match=r"did not start; .*redis.log says"):
        server.start()
    assert not server.pid_file.exists()


def test_too_long_a_path_gets_a_short_private_socket_folder(folder):
    deep = folder / ("x" * 60) / ("y" * 60)
    deep.mkdir(parents=True)
    server = RedisServer(deep / "redis")
    server.start()
    try:
        assert len(os.fsencode(server.socket)) <= 107
        assert stat.S_IMODE(server.socket.parent.stat().st_mode) == 0o700
        assert server.answers()
    finally:
        server.stop()
    assert not server.socket.parent.exists()


def test_folder_of_somebody_else_is_refused(folder):
    (folder / "link").symlink_to(folder)
    with pytest.raises(EmbeddedServerError, match="not a folder owned by uid"):
        RedisServer(folder / "link")


@pytest.fixture
def postgres(folder):
    server = PostgresServer(folder / "pg", password="it's a \\ password", settings={"fsync": "off"})
    server.start()
    yield server
    server.stop()


def test_postgres_serves_its_socket_only_and_wants_the_password(postgres):
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        assert connection.execute("SELECT current_database()").fetchone() == ("hhweb",)
        connection.execute("CREATE EXTENSION vector")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(host=str(postgres.sockets), user="hhweb", password="wrong", dbname="hhweb")


def test_postgres_keeps_commits_through_a_kill_and_replaces_a_left_over(postgres):
    with psycopg.connect(postgres.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    os.killpg(postgres.process.pid, 9)
    postgres.process.wait()
    postgres.start()
    left_over = postgres.process
    second = PostgresServer(postgres.folder, password=postgres.password)
    second.start()
    try:
        assert left_over.wait(5) == 0
        with psycopg.connect(second.url) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    finally:
        second.stop()


def test_postgres_that_cannot_start_says_why(postgres):
    postgres.stop()
    with (postgres.data / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.raises(EmbeddedServerError, match="no_such_setting"):
        postgres.start(seconds=10)


def test_folder_that_is_no_cluster_is_left_alone(folder):
    server = PostgresServer(folder / "pg", password="x")
    server.data.mkdir()
    (server.data / "precious").write_text("data")
    with pytest.raises(EmbeddedServerError, match="is no PostgreSQL cluster"):
        server.start()
    assert (server.data / "precious").read_text() == "data"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_root_runs_postgres_as_nobody_and_changes_no_mode_outside(folder):
    outside = {path: path.stat().st_mode for path in [folder, *folder.parents]}
    server = PostgresServer(folder / "pg", password="x", settings={"fsync": "off"})
    server.start()
    try:
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        assert f"Uid:\t{server.uid}\t{server.uid}\t{server.uid}\t{server.uid}" in status
        assert server.uid != 0
    finally:
        server.stop()
    assert {path: path.stat().st_mode for path in outside} == outside
    assert (server.folder.stat().st_uid, stat.S_IMODE(server.folder.stat().st_mode)) == (server.uid, 0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_programs_out_of_reach_are_copied_once(folder, monkeypatch):
    uid, gid = postgres_server.server_identity()
    monkeypatch.setattr(postgres_server, "_runs", lambda command, uid, gid: False)
    first = postgres_server.binaries(uid=uid, gid=gid, state_folder=folder / "state")
    asked = subprocess.run([first / "postgres", "--version"], user=uid, group=gid, extra_groups=[], cwd="/", check=True)
    assert asked.returncode == 0
    made_at = first.stat().st_mtime_ns
    assert postgres_server.binaries(uid=uid, gid=gid, state_folder=folder / "state") == first
    assert first.stat().st_mtime_ns == made_at
    assert len(list((folder / "state").iterdir())) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="root's data folder is out of reach for the server's user")
def test_cluster_of_a_remade_data_folder_is_a_new_one(tmp_path):
    first = postgres_server.cluster_folder(tmp_path)
    assert postgres_server.cluster_folder(tmp_path) == first
    (tmp_path / "postgres-folder").unlink()
    assert postgres_server.cluster_folder(tmp_path) != first


def test_child_ends_with_its_parent(tmp_path):
    script = (
        "import sys, time; from hhweb.embedded import processes; "
        "child = processes.start(['sleep', '60'], output=None); print(child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [os.sys.executable, "-c", script], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(Path.cwd())}
    )
    pid = int(parent.stdout.readline())
    assert processes.started_at(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert processes.wait_until(lambda: not processes.started_at(pid), seconds=5)


def test_note_of_an_ended_process_is_stale(tmp_path):
    child = processes.start(["sleep", "60"], output=None)
    processes.note_pid(tmp_path / "note", child.pid)
    assert processes.noted_pid(tmp_path / "note") == child.pid
    assert processes.end(child) == -15
    assert processes.noted_pid(tmp_path / "note") is None
    assert processes.noted_pid(tmp_path / "none") is None
    (tmp_path / "note").write_text(f"{os.getpid()} 1\n")  # the pid was used again
    assert processes.noted_pid(tmp_path / "note") is None


def test_child_that_ignores_the_request_is_killed():
    child = processes.start(["sh", "-c", "trap '' TERM; echo; sleep 60; sleep 60"], output=subprocess.PIPE)
    child.stdout.readline()
    assert processes.end(child, seconds=0.3) == -9
    child.stdout.close()
    stubborn = processes.start(["sh", "-c", "trap '' TERM; echo; sleep 60; sleep 60"], output=subprocess.PIPE)
    stubborn.stdout.readline()
    started = processes.started_at(stubborn.pid)
    processes.end_leftover(stubborn.pid, seconds=0.3)
    assert processes.started_at(stubborn.pid) != started
    stubborn.wait()
    stubborn.stdout.close()
    processes.end_leftover(stubborn.pid)
    assert processes.command_line(stubborn.pid) == []
