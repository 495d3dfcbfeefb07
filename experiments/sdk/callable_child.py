"""The process in which a server's worker runs registered callables; experiments/adapters/callable_host.py starts it.

It reads one JSON object a line, runs what it says, answers with one line. It belongs to the worker that started it:
the worker kills it at a deadline, and it ends by itself when the worker is gone, however that died. Part of the SDK,
because functions and evaluators are called here as `evaluate()` calls them, and nothing of the server is loaded.
"""

import contextlib
import functools
import importlib
import json
import os
import queue
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, BinaryIO

LONGEST_MESSAGE = 2_000
_OWN_SETTINGS = "HHWEB_"  # the server's keys and addresses are no business of callables
# What asks to be tried again, unless the exception says so itself with `is_transient`.
_TRANSIENT = (TimeoutError, ConnectionError)

Message = dict[str, Any]
RunAsync = Callable[[Awaitable[Any]], Any]


def main(parent: int, largest_answer: int) -> None:
    """Serve until the worker `parent` closes the pipe or is gone. Answers are at most `largest_answer` bytes."""
    _die_with(parent)
    for name in [name for name in os.environ if name.startswith(_OWN_SETTINGS)]:
        del os.environ[name]
    requests, answers = _private_pipes()
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests, lines), name="requests", daemon=True).start()
    run_async = _Loop().run
    while True:
        answer = _encoded(_answered(json.loads(lines.get()), run_async), largest_answer)
        answers.write(answer + b"\n")
        answers.flush()


def _die_with(parent: int) -> None:
    """Linux kills us when the thread that started us ends, even while C code holds the interpreter."""
    with contextlib.suppress(OSError, AttributeError, ImportError):
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(0)


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Our ends of the pipes under other numbers: what callables print or read must not reach them."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def _read(requests: BinaryIO, lines: "queue.SimpleQueue[bytes]") -> None:
    for line in requests:
        lines.put(line)
    # The worker is gone. We lead a process group of our own: whatever callables started ends as well.
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


class _Loop:
    """One event loop for all calls, so that clients which callables keep stay usable."""

    def __init__(self) -> None:
        self._runner: Any = None

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Wait for an awaitable."""
        import asyncio

        async def wait() -> Any:
            return await awaitable

        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(wait())


def _answered(message: Message, run_async: RunAsync) -> Message:
    started = time.perf_counter()
    try:
        work = _judging(message) if "metric" in message else _calling(message)
        started = time.perf_counter()  # what loading took is nobody's latency
        answer = work(run_async)
    except BaseException as error:
        answer = {"error": _told(error)}
    return {**answer, "latency_ms": (time.perf_counter() - started) * 1_000}


def _calling(message: Message) -> Callable[[RunAsync], Message]:
    """Ready to call a function on a datapoint, like `evaluate(function=…)`."""
    from experiments.sdk.jsonable import jsonable

    bound = _bound(message["place"], json.dumps(message["options"], sort_keys=True))

    def call(run_async: RunAsync) -> Message:
        value = bound(message["case"], None)
        if hasattr(value, "__await__"):
            value = run_async(value)
        return {"value": jsonable(value)}

    return call


def _judging(message: Message) -> Callable[[RunAsync], Message]:
    """Ready to run one evaluator on an output, like `evaluate(evaluators=[…])`."""
    from experiments.sdk.evaluators.running import run_one

    options = json.dumps(message["options"], sort_keys=True)
    evaluator = _evaluator(message["place"], message["builtin"], message["metric"], options)
    case = message["case"]

    def judge(run_async: RunAsync) -> Message:
        outcome = run_one(
            evaluator,
            outputs=message["outputs"],
            inputs=case["inputs"],
            ground_truth=case["ground_truth"],
            datapoint=case,
            run_async=run_async,
        )
        return {"metrics": outcome.metrics, "evaluator_error": outcome.error}

    return judge


@functools.lru_cache(maxsize=256)
def _bound(place: str, options: str) -> Any:
    from experiments.sdk.errors import ConfigurationError
    from experiments.sdk.running.binding import bind

    bound = bind(functools.partial(_object(place), **json.loads(options)))
    if "tracer" in {*bound.positional, *(what for _, what in bound.named)}:
        raise ConfigurationError(
            f"{place} takes a tracer, which there is none of on the server; leave the parameter out"
        )
    return bound


@functools.lru_cache(maxsize=256)
def _evaluator(place: str, builtin: str, metric: str, options: str) -> Any:
    from experiments.sdk.evaluators.binding import check
    from experiments.sdk.evaluators.registry import evaluator_of

    evaluator = evaluator_of(_object(place) if place else builtin).configured({**json.loads(options), "name": metric})
    check(evaluator)
    return evaluator


@functools.lru_cache(maxsize=256)
def _object(place: str) -> Any:
    module, _, attribute = place.partition(":")
    found: Any = importlib.import_module(module)
    for name in attribute.split("."):
        found = getattr(found, name)
    return found


def _told(error: BaseException) -> Message:
    try:
        message = str(error)[:LONGEST_MESSAGE]
    except Exception:  # an exception whose own text fails
        message = ""
    after = getattr(error, "retry_after_seconds", None)
    return {
        "type": type(error).__name__,
        "message": message,
        "is_transient": bool(getattr(error, "is_transient", isinstance(error, _TRANSIENT))),
        "retry_after_seconds": after if isinstance(after, int | float) and after >= 0 else None,
    }


def _encoded(answer: Message, largest: int) -> bytes:
    text = json.dumps(answer, separators=(",", ":")).encode()
    if len(text) <= largest:
        return text
    told = {"type": "TooLarge", "message": f"the answer has {len(text)} bytes, at most {largest} are taken"}
    return json.dumps(
        {"error": {**told, "is_transient": False, "retry_after_seconds": None}, "is_large": True}
    ).encode()
