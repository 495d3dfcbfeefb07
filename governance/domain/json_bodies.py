"""JSON of request bodies, for every dialect: what no reader or database behind it could hold is refused here."""

from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from governance.domain.errors import InvalidInput

Shape = TypeVar("Shape", bound=BaseModel)
MAX_NESTING = 64


def replace_nul(value: Any) -> Any:
    """`value` with U+0000 replaced by U+FFFD in every text: PostgreSQL cannot store it in any type."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, list):
        return [replace_nul(item) for item in value]
    if isinstance(value, dict):
        return {replace_nul(key): replace_nul(item) for key, item in value.items()}
    return value


def numbers_as_sent(value: Any) -> Any:
    """`value` with integers beyond 64 bits as the floats they were sent as.

    PostgreSQL's jsonb gives 1e22 back as twenty-three digits, which Python reads as an integer and orjson refuses.
    """
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else float(value)
    if isinstance(value, list):
        return [numbers_as_sent(item) for item in value]
    if isinstance(value, dict):
        return {key: numbers_as_sent(item) for key, item in value.items()}
    return value


def require_shallow(value: Any) -> None:
    """Refuse nesting that the recursive readers behind us (database, json module) could not follow.

    Walks level by level, because a recursive walk is what deep nesting would break.
    """
    branches = value.items() if isinstance(value, dict) else [("body", value)]
    for name, branch in branches:
        level = [branch]
        for _ in range(MAX_NESTING):
            level = [
                inner
                for item in level
                if isinstance(item, dict | list)
                for inner in (item.values() if isinstance(item, dict) else item)
                if isinstance(inner, dict | list)
            ]
            if not level:
                break
        else:
            raise InvalidInput(
                f"Field {name!r} is nested deeper than {MAX_NESTING} levels; flatten it or send it as text.",
                field=name,
            )


def decode_json(raw: bytes) -> Any:
    """JSON of a body; an absent body is an empty object. Lone surrogates, NaN and endless numbers are no JSON."""
    if not raw.strip():
        return {}
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"The body is not valid JSON: {error}.", field="body") from None
    if raw.count(b"[") + raw.count(b"{") > MAX_NESTING:
        require_shallow(value)
    return replace_nul(value) if b"\\u0000" in raw else value


def invalid_input(error: ValidationError) -> InvalidInput:
    """The first of pydantic's errors as our own sentence: field, value, what is wrong."""
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"]) or "body"
    return InvalidInput(
        f"Field {name!r}: {first['msg']}.",
        field=name,
        value=None if first["type"] == "missing" else str(first.get("input"))[:200],
        problems=error.error_count(),
    )


def parsed(shape: type[Shape], value: Any) -> Shape:
    """`value` as a pydantic shape; `InvalidInput` names the first wrong field."""
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        raise invalid_input(error) from None
