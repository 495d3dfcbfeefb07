"""Reads a test's specification: what is wrong with it becomes one refusal that names path, value and remedy.

REST, the command line and the console all read specifications through here, so that they refuse with the same words.
"""

import difflib
import math
import re
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from embeddings_ab.domain.spec import ArmSpec, TestSpec
from governance.domain.errors import InvalidInput

_SHOWN = 100
_MOST_PROBLEMS = 20
_CONTRADICTION = "Value error, "


def read_spec(data: Any) -> TestSpec:
    """The specification, checked whole. Raises `InvalidInput`: its message is about the first fault, its details carry

    `field` (a path such as arms.hybrid.fusion.alpha), `value`, and `problems`, a list of {field, message} of all faults
    (at most 20).
    """
    if not isinstance(data, dict):
        raise InvalidInput(
            "The specification is no mapping; give name, corpus, query_set, metrics and arms.",
            field="body",
            value=str(data)[:_SHOWN],
        )
    try:
        return TestSpec.model_validate(data)
    except ValidationError as error:
        told = [_told(each) for each in error.errors(include_url=False, include_context=True)]
    first = told[0]
    more = f" Details list all {len(told)} problems." if len(told) > 1 else ""
    raise InvalidInput(
        f"Field {first['field']!r}{_quoted(first['value'])}: {first['message']}{more}",
        field=first["field"],
        value=first["value"],
        problems=[{"field": each["field"], "message": each["message"]} for each in told[:_MOST_PROBLEMS]],
    )


def _told(fault: ErrorDetails) -> dict[str, Any]:
    """Path, value and sentence of one of pydantic's faults."""
    path = [str(part) for part in fault["loc"]]
    kind, given = fault["type"], fault.get("input")
    bounds = fault.get("ctx", {})
    if kind == "value_error":
        sentence = fault["msg"].removeprefix(_CONTRADICTION)
        field = _blamed(sentence, _shape_at(path))
        given = given.get(field) if isinstance(given, dict) else given
        path += [field] if field else []
        message = f"{sentence}."
    elif kind == "extra_forbidden":
        message = _unknown_name(path)
    elif kind == "missing":
        given, message = None, "It is missing; give it a value."
    elif kind == "literal_error":
        message = f"Use one of {bounds['expected']}."
        if isinstance(given, str) and (near := difflib.get_close_matches(given, _words(str(bounds["expected"])), n=1)):
            message += f" Did you mean {near[0]!r}?"
    elif path[-1:] == ["[key]"]:
        path = path[:-1]
        message = (
            "An arm's name begins with a letter or digit and has at most 64 letters, digits, blanks and _ . + - signs."
        )
    elif kind in _BOUND_WORDS:
        message = _bounds(path, kind, bounds)
    else:
        message = _SENTENCES.get(kind) or f"{fault['msg']}."
    secret = bool(path) and path[-1] == "secret"  # somebody may have put the key itself there
    return {"field": ".".join(path) or "body", "value": None if secret else _shown(given), "message": message}


_SENTENCES = {
    "dict_type": "Give a mapping of names to values.",
    "model_type": "Give a mapping of names to values.",
    "tuple_type": "Give a list.",
    "finite_number": "Give a finite number.",
    "too_short": "It is empty; name at least one.",
}
_BOUND_WORDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def _bounds(path: list[str], kind: str, context: dict[str, Any]) -> str:
    """Both bounds of a number, not only the one that was passed."""
    key, words = _BOUND_WORDS[kind]
    shape = _shape_at(path[:-1])
    info = shape.model_fields.get(path[-1]) if shape else None
    found = {}
    for rule in info.metadata if info else ():
        for _, (name, word) in _BOUND_WORDS.items():
            if (bound := getattr(rule, name, None)) is not None:
                found[word] = bound
    found = found or {words: context[key]}
    return "Give a number that is " + " and ".join(f"{word} {bound}" for word, bound in found.items()) + "."


def _unknown_name(path: list[str]) -> str:
    shape = _shape_at(path[:-1])
    names = sorted(shape.model_fields) if shape else []
    near = difflib.get_close_matches(path[-1], names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"There is no such field.{hint} Known here: {', '.join(names)}."


def _shape_at(path: list[str]) -> type[BaseModel] | None:
    """The shape that the fields below `path` belong to."""
    shape: type[BaseModel] | None = TestSpec
    rest = list(path)
    while rest and shape is not None:
        part = rest.pop(0)
        if shape is TestSpec and part == "arms":
            if rest:
                rest.pop(0)  # the arm's name
                shape = ArmSpec
            continue
        shape = _shape_of(shape, part)
    return shape


def _shape_of(shape: type[BaseModel], name: str) -> type[BaseModel] | None:
    info = shape.model_fields.get(name)
    kinds = [info.annotation, *getattr(info.annotation, "__args__", ())] if info else []
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _blamed(sentence: str, shape: type[BaseModel] | None) -> str:
    """Which field a contradiction is told about: the one that is needed, else the first that it names."""
    names = set(shape.model_fields) if shape else set()
    needed = re.findall(r"\bneeds (\w+)", sentence)
    return next((word for word in [*needed, *re.findall(r"\w+", sentence)] if word in names), "")


def _words(expected: str) -> list[str]:
    return re.findall(r"'([^']*)'", expected)


def _shown(value: Any) -> Any:
    """A value short enough to be said; containers are not repeated."""
    if isinstance(value, dict | list | tuple | BaseModel):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value[:_SHOWN] if isinstance(value, str) else value


def _quoted(value: Any) -> str:
    return "" if value is None else f" is {value!r}"
