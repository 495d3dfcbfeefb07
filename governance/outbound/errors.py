"""What an outbound call can end with: refused for good by our own rules, or failed, perhaps only for now."""

from typing import Any, Literal

from governance.domain.errors import DomainError

Cause = Literal["timeout", "connection", "rate_limited", "server_error", "client_error", "too_large", "bad_answer"]


class OutboundRefused(DomainError):
    """The address, scheme or redirect is not allowed. Trying again changes nothing."""

    code = "outbound_refused"
    status = 400
    is_transient = False


class OutboundFailed(DomainError):
    """The call was made and brought no usable answer.

    `http_status` is what the other side answered, None without an answer; `status` says the same for callers that
    look at an error of the client only. `retry_after_seconds` is what it asked for. `excerpt` is the start of its
    answer, for people; it is not part of the message, as it is somebody else's text.
    """

    code = "outbound_failed"
    status = 502

    def __init__(
        self,
        message: str,
        *,
        cause: Cause,
        is_transient: bool,
        http_status: int | None = None,
        retry_after_seconds: float | None = None,
        excerpt: str = "",
        **details: Any,
    ) -> None:
        super().__init__(message, cause=cause, **details)
        self.cause: Cause = cause
        self.is_transient = is_transient
        self.http_status = http_status
        if http_status is not None:
            self.status = http_status
        self.retry_after_seconds = retry_after_seconds
        self.excerpt = excerpt
