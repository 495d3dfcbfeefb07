"""`hhweb login`: what is stored works, is private, and every command uses it."""

import json
import os
import pty
import stat
import subprocess
import sys

import pytest

from hhweb.client_cli.login import masked
from tests.hhweb.running import clean_environment

pytestmark = pytest.mark.process


@pytest.fixture
def key(server):
    return server.credentials["api_key"]


def test_a_stored_key_is_used_by_every_command_and_readable_by_its_owner_alone(lonely, alone, server, key):
    stored = lonely("login", "--url", server.url + "/", "--api-key", key, "--project", "demo", "--json")

    path = alone / "config" / "credentials.json"
    assert json.loads(stored.stdout) == {
        "server_url": server.url,
        "project": "demo",
        "hhweb": True,
        "server_version": json.loads(stored.stdout)["server_version"],
        "stored": str(path),
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert json.loads(path.read_text()) == {"url": server.url, "api_key": key, "project": "demo"}
    assert [each.name for each in path.parent.iterdir()] == ["credentials.json"]
    assert lonely("datasets", "list").exit_code == 0


def test_a_data_folder_of_the_server_is_enough_to_log_in(lonely, server):
    result = lonely("login", "--data", server.data)

    assert result.exit_code == 0, result.output
    assert f"The key works at {server.url} (hhweb " in result.stdout


def test_a_wrong_key_is_not_stored(lonely, alone, server):
    result = lonely("login", "--url", server.url, "--api-key", "hh_wrong")

    assert result.exit_code == 2
    assert "key" in result.stderr.lower()
    assert not (alone / "config").exists()


def test_without_a_terminal_nobody_is_asked(lonely, server):
    result = lonely("login", "--url", server.url)

    assert result.exit_code == 2
    assert "No terminal to ask on: give --api-key, set HH_API_KEY" in result.stderr
    assert "give --url, set HH_API_URL" in lonely("login").stderr


def test_on_a_terminal_address_and_key_are_asked_for_and_the_key_is_not_shown(alone, server, key):
    ours, theirs = pty.openpty()
    environment = clean_environment() | {"HHWEB_CONFIG_DIR": str(alone / "config"), "TERM": "dumb"}
    process = subprocess.Popen(
        [sys.executable, "-m", "hhweb.cli", "login"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""

    def wait_for(text):
        nonlocal shown
        while text not in shown:
            shown += os.read(ours, 4096)

    wait_for(b"[http://127.0.0.1:8000]: ")
    os.write(ours, server.url.encode() + b"\n")
    wait_for(b"Project key (not shown): ")
    os.write(ours, key.encode() + b"\n")
    wait_for(b"Stored in ")

    assert process.wait(20) == 0
    os.close(ours)
    assert key.encode() not in shown
    assert json.loads((alone / "config" / "credentials.json").read_text())["api_key"] == key


def test_the_environment_is_told_to_win(run, monkeypatch, server, key):
    monkeypatch.setenv("HH_API_URL", "http://127.0.0.1:9")

    result = run("login", "--url", server.url)

    assert result.exit_code == 0
    assert "HH_API_URL is set in this environment and wins" in result.stderr
    assert "HH_API_KEY" not in result.stderr


def test_show_says_what_would_be_used_and_from_where(lonely, alone, server, key, monkeypatch):
    lonely("login", "--url", server.url, "--api-key", key, "--project", "demo")
    file = str(alone / "config" / "credentials.json")

    told = json.loads(lonely("login", "--show", "--json").stdout)

    assert told == {
        "server_url": server.url,
        "server_url_from": file,
        "api_key": masked(key),
        "api_key_from": file,
        "project": "demo",
    }
    monkeypatch.setenv("HONEYHIVE_API_KEY", "hh_of_the_environment")
    words = lonely("login", "--show", "--url", "http://example.org").stdout.split()
    assert words == ["server", "http://example.org", "from", "--url", "key", "hh_…ment", "from", "HONEYHIVE_API_KEY"]
    shown = lonely("login", "--show", "--data", server.data).stdout
    assert f"key     {masked(key)}  from {server.data / 'credentials.json'}" in shown
    assert "project" in shown


def test_show_without_any_server_says_how_to_give_one(lonely):
    result = lonely("login", "--show")

    assert result.exit_code == 2
    assert "No API key: give --api-key, set HH_API_KEY, or type `hhweb login`" in result.stderr


def test_logout_forgets_and_may_be_repeated(lonely, alone, server, key):
    lonely("login", "--url", server.url, "--api-key", key)
    path = alone / "config" / "credentials.json"

    assert lonely("logout").stdout == f"Removed {path}\n"
    assert not path.exists()
    assert lonely("logout").stdout == "Nothing was stored.\n"
    assert json.loads(lonely("logout", "--json").stdout) == {"removed": False, "path": str(path)}


def test_a_folder_that_cannot_be_used_is_named_with_the_remedy(lonely, alone, server, key):
    (alone / "config").write_text("a file")

    result = lonely("login", "--url", server.url, "--api-key", key)

    assert result.exit_code == 2
    assert "HHWEB_CONFIG_DIR names another folder" in result.stderr
    result = lonely("logout")
    assert result.exit_code == 2
    assert "cannot be removed: Not a directory." in result.stderr


def test_a_short_key_is_masked_whole():
    assert masked("hh_secret") == "…"
