"""How an old name is told off, once, and resolved."""

import importlib
import threading
import warnings
from typing import Any, NamedTuple

_GUIDE = "docs/migration.md"
_lock = threading.Lock()
_told: set[str] = set()


class Old(NamedTuple):
    """Where an old name leads: module below this package ("" is `experiments`), attribute, replacement for people."""

    module: str
    attribute: str
    instead: str


def found(old: Old, name: str, package: str) -> Any:
    """What the old name stands for; the first time in this process with a DeprecationWarning at its user's line.

    To be called from a module's `__getattr__`, whose caller is the line that names it.
    """
    tell_off(f"{package}.{name}", old.instead, stacklevel=4)
    module = importlib.import_module(f"experiments.evaluation.{old.module}" if old.module else "experiments")
    return getattr(module, old.attribute)


def tell_off(name: str, instead: str, *, stacklevel: int) -> None:
    """Warn once per process and name; `stacklevel` as in warnings.warn, seen from the caller of this function + 1."""
    with _lock:
        if name in _told:
            return
        _told.add(name)
    warnings.warn(
        f"{name} is an old name that will go away with version 2: use {instead} ({_GUIDE}).",
        DeprecationWarning,
        stacklevel=stacklevel,
    )
