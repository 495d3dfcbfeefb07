"""The launcher inside this process: what needs no real `hhweb up` to be seen."""

import json
import os
import signal
import socket
import stat
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from hhweb import cli
from hhweb.embedded import installation as installations
from hhweb.embedded import launcher as launchers
from hhweb.embedded import processes, supervisor
from hhweb.embedded.installation import Installation
from hhweb.embedded.launcher import Launcher, listen
from hhweb.embedded.processes import EmbeddedServerError
from hhweb.embedded.supervisor import Program, Supervisor
from tests.hhweb.running import clean_environment


@pytest.fixture
def signals_restored():
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_new_folder_is_private_and_keeps_its_secrets(tmp_path):
    made = Installation(tmp_path / "a" / "data")
    record = made.record()
    assert stat.S_IMODE(made.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(made.record_file.stat().st_mode) == 0o600
    assert record["database"] == "sqlite"
    assert Installation(tmp_path / "a" / "data").record() == record
    assert made.postgres() is None
    with pytest.raises(EmbeddedServerError, match="was made with --database sqlite"):
        Installation(made.folder, database="postgres").record()


def test_folder_of_other_things_is_not_taken_over(tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(EmbeddedServerError, match="no data folder of hhweb"):
        Installation(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_broken_record_is_named(tmp_path):
    made = Installation(tmp_path / "data")
    made.record_file.write_text("{")
    with pytest.raises(EmbeddedServerError, match="is not JSON any more; restore it"):
        made.record()


def test_second_lock_says_who_holds_the_first(tmp_path):
    first, second = Installation(tmp_path / "data"), Installation(tmp_path / "data")
    first.lock()
    first.say_in_lock("pid 7, http://127.0.0.1:1")
    with pytest.raises(EmbeddedServerError, match=r"already runs on .* \(pid 7, http://127.0.0.1:1\)"):
        second.lock()
    first.unlock()
    second.lock()
    second.unlock()


def test_environment_keeps_the_operators_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("HHWEB_WEB_THREADS", "7")
    monkeypatch.setenv("HHWEB_SECRET_KEY", "from outside")
    monkeypatch.setenv("HHWEB_TELEMETRY_TOKEN", "from outside")
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    made = Installation(tmp_path / "data")
    env = made.environment(redis_url="unix:///r", postgres_url="postgresql:///p")
    assert env["HHWEB_WEB_THREADS"] == "7"
    assert env["HHWEB_TELEMETRY_TOKEN"] == "from outside"
    assert env["HHWEB_SECRET_KEY"] == made.record()["secret_key"]
    assert (env["HHWEB_REDIS_URL"], env["HHWEB_DATABASE_URL"]) == ("unix:///r", "postgresql:///p")
    assert env[installations.MARK] == str(made.folder)
    assert env["PYTHONPYCACHEPREFIX"].startswith(str(made.folder))


def test_busy_unknown_and_forbidden_addresses_are_told_apart(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(EmbeddedServerError, match=r"in use by another program; choose another with --port"):
            listen("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(EmbeddedServerError, match="is not an address of this machine"):
        listen("no such host", 0)
    with pytest.raises(EmbeddedServerError, match="cannot be listened on"):
        listen("192.0.2.1", 0)

    def refuse(self, address):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(EmbeddedServerError, match="may be opened by root only"):
        listen("127.0.0.1", 80)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8"),
        ("0.0.0.0", "http://127.0.0.1:8"),
        ("::", "http://[::1]:8"),
        ("::1", "http://[::1]:8"),
    ],
)
def test_url_is_one_that_this_machine_can_open(tmp_path, host, url):
    assert Launcher(Installation(tmp_path / "data"), host=host, port=8, say=print).url == url


def _run_until_said(launcher: Launcher, said: list[str], words: str) -> None:
    def stop_when_said() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end and not any(words in line for line in said):
            time.sleep(0.05)
        launcher.stopping.set()

    watcher = threading.Thread(target=stop_when_said)
    watcher.start()
    try:
        launcher.run()
    finally:
        launcher.stopping.set()
        watcher.join()


environment = Installation.environment


@pytest.mark.process
def test_launcher_serves_and_stops_in_this_process(server_folder, monkeypatch, signals_restored):
    for name in [name for name in os.environ if name.startswith("HHWEB_")]:
        monkeypatch.delenv(name)
    compiled = clean_environment()["PYTHONPYCACHEPREFIX"]  # shared with the other process tests
    monkeypatch.setattr(
        Installation, "environment", lambda *a, **k: {**environment(*a, **k), "PYTHONPYCACHEPREFIX": compiled}
    )
    monkeypatch.setenv("HHWEB_WEB_PROCESSES", "1")
    said: list[str] = []
    made = Installation(server_folder / "inside")
    _run_until_said(Launcher(made, host="127.0.0.1", port=0, say=said.append), said, "ready at")
    credentials = json.loads(made.credentials_file.read_text())
    assert any(credentials["api_key"] in line for line in said)
    assert said[-1] == "hhweb has stopped."
    assert supervisor.launched_from(installations.MARK, str(made.folder)) == []
    said.clear()
    made = Installation(server_folder / "inside")
    _run_until_said(Launcher(made, host="127.0.0.1", port=0, say=said.append), said, "login and keys")
    assert not any(credentials["api_key"] in line for line in said)
    assert json.loads(made.credentials_file.read_text())["api_key"] == credentials["api_key"]
    assert launchers.manage(made, ["migrate", "--plan"]) == 0


def test_failed_preparation_is_shown_and_nothing_runs_on(server_folder, monkeypatch, signals_restored):
    for name in [name for name in os.environ if name.startswith("HHWEB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HHWEB_WEB_THREADS", "none")
    made = Installation(server_folder / "faulty")
    with pytest.raises(EmbeddedServerError, match=r"(?s)Preparing the database failed.*HHWEB_WEB_THREADS"):
        Launcher(made, host="127.0.0.1", port=0, say=print).run()
    assert not (made.folder / "redis" / "redis.sock").exists()
    assert not made.credentials_file.exists()


def test_strays_are_found_by_their_mark_and_ended(tmp_path):
    env = {"TEST_MARK": str(tmp_path), "PATH": os.environ["PATH"]}
    kind = processes.start(["sleep", "60"], output=None, env=env)
    stubborn = processes.start(["sh", "-c", "trap '' TERM; sleep 60; sleep 60"], output=None, env=env)
    processes.wait_until(lambda: len(supervisor.launched_from("TEST_MARK", str(tmp_path))) >= 3, seconds=5)
    assert supervisor.stop_strays("TEST_MARK", str(tmp_path), patience=0.5) >= 2
    assert (kind.wait(5), stubborn.wait(5)) == (-15, -9)
    assert supervisor.stop_strays("TEST_MARK", str(tmp_path)) == 0


def test_part_that_keeps_dying_is_restarted_ever_more_slowly(tmp_path):
    said: list[str] = []
    watch = Supervisor(said.append)
    watch.start("web", Program(["false"], env=dict(os.environ), log_file=tmp_path / "web.log", cwd=tmp_path))
    end = time.monotonic() + 10
    while len(said) < 3 and time.monotonic() < end:
        watch.tick()
        time.sleep(0.02)
    watch.stop(together=["web"])
    assert said == [f"web ended with code 1; starting it again in {delay} s" for delay in (0.2, 0.4, 0.8)]


@pytest.mark.parametrize("fault", [EmbeddedServerError("disk full"), OSError("disk full")])
def test_server_that_cannot_be_restarted_is_tried_again(fault):
    class Broken:
        process = None
        tries = 0

        def start(self) -> None:
            self.tries += 1
            if self.tries > 1:
                raise fault

        def stop(self) -> None:
            pass

    said: list[str] = []
    watch = Supervisor(said.append)
    broken = Broken()
    watch.start("redis", broken)
    watch.tick()
    time.sleep(0.25)
    watch.tick()
    watch.stop(together=[])
    assert broken.tries == 2
    assert said[-1] == "redis cannot be started: disk full; starting it again in 0.4 s"


def test_large_log_is_set_aside_at_a_start(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "LARGEST_LOG", 10)
    log = tmp_path / "web.log"
    log.write_text("old " * 10)
    program = Program(["echo", "new"], env=dict(os.environ), log_file=log, cwd=tmp_path)
    program.start()
    program.process.wait()
    program.stop()
    assert log.read_text() == "new\n"
    assert (tmp_path / "web.log.1").read_text() == "old " * 10


def test_missing_server_extra_names_the_line_to_type(monkeypatch, tmp_path):
    monkeypatch.setattr(cli.importlib.util, "find_spec", lambda name: None)
    refused = CliRunner().invoke(cli.main, ["up", "--data", str(tmp_path / "data")])
    assert refused.exit_code == 1
    assert "Type: pip install 'hhweb[server]'" in refused.output
    assert not (tmp_path / "data").exists()


def test_up_and_manage_turn_refusals_into_one_line(tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.txt").write_text("mine")
    for arguments in (["up", "--data", str(tmp_path)], ["manage", "--data", str(tmp_path), "check"]):
        refused = CliRunner().invoke(cli.main, arguments)
        assert refused.exit_code == 1
        assert refused.output.startswith("Error: ")
        assert "no data folder of hhweb" in refused.output


def test_manage_without_a_folder_takes_the_environment(monkeypatch):
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "hhweb.settings.test")
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    assert CliRunner().invoke(cli.main, ["manage", "no_such_command"]).exit_code == 1
    assert CliRunner().invoke(cli.main, ["manage", "--version"]).exit_code == 0


def test_version_is_told():
    from hhweb import __version__

    assert CliRunner().invoke(cli.main, ["--version"]).output == f"hhweb, version {__version__}\n"
