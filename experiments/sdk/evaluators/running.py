"""Runs evaluators on what a function returned. An evaluator that fails fails alone: its error is a value here."""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.sdk.evaluators.binding import Values, plan_of
from experiments.sdk.evaluators.definition import Evaluator
from experiments.sdk.evaluators.values import Scalar, metrics_of

LONGEST_MESSAGE = 2000


@dataclass(frozen=True, slots=True)
class EvaluatorOutcome:
    """What one evaluator said of one datapoint.

    `error` ("TypeName: message") tells what went wrong, with `error_type`. Metrics and an error together: the score
    could be used, another entry of the returned dict could not.
    """

    name: str
    metrics: dict[str, Scalar]
    error: str | None = None
    error_type: str | None = None


def run_one(
    evaluator: Evaluator,
    *,
    outputs: Any,
    inputs: Any,
    ground_truth: Any,
    datapoint: Any = None,
    run_async: Callable[[Awaitable[Any]], Any],
) -> EvaluatorOutcome:
    """Run one evaluator; `run_async` waits for the awaitable of an async one. Raises nothing but KeyboardInterrupt."""
    try:
        value = plan_of(evaluator).call(evaluator, _values(outputs, inputs, ground_truth, datapoint))
        if hasattr(value, "__await__"):
            value = run_async(value)
        return _outcome(evaluator.name, value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return _failure(evaluator.name, error)


async def arun_one(
    evaluator: Evaluator, *, outputs: Any, inputs: Any, ground_truth: Any, datapoint: Any = None
) -> EvaluatorOutcome:
    """Run one evaluator under an event loop: a sync function in a thread with the context copied.

    Raises nothing but KeyboardInterrupt and CancelledError.
    """
    import asyncio

    try:
        plan, values = plan_of(evaluator), _values(outputs, inputs, ground_truth, datapoint)
        if _blocks(evaluator):
            value, error = await _in_thread(lambda: plan.call(evaluator, values))
            if error is not None:
                if isinstance(error, KeyboardInterrupt):
                    raise error
                return _failure(evaluator.name, error)
        else:
            value = plan.call(evaluator, values)
        if hasattr(value, "__await__"):
            value = await value
        return _outcome(evaluator.name, value)
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise
    except BaseException as error:
        return _failure(evaluator.name, error)


async def _in_thread(call: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """Call in a thread with the context copied; what it returned, and what it raised.

    Not asyncio.to_thread(): there StopIteration (of a `next()` that finds nothing) is never heard of and waited for
    without end, and a call that hangs holds up the end of the process.
    """
    import asyncio
    import contextvars
    import threading

    loop, context = asyncio.get_running_loop(), contextvars.copy_context()
    settled: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

    def settle(value: Any, error: BaseException | None) -> None:
        if not settled.done():  # else the run was interrupted meanwhile
            settled.set_result((value, error))

    def work() -> None:
        value: Any = None
        failure: BaseException | None = None
        try:
            value = context.run(call)
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, value, failure)

    thread = threading.Thread(target=work, name="hhweb-evaluator", daemon=True)
    thread.start()
    outcome = await settled
    thread.join()
    return outcome


def run_evaluators(
    evaluators: Sequence[Any], inputs: Any, outputs: Any, ground_truth: Any = None
) -> list[dict[str, Any]]:
    """Run evaluators one after the other, in the order given, from code that is not async.

    Each becomes {"name", "score", "explanation", "error"} and its further entries; score is None when it failed.
    Raises ValueError, before anything runs, for evaluators that cannot work.
    """
    from experiments.sdk.evaluators.registry import resolve

    results = []
    for evaluator in resolve(evaluators):
        outcome = run_one(
            evaluator, outputs=outputs, inputs=inputs, ground_truth=ground_truth, run_async=_wait_in_own_loop
        )
        prefix = f"{evaluator.name}_"
        result: dict[str, Any] = {"name": evaluator.name, "score": None, "explanation": None, "error": outcome.error}
        for metric, value in outcome.metrics.items():
            result["score" if metric == evaluator.name else metric.removeprefix(prefix)] = value
        results.append(result)
    return results


def _wait_in_own_loop(awaitable: Awaitable[Any]) -> Any:
    """Wait in a loop of our own; in a thread of its own when this one runs a loop already (a notebook does)."""
    import asyncio

    async def wait() -> Any:
        return await awaitable

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(wait())
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, wait()).result()


def _values(outputs: Any, inputs: Any, ground_truth: Any, datapoint: Any) -> Values:
    if datapoint is None:
        datapoint = {"inputs": inputs, "ground_truth": ground_truth}
    metadata = datapoint.get("metadata") if isinstance(datapoint, dict) else None
    return outputs, inputs, ground_truth, datapoint, metadata or {}


def _blocks(evaluator: Evaluator) -> bool:
    """Whether a call does its work at once rather than when awaited."""
    while evaluator.wrapped is not None:
        evaluator = evaluator.wrapped
    return not evaluator.has_async_function


def _outcome(name: str, value: Any) -> EvaluatorOutcome:
    metrics, problem = metrics_of(name, value)
    if problem is None:
        return EvaluatorOutcome(name, metrics)
    return EvaluatorOutcome(name, metrics, f"ValueError: {problem}", "ValueError")


def _failure(name: str, error: BaseException) -> EvaluatorOutcome:
    kind = type(error).__name__
    try:
        message = str(error)[:LONGEST_MESSAGE]
    except Exception:  # an exception whose own text fails
        message = ""
    return EvaluatorOutcome(name, {}, f"{kind}: {message}" if message else kind, kind)
