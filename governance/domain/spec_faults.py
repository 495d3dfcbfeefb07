"""What is wrong with a specification that a person wrote: pydantic's faults as one refusal in our own words.

A fault is told by the path that was typed (target.headers.Authorization), the value and a remedy. pydantic's own paths
also name members of unions, which nobody types; they are taken out by walking the shape beside the path.
"""

import difflib
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from governance.domain.errors import InvalidInput

_SHOWN = 100
_MOST_PROBLEMS = 20
_CONTRADICTION = "Value error, "
_KEY = "[key]"
# Somebody may have put the key itself there.
_NEVER_SHOWN = frozenset({"secret"})


def refused_spec(error: ValidationError, shape: type[BaseModel], *, key_rule: str = "") -> InvalidInput:
    """The refusal. Its message is about the first fault; its details carry

    `field` (a path), `value`, and `problems`, a list of {field, message} of all faults (at most 20). `key_rule` is the
    sentence about names that a mapping does not take.
    """
    faults = [(each, _walked(shape, each["loc"])) for each in error.errors(include_url=False, include_context=True)]
    meant = [(fault, place) for fault, place in faults if _is_meant(fault, place)] or faults
    told = [_told(fault, place, key_rule) for fault, place in meant]
    first = told[0]
    more = f" Details list all {len(told)} problems." if len(told) > 1 else ""
    quoted = "" if first.value is None else f" is {first.value!r}"
    return InvalidInput(
        f"Field {first.field!r}{quoted}: {first.message}{more}",
        field=first.field,
        value=first.value,
        problems=[{"field": each.field, "message": each.message} for each in told[:_MOST_PROBLEMS]],
    )


def no_mapping(data: Any, fields: str) -> InvalidInput:
    """The refusal of a specification that is no mapping at all; `fields` names what it takes."""
    return InvalidInput(
        f"The specification is no mapping; give {fields}.", field="body", value=str(data)[:_SHOWN] or None
    )


@dataclass(frozen=True)
class _Fault:
    """One sentence about one field."""

    field: str
    value: Any
    message: str


@dataclass
class _Place:
    """Where a path leads: what was typed, the shape whose fields stand there, and the field's annotation.

    `choices` are the (path, member) of the unions on the way whose members pydantic tried one after the other.
    """

    typed: list[str] = field(default_factory=list)
    owner: type[BaseModel] | None = None
    info: FieldInfo | None = None
    annotation: Any = None
    choices: list[tuple[str, Any]] = field(default_factory=list)

    @property
    def shape(self) -> type[BaseModel] | None:
        """The shape of the value itself, when it is one."""
        return next((each for each in _members(self.annotation) if _is_shape(each)), None)


def _told(fault: ErrorDetails, place: _Place, key_rule: str) -> _Fault:
    """Path, value and sentence of one of pydantic's faults."""
    path, kind, given = place.typed, fault["type"], fault.get("input")
    context = fault.get("ctx", {})
    if kind == "value_error":
        sentence = fault["msg"].removeprefix(_CONTRADICTION)
        blamed = _blamed(sentence, place.shape)
        given = given.get(blamed) if isinstance(given, dict) else given
        path = [*path, blamed] if blamed else path
        message = f"{sentence}."
    elif kind == "extra_forbidden":
        message = _unknown_name(path[-1], place.owner)
    elif kind == "missing":
        given, message = None, "It is missing; give it a value."
    elif kind in ("union_tag_invalid", "union_tag_not_found"):
        name = str(context["discriminator"]).strip("'")
        path, given = [*path, name], given.get(name) if isinstance(given, dict) else None
        message = _one_of(_tags(place, name), given)
    elif kind == "literal_error":
        message = _one_of(re.findall(r"'([^']*)'", str(context["expected"])), given)
    elif kind in ("model_attributes_type", "model_type", "dict_type"):
        message = "Give a mapping of names to values."
        if place.choices and (shape := place.shape):
            message = f"Give a text, or a mapping with {' and '.join(shape.model_fields)}."
    elif key_rule and fault["loc"][-1:] == (_KEY,):
        message = key_rule
    elif kind in _BOUND_WORDS:
        message = _bounds(place, kind, context)
    else:
        message = _SENTENCES.get(kind) or f"{fault['msg']}."
    hidden = bool(path) and path[-1] in _NEVER_SHOWN
    return _Fault(".".join(path) or "body", None if hidden else _shown(given), message)


_SENTENCES = {
    "tuple_type": "Give a list.",
    "list_type": "Give a list.",
    "finite_number": "Give a finite number.",
    "too_short": "It is empty; name at least one.",
}
_BOUND_WORDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def _is_meant(fault: ErrorDetails, place: _Place) -> bool:
    """Whether the value was meant for the member of a union that the fault is about."""
    if not place.choices:
        return True
    path, member = place.choices[-1]
    is_text = isinstance(fault.get("input"), str)
    return is_text if member is str else not (is_text and path == ".".join(place.typed))


def _walked(root: type[BaseModel], loc: Iterable[int | str]) -> _Place:
    place = _Place(annotation=root)
    for part in loc:
        if part == _KEY:
            break
        members = _members(place.annotation)
        if (chosen := _chosen(place, members, part)) is not None:
            place.choices += [] if _is_tagged(place) else [(".".join(place.typed), chosen)]
            place.annotation, place.info = chosen, None
            continue
        place.typed.append(str(part))
        shape = next((each for each in members if _is_shape(each)), None)
        container = next((each for each in members if get_origin(each) in (dict, list, tuple)), None)
        place.owner, place.info = shape, None
        if shape is not None:
            place.info = shape.model_fields.get(str(part))
            place.annotation = place.info.annotation if place.info else Any
        elif container is not None:
            inner = [each for each in get_args(container) if each is not Ellipsis]
            place.annotation = inner[part if isinstance(part, int) and part < len(inner) else -1] if inner else Any
        else:
            place.annotation = Any
    return place


def _chosen(place: _Place, members: list[Any], part: int | str) -> Any:
    """The member of a union that this part of the path names; None when it names something of the value."""
    if len(members) < 2:
        return None
    tag = place.info.discriminator if place.info else None
    for member in members:
        if tag is not None and _is_shape(member):
            if part in get_args(member.model_fields[str(tag)].annotation):
                return member
        elif part == getattr(member, "__name__", str(member)):
            return member
    return None


def _is_tagged(place: _Place) -> bool:
    return place.info is not None and place.info.discriminator is not None


def _members(annotation: Any) -> list[Any]:
    """What a value may be, None aside; one thing unless the annotation is a union."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        return [inner for each in get_args(annotation) if each is not type(None) for inner in _members(each)]
    return [annotation]


def _is_shape(member: Any) -> typing.TypeGuard[type[BaseModel]]:
    return isinstance(member, type) and issubclass(member, BaseModel)


def _tags(place: _Place, name: str) -> list[str]:
    shapes = [each for each in _members(place.annotation) if _is_shape(each)]
    return [str(tag) for shape in shapes for tag in get_args(shape.model_fields[name].annotation)]


def _one_of(names: list[str], given: Any) -> str:
    quoted = [repr(name) for name in names]
    listed = " or ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else "".join(quoted)
    near = difflib.get_close_matches(given, names, n=1) if isinstance(given, str) else []
    return f"Use one of {listed}." + (f" Did you mean {near[0]!r}?" if near else "")


def _bounds(place: _Place, kind: str, context: Mapping[str, Any]) -> str:
    """Both bounds of a number, not only the one that was passed."""
    found = {}
    for rule in _rules(place):
        for name, word in _BOUND_WORDS.values():
            if (bound := getattr(rule, name, None)) is not None:
                found[word] = bound
    key, words = _BOUND_WORDS[kind]
    found = found or {words: context[key]}
    return "Give a number that is " + " and ".join(f"{word} {bound}" for word, bound in found.items()) + "."


def _rules(place: _Place) -> list[Any]:
    """Constraints of a field: its own, and those that stand inside an `Annotated[...] | None`."""
    rules = list(place.info.metadata) if place.info else []
    for each in (place.annotation, *get_args(place.annotation)):
        if get_origin(each) is Annotated:
            for extra in get_args(each)[1:]:
                rules += extra.metadata if isinstance(extra, FieldInfo) else [extra]
    return rules


def _unknown_name(name: str, owner: type[BaseModel] | None) -> str:
    names = sorted(owner.model_fields) if owner else []
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"There is no such field.{hint} Known here: {', '.join(names)}."


def _blamed(sentence: str, shape: type[BaseModel] | None) -> str:
    """Which field a contradiction is told about: the one that is needed, else the first that it names."""
    names = set(shape.model_fields) if shape else set()
    needed = re.findall(r"\bneeds (\w+)", sentence)
    return next((word for word in [*needed, *re.findall(r"\w+", sentence)] if word in names), "")


def _shown(value: Any) -> Any:
    """A value short enough to be said; containers are not repeated."""
    if isinstance(value, dict | list | tuple | BaseModel):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value[:_SHOWN] if isinstance(value, str) else value
