"""Fixtures of the process tests: experiments in child processes that none survive."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.experiments.sdk.fault_server import FaultServer
from tests.experiments.sdk.process.clients import Child

Start = Callable[..., Child]


@pytest.fixture
def start(alone: Path, server: FaultServer) -> Iterator[Start]:
    """Starts client_program.py on the test's server, or on the one that is given."""
    children: list[Child] = []

    def begin(**settings: Any) -> Child:
        children.append(Child(alone, settings.pop("url", server.url), **settings))
        return children[-1]

    yield begin
    for child in children:
        child.kill()
