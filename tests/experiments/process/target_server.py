"""The target of server-side experiments in process tests: a server of its own that outlives what the tests kill.

`python -m tests.experiments.process.target_server` prints its address. A call is `POST /call/<label>` with
`{"number": 7, "faults": ["500", "429"], "latency_ms": 20}`: the first calls of a number (under one label) go wrong as
`faults` says, later ones answer; a last fault of `"always"` repeats the one before it for ever. Every call is kept in
memory with its beginning, its end and its outcome, and read by `GET /calls`. Times are those of `time.monotonic()`,
which all processes of a machine share.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

FAULTS = ("500", "503", "429", "400", "hang", "break", "half", "garbage")
RETRY_AFTER_SECONDS = "1"


@dataclass
class Call:
    """One request, from its last byte read to the first byte of its answer, or to the end of its connection."""

    label: str
    number: int
    fault: str
    begin: float
    end: float | None = None
    outcome: str = "open"  # a status code, "break", "half", or "dropped" when the client left first


class State:
    """What the server knows."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.seen: Counter[tuple[str, int]] = Counter()
        self.is_hanging = False

    def begin(self, label: str, body: dict[str, Any]) -> Call:
        number = int(body["number"])
        faults = list(body.get("faults") or ())
        index = self.seen[label, number]
        self.seen[label, number] += 1
        if faults[-1:] == ["always"]:
            faults = faults[:-1]
            index = min(index, len(faults) - 1)
        fault = faults[index] if index < len(faults) else ""
        call = Call(label, number, "hang" if self.is_hanging else fault, time.monotonic())
        self.calls.append(call)
        return call


class Connection(asyncio.Protocol):
    """One connection of a client. Requests come one after another, as HTTP/1.1 has them."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.buffer = b""
        self.call: Call | None = None
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self._end("dropped")

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, separator, rest = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        method, path, _ = first.split(" ")
        self._serve(method, path, json.loads(rest[:length]) if length else {})

    def _serve(self, method: str, path: str, body: dict[str, Any]) -> None:
        state = self.state
        if method == "POST" and path.startswith("/call/"):
            self.call = state.begin(path.removeprefix("/call/"), body)
            if self.call.fault != "hang":
                seconds = float(body.get("latency_ms") or 0) / 1000
                self._after(seconds, lambda: self._answer_call(body))
        elif method == "GET" and path == "/calls":
            self._send(200, [asdict(call) for call in state.calls])
        elif method == "GET" and path == "/state":
            open_calls = sum(call.end is None for call in state.calls[-1000:])
            self._send(200, {"calls": len(state.calls), "in_flight": open_calls})
        elif method == "POST" and path == "/hang":
            state.is_hanging = bool(body["is_hanging"])
            self._send(200, {})
        else:
            self._send(404, {"error": f"unknown: {method} {path}"})

    def _after(self, seconds: float, do: Callable[[], None]) -> None:
        if seconds > 0:
            self.timer = asyncio.get_running_loop().call_later(seconds, do)
        else:
            do()

    def _answer_call(self, body: dict[str, Any]) -> None:
        self.timer = None
        assert self.call is not None
        number, fault = self.call.number, self.call.fault
        if fault == "":
            self._end("200")
            self._send(200, {"output": {"text": f"answer {number}", "number": number}})
        elif fault == "garbage":
            self._end("200")
            self._send_bytes(200, b"<html>not JSON</html>")
        elif fault in ("break", "half"):
            self._end(fault)
            if fault == "half":
                self.transport.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"output": ')
            self.transport.close()
        else:
            self._end(fault)
            more = {"Retry-After": RETRY_AFTER_SECONDS} if fault == "429" else {}
            self._send(int(fault), {"error": f"asked for {fault}"}, **more)

    def _end(self, outcome: str) -> None:
        if self.call is not None:
            self.call.end, self.call.outcome = time.monotonic(), outcome
            self.call = None

    def _send(self, status: int, body: Any, **headers: str) -> None:
        self._send_bytes(status, json.dumps(body).encode(), **headers)

    def _send_bytes(self, status: int, body: bytes, **headers: str) -> None:
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.transport.write(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body)


async def main() -> None:
    state = State()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(state), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
