"""A small real HTTP server for tests of the SDK: stores like hhweb, and fails as it is told.

    with FaultServer() as server:
        server.plan(answer(503), drop_after_storing(), path="/opentelemetry")
        ...
        assert set(server.sessions) == {...}

Planned faults are used up one per matching request, in the order planned. Storing is an upsert by id in which the
first value wins, as on the real server, so `deliveries` counts how often a session was sent, `sessions` what is kept.
"""

import gzip
import json
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from hhweb import __version__

Json = dict[str, Any]
BUCKETS = ("inputs", "outputs", "metadata", "metrics", "feedback", "user_properties", "config")


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one request instead of, or after, its normal treatment."""

    kind: str  # answer, drop_before, drop_after, hang
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: Any = None
    seconds: float = 0.0


def answer(
    status: int, *, retry_after: float | str | None = None, body: Any = None, headers: Json | None = None
) -> Fault:
    """Answer with `status` and store nothing."""
    given = dict(headers or {})
    if retry_after is not None:
        given["Retry-After"] = str(retry_after)
    if body is None:
        body = {"message": f"planned {status}", "errorCode": "planned", "requestId": "request-1"}
    return Fault("answer", status, tuple(given.items()), body)


def drop_before_storing() -> Fault:
    """Close the connection without an answer, nothing stored."""
    return Fault("drop_before")


def drop_after_storing() -> Fault:
    """Store, then close the connection without an answer."""
    return Fault("drop_after")


def hang(seconds: float = 60.0) -> Fault:
    """Say nothing for so long (or until the server stops), then close."""
    return Fault("hang", seconds=seconds)


@dataclass(slots=True)
class Recorded:
    """One request as it came; `status` 0 means it was not answered."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any
    raw: bytes = b""
    status: int = 0


@dataclass(slots=True)
class _Planned:
    fault: Fault
    path: str
    method: str
    when: Callable[[Recorded], bool] | None


@dataclass
class FaultServer:
    """Answers like hhweb (`is_hhweb`) or like another server of the protocol, on a loopback port."""

    is_hhweb: bool = True
    version: str = __version__
    api_key: str | None = None  # None: any key will do
    port: int = 0
    requests: list[Recorded] = field(default_factory=list)
    sessions: dict[str, Json] = field(default_factory=dict)
    spans: dict[tuple[str, str], Json] = field(default_factory=dict)
    runs: dict[str, Json] = field(default_factory=dict)
    datasets: dict[str, Json] = field(default_factory=dict)  # id -> {id, name, datapoints: [ids]}
    datapoints: dict[str, Json] = field(default_factory=dict)  # id -> datapoint object
    deliveries: Counter[str] = field(default_factory=Counter)
    latency_seconds: float = 0.0  # before every answer
    certificate: Path | None = None  # PEM of key and certificate: speaks TLS

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self._plans: list[_Planned] = []
        self._http: _Http | None = None
        self._thread: threading.Thread | None = None
        self.stopping = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}"

    def plan(
        self, *faults: Fault, path: str = "", method: str = "", when: Callable[[Recorded], bool] | None = None
    ) -> None:
        """Let the next requests whose path contains `path` (and of `method`, and for which `when`) meet `faults`."""
        with self.lock:
            self._plans += [_Planned(fault, path, method, when) for fault in faults]

    def forget_plans(self) -> None:
        """No faults any more."""
        with self.lock:
            self._plans.clear()

    def start(self) -> None:
        """Listen, on the same port as before."""
        self.stopping.clear()
        self._http = _Http(("127.0.0.1", self.port), _Handler)
        self._http.owner = self
        if self.certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.005,), name="fault-server", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Be gone as if killed: nobody listens, open connections are cut. What was stored stays."""
        if self._http is None:
            return
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._http.cut()
        if self._thread is not None:
            self._thread.join()
        self._http = None

    def sent(self, path: str, method: str = "") -> list[Recorded]:
        """The requests whose path contains `path`."""
        with self.lock:
            return [each for each in self.requests if path in each.path and method in ("", each.method)]

    def fault_for(self, request: Recorded) -> Fault | None:
        with self.lock:
            for planned in self._plans:
                fits = planned.path in request.path and planned.method in ("", request.method)
                if fits and (planned.when is None or planned.when(request)):
                    self._plans.remove(planned)
                    return planned.fault
        return None

    # --- what the server does

    def treat(self, request: Recorded) -> tuple[int, Any]:
        """Status and body of a request, after doing what it says."""
        path, body = request.path, request.body
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.api_key is not None and given != self.api_key:
            return 401, {"message": "The API key is unknown.", "errorCode": "unauthenticated"}
        with self.lock:
            if path == "/opentelemetry/v1/traces":
                return 200, self._store_spans(body)
            if path == "/session/start":
                session = body["session"]
                self._upsert_session(session["session_id"], session)
                scope = {"org_id": "o", "workspace_id": "w", "project_id": "p"}
                return 200, {**session, **scope, "event_id": session["session_id"]}
            if path == "/events" and request.method == "PUT":
                stored = self.sessions.setdefault(body["event_id"], {})
                for name, value in body.items():
                    stored[name] = {**stored.get(name, {}), **value} if isinstance(value, dict) else value
                return 200, {"success": True}
            if path == "/v1/events/export":
                return 200, self._export(body)
            if path.startswith("/v1/runs"):
                return self._treat_runs(request, [unquote(part) for part in path.split("/")[3:]])
            if path == "/v1/datasets":
                wanted = request.query.get("dataset_id") or request.query.get("name")
                found = list(self.datasets.values())
                if wanted:
                    found = [each for each in found if wanted[0] in (each["id"], each.get("name"))]
                return 200, {"datasets": found}
            if path == "/v1/datapoints":
                ids = request.query.get("datapoint_ids[]") or list(self.datapoints)
                return 200, {"datapoints": [self.datapoints[each] for each in ids if each in self.datapoints]}
            if path.startswith("/v1/datapoints/"):
                found_one = self.datapoints.get(unquote(path.rsplit("/", 1)[1]))
                return (200, {"datapoint": [found_one]}) if found_one else _not_found(path)
        return _not_found(path)

    def _store_spans(self, body: Json) -> Json:
        for resource in body["resourceSpans"]:
            for scoped in resource["scopeSpans"]:
                for span in scoped["spans"]:
                    attributes = {item["key"]: _plain(item["value"]) for item in span.get("attributes", ())}
                    if self.is_hhweb and attributes.get("hhweb.session_event"):
                        session_id = attributes["honeyhive.session_id"]
                        session = {name: json.loads(attributes.get(f"honeyhive_{name}", "{}")) for name in BUCKETS}
                        session |= {"session_id": session_id, "session_name": attributes["honeyhive_event_name"]}
                        session |= {"source": attributes.get("honeyhive.source")}
                        session |= {"error": attributes.get("honeyhive_error")}
                        self._upsert_session(session_id, session)
                    else:
                        stored = {**span, "values": attributes, "scope": scoped["scope"]["name"]}
                        self.spans.setdefault((span["traceId"], span["spanId"]), stored)
        return {}

    def _upsert_session(self, session_id: str, session: Json) -> None:
        self.deliveries[session_id] += 1
        stored = self.sessions.setdefault(session_id, {})
        for name, value in session.items():
            if isinstance(value, dict):
                stored[name] = {**value, **stored.get(name, {})}
            elif stored.get(name) is None:
                stored[name] = value

    def _treat_runs(self, request: Recorded, parts: list[str]) -> tuple[int, Any]:
        body = request.body
        if not parts:
            if request.method == "GET":
                runs = [_shown(run) for run in self.runs.values()]
                pagination = {"page": 1, "limit": 100, "total": len(runs), "total_pages": 1}
                return 200, {"evaluations": runs, "pagination": pagination, "metrics": []}
            run_id = body["run_id"]
            if run_id in self.runs:
                message = f"Field 'run_id': run {run_id!r} exists already. Update it, or choose another id."
                return 409, {"message": message, "errorCode": "conflict", "details": {"field": "run_id"}}
            self.runs[run_id] = {"status": "pending", "metadata": {}, **body}
            return 200, {"evaluation": _shown(self.runs[run_id]), "run_id": run_id}
        run = self.runs.get(parts[0])
        if run is None:
            return 404, {"message": f"Run {parts[0]!r} does not exist in this project.", "errorCode": "not_found"}
        if parts[1:] == ["result"]:
            return 200, self._result(run)
        if request.method == "DELETE":
            del self.runs[parts[0]]
            return 200, {"id": parts[0], "deleted": True}
        if request.method == "PUT":
            for name, value in body.items():
                run[name] = {**(run.get(name) or {}), **value} if isinstance(value, dict) else value
        return 200, {"evaluation": _shown(run)}

    def _result(self, run: Json) -> Json:
        """Enough of a result for the client: every session of the run, averages of the spans' numbers."""
        sessions = {
            key: each for key, each in self.sessions.items() if each.get("metadata", {}).get("run_id") == run["run_id"]
        }
        values: dict[str, list[float]] = {}
        for span in self.spans.values():
            if span["values"].get("honeyhive.session_id") in sessions:
                for name, value in json.loads(span["values"].get("honeyhive_metrics", "{}")).items():
                    if isinstance(value, int | float):
                        values.setdefault(name, []).append(float(value))
        ids = [each["metadata"].get("datapoint_id") for each in sessions.values()]
        details = [
            {"metric_name": name, "aggregate": sum(found) / len(found), "values": found}
            for name, found in values.items()
        ]
        return {
            "status": run["status"],
            "success": True,
            "passed": ids,
            "failed": [],
            "metrics": {"aggregation_function": "average", "details": details},
            "datapoints": [
                {"datapoint_id": each["metadata"].get("datapoint_id"), "session_id": key, "passed": True, "metrics": []}
                for key, each in sessions.items()
            ],
            "event_details": [],
            "run_object": _shown(run),
        }

    def _export(self, body: Json) -> Json:
        events = [{**each, "event_id": key, "event_type": "session"} for key, each in self.sessions.items()]
        for (trace, span_id), span in self.spans.items():
            values = span["values"]
            event = {"event_id": f"{trace}-{span_id}", "event_name": span["name"], "event_type": "tool"}
            event |= {name: json.loads(values.get(f"honeyhive_{name}", "{}")) for name in BUCKETS}
            event |= {"session_id": values.get("honeyhive.session_id")}
            events.append({**event, "event_type": values.get("honeyhive_event_type", "tool")})
        for condition in body["filters"]:
            events = [each for each in events if _at(each, condition["field"]) == condition["value"]]
        start = (body.get("page", 1) - 1) * body.get("limit", 1000)
        page = events[start : start + body.get("limit", 1000)]
        return {"events": page, "totalEvents": len(events), "count": len(events)}


def _at(event: Json, path: str) -> Any:
    value: Any = event
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _not_found(path: str) -> tuple[int, Json]:
    return 404, {"message": f"There is nothing at {path}.", "errorCode": "not_found"}


def _shown(run: Json) -> Json:
    required = {"metadata": {}, "results": {}, "event_ids": [], "configuration": {}, "name": ""}
    scope = {"scope_type": "project", "scope_id": "p", "is_active": True, "created_at": "2026-01-01T00:00:00.000Z"}
    return {**required, **scope, **run, "id": f"id-{run['run_id']}"}


def _plain(value: Json) -> Any:
    kind, inner = next(iter(value.items()))
    return int(inner) if kind == "intValue" else inner


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    owner: FaultServer

    def __init__(self, *arguments: Any) -> None:
        self.open: set[socket.socket] = set()
        super().__init__(*arguments)

    def cut(self) -> None:
        """Cut every open connection."""
        for each in list(self.open):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # ended by itself

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Silence: clients that are killed are what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http

    def setup(self) -> None:
        super().setup()
        self.server.open.add(self.request)

    def finish(self) -> None:
        self.server.open.discard(self.request)
        super().finish()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Silence."""

    def _handle(self) -> None:
        owner = self.server.owner
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content = gzip.decompress(raw) if self.headers.get("Content-Encoding") == "gzip" else raw
        address = urlsplit(self.path)
        request = Recorded(
            method=self.command,
            path=address.path,
            query=parse_qs(address.query),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=json.loads(content) if content else None,
            raw=raw,
        )
        with owner.lock:
            owner.requests.append(request)
        fault = owner.fault_for(request)
        if owner.stopping.is_set() or (fault is not None and fault.kind in ("drop_before", "hang")):
            deadline = time.monotonic() + (fault.seconds if fault is not None else 0.0)
            while time.monotonic() < deadline and not owner.stopping.wait(0.02):
                pass
            self._drop()
            return
        if fault is not None and fault.kind == "answer":
            self._answer(request, fault.status, fault.body, fault.headers)
            return
        if owner.latency_seconds:
            owner.stopping.wait(owner.latency_seconds)
        status, body = owner.treat(request)
        if fault is not None:
            self._drop()
            return
        self._answer(request, status, body, ())

    do_GET = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815 - names of http.server

    def _drop(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, request: Recorded, status: int, body: Any, headers: tuple[tuple[str, str], ...]) -> None:
        owner = self.server.owner
        request.status = status
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response_only(status)
        if owner.is_hhweb:
            self.send_header("hhweb-version", owner.version)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        # One write: two would wait for the client's delayed acknowledgement.
        self._headers_buffer.append(b"\r\n" + raw)  # type: ignore[attr-defined]
        self.flush_headers()
