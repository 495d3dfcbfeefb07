"""What the SDK raises.

ExperimentError
├── ConfigurationError (also ValueError)      arguments or credentials that cannot work; nothing was sent
├── SpoolError                                 the spool folder cannot be used
└── ServerError                                an answer other than 200, or none
    ├── Unauthorized        401, 403
    ├── NotFound            404
    ├── Conflict            409
    ├── InvalidRequest      400, 413, 415, 422
    └── Unavailable         no answer, 408, 425, 429, 5xx: worth another try
        └── RateLimited     429
"""

from typing import Any


class ExperimentError(Exception):
    """Base of everything the SDK raises by itself."""


class ConfigurationError(ExperimentError, ValueError):
    """Arguments or credentials that cannot work; the message says what to do instead."""


class SpoolError(ExperimentError):
    """The spool folder cannot be read or written."""


class ServerError(ExperimentError):
    """The server said no, or nothing. `status` is None when there was no answer."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str = "",
        request_id: str = "",
        retry_after_seconds: float | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after_seconds = retry_after_seconds
        self.details = details or {}


class Unauthorized(ServerError):
    """The key is missing, unknown, revoked or of the wrong kind."""


class NotFound(ServerError):
    """No such thing in the key's project."""


class Conflict(ServerError):
    """It exists already, or is in a state that forbids this."""


class InvalidRequest(ServerError):
    """The server cannot use what was sent; sending it again will not help."""


class Unavailable(ServerError):
    """No answer, or one that a later try may better."""


class RateLimited(Unavailable):
    """Too many requests, or a quota is used up; `retry_after_seconds` says when to come back, if known."""
