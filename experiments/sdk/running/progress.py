"""The bar on a terminal: rate, failures, time left. Silent where nobody watches."""

import contextlib
import os
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID


def is_watched() -> bool:
    """Whether standard error is a terminal that a person looks at; CI systems set `CI`."""
    # Without a console Python sets it to None.
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    return is_terminal and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"


FIGURES_WIDTH = 48  # of "20000/20000 1234.5/s 123 failed left 0:00:00" and the gaps between


class Progress:
    """Counts executions; shows a bar when asked to, or by itself on a terminal."""

    def __init__(self, total: int, name: str, *, show: bool | None = None) -> None:
        self.total = total
        self.failures = 0
        self._name = name
        self._show = is_watched() if show is None else show
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._show:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            console = Console(stderr=True)
            # On a narrow terminal the name gives way, then the bar; the figures stay.
            name = self._name[: max(8, min(40, console.width - FIGURES_WIDTH - 10))]
            bar_width = max(5, min(40, console.width - FIGURES_WIDTH - len(name)))
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TextColumn("{task.fields[failed]}", style="red"),
                TextColumn("left", style="dim"),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(name, total=self.total, rate="", failed="")
        return self

    def step(self, *, failed: bool) -> None:
        """One execution is over."""
        self.failures += failed
        if self._bar is None or self._task is None:
            return
        speed = self._bar.tasks[self._task].speed
        self._bar.update(
            self._task,
            advance=1,
            rate=f"{speed:.1f}/s" if speed else "",
            failed=f"{self.failures} failed" if self.failures else "",
        )

    def say(self, text: str) -> None:
        """A line above the bar, or on standard error; one that is closed (`2>&1 | head`) harms nothing."""
        with contextlib.suppress(OSError, ValueError):
            if self._bar is not None:
                self._bar.console.print(text, markup=False, highlight=False)
            elif sys.stderr is not None:
                print(text, file=sys.stderr)  # noqa: T201 - this is where a person is told

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
