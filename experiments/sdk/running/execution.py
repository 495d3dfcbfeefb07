"""Runs the jobs of an experiment: on threads, on one event loop, or one after the other. Decides nothing else.

Every job runs in a copy of the caller's context, so context variables are there and no job sees another's. Threads
are daemons and are joined: an interrupted run does not wait for a function that hangs.
"""

import contextlib
import contextvars
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    import asyncio

Job = TypeVar("Job")
RunAsync = Callable[[Awaitable[Any]], Any]
GRACE_SECONDS = 5.0
_POLL_SECONDS = 0.2


class AsyncRunner:
    """One event loop per thread, made when the first coroutine asks for it and closed at the thread's end."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def __call__(self, awaitable: Awaitable[Any]) -> Any:
        """Wait for a coroutine in this thread."""
        import asyncio

        if self._runner is None:
            self._runner = asyncio.Runner()

        async def wait() -> Any:
            return await awaitable

        return self._runner.run(wait(), context=contextvars.copy_context())

    def close(self) -> None:
        """Close the loop, if there is one."""
        if self._runner is not None:
            self._runner.close()
            self._runner = None


class _Feed(Generic[Job]):
    """Hands out jobs one at a time, keeps the first surprise, and knows when all its threads are through."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs: Iterator[Job] = iter(jobs)
        self._lock = threading.Lock()
        self._running = 1  # the one that starts the others counts until it has
        self._all_through = threading.Event()
        self.is_stopped = False
        self.error: BaseException | None = None

    def take(self) -> tuple[Job] | None:
        with self._lock:
            if self.is_stopped:
                return None
            for job in self._jobs:
                return (job,)
            return None

    def stop(self, error: BaseException | None = None) -> None:
        with self._lock:
            self.is_stopped = True
            self.error = self.error or error

    def through(self) -> None:
        """One thread will take no more jobs."""
        with self._lock:
            self._running -= 1
            if self._running <= 0:
                self._all_through.set()

    def wait(
        self,
        threads: Sequence[threading.Thread],
        on_interrupt: Callable[[], None],
        on_wait: Callable[[], None] | None,
    ) -> None:
        """Start the threads and wait until all are through; then raise what surprised one of them.

        KeyboardInterrupt calls `on_interrupt`, waits a few seconds more (`on_wait` may say so) and goes on. An event
        is waited for, as an interrupted Thread.join() takes the running thread for ended (bpo-45274), and a wait
        without end is deaf to Ctrl-C on some systems.
        """
        begun: list[threading.Thread] = []
        try:
            self._start(threads, begun)
            while not self._all_through.wait(_POLL_SECONDS):
                pass
        except KeyboardInterrupt:
            self.stop()
            on_interrupt()
            if on_wait is not None and not self._all_through.wait(_POLL_SECONDS):
                on_wait()
            if self._all_through.wait(GRACE_SECONDS):
                _join(begun)
            raise
        _join(begun)
        if self.error is not None:
            raise self.error

    def _start(self, threads: Sequence[threading.Thread], begun: list[threading.Thread]) -> None:
        """Start as many as the system gives; the first one it must give."""
        try:
            for thread in threads:
                with self._lock:
                    self._running += 1
                try:
                    thread.start()
                except RuntimeError:  # "can't start new thread"
                    self.through()
                    if begun:
                        return  # those that run do all the work
                    raise
                begun.append(thread)
        finally:
            self.through()


def _join(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        thread.join()


def run_threads(
    jobs: Sequence[Job],
    work: Callable[[Job, RunAsync], None],
    *,
    workers: int,
    on_wait: Callable[[], None] | None = None,
) -> None:
    """Do all jobs on `workers` threads; returns when they are done.

    What `work` raises ends the run and is raised here. KeyboardInterrupt stops handing out jobs, waits a few seconds
    for those that run, and is raised again; a second one does not wait.
    """
    count = min(workers, len(jobs))
    feed = _Feed(jobs)
    context = contextvars.copy_context()

    def loop() -> None:
        runner = AsyncRunner()
        try:
            try:
                while (taken := feed.take()) is not None:
                    context.copy().run(work, taken[0], runner)
            finally:
                runner.close()
        except BaseException as error:
            feed.stop(error)
        finally:
            feed.through()

    if count:
        threads = [threading.Thread(target=loop, name=f"hhweb-worker-{n}", daemon=True) for n in range(count)]
        feed.wait(threads, on_interrupt=lambda: None, on_wait=on_wait)


def run_in_turn(jobs: Sequence[Job], work: Callable[[Job, RunAsync], None]) -> None:
    """Do all jobs in this thread, one after the other: what a debugger wants."""
    runner = AsyncRunner()
    context = contextvars.copy_context()
    try:
        for job in jobs:
            context.copy().run(work, job, runner)
    finally:
        runner.close()


def run_tasks(
    jobs: Sequence[Job],
    work: Callable[[Job], Awaitable[None]],
    *,
    workers: int,
    on_wait: Callable[[], None] | None = None,
) -> None:
    """Do all jobs as tasks of one event loop, `workers` at a time, in a thread of its own.

    A thread of its own, because the caller may be inside a running loop (a notebook). Interrupts as in run_threads:
    running tasks are cancelled.
    """
    import asyncio

    feed = _Feed(jobs)
    context = contextvars.copy_context()
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def worker() -> None:
        while (taken := feed.take()) is not None:
            task = asyncio.get_running_loop().create_task(_awaited(work, taken[0]), context=context.copy())
            try:
                await task
            except asyncio.CancelledError:
                worker_task = asyncio.current_task()
                if worker_task is not None and worker_task.cancelling():
                    raise
                # A task group takes a cancelled worker for a wanted end: its jobs would be left undone in silence.
                raise RuntimeError("The function cancelled the task that it runs in; raise an exception.") from None

    async def main() -> None:
        task = asyncio.current_task()
        if task is not None:
            loops.append((asyncio.get_running_loop(), task))
        async with asyncio.TaskGroup() as group:
            for _ in range(min(workers, len(jobs))):
                group.create_task(worker())

    def loop() -> None:
        try:
            asyncio.run(main())
        except BaseExceptionGroup as errors:
            feed.stop(_first(errors))
        except BaseException as error:
            feed.stop(error)
        finally:
            feed.through()

    def cancel() -> None:
        for running, task in loops:
            with contextlib.suppress(RuntimeError):  # closed meanwhile
                running.call_soon_threadsafe(task.cancel)

    feed.wait([threading.Thread(target=loop, name="hhweb-loop", daemon=True)], on_interrupt=cancel, on_wait=on_wait)


async def _awaited(work: Callable[[Any], Awaitable[None]], job: Any) -> None:
    await work(job)


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


def has_running_loop() -> bool:
    """Whether this thread is inside an event loop, as a notebook's is."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
