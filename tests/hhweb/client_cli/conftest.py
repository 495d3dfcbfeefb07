"""One real server for the client's command line, and the command line in an empty folder that knows it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from examples.demo.stack import Stack
from experiments.sdk.configuration import KEY_NAMES, PROJECT_NAMES, URL_NAMES
from experiments.sdk.transport.client import Client
from hhweb.cli import main
from tests.hhweb.running import prepared

Run = Callable[..., Result]


# What the server may call of the module that a test or a document puts into `callables`.
CALLABLES = {
    "add": "sums_target:add",
    "capital": "capitals:capital",
    "steady": "of_tests:steady",
    "slow": "of_tests:slow",
    "picky": "of_tests:picky",
}


@pytest.fixture(scope="session")
def callables(server_folder: Path) -> Path:
    """A folder in which the server's workers find Python modules."""
    folder = server_folder / "callables"
    folder.mkdir(mode=0o755)
    (folder / "of_tests.py").write_text(OF_TESTS, encoding="utf-8")
    return folder


OF_TESTS = """
import time


def steady(inputs):
    return str(inputs["a"] + inputs["b"])


def slow(inputs):
    time.sleep(30)


def picky(inputs):
    if inputs["a"] == 2:
        raise ValueError("no twos")
    return str(inputs["a"] + inputs["b"])
"""


@pytest.fixture(scope="session")
def server(server_folder: Path, callables: Path) -> Iterator[Stack]:
    """`hhweb up` on an empty database; its one project is shared, so tests use names of their own."""
    allowed = ",".join(f"{name}={place}" for name, place in CALLABLES.items())
    settings = {"HHWEB_CALLABLES": allowed, "PYTHONPATH": str(callables)}
    with Stack(prepared(server_folder / "client-cli"), settings=settings) as running:
        yield running


@pytest.fixture
def client(server: Stack) -> Iterator[Client]:
    """The SDK's client of that server."""
    with Client(server_url=server.url, api_key=server.credentials["api_key"]) as found:
        yield found


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, an empty home for settings and spool, and no server in the environment."""
    for name in (*URL_NAMES, *KEY_NAMES, *PROJECT_NAMES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HHWEB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("HH_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.setenv("HH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def lonely(alone: Path) -> Run:
    """Runs `hhweb …` in that folder, where no server is known."""

    def invoke(*arguments: Any, **options: Any) -> Result:
        return CliRunner().invoke(main, [*map(str, arguments)], **options)

    return invoke


@pytest.fixture
def run(lonely: Run, server: Stack, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `hhweb …` in that folder, with the server in the environment."""
    monkeypatch.setenv("HH_API_URL", server.url)
    monkeypatch.setenv("HH_API_KEY", server.credentials["api_key"])
    return lonely


@pytest.fixture
def document(run: Run) -> Callable[..., Any]:
    """Runs `hhweb … --json`, which must succeed, and gives the one document on its standard output."""

    def invoke(*arguments: Any, **options: Any) -> Any:
        result = run(*arguments, "--json", **options)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return invoke
