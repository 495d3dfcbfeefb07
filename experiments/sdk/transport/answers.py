"""What an answer of the server says: its errors as exceptions with its own sentence, its version as a warning."""

import contextlib
import datetime as dt
import threading
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from experiments.sdk import errors
from experiments.sdk.transport import json_text
from experiments.sdk.version import VERSION
from governance.domain.retry_after import retry_after_seconds

if TYPE_CHECKING:
    from pydantic import BaseModel

Shape = TypeVar("Shape", bound="BaseModel")
VERSION_HEADER = "hhweb-version"
MAX_EXCERPT = 200
_SHOWN_DETAILS = ("field", "remedy")
_BY_STATUS: dict[int, type[errors.ServerError]] = {
    401: errors.Unauthorized,
    403: errors.Unauthorized,
    404: errors.NotFound,
    408: errors.Unavailable,
    409: errors.Conflict,
    425: errors.Unavailable,
    429: errors.RateLimited,
}
_warned: set[tuple[str, str]] = set()
_warned_lock = threading.Lock()


class ExperimentVersionWarning(UserWarning):
    """Client and server are of versions that need not understand each other."""


def stranger(server_url: str) -> errors.ServerError:
    """The exception for an answer that is a success, but of no shape that the protocol knows."""
    return errors.ServerError(
        f"{server_url} answered, but not like a server of this protocol: is it the right address?"
    )


def objects(answer: Mapping[str, Any], name: str, server_url: str) -> list[dict[str, Any]]:
    """The list of objects that an answer has under `name`."""
    found = answer.get(name)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise stranger(server_url)
    return found


def shaped(shape: "type[Shape]", value: Any, server_url: str) -> "Shape":
    """A part of an answer as a pydantic shape."""
    from pydantic import ValidationError

    try:
        return shape.model_validate(value)
    except ValidationError as error:
        raise stranger(server_url) from error


def refusal(status: int, headers: Mapping[str, str], raw: bytes) -> errors.ServerError:
    """The exception for an answer other than success, with the server's sentence, field and remedy."""
    body: Any = None
    with contextlib.suppress(ValueError):
        body = json_text.loads(raw)
    found = body.get("error") if isinstance(body, dict) and isinstance(body.get("error"), dict) else body
    found = found if isinstance(found, dict) else {}
    details = found["details"] if isinstance(found.get("details"), dict) else {}
    message = found.get("message")
    if not isinstance(message, str) or not message:
        message = _without_reason(status, headers, raw)
    for name in _SHOWN_DETAILS:
        told = details.get(name)
        if isinstance(told, str) and told and told not in message:
            message += f" ({name}: {told})"
    request_id = str(found.get("requestId") or details.get("request_id") or "")
    if status >= 500 and request_id:
        message += f" (request {request_id})"
    kind = errors.Unavailable if status >= 500 else _BY_STATUS.get(status, errors.InvalidRequest)
    return kind(
        message,
        status=status,
        code=str(found.get("errorCode") or found.get("code") or ""),
        request_id=request_id,
        retry_after_seconds=retry_after_seconds(headers.get("retry-after"), now=dt.datetime.now(dt.UTC)),
        details=details,
    )


def _without_reason(status: int, headers: Mapping[str, str], raw: bytes) -> str:
    if target := headers.get("location"):
        return f"The server answered {status} and points to {target[:MAX_EXCERPT]}; give the address it really has."
    text = " ".join(raw[: 4 * MAX_EXCERPT].decode("utf-8", "replace").split())[:MAX_EXCERPT]
    return f"The server answered {status}" + (f": {text}" if text else " without a reason.")


def warn_of_version(server_url: str, version: str, *, stacklevel: int = 2) -> None:
    """Once per process and server, when the versions differ where their contract may differ."""
    if _contract(version) == _contract(VERSION):
        return
    with _warned_lock:
        if (server_url, version) in _warned:
            return
        _warned.add((server_url, version))
    warnings.warn(
        f"The server {server_url} is hhweb {version}, this client is {VERSION}: they may not understand each "
        f"other. Install hhweb=={version} here, or update the server.",
        ExperimentVersionWarning,
        stacklevel=stacklevel,
    )


def _contract(version: str) -> tuple[str, ...]:
    """The part of a version that a contract stands on: the major number, before 1.0 the minor one, too."""
    parts = version.split(".")
    return tuple(parts[:2]) if parts[0] == "0" else tuple(parts[:1])
