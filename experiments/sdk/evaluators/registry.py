"""Evaluators by name: what a program defined, then the built-in ones.

`definition` registers here, so this module imports it inside functions only.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from experiments.sdk.evaluators.definition import Evaluator

_registered: dict[str, "Evaluator"] = {}


def register(evaluator: "Evaluator") -> "Evaluator":
    """Make it known by its name; a later one of the same name (a notebook cell run again) replaces it."""
    _registered[evaluator.name] = evaluator
    return evaluator


def get(name: str) -> "Evaluator":
    """The registered evaluator, else the built-in one of this name. Raises ValueError with near matches."""
    if name in _registered:
        return _registered[name]
    from experiments.domain import builtin_evaluators
    from experiments.sdk.evaluators.definition import Evaluator

    function = builtin_evaluators.find(name)
    if function is None:
        raise ConfigurationError(f"No evaluator is called {name!r}. {_near(name)}")
    return Evaluator(function)


def names() -> list[str]:
    """All names that `get` knows, sorted."""
    from experiments.domain import builtin_evaluators

    return sorted({*_registered, *builtin_evaluators.NAMES})


def evaluator_of(item: Any) -> "Evaluator":
    """One evaluator of an Evaluator, a function, a name, (name, options) or {name: options}.

    Options are settings and keyword arguments, as in the decorator. Raises ValueError for anything else.
    """
    from experiments.sdk.evaluators.definition import Evaluator

    if isinstance(item, Evaluator):
        return item
    if isinstance(item, str):
        return get(item)
    if isinstance(item, Mapping) and len(item) == 1:
        item = next(iter(item.items()))
    if isinstance(item, tuple | list) and len(item) == 2 and isinstance(item[1], Mapping | None):
        return evaluator_of(item[0]).configured(item[1] or {})
    if callable(item):
        return Evaluator(item)
    raise ConfigurationError(
        f"{item!r} is no evaluator: give a function, the name of one, (name, options) or {{name: options}}"
    )


def resolve(items: Sequence[Any] | None) -> list["Evaluator"]:
    """Evaluators in the order given, ready to run: unknown or double names, and functions whose parameters cannot
    be filled or whose libraries are missing, are a ValueError that names the remedy.
    """
    if items is None:
        return []
    if isinstance(items, str | Mapping) or callable(items):
        raise ConfigurationError(f"evaluators={items!r} must be a list; put brackets around a single one")
    from experiments.sdk.evaluators.binding import check

    found = [evaluator_of(item) for item in items]
    places: dict[str, int] = {}
    for place, evaluator in enumerate(found):
        if evaluator.name in places:
            raise ConfigurationError(
                f"evaluators[{places[evaluator.name]}] and evaluators[{place}] are both called {evaluator.name!r}; "
                "give one of them another name, as in evaluator(function, name='…')"
            )
        places[evaluator.name] = place
        check(evaluator)
    return found


def _near(name: str) -> str:
    from difflib import get_close_matches

    known = names()
    near = get_close_matches(name, known, n=3)
    return f"Did you mean {' or '.join(map(repr, near))}?" if near else f"There are {', '.join(known)}."
