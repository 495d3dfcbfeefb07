"""One pool of connections to one server: sends requests, again where that helps, and turns refusals into exceptions.

The only module of the SDK that knows httpx, which is imported when a connection is made.
"""

import contextlib
import socket
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from experiments.sdk.configuration import Settings
from experiments.sdk.errors import ConfigurationError, ServerError, Unavailable
from experiments.sdk.transport import json_text
from experiments.sdk.transport.answers import VERSION_HEADER, refusal, warn_of_version
from experiments.sdk.transport.retries import RetryPolicy
from experiments.sdk.version import VERSION

if TYPE_CHECKING:
    import httpx

LOOPBACK = ("127.0.0.1", "localhost", "::1")
CONNECT_SECONDS = 5.0
MAX_CONNECTIONS = 20
# Refused before anything was done: even what must not happen twice may be sent again.
_REFUSED_UNDONE = (429, 503)


class Connection:
    """Requests with JSON bodies; thread-safe. `server_version` and `is_hhweb` are what the answers told."""

    def __init__(self, settings: Settings, *, retries: RetryPolicy, timeout_seconds: float) -> None:
        import httpx

        self.settings = settings
        self.server_version: str | None = None
        self.is_hhweb: bool | None = None
        self._retries = retries
        self._timeout_seconds = timeout_seconds
        parts = urlsplit(settings.server_url)
        self.is_loopback = parts.hostname in LOOPBACK
        if not settings.api_key.isascii():
            raise ConfigurationError("The API key holds a character that is not ASCII; copy it again.")
        try:
            self._client = httpx.Client(
                base_url=settings.server_url,
                headers={
                    "Authorization": f"Bearer {settings.api_key}",
                    "Accept": "application/json",
                    "User-Agent": f"hhweb/{VERSION}",
                    "hh-client-package": "hhweb",
                    "hh-client-version": VERSION,
                    "hh-client-language": "python",
                },
                timeout=self._timeouts(timeout_seconds),
                limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
                # Reading all certificates takes a noticeable time, and plain HTTP needs none. SSL_CERT_FILE is heard.
                verify=httpx.create_ssl_context() if parts.scheme == "https" else False,
                # A proxy of the environment cannot reach this machine's own loopback.
                trust_env=not self.is_loopback,
            )
        except (httpx.InvalidURL, ValueError, ImportError, OSError) as error:  # a proxy's address, certificates
            raise ConfigurationError(f"No client for {settings.server_url} can be made: {error}") from error
        self._closed = threading.Event()
        self._streams: weakref.WeakSet[Any] = weakref.WeakSet()
        self._streams_lock = threading.Lock()

    def close(self) -> None:
        """Close the connections; who waits to send again stops waiting."""
        self._closed.set()
        self._client.close()

    def interrupt(self) -> None:
        """Cut all connections: requests that other threads wait for fail at once, as if the server had."""
        with self._streams_lock:
            streams = list(self._streams)
        for stream in streams:
            with contextlib.suppress(OSError):
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        retries: RetryPolicy | None = None,
        is_idempotent: bool = True,
        timeout_seconds: float | None = None,
        earlier: list[ServerError] | None = None,
    ) -> bytes:
        """The body of a successful answer.

        Raises a ServerError for any other. `earlier` collects the failures that were overcome.
        """
        policy = self._retries if retries is None else retries
        began = time.monotonic()
        if self._closed.is_set():
            raise NotReached(f"The client of {self.settings.server_url} is closed.")
        given = {"hh-client-timestamp": str(time.time_ns()), **(headers or {})}
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._send_once(method, path, params, content, given, timeout_seconds)
            except Unavailable as error:
                wait = policy.delay(attempt, error.retry_after_seconds)
                is_late = time.monotonic() - began + wait > policy.give_up_after_seconds
                if attempt >= policy.attempts or is_late or not _may_repeat(error, is_idempotent):
                    raise
                if earlier is not None:
                    earlier.append(error)
                if self._closed.wait(wait):
                    raise

    @contextlib.contextmanager
    def stream(self, path: str, params: Mapping[str, Any]) -> Iterator[Iterator[bytes]]:
        """The bytes of a GET, piece by piece; Unavailable when they end early."""
        with (
            self._translated(),
            self._client.stream("GET", path, params=_given(params), headers={"Accept": "*/*"}) as answer,
        ):
            self._note(answer)
            if not answer.is_success:
                raise refusal(answer.status_code, answer.headers, answer.read())
            yield answer.iter_bytes()

    def _send_once(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        content: bytes | None,
        headers: Mapping[str, str],
        timeout_seconds: float | None,
    ) -> bytes:
        options: dict[str, Any] = {"extensions": {"trace": self._note_stream}}
        if timeout_seconds is not None:
            options["timeout"] = self._timeouts(timeout_seconds)
        if content is not None:
            headers = {"Content-Type": "application/json", **headers}
        with self._translated():
            answer = self._client.request(
                method, path, params=_given(params), content=content, headers=headers, **options
            )
        self._note(answer)
        if answer.is_success:
            return answer.content
        raise refusal(answer.status_code, answer.headers, answer.content)

    def _note_stream(self, event: str, info: Mapping[str, Any]) -> None:
        """Remember the sockets, which httpcore tells by its trace events and in no other way."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            with self._streams_lock:
                self._streams.add(info["return_value"])

    def _note(self, answer: "httpx.Response") -> None:
        version = answer.headers.get(VERSION_HEADER)
        if version:
            self.is_hhweb = True
            if version != self.server_version:
                self.server_version = version
                warn_of_version(self.settings.server_url, version)
        elif answer.is_success and self.is_hhweb is None:
            self.is_hhweb = False  # an error without the header may be a proxy's

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        import httpx

        try:
            yield
        except httpx.HTTPError as error:
            reason = str(error).rstrip(".") or type(error).__name__
            if "CERTIFICATE_VERIFY_FAILED" in reason:
                raise ConfigurationError(
                    f"The certificate of {self.settings.server_url} is not trusted ({reason}). "
                    "If its authority is your own, name the file with its certificate in SSL_CERT_FILE."
                ) from error
            failure = NotReached if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) else Unavailable
            raise failure(f"No answer from {self.settings.server_url}: {reason}. Does the server run there?") from error

    @staticmethod
    def _timeouts(seconds: float) -> "httpx.Timeout":
        import httpx

        return httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))


class NotReached(Unavailable):
    """There was no connection, so the server has not seen the request."""


def decoded(raw: bytes, server_url: str) -> Any:
    """The value of a JSON answer, None for an empty one."""
    if not raw:
        return None
    try:
        return json_text.loads(raw)
    except ValueError:
        raise ServerError(f"{server_url} answered, but not with JSON: is it the right address?") from None


def _may_repeat(error: Unavailable, is_idempotent: bool) -> bool:
    if error.code == "quota_exceeded" and error.retry_after_seconds is None:
        return False  # it is a month's quota
    return is_idempotent or isinstance(error, NotReached) or error.status in _REFUSED_UNDONE


def _given(params: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Query parameters; what is None is left out."""
    return {name: value for name, value in params.items() if value is not None} if params else None
