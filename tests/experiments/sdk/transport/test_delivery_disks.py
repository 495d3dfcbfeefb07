"""Full disks and bounds: what memory holds is still delivered, and what is nowhere is said."""

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from experiments.sdk.transport.client import Client
from experiments.sdk.transport.spool import RunSpool, Spool
from tests.experiments.sdk.fault_server import (
    FaultServer,
)
from tests.experiments.sdk.transport.deliveries import delivering, ids
from tests.experiments.sdk.transport.samples import HEADER, RUN, finished


@pytest.fixture
def full_disk(spool: Spool) -> Iterator[Callable[[bool], None]]:
    """Switches a limit of the kernel's, which refuses to let files of this process grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def switch(is_full: bool) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000 if is_full else soft, hard))

    yield switch
    switch(False)


def test_a_full_disk_loses_nothing_while_the_server_answers(
    server: FaultServer, client: Client, run_spool: RunSpool, full_disk: Callable[[bool], None]
) -> None:
    said: list[str] = []
    delivery = delivering(client, run_spool, on_notice=said.append)
    full_disk(True)
    for number in range(50):
        delivery.put(finished(number))
    report = delivery.close(10.0)
    full_disk(False)
    assert report.delivered == set(server.sessions) == ids(*range(50))
    assert report.unsaved == set()
    assert report.spool_error is not None
    assert len(said) == 1
    assert said[0].startswith(f"{run_spool.path} cannot be written: ")
    assert said[0].endswith("The run goes on; finished datapoints wait in memory until the server has them.")


@pytest.mark.parametrize("is_freed", [True, False])
def test_with_disk_full_and_server_away_the_report_says_what_is_in_memory_only(
    server: FaultServer, client: Client, run_spool: RunSpool, full_disk: Callable[[bool], None], is_freed: bool
) -> None:
    server.stop()
    delivery = delivering(client, run_spool)
    full_disk(True)
    for number in range(20):
        delivery.put(finished(number))
    full_disk(not is_freed)
    report = delivery.close(0.1)
    full_disk(False)
    saved = {name for _, name in run_spool.waiting()}
    assert report.pending == ids(*range(20))
    assert report.unsaved == (set() if is_freed else ids(*range(20)) - saved)
    assert 0 < len(saved) <= 20
    assert report.spool_error is not None


def test_the_bound_of_the_spool_is_kept_and_told_of(server: FaultServer, client: Client, tmp_path: Path) -> None:
    run_spool = Spool(tmp_path, max_bytes=5000).open_run(RUN, {"server_url": server.url, **HEADER})
    said: list[str] = []
    server.stop()
    delivery = delivering(client, run_spool, on_notice=said.append)
    for number in range(20):
        delivery.put(finished(number))
    server.start()
    report = delivery.close(5.0)
    assert report.delivered == ids(*range(20))
    assert sum(path.stat().st_size for path in run_spool.path.glob("journal-*")) < 7000
    assert [each for each in said if "HH_SPOOL_MAX_BYTES" in each] == said[:1]
    run_spool.close(delete=True)
