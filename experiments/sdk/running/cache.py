"""Outputs of functions kept on disk, opt-in: same source, inputs, configuration and repetition, same output."""

import hashlib
import inspect
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from experiments.sdk.canonical import canonical_text
from experiments.sdk.jsonable import jsonable

_FORMAT = 1


class OutputCache:
    """A folder with one file per output, written whole or not at all. Safe for several processes at once.

    The key holds the function's source and the values it closes over, but not what it calls: after a change deeper
    down, empty the folder or change the configuration. Only outputs that JSON gives back unchanged are kept.
    """

    def __init__(self, folder: Path, function: Callable[..., Any], configuration: Mapping[str, Any] | None) -> None:
        self.folder = folder
        self._function = _hashed([_FORMAT, *source_of(function), configuration])

    def key(self, datapoint: Mapping[str, Any], repetition: int) -> str:
        """The name under which the output of this repetition on this datapoint is kept."""
        return _hashed([self._function, datapoint, repetition])

    def get(self, key: str) -> tuple[bool, Any]:
        """(found, output); an unreadable file counts as not found."""
        try:
            return True, orjson.loads(self._path(key).read_bytes())
        except (OSError, ValueError):
            return False, None

    def put(self, key: str, output: Any) -> bool:
        """Keep an output; False when JSON cannot give it back or the disk refuses. Neither harms the run."""
        try:
            if jsonable(output) != output:
                return False
            content = orjson.dumps(output)
            if orjson.loads(content) != output:
                return False
        except Exception:  # comparing a stranger's object may raise anything
            return False
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = tempfile.mkstemp(dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                Path(name).replace(path)
            except OSError:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError:
            return False
        return True

    def _path(self, key: str) -> Path:
        return self.folder / "outputs" / key[:2] / f"{key}.json"


def _hashed(parts: list[Any]) -> str:
    """A hash that is the same in every process, also of what JSON cannot hold."""
    return hashlib.sha256(canonical_text(parts)[0].encode()).hexdigest()


def source_of(function: Callable[..., Any]) -> list[Any]:
    """What identifies a function: module, name, source, and every value it is bound to.

    Those are what it closes over, its defaults, the arguments of a partial, and the state of the object that it is a
    method of.
    """
    bound: list[Any] = []
    while hasattr(function, "func") and not inspect.isfunction(function):
        bound.append([list(getattr(function, "args", ())), dict(getattr(function, "keywords", {}))])
        function = function.func
    if not inspect.isfunction(function) and not inspect.ismethod(function) and not inspect.isbuiltin(function):
        bound.append(_state(function))
        function = getattr(type(function), "__call__", function)  # noqa: B004 - its source, not whether it is there
    elif inspect.ismethod(function):
        bound.append(_state(function.__self__))
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):  # typed at a prompt, or compiled
        code = getattr(function, "__code__", None)
        source = repr((code.co_code, code.co_consts)) if code is not None else repr(function)
    for cell in getattr(function, "__closure__", None) or ():
        try:
            bound.append(cell.cell_contents)
        except ValueError:  # not filled yet
            bound.append(None)
    bound += [getattr(function, "__defaults__", None), getattr(function, "__kwdefaults__", None)]
    return [getattr(function, "__module__", ""), getattr(function, "__qualname__", ""), source, bound]


def _state(instance: Any) -> Any:
    """Class and attributes of an object; its own text where it has no attributes to look at."""
    return [type(instance).__qualname__, vars(instance) if hasattr(instance, "__dict__") else instance]
