"""Real HTTP servers of the tests: one handler function a server, in threads, on a free port of 127.0.0.1."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Asked(BaseHTTPRequestHandler):
    """One request; `answer` sends status, headers and body with a length."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        self.server.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        self.body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.respond(self)

    do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815 - http.server looks for these names

    def answer(self, body: bytes = b"{}", status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content_length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    """`seen` holds what was asked."""

    daemon_threads = True
    block_on_close = False
    respond: Callable[[Asked], None]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.seen: list[tuple[str, str, dict[str, str]]] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, *_: Any) -> None:
        pass  # a client that hangs up is what many tests are about


@contextmanager
def serving(respond: Callable[[Asked], None], *, context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server that answers everything with `respond`."""
    server = Server()
    server.respond = respond
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def mute_port() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]
