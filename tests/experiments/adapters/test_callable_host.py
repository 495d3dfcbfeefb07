"""Registered callables run in processes that end at the deadline, when called off, and with their worker."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from experiments.adapters import callable_host
from experiments.adapters.targets.registered_callable import RegisteredCallable
from experiments.domain.calls import CallFailed, Case

PATIENCE = 60.0
CASE = Case("d1", {"q": "why?"}, ground_truth={"a": 1}, metadata={"m": 1})


def target(name: str, **options) -> RegisteredCallable:
    return RegisteredCallable(name, f"tests.experiments.adapters.registered:{name}", options)


def call(name: str, case: Case = CASE, *, deadline: float = PATIENCE, **options):
    return target(name, **options).call(case, deadline_seconds=deadline)


def failure(name: str, *, deadline: float = PATIENCE, case: Case = CASE) -> CallFailed:
    with pytest.raises(CallFailed) as raised:
        call(name, case, deadline=deadline)
    return raised.value


def is_running(pid: int) -> bool:
    """Zombies have ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, what: str) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.02)


def test_functions_are_called_as_evaluate_calls_them() -> None:
    answer = call("shout", mark="?")
    assert answer.outputs == {"said": "WHY??"}
    assert 0 <= answer.latency_ms < 60_000
    assert (answer.prompt_tokens, answer.model) == (None, "")
    assert call("later").outputs == ["why?", {"a": 1}]
    assert call("whole").outputs == {
        "id": "d1",
        "inputs": {"q": "why?"},
        "ground_truth": {"a": 1},
        "history": [],
        "metadata": {"m": 1},
    }
    assert call("odd").outputs == {"nan": "nan", "set": [1], "bytes": "x"}


def test_a_process_is_used_again_and_knows_nothing_of_the_servers_settings(monkeypatch) -> None:
    first = call("process").outputs
    assert call("process").outputs == first != os.getpid()
    # Pytest's own process has them set.
    assert any(name.startswith("HHWEB_") for name in os.environ)
    assert call("environment").outputs == []


def test_calls_at_once_run_in_processes_of_their_own() -> None:
    started = time.monotonic()
    ended = []
    threads = [
        threading.Thread(target=lambda: ended.append(failure("sleeps", deadline=1.0).error_class)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == ["timeout"] * 3
    assert time.monotonic() - started < PATIENCE / 2


@pytest.mark.parametrize("name", ["forever", "in_c"])
def test_an_endless_call_ends_at_its_deadline(name) -> None:
    before = call("process").outputs
    failed = failure(name, deadline=0.5)
    assert (failed.error_class, failed.is_transient, failed.called) == ("timeout", True, True)
    assert failed.latency_ms >= 500
    assert "0.5 seconds" in failed.message
    wait_until(lambda: not is_running(before), "the process outlived its deadline")
    assert call("shout").outputs == {"said": "WHY?!"}


@pytest.mark.parametrize("name", ["forever", "in_c"])
def test_closing_ends_calls_under_way_from_another_thread_and_leaves_others_alone(name) -> None:
    hangs, other = target(name), target("shout")
    threading.Timer(0.3, hangs.close).start()
    started = time.monotonic()
    with pytest.raises(CallFailed) as raised:
        hangs.call(CASE, deadline_seconds=PATIENCE * 10)
    assert (raised.value.error_class, raised.value.is_transient, raised.value.called) == ("cancelled", False, True)
    assert time.monotonic() - started < PATIENCE / 2
    with pytest.raises(CallFailed) as raised:
        hangs.call(CASE, deadline_seconds=PATIENCE)
    assert (raised.value.error_class, raised.value.called) == ("cancelled", False)
    assert other.call(CASE, deadline_seconds=PATIENCE).outputs == {"said": "WHY?!"}


@pytest.mark.parametrize(
    ("name", "error_class", "is_transient", "after", "message"),
    [
        ("fails", "callable_error", False, None, "ValueError: a bad question"),
        ("leaves", "callable_error", False, None, "SystemExit: 3"),
        ("unreachable", "callable_error", True, None, "ConnectionError: no way"),
        ("busy", "callable_error", True, 7, "Busy: come back later"),
        ("absent", "callable_error", False, None, "AttributeError"),
        ("traced", "callable_error", False, None, "takes a tracer"),
        ("dies", "crashed", True, None, "died by SIGABRT"),
    ],
)
def test_failures_are_told_by_class(name, error_class, is_transient, after, message) -> None:
    failed = failure(name)
    assert (failed.error_class, failed.is_transient, failed.retry_after_seconds) == (error_class, is_transient, after)
    assert message in failed.message
    assert failed.called is True


def test_an_answer_that_is_too_large_is_told(monkeypatch) -> None:
    monkeypatch.setattr(callable_host, "LARGEST_ANSWER", 1_000)
    monkeypatch.setattr(callable_host, "_pool", None)
    failed = failure("large")
    assert (failed.error_class, failed.is_transient) == ("too_large", False)
    assert "at most 1000" in failed.message
    callable_host._the_pool().kill_all()


def test_a_process_that_died_while_idle_is_replaced() -> None:
    first = call("process").outputs
    (child,) = (child for child in callable_host._the_pool()._idle if child.process.pid == first)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not child.is_alive, "it did not die")
    assert call("process").outputs != first


def test_a_process_is_given_up_after_many_calls_or_long_rest(monkeypatch) -> None:
    first = call("process").outputs
    monkeypatch.setattr(callable_host, "MOST_CALLS", 1)
    call("process")
    wait_until(lambda: not is_running(first), "it was kept")
    monkeypatch.undo()
    second = call("process").outputs
    monkeypatch.setattr(callable_host, "IDLE_SECONDS", 0.0)
    callable_host._the_pool()._drop_idle()
    assert not is_running(second)


@pytest.mark.parametrize("name", ["forever", "in_c", "parent"])
def test_processes_die_with_a_worker_that_is_killed(name, tmp_path) -> None:
    note = tmp_path / "pids"
    program = [sys.executable, "-m", "tests.experiments.adapters.callable_worker", name, str(note)]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "hhweb.settings.test"}
    worker = subprocess.Popen(program, env=environment)
    try:
        wait_until(lambda: note.exists() and (name != "parent" or " " in note.read_text()), "the worker did not start")
        pids = [int(pid) for pid in note.read_text().split()]
        wait_until(lambda: is_running(pids[0]), "the callable does not run")
        time.sleep(0.2)
        assert is_running(pids[0])
    finally:
        worker.kill()
        worker.wait()
    wait_until(lambda: not is_running(pids[0]), "the callable outlived its worker")
    if name == "parent":
        os.kill(pids[1], signal.SIGKILL)  # what callables start themselves is theirs
