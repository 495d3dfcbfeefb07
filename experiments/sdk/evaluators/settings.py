"""Settings of evaluators and what an evaluation was, with the names and fields that older code uses."""

import functools
import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
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


@dataclass
class EvalSettings:
    """Settings of one evaluator; None means not set. `evaluate` is carried for older code and has no effect."""

    name: str
    wraps: Any = None
    weight: float | None = None
    asserts: bool | None = None
    repeat: int | None = None
    transform: Any = None
    aggregate: Any = None
    checker: Any = None
    target: Any = None
    evaluate: Any = None

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
        shown = {name: str(value) for name, value in self.__dict__.items() if value is not None}
        return json.dumps(shown, indent=4).replace('"', "")

    def dict(self) -> Mapping[str, Any]:
        """The settings without the name."""
        return {name: value for name, value in self.__dict__.items() if name != "name"}


def _no_settings() -> EvalSettings:
    return EvalSettings(name="")


@dataclass
class EvaluatorSettings:
    """Settings of one evaluator by where they come from; later sources win, explicit ones replace all."""

    name: str
    default_settings: EvalSettings = field(default_factory=_no_settings)
    default_kwargs: dict[str, Any] = field(default_factory=dict)
    defaults_yaml_settings: EvalSettings = field(default_factory=_no_settings)
    defaults_yaml_kwargs: dict[str, Any] = field(default_factory=dict)
    init_settings: EvalSettings = field(default_factory=_no_settings)
    init_kwargs: dict[str, Any] = field(default_factory=dict)
    config_settings: EvalSettings = field(default_factory=_no_settings)
    config_kwargs: dict[str, Any] = field(default_factory=dict)
    deco_settings: EvalSettings = field(default_factory=_no_settings)
    deco_kwargs: dict[str, Any] = field(default_factory=dict)
    explicit_settings: EvalSettings | None = None
    explicit_kwargs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, EvalSettings) and not value.name:
                value.name = self.name
        defaults = EvalSettings(name=self.name, weight=1.0, asserts=False)
        defaults.update(self.default_settings)
        self.default_settings = defaults

    def resolve_settings(self, settings: EvalSettings | None = None) -> EvalSettings:
        """The settings in force: defaults, file, constructor, configuration, decorator, then `settings`."""
        if self.explicit_settings is not None:
            return self.explicit_settings
        final = self.default_settings.copy()
        for source in (
            self.defaults_yaml_settings,
            self.init_settings,
            self.config_settings,
            self.deco_settings,
            settings,
        ):
            final.update(source)
        return final

    def resolve_kwargs(self, kwargs: dict[str, Any] | None = None) -> dict[str, Any]:
        """The keyword arguments in force, in the same order of sources."""
        return self.explicit_kwargs or {
            **self.default_kwargs,
            **self.defaults_yaml_kwargs,
            **self.init_kwargs,
            **self.config_kwargs,
            **self.deco_kwargs,
            **(kwargs or {}),
        }


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
