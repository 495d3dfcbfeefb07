"""A small HTTP server with prepared answers, which remembers what it was asked."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PREFIX = "/api/v1/ab"


@dataclass
class Answer:
    """One prepared answer; `raw` goes out as it is, `body` as JSON."""

    status: int = 200
    body: Any = None
    raw: bytes | None = None
    length: int | None = None  # a length that promises more than is sent


@dataclass
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Served:
    """Answers by (method, path without query): the last of a list is given again and again."""

    url: str = ""
    answers: dict[tuple[str, str], list[Answer]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def answer(self, method: str, path: str, *answers: Answer | Any) -> None:
        """Prepare answers; anything but an Answer is a body with 200."""
        prepared = [one if isinstance(one, Answer) else Answer(body=one) for one in answers]
        self.answers[method, PREFIX + path] = prepared

    def calls(self) -> list[str]:
        """What was asked, as `GET /tests/t1`."""
        return [f"{one.method} {one.path.removeprefix(PREFIX)}" for one in self.asked]


def error(status: int, message: str, **details: Any) -> Answer:
    """An error in the native API's shape."""
    return Answer(status, {"error": {"code": "invalid_input", "message": message, "details": details}})


@contextmanager
def serve() -> Iterator[Served]:
    """A server on a free port of the loopback."""
    served = Served()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = gzip.decompress(raw) if headers.get("content-encoding") == "gzip" else raw
            served.asked.append(Asked(self.command, self.path, headers, json.loads(body) if body else None))
            prepared = served.answers.get((self.command, self.path.partition("?")[0]))
            if not prepared:
                answer = error(404, f"There is nothing at {self.path!r}.")
            else:
                answer = prepared[0] if len(prepared) == 1 else prepared.pop(0)
            content = answer.raw
            if content is None:
                content = b"" if answer.body is None else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(answer.length or len(content)))
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = answer.length is not None

        do_GET = do_POST = do_DELETE = _handle  # noqa: N815 - names that http.server asks for

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
