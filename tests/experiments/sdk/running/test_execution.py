"""Threads, tasks and turns: every job once, contexts apart, surprises raised, interrupts heard."""

import asyncio
import contextvars
import os
import signal
import threading
import time

import pytest

from experiments.sdk.running.execution import AsyncRunner, has_running_loop, run_in_turn, run_tasks, run_threads

VARIABLE = contextvars.ContextVar("variable", default="none")
SEEN = contextvars.ContextVar("seen", default=None)


def run_async_jobs(jobs, work, workers):
    async def task(job):
        work(job, None)

    run_tasks(jobs, task, workers=workers)


def run_jobs_in_turn(jobs, work, workers):
    run_in_turn(jobs, work)


def run_jobs_on_threads(jobs, work, workers):
    run_threads(jobs, work, workers=workers)


ALL = pytest.mark.parametrize("run", [run_async_jobs, run_jobs_in_turn, run_jobs_on_threads])


@ALL
def test_every_job_is_done_once_in_a_copy_of_the_callers_context(run):
    token = VARIABLE.set("caller")
    done, strangers = [], []

    def work(job, run_async):
        done.append(job)
        assert VARIABLE.get() == "caller"
        strangers.append(SEEN.get())
        SEEN.set(job)

    run(range(50), work, 4)
    VARIABLE.reset(token)
    assert sorted(done) == list(range(50))
    assert strangers == [None] * 50
    assert SEEN.get() is None
    assert [thread for thread in threading.enumerate() if thread.name.startswith("hhweb-")] == []


@ALL
def test_what_work_raises_ends_the_run_and_is_raised(run):
    done = []

    def work(job, run_async):
        if job == 3:
            raise LookupError("surprise")
        done.append(job)

    with pytest.raises(LookupError, match="surprise"):
        run(range(10_000), work, 2)
    assert len(done) < 10_000


def test_no_more_tasks_than_workers_run_at_a_time():
    running = most = 0

    async def task(job):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1

    run_tasks(range(40), task, workers=3)
    assert most == 3


def test_coroutines_run_inside_threads_on_one_loop_each():
    loops = set()

    async def which():
        loops.add(id(asyncio.get_running_loop()))
        return VARIABLE.get()

    def work(job, run_async):
        VARIABLE.set(str(job))
        assert run_async(which()) == str(job)

    run_in_turn(range(5), work)
    assert len(loops) == 1
    unused = AsyncRunner()
    unused.close()


def test_tasks_run_from_inside_a_notebooks_loop():
    done = []

    async def task(job):
        done.append(job)

    async def notebook():
        assert has_running_loop()
        run_tasks([1, 2], task, workers=2)

    asyncio.run(notebook())
    assert not has_running_loop()
    assert sorted(done) == [1, 2]


@pytest.mark.parametrize("is_async", [False, True])
def test_an_interrupt_stops_new_jobs_and_is_raised(is_async):
    done, started = [], threading.Event()
    release = threading.Event()

    def interrupt():
        started.wait(10)
        os.kill(os.getpid(), signal.SIGINT)
        release.set()

    def work(job, run_async):
        started.set()
        release.wait(10)
        time.sleep(0.05)
        done.append(job)

    async def task(job):
        started.set()
        await asyncio.sleep(0.3 if job < 2 else 0)
        done.append(job)

    run, job = (run_tasks, task) if is_async else (run_threads, work)
    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run(range(1000), job, workers=2)
    assert len(done) < 100
    assert [thread for thread in threading.enumerate() if thread.name.startswith("hhweb-")] == []
