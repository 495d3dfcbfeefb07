"""`hhweb up`: from an empty folder to serving, through the death of every part, to a clean end."""

import contextlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.hhweb.running import ROOT, Platform, clean_environment, runs, wait_for

pytestmark = pytest.mark.process
PASSWD = Path("/etc/passwd")
PARTS = {
    "web": ("gunicorn",),
    "worker": ("hhweb.jobs",),
    "sweeper": ("hhweb.sweeper",),
    "redis": ("redis-server",),
}


@pytest.fixture(scope="module")
def platform(server_folder):
    started = Platform(server_folder / "sqlite").start()
    yield started
    started.kill_everything()


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `hhweb …` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "hhweb.cli", *arguments],
        env=clean_environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_first_start_writes_private_credentials_and_prints_them(platform):
    file = platform.data / "credentials.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(platform.data.stat().st_mode) == 0o700
    found = platform.credentials
    assert sorted(found) == ["admin_password", "admin_user", "api_key", "ingestion_api_key", "project", "url"]
    assert re.fullmatch(r"hh_[A-Za-z0-9]{24}_[A-Za-z0-9_-]{64}", found["api_key"])
    assert re.fullmatch(r"hh_ingst_[A-Za-z0-9]{24}_[A-Za-z0-9_-]{64}", found["ingestion_api_key"])
    said = platform.said()
    for name in ("url", "admin_user", "admin_password", "api_key", "ingestion_api_key", "project"):
        assert found[name] in said
    assert said.count(found["admin_password"]) == 1


def test_health_answers(platform):
    assert platform.get("/health/live").json() == {"status": "live"}
    ready = platform.get("/health/ready")
    assert ready.json() == {"status": "ready", "checks": {"database": "ok", "migrations": "ok", "redis": "ok"}}
    assert re.fullmatch(r"[0-9a-f-]{36}", ready.headers["x-request-id"])


def test_second_start_on_the_folder_is_refused(platform):
    refused = command("up", "--port", "0", "--data", str(platform.data))
    assert refused.returncode == 1
    assert f"already runs on {platform.data} (pid {platform.process.pid}, {platform.url})" in refused.stderr
    assert platform.is_ready()


def test_busy_port_is_named_and_nothing_is_left(platform, server_folder):
    port = platform.url.rpartition(":")[2]
    refused = command("up", "--port", port, "--data", str(server_folder / "busy"))
    assert refused.returncode == 1
    assert f"Port {port} of 127.0.0.1 is in use by another program; choose another with --port." in refused.stderr
    assert not (server_folder / "busy" / "credentials.json").exists()
    assert not (server_folder / "busy" / "redis").exists()


def test_other_database_for_a_made_folder_is_refused(platform, server_folder):
    platform_record = (platform.data / "installation.json").read_text()
    assert '"database": "sqlite"' in platform_record
    folder = server_folder / "other"
    folder.mkdir(mode=0o700)
    (folder / "installation.json").write_text(platform_record)
    refused = command("up", "--port", "0", "--data", str(folder), "--database", "postgres")
    assert refused.returncode == 1
    assert "was made with --database sqlite and keeps it" in refused.stderr


def test_management_commands_run_on_the_folder(platform):
    done = command("manage", "--data", str(platform.data), "migrate", "--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_at_rest_loads_numpy_and_memory_stays_small(platform):
    total = 0
    names = [("gunicorn",), ("hhweb.jobs",)]
    for process in [p for words in names for p in platform.find(*words)]:
        maps = "".join(m.path for m in process.memory_maps())
        assert "numpy" not in maps
        assert "scipy" not in maps
        total += process.memory_full_info().pss
    assert 50 < total / 2**20 < 350


def test_counters_of_all_processes_are_one_figure_and_survive_a_kill(platform):
    token = {"Authorization": f"Bearer {_telemetry_token(platform)}"}

    def answered() -> float:
        text = platform.get("/internal/prometheus", **token).text
        name = 'django_http_responses_total_by_status_total{status="200"}'
        return float(next(line.split()[1] for line in text.splitlines() if line.startswith(name)))

    assert platform.get("/internal/prometheus").status_code == 401
    before = answered()
    for _ in range(30):  # a new connection each: both web processes get some
        platform.get("/health/live")
    counted = answered()
    assert counted == before + 31  # the scrape itself is counted after it was answered
    victim = platform.find("gunicorn")[-1]
    victim.kill()
    wait_for(lambda: not runs(victim), "death")
    wait_for(platform.is_ready, "ready")
    assert answered() > counted


def test_worker_counts_its_tasks_and_queues_are_seen(platform):
    token = {"Authorization": f"Bearer {_telemetry_token(platform)}"}
    sent = command(
        "manage",
        *("--data", str(platform.data), "shell", "--command"),
        "from hhweb.celery import app; app.send_task('celery.backend_cleanup')",
    )
    assert sent.returncode == 0, sent.stderr
    line = 'hhweb_finished_tasks_total{outcome="success",task="celery.backend_cleanup"} 1.0'
    text = wait_for(lambda: _has(platform, token, line), "the count", 30)
    assert 'hhweb_queue_depth{queue="jobs"} 0.0' in text
    assert 'hhweb_queue_depth{queue="sweeps"} 0.0' in text
    assert 'hhweb_jobs{kind="audit_verification",state="pending"} 0.0' in text
    assert 'hhweb_scrape_failures{source="database"} 0.0' in text
    log = (platform.data / "logs" / "worker.log").read_text()
    assert re.search(r"task_succeeded.*task_id=[0-9a-f-]{36}", log)


def test_sweeps_go_on_while_the_worker_is_busy(platform):
    token = {"Authorization": f"Bearer {_telemetry_token(platform)}"}
    name = 'hhweb_finished_tasks_total{outcome="success",task="experiments.tasks.sweeps.sweep_lost_experiments"}'

    def finished():
        lines = platform.get("/internal/prometheus", **token).text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    workers = platform.find(*PARTS["worker"])
    for process in workers:
        process.suspend()
    try:
        before = finished()
        wait_for(lambda: finished() >= before + 2, "two more sweeps", 30)
    finally:
        for process in workers:
            process.resume()


def test_no_key_reaches_a_log(platform):
    platform.get("/v1/runs?secret=query", Authorization=f"Bearer {platform.credentials['api_key']}")
    logs = "".join(path.read_text() for path in (platform.data / "logs").iterdir())
    assert "/v1/runs" in logs
    assert "secret=query" not in logs
    for name in ("api_key", "ingestion_api_key", "admin_password"):
        assert platform.credentials[name] not in logs


@pytest.mark.parametrize("part", list(PARTS))
def test_killed_part_comes_back(platform, part):
    old = platform.find(*PARTS[part])[0]
    old.kill()
    wait_for(lambda: f"{part} ended with signal SIGKILL" in platform.said(), "the notice")
    wait_for(lambda: [p for p in platform.find(*PARTS[part]) if p.pid != old.pid], "the restart")
    wait_for(platform.is_ready, "ready")
    assert platform.process.poll() is None


def test_killed_up_leaves_a_folder_that_starts_again(platform):
    old = platform.url
    platform.descendants()
    platform.process.kill()
    platform.process.wait()
    killed_at = time.monotonic()
    platform.start()
    assert platform.is_ready()
    assert time.monotonic() - killed_at < 30
    # What was left of the killed start is gone: every process seen belongs to the new one.
    now = {p.pid for p in platform.descendants()}
    assert {p.pid for p in platform.survivors()} <= now
    assert platform.url != old or old in platform.said()


def test_later_start_says_where_the_keys_are_and_shows_none(platform):
    said = platform.said()
    assert str(platform.data / "credentials.json") in said
    for name in ("api_key", "ingestion_api_key", "admin_password"):
        assert platform.credentials[name] not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_everything_cleanly(platform, number):
    if platform.process.poll() is not None:
        platform.start()
    assert platform.stop(number) == 0
    assert platform.said().rstrip().endswith("hhweb has stopped.")
    assert platform.survivors() == []
    assert not (platform.data / "redis" / "redis.sock").exists()


def test_start_on_a_migrated_database_costs_under_five_seconds_of_processor(platform):
    # Until the web answers the parts start one after another, so this bounds the time on an idle machine, and
    # unlike that time it does not depend on what else runs; benchmarks/footprint.py measures the clock.
    if platform.process.poll() is None:
        platform.stop()
    platform.start()
    spent = psutil.Process(platform.process.pid).cpu_times()
    seconds = sum(spent)
    for process in platform.descendants():
        with contextlib.suppress(psutil.NoSuchProcess):
            seconds += sum(process.cpu_times()[:2])
    platform.stop()
    assert seconds < 5


def test_postgres_survives_kills_and_changes_no_mode_outside(server_folder):
    outside = [path for path in [*server_folder.parents, server_folder, ROOT, *ROOT.parents] if path.exists()]
    modes = {path: path.stat().st_mode for path in outside}
    users = PASSWD.read_text()
    platform = Platform(server_folder / "postgres", "--database", "postgres").start()
    try:
        assert platform.is_ready()
        postmaster = platform.find("postgres", "-D")[0]
        assert postmaster.uids().real == (os.geteuid() or 65534)
        listening = [c for p in platform.descendants() for c in p.net_connections("inet") if c.status == "LISTEN"]
        assert {c.laddr.port for c in listening} == {int(platform.url.rpartition(":")[2])}
        postmaster.kill()
        wait_for(lambda: "postgres ended with signal SIGKILL" in platform.said(), "the notice")
        wait_for(platform.is_ready, "ready")
        platform.descendants()
        platform.process.kill()
        platform.process.wait()
        platform.start()
        assert platform.is_ready()
        assert platform.credentials["api_key"] not in platform.said()
        assert platform.stop() == 0
        assert platform.survivors() == []
    finally:
        platform.kill_everything()
        note = platform.data / "postgres-folder"
        if note.exists():
            subprocess.run(["rm", "-rf", note.read_text().strip()], check=False)
    assert {path: path.stat().st_mode for path in outside} == modes
    assert PASSWD.read_text() == users


def _telemetry_token(platform: Platform) -> str:
    return str(json.loads((platform.data / "installation.json").read_text())["telemetry_token"])


def _has(platform: Platform, headers: dict[str, str], line: str) -> str:
    text = platform.get("/internal/prometheus", **headers).text
    return text if line in text else ""
