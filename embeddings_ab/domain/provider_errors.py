"""What an embedding provider, reranker or search endpoint can do wrong, and whether trying again can heal it."""

from typing import Any, Literal

from governance.domain.errors import DomainError

Cause = Literal[
    "timeout",
    "connection",
    "rate_limited",
    "server_error",
    "bad_answer",
    "refused",
    "unauthorised",
    "input_rejected",
    "not_installed",
]

TRANSIENT_CAUSES: frozenset[str] = frozenset({"timeout", "connection", "rate_limited", "server_error"})


class ProviderFailed(DomainError):
    """A provider gave no usable answer. `cause` is of a closed set, so it may label telemetry.

    `retry_after_seconds` is what the provider asked for, None where it asked for nothing.
    """

    code = "provider_failed"
    status = 502

    def __init__(
        self,
        message: str,
        *,
        cause: Cause,
        is_transient: bool | None = None,
        retry_after_seconds: float | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message, cause=cause, **details)
        self.cause: Cause = cause
        self.is_transient = cause in TRANSIENT_CAUSES if is_transient is None else is_transient
        self.retry_after_seconds = retry_after_seconds
