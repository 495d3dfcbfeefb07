"""One execution of a function on one datapoint: its tracer, its outcome, its way to the server.

Three outcomes are kept apart: the function failed, an evaluator failed, the delivery failed.
"""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from experiments.sdk.context import ExperimentContext
from experiments.sdk.jsonable import as_object, jsonable
from experiments.sdk.models import DatapointOutcome
from experiments.sdk.tracing.tracer import Active, Deliver, Tracer, describe

if TYPE_CHECKING:
    from experiments.sdk.evaluators.running import EvaluatorOutcome


class DatapointRun:
    """From the first line of the function to the finished record.

    Use: `with run.active(): run.returned(function(...))`, or `run.raised(error)`, then `judged` for each evaluator,
    then `close()`.
    """

    def __init__(
        self,
        *,
        context: ExperimentContext,
        datapoint_id: str,
        session_id: str,
        function_name: str,
        inputs: Any,
        ground_truth: Any,
        repetition: int,
        deliver: Deliver,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self.tracer = Tracer(
            is_evaluation=True,
            run_id=context.run_id,
            dataset_id=context.dataset_id,
            datapoint_id=datapoint_id,
            source=context.source,
            session_id=session_id,
            # Metrics of two runs are compared by event name, those of sessions too: the run's name would part them.
            session_name=function_name,
            inputs=inputs,
            metadata={**(metadata or {}), "repetition": repetition},
            deliver=deliver,
        )
        self.inputs, self.ground_truth = inputs, ground_truth
        self.outputs: Any = None
        self.repetition = repetition
        self.metrics: dict[str, Any] = {}
        self.error: str | None = None
        self.error_type: str | None = None
        self.evaluator_errors: dict[str, str] = {}
        self.is_cached = False
        self._started_ns = time.time_ns()
        self._ended_ns: int | None = None
        self.root = self.tracer.start_span(
            function_name, event_type="chain", inputs=inputs, start_time_ns=self._started_ns, is_root=True
        )
        self.tracer.root = self.root
        if repetition:
            self.tracer.enrich(self.root, {"metadata": {"repetition": repetition}})

    def active(self) -> Active:
        """Make tracer and root span current for the function and its evaluators; `as` gives the tracer."""
        return self.tracer.active(self.root)

    def returned(self, outputs: Any, *, is_cached: bool = False) -> None:
        """The function is done; the span's time ends here, whatever evaluators take."""
        self._ended_ns = time.time_ns()
        self.outputs, self.is_cached = outputs, is_cached
        if is_cached:
            self.tracer.enrich(self.root, {"metadata": {"is_cached": True}})

    def raised(self, error: BaseException) -> None:
        """The function failed."""
        self._ended_ns = self._ended_ns or time.time_ns()
        self.error, self.error_type = describe(error), type(error).__name__
        self.tracer.fail(self.root, error)

    def judged(self, outcome: "EvaluatorOutcome") -> None:
        """What one evaluator said, or that it failed."""
        taken = self.metrics.keys() & outcome.metrics.keys()
        self.metrics |= {name: value for name, value in outcome.metrics.items() if name not in taken}
        problems = [f"ValueError: metric {name!r} has a value of another evaluator already" for name in sorted(taken)]
        if problems := [*filter(None, [outcome.error]), *problems]:
            self.evaluator_errors[outcome.name] = "; ".join(problems)

    def close(self) -> DatapointOutcome:
        """End the span, hand the session over, and say what happened."""
        ended_ns = self._ended_ns or time.time_ns()
        buckets: dict[str, Any] = {"metrics": self.metrics}
        if self.outputs is not None:
            buckets["outputs"] = {"result": self.outputs}
        if self.evaluator_errors:
            buckets["metadata"] = {"evaluator_errors": self.evaluator_errors}
        self.tracer.enrich(self.root, buckets)
        self.root.end(end_time=ended_ns)
        session = self.tracer.session
        session["outputs"] = {**as_object(self.outputs, "result"), **session["outputs"]}
        if self.ground_truth is not None:
            session["feedback"] = {"ground_truth": jsonable(self.ground_truth), **session["feedback"]}
        self.tracer.deliver(error=self.error)
        return DatapointOutcome(
            datapoint_id=str(self.tracer.datapoint_id),
            session_id=self.tracer.session_id,
            repetition=self.repetition,
            inputs=self.inputs,
            ground_truth=self.ground_truth,
            outputs=self.outputs,
            metrics=self.metrics,
            error=self.error,
            error_type=self.error_type,
            evaluator_errors=self.evaluator_errors,
            duration_ms=(ended_ns - self._started_ns) / 1e6,
            is_cached=self.is_cached,
        )


def judge_all(run: DatapointRun, evaluators: Sequence[Any], datapoint: Any, run_async: Callable[[Any], Any]) -> None:
    """Run evaluators on what the function returned, one after the other."""
    from experiments.sdk.evaluators.running import run_one

    for evaluator in evaluators:
        run.judged(
            run_one(
                evaluator,
                outputs=run.outputs,
                inputs=run.inputs,
                ground_truth=run.ground_truth,
                datapoint=datapoint,
                run_async=run_async,
            )
        )


async def judge_all_async(run: DatapointRun, evaluators: Sequence[Any], datapoint: Any) -> None:
    """The same inside an event loop; the evaluators run at once."""
    import asyncio

    from experiments.sdk.evaluators.running import EvaluatorOutcome, arun_one

    # Exceptions as values: of a cancelled evaluator gather() would else make a cancelled datapoint. When it is the
    # datapoint that is being cancelled, this line raises.
    outcomes = await asyncio.gather(
        *(
            arun_one(
                evaluator,
                outputs=run.outputs,
                inputs=run.inputs,
                ground_truth=run.ground_truth,
                datapoint=datapoint,
            )
            for evaluator in evaluators
        ),
        return_exceptions=True,
    )
    for evaluator, outcome in zip(evaluators, outcomes, strict=True):
        if isinstance(outcome, asyncio.CancelledError):
            outcome = EvaluatorOutcome(evaluator.name, {}, describe(outcome), type(outcome).__name__)
        if isinstance(outcome, BaseException):
            raise outcome
        run.judged(outcome)
