"""Sessions of pytest inside this one, against a small real HTTP server."""

from collections.abc import Iterator

import pytest

from experiments import evaluator
from experiments.sdk.configuration import KEY_NAMES, PROJECT_NAMES, URL_NAMES
from experiments.sdk.evaluators import definition, registry, running
from experiments.sdk.gate import deciding as gate
from experiments.sdk.testing import items, marks, recording
from tests.experiments.sdk.fault_server import FaultServer
from tests.experiments.sdk.testing.sessions import BEGINNING, OPTIONS, Run

# A session inside this one forgets the modules that it loaded: those of classes and registries are loaded before.
LOADED = (evaluator, definition, registry, running, gate, items, marks)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running_server:
        yield running_server


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, server: FaultServer) -> Run:
    """Writes a test module (after its usual beginning) and runs it in a session that knows the server."""
    for name in (*URL_NAMES, *KEY_NAMES, *PROJECT_NAMES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HHWEB_CONFIG_DIR", str(pytester.path / "config"))
    monkeypatch.setenv("HH_SPOOL_DIR", str(pytester.path / "spool"))
    monkeypatch.setenv("HH_API_URL", server.url)
    monkeypatch.setenv("HH_API_KEY", "key")
    monkeypatch.setattr(recording, "CLOSE_SECONDS", 0.5)

    def go(module: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(test_words=BEGINNING + module)
        return pytester.runpytest_inprocess(*OPTIONS, *options, no_reraise_ctrlc=True)

    return go
