"""Fixtures of the transport's tests: a server that fails as told, and a spool of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.sdk.transport.client import Client
from experiments.sdk.transport.spool import RunSpool, Spool
from tests.experiments.sdk.fault_server import FaultServer
from tests.experiments.sdk.transport.samples import HEADER, RUN, client_of


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def client(server: FaultServer) -> Iterator[Client]:
    with client_of(server.url) as client:
        yield client


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def run_spool(server: FaultServer, spool: Spool) -> Iterator[RunSpool]:
    run_spool = spool.open_run(RUN, {"server_url": server.url, **HEADER})
    yield run_spool
    run_spool.close()
