"""`hhweb spool …`: runs that finished while their server was away."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hhweb.client_cli.connection import (
    EXIT_DONE,
    EXIT_WAITING,
    Refused,
    find_settings,
    in_options,
    open_client,
    server_options,
    translated,
)
from hhweb.client_cli.output import JSON, echo_json, moment, note, print_table

if TYPE_CHECKING:
    from experiments.sdk.transport.client import Client
    from experiments.sdk.transport.replay import ReplayedRun
    from experiments.sdk.transport.spool import PendingRun

SHOWN_REFUSALS = 3


@click.group("spool")
def spool_command() -> None:
    """Deliver runs that finished while the server was away.

    They wait in HH_SPOOL_DIR, else ~/.local/state/hhweb/spool. RUN is a run id or the beginning of one.
    """


@spool_command.command("list")
@JSON
def list_command(as_json: bool) -> None:
    """List what waits. Asks no server."""
    waiting = _pending()
    if as_json:
        echo_json({"runs": [_described(run) for run in waiting]})
        return
    if not waiting:
        click.echo("Nothing waits.")
        return
    rows = [
        (run.run_id, run.name, run.server_url, run.datapoints, _size(run.bytes), moment(run.started_at), _state(run))
        for run in waiting
    ]
    columns = ("run", "name", "server", "datapoints", "size", "since", "state")
    drop = ("size", "since", "server")
    print_table(columns, rows, title="Waiting runs", right=("datapoints", "size"), ids=("run",), drop=drop)


@spool_command.command("replay")
@click.argument("reference", metavar="[RUN]", required=False)
@click.option("--all", "all_runs", is_flag=True, help="Every run that waits.")
@click.option(
    "--moved", is_flag=True, help="The server has another address now: deliver to the one that is found here."
)
@server_options
@JSON
def replay_command(
    reference: str | None,
    all_runs: bool,
    moved: bool,
    url: str | None,
    api_key: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Deliver what waits. May be interrupted and repeated: nothing is stored twice.

    Each run goes to the server it was made for; --url or --data name one server, and --moved its new address.
    Exit codes: 0 all delivered, 2 refused, 3 something still waits, 130 interrupted.
    """
    from experiments.sdk.transport.replay import replay
    from experiments.sdk.transport.spool import Spool

    done: list[ReplayedRun] = []
    with translated(), contextlib.ExitStack() as stack:
        chosen = _chosen(_pending(), reference, all_runs=all_runs)
        destination = _destination(url, api_key, data, moved=moved)
        address = None  # else each run's own
        if not callable(destination):
            address = stack.enter_context(destination).settings.server_url
        for run in chosen:
            done += replay(
                destination,
                Spool(),
                run_id=run.run_id,
                on_progress=None if as_json else lambda run: _tell(run, address),
                allow_other_server=moved,
            )
    still_waiting = [run for run in done if run.error is not None or run.refused]
    if as_json:
        echo_json({"runs": [{**dataclasses.asdict(run), "url": _url(run, address)} for run in done]})
    elif not chosen:
        click.echo("Nothing waits.")
    click.get_current_context().exit(EXIT_WAITING if still_waiting else EXIT_DONE)


@spool_command.command("drop")
@click.argument("reference", metavar="RUN")
@click.option("--yes", is_flag=True, help="Do not ask.")
@JSON
def drop_command(reference: str, yes: bool, as_json: bool) -> None:
    """Throw away what waits of RUN."""
    from experiments.sdk.transport.spool import Spool

    with translated():
        (run,) = _chosen(_pending(), reference, all_runs=False)
        if not yes and not _confirmed(f"Throw away {run.datapoints:,} datapoints of run {run.run_id} that wait here?"):
            raise Refused("Nothing was thrown away; --yes does so without asking.")
        dropped = Spool().discard(run.run_id)
    if as_json:
        echo_json({"run_id": run.run_id, "dropped": dropped})
    else:
        click.echo(f"run {run.run_id}: {dropped:,} datapoints thrown away")


def _pending() -> "list[PendingRun]":
    from experiments.sdk.transport.spool import Spool

    with translated():
        return Spool().pending()


def _chosen(waiting: "Sequence[PendingRun]", reference: str | None, *, all_runs: bool) -> "Sequence[PendingRun]":
    """The runs meant; Refused for one that does not wait, an ambiguous one, or several without a word."""
    if reference is not None:
        if all_runs:
            raise click.UsageError("Give RUN or --all, not both.")
        exact = [run for run in waiting if run.run_id == reference]
        found = exact or [run for run in waiting if run.run_id.startswith(reference)]
        if len(found) != 1:
            there = f"{len(found)} waiting runs begin with" if found else "No run waits that begins with"
            raise Refused(f"{there} {reference!r}. `hhweb spool list` shows those that wait.")
        return found
    if len(waiting) > 1 and not all_runs:
        raise Refused(f"{len(waiting)} runs wait: name one, or deliver them all with --all.")
    return waiting


def _destination(
    url: str | None, api_key: str | None, data: Path | None, *, moved: bool
) -> "Client | Callable[[str], Client]":
    """One server when it is named or has moved; else each run's own, with the key that is known for it."""
    if url is not None or data is not None or moved:
        return open_client(find_settings(url, api_key, data))
    return lambda address: open_client(find_settings(address, api_key, None))


def _tell(run: "ReplayedRun", address: str | None) -> None:
    told = f"run {run.run_id} ({run.name}): " if run.name else f"run {run.run_id}: "
    if run.error is not None:
        click.echo(f"{told}{run.delivered:,} datapoints delivered, {run.pending:,} still wait. {in_options(run.error)}")
    elif run.refused:
        click.echo(f"{told}{run.delivered:,} datapoints delivered, {len(run.refused):,} refused:")
        for session_id, reason in list(run.refused.items())[:SHOWN_REFUSALS]:
            click.echo(f"  session {session_id}: {reason}")
        note(f"What was refused stays until you throw it away: hhweb spool drop {run.run_id}")
    else:
        click.echo(f"{told}{run.delivered:,} datapoints delivered. {_url(run, address)}")
        if not run.is_finished:
            note(f"It was interrupted: `hhweb experiments run … --resume {run.run_id}` executes what is missing.")


def _url(run: "ReplayedRun", address: str | None) -> str:
    from experiments.sdk.views.result import console_url

    return console_url(address or run.server_url, run.run_id)


def _described(run: "PendingRun") -> dict[str, Any]:
    return {**dataclasses.asdict(run), "path": str(run.path)}


def _state(run: "PendingRun") -> str:
    if run.is_locked:
        return "in use"
    return "complete" if run.is_finished else "interrupted"


def _size(size: int) -> str:
    return f"{size / 1024:,.0f} KiB" if size < 1024**2 else f"{size / 1024**2:,.1f} MiB"


def _confirmed(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort:  # nobody there to ask
        return False
