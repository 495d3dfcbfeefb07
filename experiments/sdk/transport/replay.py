"""Brings runs that wait in the spool to their server: create, datapoints, last update; again and again without harm."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from experiments.sdk.configuration import checked_url
from experiments.sdk.errors import Conflict, ExperimentError, SpoolError
from experiments.sdk.transport.client import Client
from experiments.sdk.transport.delivery import Delivery
from experiments.sdk.transport.spool import PendingRun, RunSpool, Spool

PATIENCE_SECONDS = 60.0


@dataclass(slots=True)
class ReplayedRun:
    """What became of one run. `error` None: the server has all of it, and the spool no longer.

    `is_finished` False without an error: the client was killed in the middle; its finished datapoints are on the
    server, `evaluate(…, resume=run_id)` does the others. `is_busy`: left alone, as another process has it.
    """

    run_id: str
    name: str
    server_url: str
    delivered: int = 0
    pending: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    is_finished: bool = False
    is_busy: bool = False


def replay(
    client: Client | Callable[[str], Client],
    spool: Spool,
    *,
    run_id: str | None = None,
    on_progress: Callable[[ReplayedRun], None] | None = None,
    timeout_seconds: float = PATIENCE_SECONDS,
    allow_other_server: bool = False,
) -> list[ReplayedRun]:
    """Deliver every run that waits, or the one of `run_id`; what became of each. Nothing waits: an empty list.

    `client` is one server's, and runs that wait for another are refused (unless `allow_other_server`: the server
    has moved); or a function that makes one for an address. What cannot be delivered stays; trying again goes on
    where this stopped. A run is given up for now when the server takes nothing of it for `timeout_seconds`. Raises
    SpoolError for an unreadable folder.
    """
    done = []
    for pending in spool.pending():
        if run_id is None or pending.run_id == run_id:
            replayed = _replay_one(client, spool, pending, timeout_seconds, allow_other_server)
            done.append(replayed)
            if on_progress is not None:
                on_progress(replayed)
    return done


def _replay_one(
    client: Client | Callable[[str], Client],
    spool: Spool,
    pending: PendingRun,
    timeout_seconds: float,
    allow_other_server: bool,
) -> ReplayedRun:
    replayed = ReplayedRun(pending.run_id, pending.name, pending.server_url, pending=pending.datapoints)
    replayed.is_busy = pending.is_locked
    if pending.is_locked:
        replayed.error = "It is being executed or replayed by another process."
        return replayed
    own: Client | None = None
    try:
        if isinstance(client, Client):
            used = client
            if not allow_other_server and _normal(used.settings.server_url) != _normal(pending.server_url):
                replayed.error = (
                    f"It waits for {pending.server_url}, not for {used.settings.server_url}: "
                    "replay it with that address and its key."
                )
                return replayed
        else:
            used = own = client(pending.server_url)
        run_spool = spool.reopen(pending.run_id)
        is_done = False
        try:
            _deliver(used, run_spool, replayed, timeout_seconds)
            is_done = not replayed.refused
        finally:
            run_spool.close(delete=is_done)
    except ExperimentError as error:
        replayed.error = str(error)
    finally:
        if own is not None:
            own.close()
    return replayed


def _deliver(client: Client, run_spool: RunSpool, replayed: ReplayedRun, timeout_seconds: float) -> None:
    if create := run_spool.header.get("create"):
        with contextlib.suppress(Conflict):  # it was created before the server went away
            client.create_run(create)
    delivery = Delivery(client, run_spool)
    delivery.start()
    report = delivery.close(timeout_seconds)
    replayed.delivered, replayed.pending = len(report.delivered), len(report.pending)
    replayed.refused = report.refused
    if report.pending:
        raise report.error or SpoolError(
            f"{len(report.pending)} datapoints were not taken within {timeout_seconds:g} s."
        )
    if (update := run_spool.finish_body) is not None:
        client.update_run(run_spool.run_id, update)
        replayed.is_finished = True


def _normal(url: str) -> str:
    return checked_url(url).lower()
