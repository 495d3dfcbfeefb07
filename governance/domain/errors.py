"""What can go wrong, in words a user can act on. Never HTTP: each edge maps `code` to its own dialect."""

from typing import Any


class DomainError(Exception):
    """A refusal with a stable code, a sentence and details; `status` is a hint that every edge may use."""

    code = "error"
    status = 400

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class InvalidInput(DomainError):
    """Bad input. Details name `field`, and where it helps `value` and `remedy`."""

    code = "invalid_input"
    status = 400


class Unauthenticated(DomainError):
    """No key, or one that is unknown, revoked or expired (the answer never says which)."""

    code = "unauthenticated"
    status = 401


class Forbidden(DomainError):
    """A known caller without the right."""

    code = "forbidden"
    status = 403


class NotFound(DomainError):
    """No such object in the caller's project; says the same whether another project has it."""

    code = "not_found"
    status = 404


class Conflict(DomainError):
    """The state or a unique name stands against it."""

    code = "conflict"
    status = 409


class PayloadTooLarge(DomainError):
    """The body, as sent or inflated, is over the limit."""

    code = "payload_too_large"
    status = 413


class QuotaExceeded(DomainError):
    """The reservation does not fit under the ceiling."""

    code = "quota_exceeded"
    status = 429
