"""Evaluators: a function with a name and settings. `evaluator` and `aevaluator` make them.

On the path of `from experiments import evaluate, evaluator`: nothing slow is imported here.
"""

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any, overload

from experiments.sdk.evaluators import registry
from experiments.sdk.evaluators.operations import aggregate_of, checker_of, is_coroutine_function, transform_of
from experiments.sdk.evaluators.settings import (
    EvalResult,
    EvalSettings,
    checked,
    name_of,
    range_of,
)
from experiments.sdk.evaluators.values import MISSING, parts_of, scalar_of

if TYPE_CHECKING:
    from experiments.sdk.evaluators.layers import EvaluatorSettings

__all__ = ["EvalResult", "EvalSettings", "Evaluator", "EvaluatorSettings", "aevaluator", "evaluator"]


class Evaluator:
    """A function that judges an output, with settings; called, it does what its function does, then applies them.

    `function` is judged by its signature when a run starts (see `binding`). `kwargs` are passed to it by keyword in
    every call. With `repeat`, the score is aggregated and explanation and other entries are the last repetition's.
    Raises ValueError for settings that cannot work.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        settings: EvalSettings | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        always_awaitable: bool = False,
    ) -> None:
        if not callable(function):
            raise TypeError(f"an evaluator is made of a function, not of {function!r}")
        functools.update_wrapper(self, function)
        self.__name__ = name_of(function)
        self.function = function
        self.kwargs = dict(kwargs or {})
        self.settings = checked(settings or EvalSettings(name=""), function)
        self.always_awaitable = always_awaitable
        self.has_async_function = is_coroutine_function(function)
        self.plan: Any = None  # how arguments are bound; made once, by `binding`
        self._wrapped: Evaluator | None = None
        given = self.settings
        self._transform = None if given.transform is None else transform_of(given.transform)
        self._aggregate = aggregate_of(given.aggregate or "mean")
        self._checker = None if given.checker is None else checker_of(given.checker)
        self._is_pass_or_fail = bool(given.asserts) and given.target is None
        self._repeat = given.repeat or 1
        self._is_plain = not (
            self._repeat > 1
            or self._transform
            or self._checker
            or self._is_pass_or_fail
            or given.wraps is not None
            or always_awaitable
        )

    @property
    def name(self) -> str:
        """The metric's name."""
        return self.settings.name

    @property
    def weight(self) -> float:
        """How much it counts in composite metrics."""
        return 1.0 if self.settings.weight is None else self.settings.weight

    @property
    def func(self) -> Callable[..., Any]:
        """The function, by the name older code uses."""
        return self.function

    @property
    def wrapped(self) -> "Evaluator | None":
        """The evaluator whose value this one works on, if any. Raises ValueError when its name is unknown."""
        if self._wrapped is None and self.settings.wraps is not None:
            self._wrapped = registry.evaluator_of(self.settings.wraps)
        return self._wrapped

    @property
    def is_async(self) -> bool:
        """Whether a call returns an awaitable."""
        return self.always_awaitable or self.has_async_function or (self.wrapped is not None and self.wrapped.is_async)

    def passing_range(self) -> dict[str, float] | None:
        """What `asserts` demands of the value: {"min": …, "max": …}, either may be absent; None without asserts."""
        if not self.settings.asserts:
            return None
        if self.settings.target is None or self._checker is not None:
            return {"min": 1}
        low, high = range_of(self.settings.target)
        return {name: bound for name, bound in (("min", low), ("max", high)) if bound is not None}

    def description(self) -> dict[str, Any]:
        """Name, settings that were set and keyword arguments, as JSON can hold them, for the run's configuration."""
        described = {name: value for name, value in self.settings.dict().items() if value is not None}
        if self.kwargs:
            described["kwargs"] = self.kwargs
        if self.__name__ != self.name:
            described["function"] = self.__name__
        return {"name": self.name, **{name: _as_json(value) for name, value in described.items()}}

    def configured(self, settings: Mapping[str, Any]) -> "Evaluator":
        """Another evaluator of the same function: settings by their names, everything else keyword arguments."""
        changed, kwargs = EvalSettings.extract_eval_settings_and_kwargs(settings)
        merged = self.settings.copy()
        merged.update(changed)
        return Evaluator(self.function, merged, {**self.kwargs, **kwargs}, always_awaitable=self.always_awaitable)

    def raw(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function alone, without settings; keyword arguments of the evaluator are passed."""
        return self.function(*args, **{**self.kwargs, **kwargs})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._is_plain:
            return self.function(*args, **{**self.kwargs, **kwargs}) if self.kwargs else self.function(*args, **kwargs)
        values = [self._value(args, kwargs) for _ in range(self._repeat)]
        if any(hasattr(value, "__await__") for value in values):
            return self._settled_later(values)
        return _ready(self._settled(values)) if self.always_awaitable else self._settled(values)

    def __repr__(self) -> str:
        return f"<evaluator {self.name!r}>"

    def _value(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One repetition: the function's value, or of a wrapping evaluator the function of the wrapped one's value."""
        if self.wrapped is None:
            return self.raw(*args, **kwargs)
        inner = self.wrapped(*args, **kwargs)
        return self._value_later(inner) if hasattr(inner, "__await__") else self.function(inner, **self.kwargs)

    async def _value_later(self, inner: Awaitable[Any]) -> Any:
        value = self.function(await inner, **self.kwargs)
        return await value if hasattr(value, "__await__") else value

    async def _settled_later(self, values: Sequence[Awaitable[Any]]) -> Any:
        """Repetitions run at once; all are waited for, so that none goes on behind the caller's back."""
        if len(values) == 1:
            return self._settled([await values[0]])
        import asyncio

        results = await asyncio.gather(*values, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return self._settled(results)

    def _settled(self, values: Sequence[Any]) -> Any:
        """The values of all repetitions, transformed, aggregated and checked: one value."""
        if self._transform is not None:
            values = [self._transform(value) for value in values]
        if len(values) == 1 and self._checker is None and not self._is_pass_or_fail:
            return values[0]
        parts = [parts_of(value) for value in values]
        scores = [self._score(score) for score, _ in parts]
        score = self._aggregate(scores) if len(scores) > 1 else scores[0]
        if self._checker is not None:
            score = bool(self._checker(score, self.settings.target))
        elif self._is_pass_or_fail:
            if isinstance(score, str):
                raise ValueError(f"asserts needs a bool or a number to judge, not the text {score!r}; give a checker")
            score = bool(score)
        rest = parts[-1][1]
        return score if rest is None else {**rest, "score": score}

    def _score(self, score: Any) -> bool | int | float | str:
        try:
            return scalar_of(None if score is MISSING else score)
        except ValueError as error:
            raise ValueError(f"evaluator {self.name!r} returned {error}") from None


async def _ready(value: Any) -> Any:
    return value


def _as_json(value: Any) -> Any:
    """JSON keeps plain values; functions and evaluators become their names, everything else its text."""
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and isfinite(value)):
        return value
    if isinstance(value, Evaluator):
        return value.name
    if isinstance(value, Mapping):
        return {str(name): _as_json(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(entry) for entry in value]
    return name_of(value) if callable(value) else str(value)


def _nameless(settings: EvalSettings | Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Settings of the constructor as a dict; their name is a must of the class and means nothing when empty."""
    given = settings.__dict__ if isinstance(settings, EvalSettings) else (settings or {})
    return {name: value for name, value in given.items() if name != "name" or value}


def __getattr__(name: str) -> Any:
    if name == "EvaluatorSettings":
        from experiments.sdk.evaluators.layers import EvaluatorSettings

        return EvaluatorSettings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Decorator:
    """`evaluator` and `aevaluator`: objects, since older code also asks `evaluator["name"]` and isinstance."""

    def __init__(self, always_awaitable: bool, doc: str) -> None:
        self.always_awaitable = always_awaitable
        self.__doc__ = doc

    @overload
    def __call__(
        self,
        func: Callable[..., Any],
        eval_settings: EvalSettings | Mapping[str, Any] | None = None,
        eval_kwargs: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Evaluator: ...
    @overload
    def __call__(
        self,
        func: None = None,
        eval_settings: EvalSettings | Mapping[str, Any] | None = None,
        eval_kwargs: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Callable[[Callable[..., Any]], Evaluator]: ...
    def __call__(
        self,
        func: Callable[..., Any] | None = None,
        eval_settings: EvalSettings | Mapping[str, Any] | None = None,
        eval_kwargs: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Any:
        """An evaluator when there is a function, else a decorator that waits for it. Both put it into the registry."""
        if func is None:
            return lambda found: self(found, eval_settings, eval_kwargs, **settings)
        base = func if isinstance(func, Evaluator) else Evaluator(func)
        merged = base.settings.copy()
        changed, kwargs = EvalSettings.extract_eval_settings_and_kwargs(settings)
        for source in (_nameless(eval_settings), changed):
            merged.update(source)
        kwargs = {**base.kwargs, **(eval_kwargs or {}), **kwargs}
        always_awaitable = self.always_awaitable or base.always_awaitable
        return registry.register(Evaluator(base.function, merged, kwargs, always_awaitable=always_awaitable))

    def __getitem__(self, name: str) -> Evaluator:
        """The registered or built-in evaluator of this name. Raises KeyError."""
        try:
            return registry.get(name)
        except ValueError as error:
            raise KeyError(str(error)) from None

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, Evaluator) and (instance.is_async or not self.always_awaitable)


evaluator = _Decorator(
    False,
    """Make an evaluator of a sync or async function: bare, with settings, or called on the function.

    Settings: name, weight, asserts, target, repeat, aggregate, transform, checker, wraps (see docs/evaluators.md);
    anything else is passed to the function by keyword. Called on an evaluator, it makes another one with these
    settings. The newest of a name stands in the registry. Raises ValueError for settings that cannot work.
    """,
)
aevaluator = _Decorator(
    True, "Like `evaluator`; a call always returns an awaitable, also when the function is a plain one."
)
