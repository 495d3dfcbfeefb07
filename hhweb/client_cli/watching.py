"""Waiting for a run that the server executes: a bar on a terminal, a line per step elsewhere; on standard error."""

import time
from typing import TYPE_CHECKING, Any

import click

from experiments.sdk.errors import Unavailable
from experiments.sdk.running.progress import is_watched
from governance.domain.formats import latency
from hhweb.client_cli.output import note

if TYPE_CHECKING:
    from rich.progress import TaskID

    from experiments.sdk.transport.client import Client

Json = dict[str, Any]
ENDED = ("completed", "failed", "cancelled")
POLL_SECONDS = (0.3, 2.0)
PATIENCE_SECONDS = 60.0  # a server may restart while we watch
LINE_EVERY = 0.1


def wait_for_end(client: "Client", path: str, run_id: str, *, timeout: float | None, quiet: bool = False) -> Json:
    """The progress at the end, or the last one seen when `timeout` seconds are over or the run paused by itself.

    `path` is the experiment's in the native API. Raises Unavailable when the server is silent for a minute.
    """
    shown: _Lines | _Bar | None = None
    if not quiet:
        shown = _Bar() if is_watched() else _Lines()
    began = heard = time.monotonic()
    pause = POLL_SECONDS[0]
    try:
        while True:
            progress: Json | None = None
            try:
                progress = client.request("GET", f"{path}/progress")
                heard = time.monotonic()
            except Unavailable:
                if time.monotonic() - heard > PATIENCE_SECONDS:
                    raise
            if progress is not None:
                if shown is not None:
                    shown.show(progress)
                # Paused by itself: nobody is about to resume it, and no worker can.
                if progress["status"] in ENDED or (progress["status"] == "paused" and progress.get("error")):
                    return progress
                if timeout is not None and time.monotonic() - began >= timeout:
                    note(f"It is still {progress['status']} after {timeout:g} s and goes on without us.")
                    return progress
            left = PATIENCE_SECONDS if timeout is None else max(0.0, began + timeout - time.monotonic())
            time.sleep(min(pause, left))
            pause = min(pause * 1.3, POLL_SECONDS[1])
    except KeyboardInterrupt:
        click.echo(f"\nThe run goes on without us: hhweb experiments watch {run_id}", err=True)
        raise
    finally:
        if shown is not None:
            shown.close()


def done_line(progress: Json) -> str:
    """`412 of 1,000 done, 12 failed, 6.9/s, about 85 s left`."""
    counts = progress["counts"]
    parts = [f"{counts['completed'] + counts['failed']:,} of {progress['total']:,} done"]
    if counts["failed"]:
        parts.append(f"{counts['failed']:,} failed")
    if (rate := progress.get("rate_per_second")) is not None:
        parts.append(f"{rate:,.1f}/s")
    return ", ".join(parts) + remaining(progress)


def remaining(progress: Json) -> str:
    """`, about 85 s left`, or nothing."""
    seconds = progress.get("eta_seconds")
    if seconds is None:
        return ""
    whole = max(1, round(float(seconds)))
    return f", about {whole} s left" if whole < 120 else f", about {latency(whole * 1000)} left"


def told_error(progress: Json) -> str:
    """`: sentence` of what stopped it, or nothing."""
    error = progress.get("error")
    return f": {error['message']}" if isinstance(error, dict) else ""


class _Lines:
    """For logs: the status when it changes, and every tenth of the whole."""

    def __init__(self) -> None:
        self._status = ""
        self._step = 0

    def show(self, progress: Json) -> None:
        status = f"{progress['status']}{told_error(progress)}"
        if status != self._status:
            self._status = status
            note(f"run {status}")
        step = int((progress.get("fraction") or 0.0) / LINE_EVERY)
        if self._step < step < 1 / LINE_EVERY:
            self._step = step
            note(f"  {done_line(progress)}")

    def close(self) -> None:
        pass


class _Bar:
    """For people."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress: Progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[said]}", markup=False),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._task: TaskID = self._progress.add_task("run", total=1.0, said="")
        self._progress.start()

    def show(self, progress: Json) -> None:
        self._progress.update(
            self._task,
            description=f"{progress['status']}{told_error(progress)}",
            completed=progress.get("fraction") or 0.0,
            said=done_line(progress),
        )

    def close(self) -> None:
        self._progress.stop()
