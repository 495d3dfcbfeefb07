"""The old ways to run evaluators on outputs that are there already, without a run on the server."""

import functools
import inspect
import logging
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from experiments.evaluation.local_evaluators import (
    BUILTIN_EVALUATORS,
    BaseEvaluator,
    EvaluationContext,
    EvaluationResult,
    Json,
    get_evaluator,
)

if TYPE_CHECKING:
    from experiments.sdk.models import CreateRunResponse
    from experiments.sdk.transport.client import Client

EvaluatorLike = str | BaseEvaluator | Callable[..., Any]

_logger = logging.getLogger(__name__)


def evaluate(prediction: str, ground_truth: str, metrics: list[str] | None = None, **kwargs: Any) -> EvaluationResult:
    """A prediction judged by built-in evaluators (exact_match and f1_score when none are named).

    The score is the mean of all figures, cut to 0 … 1; unknown names are passed over, a failing one counts 0.
    Further keywords go to the EvaluationResult.
    """
    found: Json = {}
    for name in ["exact_match", "f1_score"] if metrics is None else metrics:
        if name in BUILTIN_EVALUATORS:
            try:
                found |= get_evaluator(name).evaluate({"expected": ground_truth}, {"response": prediction})
            except Exception as error:
                _logger.warning("Evaluator %s failed: %s", name, error)
                found[name] = 0.0
    figures = [value for value in found.values() if isinstance(value, int | float)]
    return EvaluationResult(score=_mean(figures), metrics=found, **kwargs)


def evaluate_with_evaluators(
    evaluators: Sequence[EvaluatorLike],
    inputs: Json,
    outputs: Json,
    *,
    ground_truth: Json | None = None,
    context: EvaluationContext | None = None,
    max_workers: int = 1,
    run_concurrently: bool = True,
) -> EvaluationResult:
    """Outputs judged by several evaluators, called as (inputs, outputs) or, with ground truth, with it as third.

    `metrics` has what each returned, None where one raised; the score is the mean of all figures above 0, cut to 1.
    """
    judge = functools.partial(_judged, inputs=inputs, outputs=outputs, ground_truth=ground_truth)
    returned = _mapped(judge, evaluators, max_workers if run_concurrently else 1)
    metrics = {_name_of(evaluator): value for evaluator, value in zip(evaluators, returned, strict=True)}
    figures = [
        figure for value in metrics.values() for figure in (value.values() if isinstance(value, dict) else [value])
    ]
    return EvaluationResult(
        score=_mean([figure for figure in figures if isinstance(figure, int | float) and figure > 0]),
        metrics=metrics,
        metadata=_metadata(inputs, outputs, ground_truth, context),
    )


def evaluate_batch(
    evaluators: Sequence[EvaluatorLike],
    dataset: Sequence[Json],
    max_workers: int = 4,
    run_concurrently: bool = True,
    context: EvaluationContext | None = None,
) -> list[EvaluationResult]:
    """Each of {inputs, outputs, ground_truth} judged by all evaluators; one that cannot be judged has score 0."""

    def judge(datapoint: Json) -> EvaluationResult:
        try:
            return evaluate_with_evaluators(
                evaluators,
                datapoint.get("inputs", {}),
                datapoint.get("outputs", {}),
                ground_truth=datapoint.get("ground_truth"),
                context=context,
            )
        except Exception as error:
            _logger.warning("Evaluation of a datapoint failed: %s", error)
            return EvaluationResult(score=0.0, metrics={}, metadata=_metadata({}, {}, {}, context))

    return _mapped(judge, dataset, max_workers if run_concurrently else 1)


def evaluate_decorator(
    evaluators: Sequence[EvaluatorLike] | None = None, **kwargs: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that judges what a function returns when its first argument is a dict (the inputs).

    A returned dict gets the EvaluationResult as ["evaluation"]["result"]; of anything else it is logged only.
    """

    def judge(args: tuple[Any, ...], result: Any) -> Any:
        if evaluators and args and isinstance(args[0], dict):
            outputs = result if isinstance(result, dict) else {"response": result}
            try:
                found = evaluate_with_evaluators(evaluators, args[0], outputs, **kwargs)
                if isinstance(result, dict):
                    result.setdefault("evaluation", {})["result"] = found
                else:
                    _logger.info("Evaluation result: %s", found)
            except Exception as error:
                _logger.warning("Evaluation failed: %s", error)
        return result

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def judged_later(*args: Any, **named: Any) -> Any:
                return judge(args, await function(*args, **named))

            return judged_later

        @functools.wraps(function)
        def judged(*args: Any, **named: Any) -> Any:
            return judge(args, function(*args, **named))

        return judged

    return decorate


def evaluator(_name: Any = None, _session_id: str | None = None, **_kwargs: Any) -> Any:
    """A decorator, with or without parentheses, that leaves the function as it is."""
    return _name if callable(_name) else lambda function: function


def aevaluator(_name: Any = None, _session_id: str | None = None, **_kwargs: Any) -> Any:
    """Like `evaluator`, for asynchronous functions."""
    return evaluator(_name)


def create_evaluation_run(
    name: str,
    project: str,
    _results: Sequence[EvaluationResult],
    metadata: Json | None = None,
    client: "Client | None" = None,
) -> "CreateRunResponse | None":
    """Create a run without events; None, with a logged warning, when that fails. The key decides the project."""
    from experiments.sdk.results import opened_client

    try:
        with opened_client(client) as opened:
            # An id of our own: an answer that got lost can be asked for again.
            body = {"run_id": str(uuid.uuid4()), "name": name, "project": project, "event_ids": []}
            return opened.create_run({**body, "metadata": metadata or {}})
    except Exception as error:
        _logger.warning("The evaluation run %r could not be created: %s", name, error)
        return None


def _judged(evaluator: EvaluatorLike, *, inputs: Json, outputs: Json, ground_truth: Json | None) -> Any:
    try:
        function: Any = get_evaluator(evaluator) if isinstance(evaluator, str) else evaluator
        return function(inputs, outputs) if ground_truth is None else function(inputs, outputs, ground_truth)
    except Exception as error:
        _logger.warning("Evaluator %s failed: %s", _name_of(evaluator), error)
        return None


def _mapped(function: Callable[[Any], Any], items: Sequence[Any], workers: int) -> list[Any]:
    """Results in the order of the items; threads get a copy of the caller's context."""
    if workers < 2 or len(items) < 2:
        return [function(item) for item in items]
    import contextvars
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=workers) as pool:
        running = [pool.submit(contextvars.copy_context().run, function, item) for item in items]
        return [future.result() for future in running]


def _name_of(evaluator: EvaluatorLike) -> str:
    if isinstance(evaluator, str):
        return evaluator
    return str(getattr(evaluator, "__name__", evaluator))


def _mean(figures: Sequence[float]) -> float:
    return max(0.0, min(1.0, sum(figures) / len(figures))) if figures else 0.0


def _metadata(inputs: Any, outputs: Any, ground_truth: Any, context: EvaluationContext | None) -> Json:
    about = vars(context) if context else None
    return {"inputs": inputs, "outputs": outputs, "ground_truth": ground_truth, "context": about}
