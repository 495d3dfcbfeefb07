"""The guarded outbound client of design law 10: the only door through which the house calls others."""

import datetime as dt
import functools
import json
import ssl
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, cast
from urllib.parse import urljoin

import httpcore
import httpx

from governance.domain.retry_after import retry_after_seconds
from governance.outbound import addresses
from governance.outbound.connections import Deadline, GuardedBackend, OpenSockets
from governance.outbound.errors import OutboundFailed, OutboundRefused
from governance.outbound.retries import TRANSIENT_STATUSES

__all__ = ["GuardedClient", "OutboundAnswer", "OutboundFailed", "OutboundRefused"]

MAX_RESPONSE_BYTES = 64 * 1024 * 1024
MOST_REDIRECTS = 5
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_REDIRECTS = {301, 302, 303, 307, 308}
_EXCERPT = 500
_PLAIN_HEADERS = {"accept", "user-agent", "accept-encoding"}
_PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class OutboundAnswer:
    """A 2xx answer. Header names are in lower case; `url` is where it came from, after redirects."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)
    url: str = ""

    @property
    def json(self) -> Any:
        """The decoded body; `OutboundFailed` when it is not JSON. NaN and Infinity come through as numbers."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            raise OutboundFailed(
                "The answer is not JSON.",
                cause="bad_answer",
                is_transient=False,
                http_status=self.status,
                excerpt=_excerpt(self.content),
            ) from None


class _PooledTransport(httpx.BaseTransport):
    """httpx on a connection pool with a backend of ours. Proxies of the environment have no place here."""

    def __init__(self, backend: httpcore.NetworkBackend, context: ssl.SSLContext, connections: int) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=30.0,
            network_backend=backend,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Body(answer.stream), extensions=answer.extensions
        )

    def close(self) -> None:
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __iter__(self) -> Iterator[bytes]:
        yield from self._inner

    def close(self) -> None:
        self._inner.close()


class GuardedClient:
    """Calls of one job. Keeps connections, may be used by several threads; `close()` ends what is under way.

    `timeout` is the total of one call in seconds, redirects included. Raises `OutboundRefused` for what may not be
    called (with the detail `after_redirect` when a server had been called before) and `OutboundFailed` for every
    answer that is not 2xx. Nothing is retried here: see `retries`.
    """

    def __init__(
        self,
        *,
        allowed_private_hosts: frozenset[str] | None = None,
        connect_timeout: float = 5.0,
        timeout: float = 60.0,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        connections: int = 64,
        resolver: addresses.Resolver = addresses.resolve,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = addresses.allowed_hosts() if allowed_private_hosts is None else allowed_private_hosts
        self._connect_timeout, self._timeout, self._max_bytes = connect_timeout, timeout, max_response_bytes
        self._deadline, self._sockets = Deadline(), OpenSockets()
        backend = GuardedBackend(
            allowed=self._allowed, resolver=resolver, deadline=self._deadline, sockets=self._sockets
        )
        context = ssl_context or _default_context()
        self._http = httpx.Client(
            transport=_PooledTransport(backend, context, connections), trust_env=False, follow_redirects=False
        )
        self._lock = threading.Lock()
        self._under_way = 0
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every call under way, from any thread, and refuse further ones. May be called twice."""
        with self._lock:
            self._closed = True
            idle = self._under_way == 0
        self._sockets.shut()
        if idle:
            self._http.close()

    def post_json(
        self, url: str, payload: Any, *, headers: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> OutboundAnswer:
        """POST `payload` as JSON; see `send_json`."""
        return self.send_json("POST", url, payload, headers=headers, timeout=timeout)

    def send_json(
        self,
        method: Literal["POST", "PUT", "PATCH"],
        url: str,
        payload: Any,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> OutboundAnswer:
        """Send `payload` as JSON. A redirect is refused: the body and its credentials were meant for this address.

        Raises ValueError for what JSON cannot hold (NaN, lone surrogates), before anything is sent.
        """
        if method not in _WITH_BODY:
            raise ValueError(f"method {method!r} is none of {', '.join(sorted(_WITH_BODY))}")
        body = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        return self._call(method, url, {"content-type": "application/json", **(headers or {})}, body, timeout)

    def get(
        self, url: str, *, headers: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> OutboundAnswer:
        """GET, over at most five redirects, each checked anew; headers of the caller go to its first host only."""
        return self._call("GET", url, dict(headers or {}), None, timeout)

    def _call(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None, timeout: float | None
    ) -> OutboundAnswer:
        with self._lock:
            if self._closed:
                raise self._cancelled()
            self._under_way += 1
        self._deadline.at = time.monotonic() + (self._timeout if timeout is None else timeout)
        try:
            return self._follow(method, url, headers, body)
        except (OutboundFailed, OutboundRefused):
            if self._closed:
                raise self._cancelled() from None
            raise
        except (httpx.TimeoutException, httpcore.TimeoutException):
            raise self._failed("did not answer in time", url, "timeout") from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpcore.UnsupportedProtocol):
            raise OutboundRefused("The address cannot be called.", field="url", value=url[:200]) from None
        except (httpx.RemoteProtocolError, httpcore.RemoteProtocolError):
            raise self._failed("broke off or did not speak HTTP", url, "connection") from None
        except (httpx.HTTPError, httpcore.NetworkError, httpcore.ProtocolError, OSError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not self._closed:
                raise
            failed = self._failed("could not be reached or broke off", url, "connection")
            if _is_certificate_fault(error):
                failed = OutboundFailed(
                    f"{addresses.target_of(url).host} shows a certificate that does not hold for it.",
                    cause="connection",
                    is_transient=False,
                )
            raise failed from error
        finally:
            self._deadline.at = None
            with self._lock:
                self._under_way -= 1
                last = self._closed and self._under_way == 0
            if last:
                self._http.close()

    def _failed(self, what: str, url: str, cause: str) -> OutboundFailed:
        if self._closed:
            return self._cancelled()
        host = addresses.target_of(url).host
        return OutboundFailed(f"{host} {what}.", cause=cast(Any, cause), is_transient=True)

    @staticmethod
    def _cancelled() -> OutboundFailed:
        return OutboundFailed(
            "The call was cancelled: its client was closed.", cause="connection", is_transient=False, cancelled=True
        )

    def _follow(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> OutboundAnswer:
        first = here = addresses.target_of(url)
        for redirects in range(MOST_REDIRECTS + 1):
            sent = headers if here == first else {k: v for k, v in headers.items() if k.lower() in _PLAIN_HEADERS}
            try:
                status, got, content = self._send(method, url, sent, body)
                if status not in _REDIRECTS:
                    return self._answer(here, url, status, got, content)
            except OutboundRefused as refused:
                if redirects:
                    refused.details["after_redirect"] = True
                raise
            url, there = self._next(method, here, url, got.get("location", ""))
            if there != first:
                headers = {k: v for k, v in headers.items() if k.lower() in _PLAIN_HEADERS}
            here = there
        raise _redirect_refused(f"{first.host} redirects more than {MOST_REDIRECTS} times.", url)

    @staticmethod
    def _next(method: str, here: addresses.Target, url: str, location: str) -> tuple[str, addresses.Target]:
        """Where a redirect leads. Raises `OutboundRefused`."""
        goal = urljoin(url, location)
        if method != "GET":
            raise _redirect_refused(
                f"{here.host} answered a {method} with a redirect to {goal[:200]!r}, which is not followed. "
                "Give the final address.",
                url,
            )
        try:
            there = addresses.target_of(goal)
        except OutboundRefused as refused:
            refused.details["after_redirect"] = True
            raise
        if here.scheme == "https" and there.scheme != "https":
            raise _redirect_refused(f"{here.host} redirects from https to http, which is not followed.", goal)
        return goal, there

    def _send(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, dict[str, str], bytes]:
        left = self._deadline.left(float("inf"))
        request = self._http.build_request(
            method,
            url,
            # Only what `_read` inflates under its cap is asked for.
            headers={"user-agent": "hhweb", "accept": "application/json", **headers, "accept-encoding": "gzip"},
            content=body,
            timeout=httpx.Timeout(left, connect=min(self._connect_timeout, left), pool=left),
        )
        answer = self._http.send(request, stream=True)
        try:
            got = {name.lower(): value for name, value in answer.headers.items()}
            return answer.status_code, got, b"" if answer.status_code in _REDIRECTS else self._read(answer, got)
        finally:
            answer.close()

    def _read(self, answer: httpx.Response, headers: Mapping[str, str]) -> bytes:
        """The body, inflated; neither what is sent nor what comes out of it passes the cap."""
        declared = headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._max_bytes:
            raise self._too_large()
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"identity", "gzip", "x-gzip", ""}:
            raise OutboundFailed(
                f"The answer is encoded as {encoding[:40]!r}, which was not asked for.",
                cause="bad_answer",
                is_transient=False,
            )
        inflate = _Inflation() if "gzip" in encoding else None
        pieces: list[bytes] = []
        sent = held = 0
        for raw in answer.iter_raw():
            self._deadline.left(None)
            sent += len(raw)
            for piece in inflate.feed(raw) if inflate else (raw,):
                held += len(piece)
                if held > self._max_bytes or sent > self._max_bytes:
                    raise self._too_large()
                pieces.append(piece)
        if inflate is not None and not inflate.is_whole:
            raise OutboundFailed("The answer's compressed body is cut.", cause="bad_answer", is_transient=True)
        return b"".join(pieces)

    def _too_large(self) -> OutboundFailed:
        return OutboundFailed(
            f"The answer is larger than {self._max_bytes} bytes. Ask for less at once.",
            cause="too_large",
            is_transient=False,
        )

    def _answer(
        self, target: addresses.Target, url: str, status: int, headers: dict[str, str], content: bytes
    ) -> OutboundAnswer:
        if 200 <= status < 300:
            return OutboundAnswer(status, headers, content, url)
        after = retry_after_seconds(headers.get("retry-after"), now=dt.datetime.now(dt.UTC))
        cause = "rate_limited" if status in (429, 529) else "server_error" if status >= 500 else "client_error"
        raise OutboundFailed(
            f"{target.host} answered {status}.",
            cause=cast(Any, "timeout" if status == 408 else cause),
            is_transient=status in TRANSIENT_STATUSES,
            http_status=status,
            retry_after_seconds=after,
            excerpt=_excerpt(content),
        )


class _Inflation:
    """Gzip piece by piece, never more than `_PIECE` bytes at once, members one after another."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(wbits=31)
        self.is_whole = True

    def feed(self, raw: bytes) -> Iterator[bytes]:
        """Inflated pieces of `raw`."""
        while raw:
            if self._inflater.eof:
                self._inflater = zlib.decompressobj(wbits=31)
            try:
                piece = self._inflater.decompress(raw, _PIECE)
            except zlib.error:
                raise OutboundFailed(
                    "The answer's compressed body is broken.", cause="bad_answer", is_transient=False
                ) from None
            raw = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
            self.is_whole = self._inflater.eof
            yield piece
            # What came in is consumed, but more may wait inside: asked for with nothing new.
            while not raw and len(piece) == _PIECE and not self._inflater.eof:
                piece = self._inflater.decompress(b"", _PIECE)
                self.is_whole = self._inflater.eof
                yield piece


@functools.cache
def _default_context() -> ssl.SSLContext:
    """Made once: reading all authorities takes a tenth of a second. SSL_CERT_FILE names an operator's own."""
    return httpx.create_ssl_context(trust_env=True)


def _redirect_refused(message: str, url: str) -> OutboundRefused:
    return OutboundRefused(message, field="url", value=url[:200], after_redirect=True)


def _is_certificate_fault(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _excerpt(content: bytes) -> str:
    return content[:_EXCERPT].decode("utf-8", errors="replace")
