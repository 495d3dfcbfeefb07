"""The comments of GitHub's REST API on a loopback port: what the gate's comment needs, with pages and refusals."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class GitHub:
    """Comments by id, in order, and what was asked. `refusal` answers everything with that status."""

    url: str = ""
    token: str = "the-job's-token"
    comments: dict[int, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    refusal: tuple[int, bytes] | None = None

    def add(self, body: str, number: int = 7, *, author: str = "Bot", association: str = "NONE") -> int:
        """A comment on pull request `number`; its id."""
        key = len(self.comments) + 1001
        address = f"https://github.test/o/r/pull/{number}#issuecomment-{key}"
        self.comments[key] = {
            "id": key,
            "body": body,
            "html_url": address,
            "number": number,
            "user": {"type": author},
            "author_association": association,
        }
        return key

    def treat(self, method: str, path: str, query: dict[str, list[str]], body: Any, authorization: str) -> Any:
        """(status, body) of one request."""
        if authorization != f"Bearer {self.token}":
            return 401, {"message": "Bad credentials"}
        if found := re.fullmatch(r"/repos/o/r/issues/(\d+)/comments", path):
            number = int(found[1])
            if method == "POST":
                return 201, self.comments[self.add(body["body"], number)]
            size, page = int(query["per_page"][0]), int(query["page"][0])
            mine = [each for each in self.comments.values() if each["number"] == number]
            return 200, mine[(page - 1) * size : page * size]
        found = re.fullmatch(r"/repos/o/r/issues/comments/(\d+)", path)
        if found and method == "PATCH" and int(found[1]) in self.comments:
            self.comments[int(found[1])]["body"] = body["body"]
            return 200, self.comments[int(found[1])]
        return 404, {"message": "Not Found"}


@contextmanager
def serve_github() -> Iterator[GitHub]:
    """A server on a free port of the loopback."""
    github = GitHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            address = urlsplit(self.path)
            github.calls.append(f"{self.command} {address.path}")
            if github.refusal is not None:
                status, content = github.refusal
            else:
                body = json.loads(raw) if raw else None
                said = self.headers.get("Authorization", "")
                status, answer = github.treat(self.command, address.path, parse_qs(address.query), body, said)
                content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = _handle  # noqa: N815 - names that http.server asks for

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    github.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield github
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
