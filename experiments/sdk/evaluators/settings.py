"""Settings of evaluators and what an evaluation was, with the names and fields that older code uses."""

import functools
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

SETTING_NAMES = (
    "name",
    "wraps",
    "weight",
    "asserts",
    "repeat",
    "transform",
    "aggregate",
    "checker",
    "target",
    "evaluate",
)


class EvalSettings:
    """Settings of one evaluator; None means not set. `evaluate` is carried for older code and has no effect."""

    # No dataclass: its import and its making would be the larger part of `from experiments import evaluator`.
    def __init__(
        self,
        name: str,
        wraps: Any = None,
        weight: float | None = None,
        asserts: bool | None = None,
        repeat: int | None = None,
        transform: Any = None,
        aggregate: Any = None,
        checker: Any = None,
        target: Any = None,
        evaluate: Any = None,
    ) -> None:
        self.name = name
        self.wraps = wraps
        self.weight = weight
        self.asserts = asserts
        self.repeat = repeat
        self.transform = transform
        self.aggregate = aggregate
        self.checker = checker
        self.target = target
        self.evaluate = evaluate

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EvalSettings) and self.__dict__ == other.__dict__

    def __repr__(self) -> str:
        shown = [f"{name}={value!r}" for name, value in self.__dict__.items() if value is not None]
        return f"EvalSettings({', '.join(shown)})"

    def copy(self) -> "EvalSettings":
        """Another object with the same values."""
        return EvalSettings(**self.__dict__)

    def keys(self) -> list[str]:
        """The names of the settings."""
        return list(self.__dict__)

    def update(self, eval_settings: "EvalSettings | Mapping[str, Any] | None") -> None:
        """Take over every value that is not None. Raises ValueError for a setting that does not exist."""
        if eval_settings is None:
            return
        values = eval_settings.__dict__ if isinstance(eval_settings, EvalSettings) else eval_settings
        if not isinstance(values, Mapping):
            raise TypeError(f"settings are an EvalSettings or a dict, not {type(eval_settings).__name__}")
        for name, value in values.items():
            if name not in SETTING_NAMES:
                raise ValueError(f"{name!r} is no setting of evaluators; there are {', '.join(SETTING_NAMES)}")
            if value is not None:
                setattr(self, name, value)

    @staticmethod
    def extract_eval_settings_and_kwargs(
        settings: "Mapping[str, Any] | None",
    ) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Divide into settings of the evaluator and keyword arguments of its function."""
        given = settings or {}
        return (
            {name: value for name, value in given.items() if name in SETTING_NAMES},
            {name: value for name, value in given.items() if name not in SETTING_NAMES},
        )

    def __str__(self) -> str:
        import json

        shown = {name: str(value) for name, value in self.__dict__.items() if value is not None}
        return json.dumps(shown, indent=4).replace('"', "")

    def dict(self) -> Mapping[str, Any]:
        """The settings without the name."""
        return {name: value for name, value in self.__dict__.items() if name != "name"}


class EvalResult:
    """A score with what is known about it. An evaluator may return one; its metadata become further metrics."""

    def __init__(self, score: Any, init_method: str | None = None, **metadata: Any) -> None:
        self.score = score
        self.metadata = metadata
        # Who made it, by default the function that called; a stack of frames would cost a millisecond.
        self.init_method = init_method or sys._getframe(1).f_code.co_name
        self.eval_settings = EvalSettings(name=self.init_method)
        self.eval_kwargs: dict[str, Any] = {}
        self.weight = self.eval_settings.weight
        self.func_impl: Callable[..., Any] | None = None
        self.func_args: tuple[Any, ...] | None = None
        self.func_kwargs: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Score and metadata as a dict."""
        return {"score": self.score, "metadata": self.metadata}

    def copy(self) -> "EvalResult":
        """Another result with the same score, maker and metadata."""
        return EvalResult(self.score, self.init_method, **self.metadata)

    def __repr__(self) -> str:
        return f"EvalResult(score={self.score!r}, init_method={self.init_method!r})"


def checked(settings: EvalSettings, function: Callable[..., Any]) -> EvalSettings:
    """A copy with the name filled in. Raises ValueError naming the setting, its value and what to give."""
    settings = settings.copy()
    settings.name = settings.name or name_of(function)
    label = f"evaluator {settings.name!r}:"
    if not isinstance(settings.name, str):
        raise ValueError(f"{label} name must be a text")
    weight, repeat = settings.weight, settings.repeat
    if weight is not None and not (_is_number(weight) and weight >= 0):
        raise ValueError(f"{label} weight={weight!r} must be a number of 0 or more")
    if repeat is not None and not (type(repeat) is int and repeat >= 1):
        raise ValueError(f"{label} repeat={repeat!r} must be a whole number of 1 or more")
    if settings.target is not None and settings.checker is None:
        try:
            range_of(settings.target)
        except ValueError as error:
            raise ValueError(f"{label} {error}") from None
    return settings


def name_of(function: Callable[..., Any]) -> str:
    """The name of a function, of what a partial calls, or of a callable object's class."""
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__name__", None) or type(function).__name__)


def range_of(target: Any) -> tuple[float | None, float | None]:
    """Lower and upper end of a target: a number is the lower one. Raises ValueError for anything else."""
    if _is_number(target):
        return target, None
    if isinstance(target, list | tuple) and len(target) == 2 and all(end is None or _is_number(end) for end in target):
        low, high = target
        if (low is not None or high is not None) and (low is None or high is None or low <= high):
            return low, high
    raise ValueError(
        f"target={target!r} must be a number (the least that passes) or a pair (low, high), either may be None; "
        "any other target needs a checker"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
