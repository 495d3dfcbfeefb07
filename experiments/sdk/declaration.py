"""`@experiment`: a function with the dataset and evaluators it is judged by, run by `hhweb experiments run`."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from experiments.sdk.models import ExperimentResultSummary


class Experiment:
    """A declared experiment: called, it is its function; `run()` evaluates it. `settings` are evaluate()'s."""

    def __init__(self, function: Callable[..., Any], settings: dict[str, Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.settings = settings

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.function(*arguments, **named)

    def run(self, **settings: Any) -> "ExperimentResultSummary":
        """Evaluate the function with the declared settings; what is given here wins."""
        from experiments.sdk.evaluate import evaluate

        return evaluate(self.function, **{**self.settings, **settings})


@overload
def experiment(function: Callable[..., Any], /) -> Experiment: ...
@overload
def experiment(**settings: Any) -> Callable[[Callable[..., Any]], Experiment]: ...
def experiment(
    function: Callable[..., Any] | None = None, /, **settings: Any
) -> Experiment | Callable[[Callable[..., Any]], Experiment]:
    """Declare the function below as an experiment: `@experiment(dataset="questions.jsonl", evaluators=[exact])`.

    Takes everything that evaluate() takes but the function; nothing runs until it is asked for.
    """
    if function is not None:
        return Experiment(function, settings)
    return lambda function: Experiment(function, settings)
