"""evaluate() and get_run_metrics() as they were called before: old keywords, old ways to hand over a datapoint."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from experiments.evaluation.deprecation import tell_off

if TYPE_CHECKING:
    from experiments.sdk.configuration import Settings
    from experiments.sdk.models import ExperimentResultSummary
    from experiments.sdk.transport.client import Client

# Keywords from before 1.0: what they are now; None means that nothing is left to say.
_RENAMED = {
    "hh_api_key": "api_key",
    "hh_project": "project",
    "runner": "function",
    "suite": "metadata",
    "disable_http_tracing": None,
    "disable_auto_tracing": None,
}
_SAID = ("datapoint", "inputs", "tracer")  # parameters whose names say what they get
_BEFORE_1_0 = "experiments.evaluation.evaluate with "


def evaluate(function: Callable[..., Any] | None = None, **keywords: Any) -> "ExperimentResultSummary":
    """experiments.evaluate with the keywords of all times.

    Besides today's keywords: hh_api_key, hh_project, runner (the function), suite (goes to the run's metadata),
    disable_http_tracing (nothing to disable any more). Called with any of these, or on datapoints with `ground_truths`,
    a function of one parameter gets the inputs and not the whole datapoint, as it did then. The result is printed
    unless print_results=False.
    """
    from experiments.sdk.errors import ConfigurationError
    from experiments.sdk.evaluate import evaluate as evaluate_now

    used = [name for name in _RENAMED if name in keywords]
    for name in used:
        now = _RENAMED[name]
        tell_off(_BEFORE_1_0 + f"{name}=", f"{now}=" if now else "nothing: leave it out", stacklevel=3)
    old = {name: keywords.pop(name) for name in used}
    function = function if function is not None else old.get("runner")
    if not callable(function):
        raise ConfigurationError("evaluate() needs the function to run: evaluate(function, dataset=[…]).")
    for name in ("api_key", "project"):
        if old.get(f"hh_{name}"):
            keywords.setdefault(name, old[f"hh_{name}"])
    if old.get("suite"):
        keywords["metadata"] = {"suite": old["suite"], **(keywords.get("metadata") or {})}
    if used or _has_ground_truths(keywords.get("dataset")):
        function = _of_inputs(function)
    return evaluate_now(function, **{"print_results": True, **keywords})


def get_run_metrics(client: "Client | Settings | None", run_id: str, project_id: str | None = None) -> dict[str, Any]:
    """The body of the run's result, as the official client answers under this name; `project_id` is ignored."""
    from experiments.sdk.results import opened_client, warn_of_project

    warn_of_project(project_id)
    with opened_client(client) as opened:
        return opened.result(run_id)


def _has_ground_truths(dataset: Any) -> bool:
    first = dataset[0] if isinstance(dataset, list | tuple) and dataset else None
    return isinstance(first, Mapping) and "ground_truths" in first


def _of_inputs(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its only parameter named `inputs`; any other function as it is."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some builtins have no signature
        return function
    required = [
        each
        for each in parameters
        if each.default is each.empty and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    ]
    if len(required) != 1 or required[0].kind is inspect.Parameter.KEYWORD_ONLY or required[0].name in _SAID:
        return function
    called: Any
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def called_later(inputs: Any) -> Any:
            return await function(inputs)

        called = called_later
    else:

        @functools.wraps(function)
        def called_now(inputs: Any) -> Any:
            return function(inputs)

        called = called_now
    # What `wraps` leaves to find (the source, for the cache) is the function's; only the parameter's name is ours.
    called.__signature__ = inspect.Signature([inspect.Parameter("inputs", inspect.Parameter.POSITIONAL_OR_KEYWORD)])
    named: Callable[..., Any] = called
    return named
