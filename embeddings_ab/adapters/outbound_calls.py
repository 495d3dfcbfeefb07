"""Calls of adapters through the guarded client, its errors told as ProviderFailed, and what is asked of answers."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from embeddings_ab.domain.provider_errors import Cause, ProviderFailed
from governance.domain.errors import DomainError


class Answer(Protocol):
    """What an outbound call brought back."""

    @property
    def status(self) -> int:
        """HTTP status, 2xx."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Response headers; names in lower case."""

    @property
    def json(self) -> Any:
        """The decoded body."""


class HttpClient(Protocol):
    """The part of the guarded outbound client that adapters use. It raises DomainErrors and returns 2xx answers."""

    def post_json(
        self, url: str, payload: Any, *, headers: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> Answer:
        """POST a JSON body."""

    def get(self, url: str, *, headers: Mapping[str, str] | None = None, timeout: float | None = None) -> Answer:
        """GET."""


_CAUSES: Mapping[str, Cause] = {
    "timeout": "timeout",
    "connection": "connection",
    "rate_limited": "rate_limited",
    "server_error": "server_error",
    "client_error": "input_rejected",
    "too_large": "bad_answer",
    "bad_answer": "bad_answer",
}


class Endpoint:
    """One remote service: who it is in messages, how it is authorised, how long it may take."""

    def __init__(self, client: HttpClient, *, who: str, secret_value: str | None, timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        self._headers = {"Authorization": f"Bearer {secret_value}"} if secret_value else {}
        self.who = who

    def post(self, url: str, payload: Any) -> tuple[Any, Mapping[str, str]]:
        """Decoded body and headers. Raises ProviderFailed."""
        return self._call(lambda: self._client.post_json(url, payload, headers=self._headers, timeout=self._timeout))

    def get(self, url: str) -> tuple[Any, Mapping[str, str]]:
        """Decoded body and headers. Raises ProviderFailed."""
        return self._call(lambda: self._client.get(url, headers=self._headers, timeout=self._timeout))

    def _call(self, send: Callable[[], Answer]) -> tuple[Any, Mapping[str, str]]:
        try:
            answer = send()
        except ProviderFailed:
            raise
        except DomainError as error:
            raise translated(error, who=self.who) from error
        try:
            return answer.json, answer.headers
        except (ValueError, DomainError) as error:
            raise self.bad_answer("something else than JSON") from error

    def bad_answer(self, what: str, **details: Any) -> ProviderFailed:
        """The error of an answer that cannot be used."""
        return ProviderFailed(f"{self.who} answered with {what}", cause="bad_answer", **details)


def translated(error: DomainError, *, who: str) -> ProviderFailed:
    """An error of the guarded client in the words of providers. An address that may not be called is `refused`."""
    told = getattr(error, "cause", None)
    status = getattr(error, "http_status", None)
    cause: Cause = _CAUSES.get(told, "connection") if isinstance(told, str) else "refused"
    if told == "client_error" and status in (401, 403):
        cause = "unauthorised"
    transient = getattr(error, "is_transient", False) if told else False
    return ProviderFailed(
        f"{who}: {error.message}",
        cause=cause,
        is_transient=bool(transient),
        retry_after_seconds=cast("float | None", getattr(error, "retry_after_seconds", None)),
        http_status=status,
    )
