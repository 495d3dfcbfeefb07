"""A real local HTTP server that speaks embedding, rerank and search forms, with faults on demand.

In a test: `with ProviderServer() as server: ... server.url, server.fail("rate_limited", retry_after="3")`.
As a process of its own: `python -m tests.embeddings_ab.provider_server --port 0 --log FILE` prints its address, writes
one JSON line per embedding call before it answers, and takes faults at POST /control.

Vectors are hashed words (BLAKE2), so texts that share words are near each other, and nothing depends on the batch.
"""

import argparse
import base64
import hashlib
import json
import math
import re
import struct
import sys
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

FAULTS = (
    "rate_limited", "server_error", "hang", "wrong_count", "nan", "wrong_dimension", "zero", "not_json", "bad_request",
    "unauthorised", "redirect", "shuffled", "no_vectors",
)  # fmt: skip
HANG_SECONDS = 120.0


@dataclass(frozen=True)
class Call:
    """One request: where to, its body, its Authorization, how many texts, and what was done to it."""

    path: str
    body: Any
    authorization: str
    texts: tuple[str, ...]
    fault: str


@dataclass
class Fault:
    kind: str
    retry_after: str | None = None
    location: str = "/"
    path: str | None = None


@dataclass
class ServerState:
    """What the server knows; tests may change its fields while it runs."""

    dimensions: int = 64
    model: str = "test-embedder"
    key: str | None = None
    version: int = 1
    reports_version: bool = True
    most_texts: int | None = None
    documents: dict[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    log: Path | None = None


class ProviderServer:
    """The server in a thread. `calls` holds every request, `texts_embedded` the number of texts of all embed calls."""

    def __init__(self, **state: Any) -> None:
        self.state = ServerState(**state)
        self.calls: list[Call] = []
        self.released = threading.Event()
        self._faults: deque[Fault] = deque()
        self._lock = threading.Lock()
        self._http: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        self.start(0)
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self, port: int) -> None:
        owner = self

        class Handler(_Handler):
            server_state = owner

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._http.daemon_threads = True
        self._http.block_on_close = False
        serve = self._http.serve_forever
        threading.Thread(target=serve, args=(0.02,), name="provider-server", daemon=True).start()

    def stop(self) -> None:
        self.released.set()
        assert self._http is not None
        self._http.shutdown()
        self._http.server_close()

    @property
    def port(self) -> int:
        assert self._http is not None
        return int(self._http.server_address[1])

    @property
    def url(self) -> str:
        """Base address; add /v1 for the OpenAI form."""
        return f"http://127.0.0.1:{self.port}"

    def fail(self, kind: str, *, times: int = 1, **details: Any) -> None:
        """Have the next `times` requests (of `path`, where given) fail so; first asked, first served."""
        assert kind in FAULTS, kind
        with self._lock:
            self._faults.extend(Fault(kind, **details) for _ in range(times))

    def change_model(self) -> None:
        """Another model from now on; with `reports_version` False silently, behind the same name and revision."""
        self.state.version += 1

    def calls_of(self, *paths: str) -> list[Call]:
        return [call for call in list(self.calls) if call.path in paths]

    @property
    def embed_calls(self) -> list[Call]:
        return self.calls_of("/v1/embeddings", "/embeddings", "/v2/embed", "/embed")

    @property
    def texts_embedded(self) -> int:
        return sum(len(call.texts) for call in self.embed_calls if not call.fault)

    def taken_fault(self, path: str) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.path in (None, path):
                    self._faults.remove(fault)
                    return fault
        return None

    def note(self, call: Call) -> None:
        with self._lock:
            self.calls.append(call)
            if self.state.log is not None and call.texts:
                line = {"path": call.path, "fault": call.fault, "texts": [_digest(text) for text in call.texts]}
                with self.state.log.open("a") as lines:
                    lines.write(json.dumps(line) + "\n")

    def vector(self, text: str, dimensions: int) -> list[float]:
        """What this server answers for one text, unit length, each number exact in float32."""
        row = [0.0] * dimensions
        for word in _words(text) or [text]:
            digest = hashlib.blake2b(f"{self.state.version} {word}".encode(), digest_size=8).digest()
            number = int.from_bytes(digest, "little")
            row[(number >> 1) % dimensions] += 1.0 if number & 1 else -1.0
        if not any(row):
            row[0] = 1.0
        length = math.sqrt(sum(x * x for x in row))
        return list(struct.unpack(f"<{dimensions}f", struct.pack(f"<{dimensions}f", *(x / length for x in row))))


def overlap(query: str, text: str) -> float:
    """Rerank score of this server: the part of the query's words that the text has."""
    wanted = set(_words(query))
    return len(wanted & set(_words(text))) / len(wanted) if wanted else 0.0


class _Handler(BaseHTTPRequestHandler):
    server_state: ProviderServer
    protocol_version = "HTTP/1.1"
    # Without it every answer waits for the client's delayed acknowledgement.
    disable_nagle_algorithm = True

    def log_message(self, *args: object) -> None:
        """Be quiet."""

    def do_GET(self) -> None:
        owner = self.server_state
        if self.path == "/control":
            self._answer({"calls": len(owner.calls), "texts": owner.texts_embedded})
            return
        fault = self._begin({}, ())
        if fault is None or not self._spoil(fault):
            if self.path == "/info":
                info: dict[str, Any] = {
                    "model_id": owner.state.model,
                    "model_sha": f"{owner.state.version if owner.state.reports_version else 0:040x}",
                    "model_dtype": "float32",
                }
                if owner.state.most_texts:
                    info["max_client_batch_size"] = owner.state.most_texts
                self._answer(info)
            else:
                self._answer({"message": "not found"}, status=404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/control":
            self._control(body)
            return
        answers = {
            "/v1/embeddings": self._openai,
            "/embeddings": self._openai,
            "/v2/embed": self._cohere,
            "/embed": self._tei,
            "/v2/rerank": self._rerank_cohere,
            "/v1/rerank": self._rerank_cohere,
            "/rerank": self._rerank_tei,
            "/search": self._search,
        }
        texts = body.get("input") or body.get("texts") or body.get("inputs") or ()
        fault = self._begin(body, (texts,) if isinstance(texts, str) else tuple(texts))
        if fault is not None and self._spoil(fault):
            return
        if self.path not in answers:
            self._answer({"message": "not found"}, status=404)
            return
        answers[self.path](body, fault.kind if fault else "")

    def _begin(self, body: Any, texts: tuple[str, ...]) -> Fault | None:
        owner = self.server_state
        fault = owner.taken_fault(self.path)
        authorization = self.headers.get("Authorization", "")
        if fault is None and owner.state.key is not None and authorization != f"Bearer {owner.state.key}":
            fault = Fault("unauthorised")
        if fault is None and owner.state.most_texts is not None and len(texts) > owner.state.most_texts:
            fault = Fault("bad_request")
        owner.note(Call(self.path, body, authorization, texts, fault.kind if fault else ""))
        if owner.state.delay_seconds:
            owner.released.wait(owner.state.delay_seconds)
        return fault

    def _spoil(self, fault: Fault) -> bool:
        """Answer wrongly as a whole; False where the fault is in the vectors."""
        statuses = {"rate_limited": 429, "server_error": 500, "bad_request": 400, "unauthorised": 401, "redirect": 302}
        if fault.kind in statuses:
            headers = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
            if fault.kind == "redirect":
                headers["Location"] = fault.location
            self._answer({"message": f"fault on demand: {fault.kind}"}, status=statuses[fault.kind], headers=headers)
            return True
        if fault.kind == "hang":
            self.server_state.released.wait(HANG_SECONDS)
            self.close_connection = True
            return True
        if fault.kind == "not_json":
            self._send(b"<html>gateway</html>", 200, {"Content-Type": "text/html"})
            return True
        return False

    def _vectors(self, texts: Sequence[str], dimensions: int | None, fault: str) -> list[list[float]]:
        owner = self.server_state
        width = dimensions or owner.state.dimensions
        vectors = [owner.vector(text, width) for text in texts]
        if fault == "wrong_count":
            return vectors[:-1]
        if fault == "wrong_dimension":
            vectors[-1] = vectors[-1][:-1]
        elif fault == "nan":
            vectors[-1][0] = math.nan
        elif fault == "zero":
            vectors[-1] = [0.0] * width
        return vectors

    def _openai(self, body: Any, fault: str) -> None:
        if fault == "no_vectors":
            self._answer({"object": "list"})
            return
        inputs = [body["input"]] if isinstance(body["input"], str) else body["input"]
        rows: list[dict[str, Any]] = []
        for index, vector in enumerate(self._vectors(inputs, body.get("dimensions"), fault)):
            coded: Any = vector
            if body.get("encoding_format") == "base64":
                coded = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
            rows.append({"object": "embedding", "index": index, "embedding": coded})
        if fault == "shuffled":
            rows.reverse()
        tokens = sum(len(_words(text)) for text in inputs)
        state = self.server_state.state
        model = f"{body['model']}-{state.version}" if state.reports_version else body["model"]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        self._answer({"object": "list", "data": rows, "model": model, "usage": usage})

    def _cohere(self, body: Any, fault: str) -> None:
        if fault == "no_vectors":
            self._answer({"id": "1"})
            return
        # Documents and queries differ, as they do with models that know roles.
        texts = [f"{body['input_type']} {text}" for text in body["texts"]]
        vectors = self._vectors(texts, body.get("output_dimension"), fault)
        tokens = sum(len(_words(text)) for text in body["texts"])
        self._answer({"id": "1", "embeddings": {"float": vectors}, "meta": {"billed_units": {"input_tokens": tokens}}})

    def _tei(self, body: Any, fault: str) -> None:
        if fault == "no_vectors":
            self._answer({"vectors": []})
            return
        tokens = sum(len(_words(text)) for text in body["inputs"])
        self._answer(self._vectors(body["inputs"], None, fault), headers={"x-compute-tokens": str(tokens)})

    def _rerank_cohere(self, body: Any, fault: str) -> None:
        self._answer({"results": self._ranked(body["query"], body["documents"], "relevance_score", fault)})

    def _rerank_tei(self, body: Any, fault: str) -> None:
        self._answer(self._ranked(body["query"], body["texts"], "score", fault))

    def _ranked(self, query: str, texts: Sequence[str], name: str, fault: str) -> list[dict[str, Any]]:
        scored = [{"index": index, name: overlap(query, text)} for index, text in enumerate(texts)]
        scored.sort(key=lambda row: -row[name])
        if fault == "wrong_count":
            scored = scored[:-1]
        elif fault == "nan":
            scored[-1][name] = math.nan
        return scored

    def _search(self, body: Any, fault: str) -> None:
        documents = self.server_state.state.documents
        found = [(overlap(body["query"], text), name) for name, text in documents.items()]
        found.sort(key=lambda pair: (-pair[0], pair[1]))
        self._answer({"results": [{"id": name, "score": score} for score, name in found[: body["depth"]]]})

    def _control(self, body: Any) -> None:
        """{"fail": {"kind": ..., "times": ...}}, {"change_model": true}, {"state": {...}}, in any mixture."""
        owner = self.server_state
        if "fail" in body:
            owner.fail(**body["fail"])
        if body.get("change_model"):
            owner.change_model()
        for name, value in body.get("state", {}).items():
            setattr(owner.state, name, value)
        self._answer({"ok": True})

    def _answer(self, body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(json.dumps(body).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def _send(self, content: bytes, status: int, headers: dict[str, str]) -> None:
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client was killed or gave up; that is what some tests do


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--dimensions", type=int, default=64)
    parser.add_argument("--delay-seconds", type=float, default=0.0)
    given = parser.parse_args()
    server = ProviderServer(log=given.log, dimensions=given.dimensions, delay_seconds=given.delay_seconds)
    server.start(given.port)
    sys.stdout.write(f"{server.url}\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main()
