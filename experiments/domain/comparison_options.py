"""What somebody may ask of a comparison, and how it is read from a query string. Pure, and light to import."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

from experiments.domain.aggregation import DEFAULT_AGGREGATE, aggregate_name
from governance.domain.errors import InvalidInput

DEFAULT_CONFIDENCE = 0.95
LOWEST, HIGHEST = 0.5, 0.999  # of confidence; 10,000 resamples say nothing of rarer things
MOST_NUMBERS = 100  # margins, effects or bounds in one request
MOST_CANDIDATES = 8  # runs beside the baseline
MOST_TREND_RUNS = 200
LONGEST_NAME = 255
DEEPEST_KEY = 6
ROOTS = ("metadata", "inputs")
Missing = Literal["leave_out", "worst"]
Correction = Literal["holm", "benjamini_hochberg", "none"]
MISSING: tuple[Missing, ...] = ("leave_out", "worst")
CORRECTIONS: tuple[Correction, ...] = ("holm", "benjamini_hochberg", "none")
PARAMETERS = (
    "aggregate_function", "bounds", "cluster", "confidence", "correction", "effect", "margin", "metric", "missing",
    "noninferiority", "primary", "slice_by", "slice_metric",
)  # fmt: skip
Bounds = tuple[float, float]
Word = TypeVar("Word", bound=str)
Value = TypeVar("Value")


class Query(Protocol):
    """A query string: Django's QueryDict."""

    def getlist(self, key: str) -> list[Any]:
        """Every value of a parameter, in order."""


@dataclass(frozen=True, slots=True)
class ComparisonOptions:
    """How two or more runs are compared.

    Per metric: `margins`, the difference that does not matter; `noninferiority`, the loss that can be borne; `effects`,
    the difference worth finding; `bounds`, the least and greatest value it can have. Bounds left open come from the
    runs' own `metadata.bounds`; booleans lie in 0..1. `missing="worst"`: a failed datapoint counts as the worst bound
    instead of being left out. `cluster` and `slice_by`: keys like `metadata.topic`. `correction` over the metrics
    decides the verdicts. `metrics`: names of the only ones to compare. `primary`: the metric that counts most, by name.
    """

    confidence: float = DEFAULT_CONFIDENCE
    margins: Mapping[str, float] = field(default_factory=dict)
    noninferiority: Mapping[str, float] = field(default_factory=dict)
    effects: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    missing: Missing = "leave_out"
    cluster: str = ""
    correction: Correction = "holm"
    primary: str = ""
    slice_by: str = ""
    slice_metric: str = ""
    aggregate_function: str = DEFAULT_AGGREGATE

    @property
    def alpha(self) -> float:
        """1 − confidence, without the last digit that floats would add."""
        return round(1 - self.confidence, 12)

    def said(self) -> list[Any]:
        """Everything of it as plain data in a fixed order, for the name of a kept answer."""
        by_metric = (self.margins, self.noninferiority, self.effects, self.bounds)
        words = (self.missing, self.cluster, self.correction, self.primary, self.slice_by, self.slice_metric)
        numbers = [sorted(each.items()) for each in by_metric]
        return [self.confidence, *numbers, *words, self.metrics, self.aggregate_function]


def options_from(query: Query) -> ComparisonOptions:
    """The options that a query string asks for; other parameters are not looked at.

    Raises InvalidInput naming the parameter, its value and what to give instead.
    """
    return ComparisonOptions(
        confidence=confidence_from(query),
        margins=_numbers(query, "margin"),
        noninferiority=_numbers(query, "noninferiority"),
        effects=_numbers(query, "effect"),
        bounds=_bounds(query),
        metrics=names_from(query, "metric"),
        missing=_choice(query, "missing", MISSING),
        cluster=_key(query, "cluster"),
        correction=_choice(query, "correction", CORRECTIONS),
        primary=_name(query, "primary"),
        slice_by=_key(query, "slice_by"),
        slice_metric=_name(query, "slice_metric"),
        aggregate_function=aggregate_name(last(query, "aggregate_function")),
    )


def refuse_unknown(names: Sequence[str], known: Sequence[str]) -> None:
    """Raise InvalidInput for the first parameter that is not known here."""
    for name in names:
        if name not in known:
            raise InvalidInput(
                f"Query parameter {name[:80]!r} is unknown here; use one of {', '.join(known)}.", field=name[:200]
            )


def last(query: Query, name: str) -> str:
    """The last value of a parameter, empty when absent."""
    values = query.getlist(name)
    return str(values[-1]) if values else ""


def confidence_from(query: Query) -> float:
    """`confidence` of a query string."""
    text = last(query, "confidence") or str(DEFAULT_CONFIDENCE)
    number = _number(text)
    if number is None or not LOWEST <= number <= HIGHEST:
        raise _refused("confidence", text, f"give a number from {LOWEST} to {HIGHEST}, like 0.95")
    return number


def whole_number(query: Query, name: str, *, default: int, most: int) -> int:
    """A parameter from 1 to `most`, `default` when absent."""
    text = last(query, name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= most):
        raise _refused(name, text, f"give a whole number from 1 to {most}")
    return int(text)


def one_of(query: Query, name: str, choices: Sequence[str], default: str = "") -> str:
    """A parameter that is one of a few words."""
    text = last(query, name) or default
    if text not in choices and text != default:
        raise _refused(name, text, f"use one of {', '.join(choice for choice in choices if choice)}")
    return text


def is_asked(query: Query, name: str) -> bool:
    """A parameter that is true or false; false when absent."""
    return one_of(query, name, ("true", "false"), "false") == "true"


def short_text(query: Query, name: str, longest: int = LONGEST_NAME) -> str:
    """A text parameter of bounded length."""
    text = last(query, name)
    if len(text) > longest:
        raise _refused(name, text, f"give at most {longest} characters")
    return text


def names_from(query: Query, name: str, most: int = MOST_NUMBERS) -> tuple[str, ...]:
    """Every value of a parameter, each once, in order."""
    found = tuple(dict.fromkeys(str(value) for value in query.getlist(name) if value))
    if len(found) > most or any(len(each) > LONGEST_NAME for each in found):
        raise _refused(name, next(iter(found)), f"give at most {most} names of at most {LONGEST_NAME} characters")
    return found


def path_of(key: str) -> tuple[str, list[str]]:
    """(`metadata` or `inputs`, the keys below it) of a key like `metadata.topic`."""
    root, *rest = key.split(".")
    return root, rest


def worst_of(bounds: Bounds, *, higher_is_better: bool) -> float:
    """The bound that a failed datapoint counts as."""
    return bounds[0] if higher_is_better else bounds[1]


def declared_bounds(raw: Any) -> dict[str, Bounds]:
    """Bounds that a run declares in its metadata, `{metric: [low, high]}`; what is no such thing is left out."""
    found: dict[str, Bounds] = {}
    for name, pair in raw.items() if isinstance(raw, Mapping) else ():
        if isinstance(pair, list | tuple) and len(pair) == 2 and not any(isinstance(each, bool) for each in pair):
            low, high = (_number(each) if isinstance(each, int | float) else None for each in pair)
            if low is not None and high is not None and low < high:
                found[str(name)] = (low, high)
    return found


def _choice(query: Query, name: str, choices: tuple[Word, ...]) -> Word:
    """One of `choices`, the first when absent."""
    text = last(query, name)
    for choice in choices:
        if text == choice or (not text and choice == choices[0]):
            return choice
    raise _refused(name, text, f"use one of {', '.join(choices)}")


def _name(query: Query, name: str) -> str:
    return short_text(query, name)


def _key(query: Query, name: str) -> str:
    text = last(query, name)
    root, rest = path_of(text)
    is_key = root in ROOTS and 1 <= len(rest) <= DEEPEST_KEY and all(rest) and len(text) <= LONGEST_NAME
    # An index into a list is no key: the databases would not agree on what it means.
    if text and (not is_key or any(re.fullmatch(r"-?\d+", part) for part in rest)):
        raise _refused(name, text, "give a key like metadata.topic or inputs.language")
    return text


def _numbers(query: Query, name: str) -> dict[str, float]:
    remedy = f"give metric=number with a number above 0, once for each of at most {MOST_NUMBERS} metrics"

    def value_of(text: str) -> float | None:
        number = _number(text)
        return number if number is not None and number > 0 else None

    return _by_metric(query, name, value_of, remedy)


def _bounds(query: Query) -> dict[str, Bounds]:
    remedy = f"give metric=low:high with low below high, once for each of at most {MOST_NUMBERS} metrics"

    def value_of(text: str) -> Bounds | None:
        low, high = (_number(part) for part in text.partition(":")[::2])
        return (low, high) if low is not None and high is not None and low < high else None

    return _by_metric(query, "bounds", value_of, remedy)


def _by_metric(query: Query, name: str, value_of: Callable[[str], Value | None], remedy: str) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for text in query.getlist(name):
        metric, _, said = str(text).rpartition("=")
        value = value_of(said)
        if not metric or metric in found or value is None or len(found) == MOST_NUMBERS:
            raise _refused(name, str(text), remedy)
        found[metric] = value
    return found


def _number(text: Any) -> float | None:
    try:
        number = float(text)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _refused(name: str, text: str, remedy: str) -> InvalidInput:
    return InvalidInput(f"Query parameter {name!r} is {text[:80]!r}; {remedy}.", field=name, value=text[:200])
