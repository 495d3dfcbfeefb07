"""The executions of an experiment, and what is done in each: call the function, judge its output, hand over."""

import contextlib
import inspect
import os
import signal
import sys
import threading
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.sdk import ids
from experiments.sdk.errors import ConfigurationError
from experiments.sdk.models import DatapointOutcome
from experiments.sdk.running.binding import BoundFunction, ground_truth_of, inputs_of
from experiments.sdk.running.cache import OutputCache
from experiments.sdk.running.datapoint_run import DatapointRun, judge_all, judge_all_async
from experiments.sdk.running.execution import RunAsync, has_running_loop, run_in_turn, run_tasks, run_threads
from experiments.sdk.running.open_run import OpenRun
from experiments.sdk.tracing.tracer import MAX_ID


@dataclass(frozen=True, slots=True)
class Job:
    """One execution to do."""

    place: int  # in the list of outcomes
    datapoint: dict[str, Any]
    datapoint_id: str
    repetition: int
    occurrence: int  # of this id in the dataset: ids of one's own may repeat
    session_id: str


def jobs_of(
    run_id: str, datapoints: Sequence[dict[str, Any]], datapoint_ids: Sequence[str], repetitions: int
) -> list[Job]:
    """Executions in input order, all repetitions of a datapoint together; one warning when ids repeat."""
    jobs: list[Job] = []
    seen = Counter[str]()
    for datapoint, datapoint_id in zip(datapoints, datapoint_ids, strict=True):
        if len(datapoint_id) > MAX_ID:
            raise ConfigurationError(
                f"The datapoint id {datapoint_id[:40]!r}… has {len(datapoint_id)} characters; use at most {MAX_ID}."
            )
        occurrence = seen[datapoint_id]
        seen[datapoint_id] += 1
        for repetition in range(repetitions):
            session_id = ids.session_id_of(run_id, datapoint_id, repetition, occurrence)
            jobs.append(Job(len(jobs), datapoint, datapoint_id, repetition, occurrence, session_id))
    if several := [datapoint_id for datapoint_id, count in seen.items() if count > 1]:
        warnings.warn(
            f"{len(several)} datapoint id(s) stand several times in the dataset, first {several[0]!r}: each row is "
            "run, but comparisons take their mean. Give every row an id of its own.",
            UserWarning,
            stacklevel=4,
        )
    return jobs


def resumed(job: Job, event: Mapping[str, Any]) -> DatapointOutcome:
    """The outcome of an execution that the server has already."""
    outputs = event.get("outputs") or {}
    return DatapointOutcome(
        datapoint_id=job.datapoint_id,
        session_id=job.session_id,
        repetition=job.repetition,
        inputs=inputs_of(job.datapoint),
        ground_truth=ground_truth_of(job.datapoint),
        outputs=outputs["result"] if set(outputs) == {"result"} else outputs or None,
        error=event.get("error") or None,
        delivered=True,
        is_resumed=True,
    )


def execute(
    run: OpenRun,
    jobs: Sequence[Job],
    function: BoundFunction,
    evaluators: Sequence[Any],
    note: Callable[[Job, DatapointOutcome], None],
    *,
    workers: int,
    in_turn: bool,
    cache: OutputCache | None = None,
    on_wait: Callable[[], None] | None = None,
) -> None:
    """Execute jobs in whatever way suits the function; `note` hears of each as it ends.

    `on_wait` is called when an interrupt has to wait for executions that still run.

    Whatever the function raises is its datapoint's failure, SystemExit and the panics of libraries in Rust included;
    KeyboardInterrupt alone ends the run.
    """
    parent = os.getpid()

    def begin(job: Job) -> DatapointRun:
        return run.begin(
            datapoint_id=job.datapoint_id,
            inputs=inputs_of(job.datapoint),
            ground_truth=ground_truth_of(job.datapoint),
            repetition=job.repetition,
            occurrence=job.occurrence,
            function_name=function.name,
        )

    def cached(job: Job, this: DatapointRun) -> str | None:
        """The key to store under, or None when there is nothing to call any more."""
        if cache is None:
            return ""
        key = cache.key(job.datapoint, job.repetition)
        found, output = cache.get(key)
        if found:
            this.returned(output, is_cached=True)
            return None
        return key

    def hand_over(job: Job, this: DatapointRun) -> None:
        leave_forked_child(parent)
        with uninterrupted():
            note(job, this.close())

    def work(job: Job, run_async: RunAsync) -> None:
        this = begin(job)
        with this.active() as tracer:
            try:
                if (key := cached(job, this)) is not None:
                    this.returned(_whole(function(own_copy(job.datapoint), tracer), run_async))
                    if key and cache is not None:
                        cache.put(key, this.outputs)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                leave_forked_child(parent, error)
                this.raised(error)
            else:
                judge_all(this, evaluators, job.datapoint, run_async)
        hand_over(job, this)

    async def task(job: Job) -> None:
        this = begin(job)
        with this.active() as tracer:
            try:
                if (key := cached(job, this)) is not None:
                    this.returned(await _whole_awaited(await function(own_copy(job.datapoint), tracer)))
                    if key and cache is not None:
                        cache.put(key, this.outputs)
            except (KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as error:
                # Cancelled by the function's own doing it has failed; by the end of the run it has not finished.
                if _is_being_cancelled(error):
                    raise
                leave_forked_child(parent, error)
                this.raised(error)
            else:
                await judge_all_async(this, evaluators, job.datapoint)
        hand_over(job, this)

    if function.is_async:
        run_tasks(jobs, task, workers=workers, on_wait=on_wait)
    elif in_turn and not has_running_loop():
        run_in_turn(jobs, work)
    else:
        run_threads(jobs, work, workers=workers, on_wait=on_wait)


def own_copy(datapoint: dict[str, Any]) -> dict[str, Any]:
    """The datapoint with dicts and lists of its own: what a function changes is not the next repetition's input."""
    made: dict[int, Any] = {}

    def copied(value: Any) -> Any:
        kind = value.__class__
        if kind is not dict and kind is not list:
            return value
        if (found := made.get(id(value))) is not None:  # it stands there twice, or contains itself
            return found
        if kind is dict:
            made[id(value)] = copy = dict[Any, Any]()
            copy.update((key, copied(item)) for key, item in value.items())
            return copy
        made[id(value)] = items = list[Any]()
        items.extend(copied(item) for item in value)
        return items

    try:
        whole: dict[str, Any] = copied(datapoint)
        return whole
    except RecursionError:
        return datapoint


def _whole(value: Any, run_async: RunAsync) -> Any:
    """What comes later or piece by piece, all of it: an awaitable's result, a generator's items as a list."""
    if inspect.isawaitable(value):
        value = run_async(value)
    if inspect.isgenerator(value):
        return list(value)
    return run_async(_listed(value)) if inspect.isasyncgen(value) else value


async def _whole_awaited(value: Any) -> Any:
    if inspect.isgenerator(value):
        return list(value)
    return await _listed(value) if inspect.isasyncgen(value) else value


async def _listed(items: Any) -> list[Any]:
    return [item async for item in items]


def _is_being_cancelled(error: BaseException) -> bool:
    import asyncio

    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def leave_forked_child(parent: int, error: BaseException | None = None) -> None:
    """End this process when it is a child that the function forked: the run, its spool and its end are the parent's.

    `parent` is the process id of the run's own process; in that one nothing happens.
    """
    if os.getpid() == parent:
        return
    code: Any = 1 if error is not None else 0
    if isinstance(error, SystemExit):
        code = 0 if error.code is None else error.code
    elif error is not None:
        traceback.print_exception(error)
    if not isinstance(code, int):
        print(code, file=sys.stderr)  # noqa: T201 - as the interpreter does with sys.exit("text")
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until the end of the block, in the one thread that hears it.

    A datapoint whose function has returned is handed over whole: between the journal and the queue it would be lost.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is None:
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)
