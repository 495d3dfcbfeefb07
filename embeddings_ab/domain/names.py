"""Names of versioned things, and the references people write: `name`, `name@3`, or a public id."""

import re
from dataclasses import dataclass

from governance.domain.errors import InvalidInput

NAME_LIMIT = 120
_UNFIT = re.compile(r"[@\x00-\x1f\x7f]")
_VERSIONED = re.compile(r"(?P<name>[^@]+)@(?P<version>[1-9][0-9]{0,8})")


def valid_name(name: str, *, noun: str) -> str:
    """A name without blanks around it; `@` is kept for versions."""
    text = name.strip()
    if not text:
        raise InvalidInput(f"Field 'name' is empty; give the {noun} a name.", field="name", value=name[:200])
    if len(text) > NAME_LIMIT:
        raise InvalidInput(
            f"Field 'name' has {len(text)} characters; shorten it to {NAME_LIMIT}.", field="name", value=text[:200]
        )
    if found := _UNFIT.search(text):
        raise InvalidInput(
            f"Field 'name' is {text[:80]!r}: {found.group()!r} cannot be part of it ('@' separates name and version).",
            field="name",
            value=text[:200],
        )
    return text


@dataclass(frozen=True, slots=True)
class Reference:
    """A name or public id, and the version where one is asked for."""

    text: str
    version: int | None = None


def reference(text: str) -> Reference:
    """`cranfield@3` taken apart; anything else is a name or a public id."""
    if found := _VERSIONED.fullmatch(text.strip()):
        return Reference(found["name"], int(found["version"]))
    return Reference(text.strip())
