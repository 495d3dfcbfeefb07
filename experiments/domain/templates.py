"""Templates with placeholders, `{{inputs.question}}`, in texts and in JSON of any depth. Pure.

A placeholder is a path: names and list places divided by dots. A value that is nothing but one placeholder keeps the
type of what it stands for; inside other text, texts stand as they are and everything else as JSON.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from governance.domain.errors import InvalidInput

TARGET_ROOTS = ("inputs", "ground_truth", "history", "metadata", "datapoint_id")
_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")
_PATH = re.compile(r"[^\s.{}]+(?: [^\s.{}]+)*(?:\.[^\s.{}]+(?: [^\s.{}]+)*)*")
MOST_PLACEHOLDERS = 1_000


class Unfilled(ValueError):
    """The datapoint lacks what a placeholder stands for; the text names the placeholder and no value."""


def placeholders(template: Any) -> Iterator[str]:
    """Paths of all placeholders, in order, repeated ones too. Keys of objects are not looked at."""
    if isinstance(template, str):
        yield from _PLACEHOLDER.findall(template)
    elif isinstance(template, Mapping):
        for value in template.values():
            yield from placeholders(value)
    elif isinstance(template, list | tuple):
        for value in template:
            yield from placeholders(value)


def check(template: Any, *, field: str, roots: Sequence[str] = TARGET_ROOTS, has_short_inputs: bool = False) -> None:
    """Raise InvalidInput naming `field` for placeholders that could never be filled.

    `has_short_inputs`: a name that is no root is an input, as prompts of HoneyHive write it (`{{question}}`).
    """
    count = 0
    for path in placeholders(template):
        count += 1
        root = path.split(".", 1)[0]
        if not _PATH.fullmatch(path) or (root not in roots and not has_short_inputs):
            raise InvalidInput(
                f"Field '{field}': the placeholder {{{{{path[:100]}}}}} is unknown; begin with "
                f"{', '.join(roots)}, as in {{{{{roots[0]}.question}}}}.",
                field=field,
                value=path[:100],
            )
    if count > MOST_PLACEHOLDERS:
        raise InvalidInput(
            f"Field '{field}' has {count} placeholders; use at most {MOST_PLACEHOLDERS}.", field=field, value=count
        )


def without_placeholders(text: str) -> str:
    """The text with an `x` for every placeholder, to look at its form."""
    return _PLACEHOLDER.sub("x", text)


def filled(
    template: Any,
    values: Mapping[str, Any],
    *,
    has_short_inputs: bool = False,
    as_text: Callable[[Any], str] | None = None,
) -> Any:
    """The template with every placeholder replaced by what `values` (by root) hold. Raises Unfilled.

    `as_text` makes the text of a value inside other text, and then of a lone placeholder too.
    """
    if isinstance(template, str):
        lone = _PLACEHOLDER.fullmatch(template)
        if lone and as_text is None:
            return _value_of(lone[1], values, has_short_inputs)
        write = as_text or _text
        return _PLACEHOLDER.sub(lambda found: write(_value_of(found[1], values, has_short_inputs)), template)
    options: dict[str, Any] = {"has_short_inputs": has_short_inputs, "as_text": as_text}
    if isinstance(template, Mapping):
        return {name: filled(value, values, **options) for name, value in template.items()}
    if isinstance(template, list | tuple):
        return [filled(value, values, **options) for value in template]
    return template


def filled_text(template: str, values: Mapping[str, Any], *, has_short_inputs: bool = False) -> str:
    """The template as a text, even where it is one placeholder that stands for something else. Raises Unfilled."""
    text: str = filled(template, values, has_short_inputs=has_short_inputs, as_text=_text)
    return text


def _text(value: Any) -> str:
    if value is None:
        raise Unfilled("a placeholder inside a text stands for null; give the datapoint a value, or take it out")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)


def _value_of(path: str, values: Mapping[str, Any], has_short_inputs: bool) -> Any:
    parts = path.split(".")
    if parts[0] not in values and has_short_inputs:
        parts = ["inputs", *parts]
    found: Any = values
    for place, part in enumerate(parts):
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isascii() and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            raise Unfilled(
                f"the datapoint has no {'.'.join(parts[: place + 1])[:200]!r}, which the placeholder "
                f"{{{{{path[:200]}}}}} stands for"
            )
    return found


def picked(value: Any, path: str) -> Any:
    """What stands at a path (`choices.0.text`) of a JSON value, the value itself for the empty one. Raises KeyError."""
    found = value
    for part in path.split(".") if path else ():
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isascii() and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            raise KeyError(part)
    return found
