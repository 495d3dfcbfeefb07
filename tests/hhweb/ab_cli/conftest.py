"""A server with prepared answers, and the command line that asks it."""

import json
import time

import pytest
from click.testing import CliRunner

from hhweb.ab_cli import watching
from hhweb.cli import main
from tests.hhweb.ab_cli.serving import serve


@pytest.fixture
def served():
    with serve() as found:
        yield found


@pytest.fixture
def run(served, tmp_path, monkeypatch):
    """Runs `hhweb ab …` in an empty folder that knows the server by credentials.json; gives click's result."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "credentials.json").write_text(json.dumps({"url": served.url, "api_key": "hh_secret"}))
    monkeypatch.chdir(tmp_path)
    for name in ("HHWEB_URL", "HH_API_URL", "HHWEB_API_KEY", "HH_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(watching, "POLL_SECONDS", (0.0, 0.0))

    def invoke(*arguments, **options):
        return CliRunner().invoke(main, ["ab", *map(str, arguments)], **options)

    return invoke


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only by sleeping."""

    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

        def sleep(self, seconds):
            self.now += max(seconds, 5.0)

    found = Clock()
    monkeypatch.setattr(watching, "time", found)
    assert time.monotonic is not found.monotonic
    return found
