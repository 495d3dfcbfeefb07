"""How the user's function is called: by the names of its parameters, else by their number. Decided before a run."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from experiments.sdk.errors import ConfigurationError
from experiments.sdk.evaluators.operations import is_coroutine_function

_ALIASES = {
    "datapoint": "datapoint",
    "inputs": "inputs",
    "input": "inputs",
    "ground_truth": "ground_truth",
    "ground_truths": "ground_truth",
    "tracer": "tracer",
}
_ACCEPTED = "(datapoint), (inputs), (inputs, ground_truth), any of these by name, and optionally tracer"
_NOT_INPUTS = frozenset({"id", "datapoint_id", "ground_truth", "ground_truths", "metadata"})

Datapoint = Mapping[str, Any]


def inputs_of(datapoint: Datapoint) -> Any:
    """What the function works on: `inputs`, or everything but ids, ground truth and metadata where there is none."""
    if "inputs" in datapoint:
        return datapoint["inputs"]
    return {key: value for key, value in datapoint.items() if key not in _NOT_INPUTS}


def ground_truth_of(datapoint: Datapoint) -> Any:
    """`ground_truth`, or its older plural; None when there is none."""
    return datapoint.get("ground_truth", datapoint.get("ground_truths"))


@dataclass(frozen=True, slots=True)
class BoundFunction:
    """A function and which of datapoint, inputs, ground_truth and tracer go where."""

    function: Callable[..., Any]
    name: str
    is_async: bool
    positional: tuple[str, ...]
    named: tuple[tuple[str, str], ...]  # (parameter, what it gets)

    def __call__(self, datapoint: Datapoint, tracer: Any) -> Any:
        """Call it on one datapoint; a coroutine when it is asynchronous."""
        given = {
            "datapoint": datapoint,
            "inputs": inputs_of(datapoint),
            "ground_truth": ground_truth_of(datapoint),
            "tracer": tracer,
        }
        return self.function(
            *[given[what] for what in self.positional], **{parameter: given[what] for parameter, what in self.named}
        )


def bind(function: Callable[..., Any]) -> BoundFunction:
    """Find out how to call `function`. Raises ConfigurationError when its parameters fit none of the accepted forms."""
    if not callable(function):
        raise ConfigurationError(
            f"'function' must be callable, not {type(function).__name__}; give a function that takes {_ACCEPTED}."
        )
    name = function_name(function)
    is_async = is_coroutine_function(function)
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some builtins have no signature
        return BoundFunction(function, name, is_async, ("datapoint",), ())
    positional: list[str] = []
    named: list[tuple[str, str]] = []
    strangers: list[inspect.Parameter] = []
    for parameter in parameters:
        what = _ALIASES.get(parameter.name)
        if parameter.kind is parameter.VAR_KEYWORD:
            taken = {what for _, what in named} | set(positional)
            rest = [what for what in ("datapoint", "inputs", "ground_truth") if what not in taken]
            named.extend((what, what) for what in rest if not (strangers or taken))
        elif parameter.kind is parameter.VAR_POSITIONAL:
            continue
        elif what is None:
            if parameter.default is parameter.empty:
                strangers.append(parameter)
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            positional.append(what)
        else:
            named.append((parameter.name, what))
    if strangers:
        return _by_number(function, name, is_async, parameters, strangers)
    if not {what for _, what in named if what != "tracer"} | set(positional):
        raise _refused(name, parameters)
    return BoundFunction(function, name, is_async, tuple(positional), tuple(named))


def function_name(function: Any) -> str:
    """The name of a function, of what a partial wraps, or of a callable object's class."""
    while hasattr(function, "func") and not hasattr(function, "__name__"):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def _by_number(
    function: Callable[..., Any],
    name: str,
    is_async: bool,
    parameters: list[inspect.Parameter],
    strangers: list[inspect.Parameter],
) -> BoundFunction:
    """One parameter of any other name gets the whole datapoint, two get inputs and ground truth."""
    required = [
        parameter
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        and parameter.name != "tracer"
    ]
    meanings = {1: ("datapoint",), 2: ("inputs", "ground_truth")}.get(len(required))
    known = [_ALIASES.get(parameter.name) for parameter in required]
    fits = meanings is not None and all(
        what is None or what == meaning for what, meaning in zip(known, meanings, strict=True)
    )
    if not fits or meanings is None or any(parameter.kind is parameter.KEYWORD_ONLY for parameter in strangers):
        raise _refused(name, parameters)
    by_name = {parameter.name: what for parameter, what in zip(required, meanings, strict=True)}
    by_name |= {parameter.name: "tracer" for parameter in parameters if parameter.name == "tracer"}
    positional = [by_name[p.name] for p in parameters if p.kind is p.POSITIONAL_ONLY and p.name in by_name]
    named = [(p.name, by_name[p.name]) for p in parameters if p.kind is not p.POSITIONAL_ONLY and p.name in by_name]
    return BoundFunction(function, name, is_async, tuple(positional), tuple(named))


def _refused(name: str, parameters: list[inspect.Parameter]) -> ConfigurationError:
    shown = ", ".join(str(parameter) for parameter in parameters)
    return ConfigurationError(f"Function {name}({shown}) cannot be called on a datapoint; it may take {_ACCEPTED}.")
