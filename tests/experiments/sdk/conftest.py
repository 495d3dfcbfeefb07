"""Fixtures of the SDK's tests: an empty home, and a server that fails as told with evaluate() bound to it."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments import evaluate
from experiments.sdk.configuration import KEY_NAMES, PROJECT_NAMES, URL_NAMES
from tests.experiments.sdk.fault_server import FaultServer

Run = Callable[..., Any]


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, an empty home for settings, spool and cache, and no server in the environment."""
    for name in (*URL_NAMES, *KEY_NAMES, *PROJECT_NAMES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HHWEB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("HH_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.setenv("HH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """A server of the test's own, in this process."""
    with FaultServer() as running:
        yield running


@pytest.fixture
def run(alone: Path, server: FaultServer) -> Run:
    """evaluate() on that server."""

    def call(function: Any, dataset: Any = None, **settings: Any) -> Any:
        return evaluate(function, **{"dataset": dataset, "server_url": server.url, "api_key": "key", **settings})

    return call


@pytest.fixture
def no_threads_left() -> Iterator[None]:
    """Fails when a thread of the SDK outlives the test."""
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("hhweb-")] == []
