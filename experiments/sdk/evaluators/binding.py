"""Which of a datapoint's values each parameter of an evaluator's function gets, found out once per evaluator.

By name: outputs/output, inputs/input, ground_truth/ground_truths/expected, datapoint, metadata. A parameter of another
name gets what stands at its place in (outputs, inputs, ground_truth), if everything before it stands at its place too;
the second one only where all three are there or no name is known. With a default it is a setting and keeps it, but for
a default of None where no name is known. On datapoints without ground truth, a default stands in for the ground truth.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.sdk.errors import ConfigurationError
from experiments.sdk.evaluators.definition import Evaluator

OUTPUTS, INPUTS, GROUND_TRUTH, DATAPOINT, METADATA = range(5)
PLACES = {
    "outputs": OUTPUTS,
    "output": OUTPUTS,
    "inputs": INPUTS,
    "input": INPUTS,
    "ground_truth": GROUND_TRUTH,
    "ground_truths": GROUND_TRUTH,
    "expected": GROUND_TRUTH,
    "datapoint": DATAPOINT,
    "metadata": METADATA,
}
# What **kwargs gets: every value under its first name.
CANONICAL = {place: name for name, place in reversed(PLACES.items())}
POSITIONAL = (OUTPUTS, INPUTS, GROUND_TRUTH)
KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY
Values = tuple[Any, Any, Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """Places of the values by position and by keyword, for datapoints with ground truth and for those without."""

    args: tuple[int, ...]
    kwargs: tuple[tuple[str, int], ...]
    args_unlabelled: tuple[int, ...]
    kwargs_unlabelled: tuple[tuple[str, int], ...]

    def call(self, evaluator: Callable[..., Any], values: Values) -> Any:
        """Call the evaluator with its part of (outputs, inputs, ground truth, datapoint, metadata)."""
        if values[GROUND_TRUTH] is None:
            args, kwargs = self.args_unlabelled, self.kwargs_unlabelled
        else:
            args, kwargs = self.args, self.kwargs
        if not kwargs:
            return evaluator(*[values[place] for place in args])
        return evaluator(*[values[place] for place in args], **{name: values[place] for name, place in kwargs})


def check(evaluator: Evaluator) -> None:
    """Raise ValueError when a run could not call the evaluator: names the parameter, the setting or the library."""
    seen = [evaluator]
    while (inner := seen[-1].wrapped) is not None:
        if any(inner.name == outer.name for outer in seen):
            raise ConfigurationError(f"Evaluator {inner.name!r} wraps itself.")
        seen.append(inner)
    plan_of(evaluator)
    for each in seen:
        _check_libraries(each)


def plan_of(evaluator: Evaluator) -> Plan:
    """The plan of an evaluator, made at the first call. Raises ValueError like `check`."""
    if evaluator.plan is None:
        if evaluator.wrapped is None:
            evaluator.plan = _plan(evaluator)
        else:
            _check_wrapper(evaluator)
            evaluator.plan = plan_of(evaluator.wrapped)
    plan: Plan = evaluator.plan
    return plan


def _plan(evaluator: Evaluator) -> Plan:
    parameters = _parameters(evaluator)
    _check_settings(evaluator, parameters)
    free = [parameter for parameter in parameters if parameter.name not in evaluator.kwargs]
    places = _places(evaluator, free)
    lazy = {p.name for p in free if places.get(p.name) == GROUND_TRUTH and p.default is not p.empty}
    unlabelled = {name: place for name, place in places.items() if name not in lazy}
    return Plan(
        *_layout(evaluator, parameters, places, POSITIONAL),
        *_layout(evaluator, parameters, unlabelled, (OUTPUTS, INPUTS)),
    )


def _places(evaluator: Evaluator, free: Sequence[inspect.Parameter]) -> dict[str, int]:
    """What each parameter gets, by name or by its place; parameters that keep their default are left out."""
    named = {PLACES[parameter.name] for parameter in free if parameter.name in PLACES}
    places: dict[str, int] = {}
    passed = [p for p in free if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    # (outputs, reference) must not be given the inputs: a second one needs all three, or no known name at all.
    is_whole = not named or sum(p.default is p.empty for p in passed) == len(POSITIONAL)
    in_place = True  # everything so far gets what the order (outputs, inputs, ground_truth) gives it
    for index, parameter in enumerate(passed):
        by_position = index if in_place and parameter.kind is not KEYWORD_ONLY and index < len(POSITIONAL) else None
        if by_position == INPUTS and not is_whole:
            by_position = None
        if parameter.name in PLACES:
            places[parameter.name] = PLACES[parameter.name]
        elif by_position is not None and by_position not in named and _wants_value(parameter, named):
            places[parameter.name] = by_position
        elif parameter.default is parameter.empty:
            raise ConfigurationError(
                f"Evaluator {evaluator.name!r}: nothing says what its parameter {parameter.name!r} shall get. Name it "
                "outputs, inputs, ground_truth, datapoint or metadata, give it a default, or set it, as in "
                f"evaluator(function, {parameter.name}=…)."
            )
        in_place = in_place and places.get(parameter.name) == index
    return places


def _wants_value(parameter: inspect.Parameter, named: set[int]) -> bool:
    """A default makes a parameter of another name a setting; None does not where no parameter has a known name."""
    return parameter.default is parameter.empty or (parameter.default is None and not named)


def _layout(
    evaluator: Evaluator, parameters: Sequence[inspect.Parameter], places: dict[str, int], order: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[tuple[str, int], ...]]:
    """Places by position and by keyword; `order` is what *args gets where no parameter has a known name."""
    args: list[int] = []
    kwargs: list[tuple[str, int]] = []
    in_order = True  # behind a parameter that is not passed here, only keywords are left
    has_known_name = any(parameter.name in PLACES for parameter in parameters)
    for parameter in parameters:
        place = places.get(parameter.name)
        if parameter.kind is parameter.VAR_POSITIONAL:
            if in_order and not has_known_name:
                args += order[len(args) :]
            in_order = False
        elif parameter.kind is parameter.VAR_KEYWORD:
            # A function of (*args, **kwargs) hands both on: it must not get a value twice.
            used = {*args, *(passed for _, passed in kwargs)}
            if has_known_name or not any(p.kind is p.VAR_POSITIONAL for p in parameters):
                kwargs += [(name, rest) for rest, name in CANONICAL.items() if rest not in used]
        elif place is None:
            in_order = False
        elif in_order and parameter.kind is not KEYWORD_ONLY:
            args.append(place)
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            raise ConfigurationError(
                f"Evaluator {evaluator.name!r}: its parameter {parameter.name!r} goes by position only, and one before "
                "it is not passed. Put parameters for values first."
            )
        else:
            kwargs.append((parameter.name, place))
    return tuple(args), tuple(kwargs)


def _parameters(evaluator: Evaluator) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(evaluator.function).parameters.values())
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"Evaluator {evaluator.name!r}: its function shows no parameters; put it into a lambda or a function."
        ) from None


def _check_settings(evaluator: Evaluator, parameters: Sequence[inspect.Parameter]) -> None:
    """Keyword arguments of the evaluator must be parameters of the function."""
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    accepted = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for name in evaluator.kwargs:
        if name not in accepted:
            raise ConfigurationError(
                f"Evaluator {evaluator.name!r}: {name!r} is neither a setting nor a parameter of its function, "
                f"which has {', '.join(accepted) or 'none'}."
            )


def _check_wrapper(evaluator: Evaluator) -> None:
    """The function of a wrapping evaluator takes the wrapped one's value, and its own settings by keyword."""
    try:
        inspect.signature(evaluator.function).bind(None, **evaluator.kwargs)
    except TypeError as error:
        raise ConfigurationError(
            f"Evaluator {evaluator.name!r}: with wraps its function gets one argument, the wrapped one's value, "
            f"and its settings by keyword; {error}."
        ) from None


def _check_libraries(evaluator: Evaluator) -> None:
    if (getattr(evaluator.function, "__module__", None) or "").startswith("experiments.domain.builtin_evaluators"):
        from experiments.domain.builtin_evaluators import problem_of

        if problem := problem_of(evaluator.function.__name__, evaluator.kwargs):
            raise ConfigurationError(f"Evaluator {evaluator.name!r}: {problem}")
