"""Waiting for a test: a bar per arm on a terminal, a line per step elsewhere. Both on standard error."""

import sys
import time
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from governance.domain.formats import latency
from hhweb.ab_cli.connection import Api, Unreachable, segment
from hhweb.ab_cli.documents import ENDED

POLL_SECONDS = (0.3, 2.0)
PATIENCE_SECONDS = 60.0  # a server may restart while we watch
LINE_EVERY = 0.25


def wait_for_end(api: Api, test_id: str, *, timeout: float | None, quiet: bool = False) -> str:
    """The status at the end of a test, or the last one seen when `timeout` seconds are over.

    Raises ClickException for a test that was never started, Unreachable when the server is silent for a minute.
    """
    shown: _Lines | _Bars | None = None
    if not quiet:
        shown = _Bars() if sys.stderr.isatty() else _Lines()
    began = heard = time.monotonic()
    pause = POLL_SECONDS[0]
    try:
        while True:
            try:
                progress = api.get(f"/tests/{segment(test_id)}/progress")
                heard = time.monotonic()
            except Unreachable:
                if time.monotonic() - heard > PATIENCE_SECONDS:
                    raise
                progress = None
            if progress is not None:
                if shown is not None:
                    shown.show(progress)
                status = str(progress["status"])
                if status in ENDED:
                    return status
                if status == "created":
                    raise click.ClickException(f"The test was not started yet: hhweb ab start {test_id}")
                if timeout is not None and time.monotonic() - began >= timeout:
                    click.echo(f"It is still {status} after {timeout:g} s and goes on without us.", err=True)
                    return status
            left = PATIENCE_SECONDS if timeout is None else max(0.0, began + timeout - time.monotonic())
            time.sleep(min(pause, left))
            pause = min(pause * 1.3, POLL_SECONDS[1])
    except KeyboardInterrupt:
        click.echo(f"\nThe test goes on without us: hhweb ab watch {test_id}", err=True)
        raise
    finally:
        if shown is not None:
            shown.close()


def arm_line(arm: dict[str, Any]) -> str:
    """How far an arm is, in words: `building, 512 of 1,400 chunks`."""
    text = str(arm.get("status") or "")
    if arm.get("error"):
        error = arm["error"]
        return f"{text}: {error.get('message', error) if isinstance(error, dict) else error}"
    chunks, queries = arm.get("chunks"), arm.get("queries")
    if text == "building" and chunks:
        return f"{text}, {arm.get('chunks_done') or 0:,} of {chunks:,} chunks"
    if text == "running" and queries:
        return f"{text}, {arm.get('queries_done') or 0:,} of {queries:,} queries"
    return text


class _Lines:
    """For logs: the status when it changes, an arm when its status changes, and every quarter of the whole."""

    def __init__(self) -> None:
        self._status = ""
        self._arms: dict[str, str] = {}
        self._quarter = 0

    def show(self, progress: dict[str, Any]) -> None:
        if progress["status"] != self._status:
            self._status = progress["status"]
            click.echo(f"test {self._status}", err=True)
        for name, arm in (progress.get("arms") or {}).items():
            if arm.get("status") != self._arms.get(name):
                self._arms[name] = str(arm.get("status"))
                click.echo(f"  {name}: {arm_line(arm)}", err=True)
        quarter = int((progress.get("fraction") or 0.0) / LINE_EVERY)
        if self._quarter < quarter < 1 / LINE_EVERY:
            self._quarter = quarter
            click.echo(f"  {quarter * LINE_EVERY:.0%} done{_remaining(progress)}", err=True)

    def close(self) -> None:
        pass


class _Bars:
    """For people: one bar for the whole, one for each arm."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[said]}", markup=False),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._tasks: dict[str, TaskID] = {}
        self._progress.start()

    def show(self, progress: dict[str, Any]) -> None:
        self._update("all", progress.get("fraction") or 0.0, f"{progress['status']}{_remaining(progress)}")
        for name, arm in (progress.get("arms") or {}).items():
            self._update(f"  {name}", arm.get("fraction") or 0.0, arm_line(arm))

    def _update(self, name: str, fraction: float, said: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=1.0, said="")
        self._progress.update(self._tasks[name], completed=fraction, said=said)

    def close(self) -> None:
        self._progress.stop()


def _remaining(progress: dict[str, Any]) -> str:
    seconds = progress.get("eta_seconds")
    if seconds is None:
        return ""
    whole = max(1, round(float(seconds)))
    return f", about {whole} s left" if whole < 120 else f", about {latency(whole * 1000)} left"
