"""Where server and key come from, in their order, and where a key never goes."""

import json

import pytest

from experiments.sdk import configuration
from experiments.sdk.configuration import resolve
from experiments.sdk.errors import ConfigurationError


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An environment of its own, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return {"HHWEB_CONFIG_DIR": str(tmp_path / "config")}


def store(folder, url, api_key, **others):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "credentials.json").write_text(json.dumps({"url": url, "api_key": api_key, **others}))


def found(environment, **arguments):
    settings = resolve(environment=environment, **arguments)
    return settings.server_url, settings.api_key


def test_arguments_win_over_the_environment_over_login_over_folders(home, tmp_path):
    store(tmp_path / "var/hhweb", "http://folder", "f")
    assert found(home) == ("http://folder", "f")
    store(tmp_path / "data", "http://first", "d", project="shown")
    assert found(home) == ("http://first", "d")
    assert resolve(environment=home).project == "shown"
    store(tmp_path / "config", "http://login/", "l")
    assert found(home) == ("http://login", "l")
    env = {**home, "HH_API_URL": "https://env/", "HH_API_KEY": " e ", "HH_PROJECT": "p"}
    assert found(env) == ("https://env", "e")
    assert found(env, server_url="http://argument", api_key="a") == ("http://argument", "a")
    assert resolve(environment=env).project == "p"
    assert "'e'" not in repr(resolve(environment=env))


def test_a_stored_key_is_for_its_own_server_only(home, tmp_path):
    store(tmp_path / "config", "http://login", "l")
    store(tmp_path / "data", "http://folder", "d")
    assert found(home, server_url="http://folder/") == ("http://folder", "d")
    with pytest.raises(ConfigurationError, match="No API key: give api_key="):
        resolve(server_url="http://other", environment=home)


def test_a_key_that_was_given_never_goes_where_a_folder_beside_us_says(home, tmp_path):
    store(tmp_path / "data", "http://folder", "d")
    with pytest.raises(ConfigurationError, match="No server address: give server_url="):
        resolve(api_key="mine", environment=home)
    assert found(home, api_key="d") == ("http://folder", "d")
    store(tmp_path / "config", "http://login", "l")
    assert found({**home, "HH_API_KEY": "mine"}) == ("http://login", "mine")


@pytest.mark.parametrize("content", ["", "[]", '{"url": "http://x"}', "{"])
def test_unreadable_stores_are_passed_over(home, tmp_path, content):
    (tmp_path / "config").mkdir()
    (tmp_path / "config/credentials.json").write_text(content)
    with pytest.raises(ConfigurationError, match="hhweb login"):
        resolve(environment=home)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "http://", "x"])
def test_addresses_that_are_none_are_refused(url):
    with pytest.raises(ValueError, match="is none; give one like"):
        resolve(server_url=url, api_key="k", environment={})


def test_folders_follow_the_environment_and_the_desktop_rules(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folders = (configuration.config_folder, configuration.spool_folder, configuration.cache_folder)
    assert [folder({}) for folder in folders] == [
        tmp_path / ".config/hhweb",
        tmp_path / ".local/state/hhweb/spool",
        tmp_path / ".cache/hhweb",
    ]
    xdg = {"XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s", "XDG_CACHE_HOME": "/a"}
    assert [str(folder(xdg)) for folder in folders] == ["/c/hhweb", "/s/hhweb/spool", "/a/hhweb"]
    own = {"HHWEB_CONFIG_DIR": "/1", "HH_SPOOL_DIR": "/2", "HH_CACHE_DIR": "/3", **xdg}
    assert [str(folder(own)) for folder in folders] == ["/1", "/2", "/3"]


def test_an_ingestion_key_stands_beside_the_key(home):
    env = {**home, "HH_API_URL": "http://x", "HH_API_KEY": "k", "HH_INGESTION_API_KEY": " send "}
    assert resolve(environment=env).ingestion_api_key == "send"
    assert resolve(environment=env, ingestion_api_key="mine").ingestion_api_key == "mine"
    assert "send" not in repr(resolve(environment=env))
    assert resolve(server_url="http://x", api_key="k", environment={}).ingestion_api_key is None
