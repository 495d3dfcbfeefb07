"""The real stack for the official client: one per database and test process, and scenarios in processes of their own.

The client keeps its settings per process and reads its environment at import, so every scenario is a program of
`scenarios/` that prints one JSON document on its last line.
"""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.demo.stack import Stack
from tests.hhweb.running import prepared

SCENARIOS = Path(__file__).parent / "scenarios"
Scenario = Callable[..., Any]


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def stack(request: pytest.FixtureRequest, server_folder: Path) -> Iterator[Stack]:
    """`hhweb up` on an empty database."""
    data = server_folder / f"contract-{request.param}"
    if request.param == "sqlite":
        prepared(data)
    with Stack(data, database=request.param) as running:
        yield running
        assert running.process is not None
        assert running.process.poll() is None, "the platform died during the tests"


def run_program(stack: Stack, name: str, *arguments: str, **environment: str) -> Any:
    """Run one program of `scenarios/` with nothing set but the address, the key and what is given; its JSON."""
    settings = {
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "TERM": "dumb",
        "HH_API_URL": stack.url,
        "HH_API_KEY": stack.credentials["api_key"],
        # Two slow cores shared with other tests: the client's own 5 seconds are for a quiet machine.
        "HH_API_TIMEOUT": "30",
        # Plain HTTP needs no certificates; the client would read them all for each call.
        "SSL_CERT_DIR": str(stack.data),
        **environment,
    }
    ended = subprocess.run(
        [sys.executable, str(SCENARIOS / f"{name}.py"), *arguments],
        env=settings,
        cwd=stack.data.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, f"{name} failed:\n{ended.stdout[-2000:]}\n{ended.stderr[-4000:]}"
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def run_scenario_once() -> Scenario:
    """`run_program`, for fixtures that are shared by the tests of a module."""
    return run_program


@pytest.fixture
def run_scenario(stack: Stack) -> Scenario:
    """`run_program` on the running stack."""
    return functools.partial(run_program, stack)
