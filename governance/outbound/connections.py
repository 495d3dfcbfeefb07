"""Connections of the guarded client: to checked addresses only, under a total deadline, ended from any thread.

httpcore asks a network backend to connect to a host by name. Ours resolves once, checks every address and connects to
one of those, so no second resolution can answer something else. TLS still sees the name.
"""

import contextlib
import functools
import socket
import ssl
import threading
import time
import typing
from collections.abc import Iterable

import httpcore

from governance.outbound import addresses
from governance.outbound.errors import OutboundFailed


class Deadline(threading.local):
    """When the call of the present thread must be over, on the monotonic clock."""

    at: float | None = None

    def left(self, timeout: float | None) -> float:
        """Seconds that the next step may take; `OutboundFailed` when none are left."""
        left = float("inf") if self.at is None else self.at - time.monotonic()
        if left <= 0:
            raise OutboundFailed("The call took longer than its total time-out.", cause="timeout", is_transient=True)
        return min(left, 60.0 if timeout is None else timeout)


class OpenSockets:
    """Second handles of all open connections, by which another thread shuts them down.

    TLS takes the first handle over, and closing a descriptor under a reading thread would free its number for
    somebody else: hence duplicates, and `shutdown` instead of `close`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handles: set[socket.socket] = set()
        self.is_shut = False

    def add(self, sock: socket.socket) -> socket.socket:
        """Keep a duplicate; already shut when everything is."""
        handle = sock.dup()
        with self._lock:
            self._handles.add(handle)
            if self.is_shut:
                _shut(handle)
        return handle

    def discard(self, handle: socket.socket) -> None:
        """Forget and close a duplicate."""
        with self._lock:
            self._handles.discard(handle)
            handle.close()

    def shut(self) -> None:
        """End all connections now; whoever reads or writes gets an error."""
        with self._lock:
            self.is_shut = True
            for handle in self._handles:
                _shut(handle)


def _shut(handle: socket.socket) -> None:
    with contextlib.suppress(OSError):  # not connected, or gone already
        handle.shutdown(socket.SHUT_RDWR)


class _Stream(httpcore.NetworkStream):
    """httpcore's own stream under the deadline of the calling thread."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: Deadline, forget: typing.Callable[[], None]) -> None:
        self._inner, self._deadline, self._forget = inner, deadline, forget

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._deadline.left(timeout))

    def close(self) -> None:
        self._inner.close()
        self._forget()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        try:
            inner = self._inner.start_tls(ssl_context, server_hostname, self._deadline.left(timeout))
        except BaseException:
            self.close()  # httpcore closes what it wrapped and forgets about us
            raise
        return _Stream(inner, self._deadline, self._forget)

    def get_extra_info(self, info: str) -> typing.Any:
        return self._inner.get_extra_info(info)


class GuardedBackend(httpcore.NetworkBackend):
    """Connects to checked addresses."""

    def __init__(
        self, *, allowed: frozenset[str], resolver: addresses.Resolver, deadline: Deadline, sockets: OpenSockets
    ) -> None:
        self._allowed, self._resolver, self._deadline, self._sockets = allowed, resolver, deadline, sockets
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[typing.Any] | None = None,
    ) -> httpcore.NetworkStream:
        """The first address that answers; the others of the same answer are as good, all were checked."""
        found = addresses.checked_addresses(
            host, port, allowed=self._allowed, resolver=self._resolver, seconds=self._deadline.left(timeout)
        )
        last: Exception | None = None
        for address in found[:4]:
            try:
                # An address in canonical form: nothing is resolved again.
                stream = self._plain.connect_tcp(
                    address, port, timeout=self._deadline.left(timeout), socket_options=socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
                continue
            handle = self._sockets.add(stream.get_extra_info("socket"))
            return _Stream(stream, self._deadline, functools.partial(self._sockets.discard, handle))
        raise last or httpcore.ConnectError(f"{host} has no address")

    def connect_unix_socket(self, *arguments: typing.Any, **options: typing.Any) -> httpcore.NetworkStream:
        """Never."""
        raise httpcore.ConnectError("sockets of the file system are not called")

    def sleep(self, seconds: float) -> None:
        """httpcore asks for it between its own retries, which are off."""
        time.sleep(seconds)
