"""OTLP bodies: their kind, inflation under a cap, and the plain spans that both encodings are decoded into.

A body that cannot be decoded is refused as a whole; a single span that makes no sense is refused alone.
"""

import math
import zlib
from dataclasses import dataclass, field
from typing import Any

from governance.domain.errors import InvalidInput, PayloadTooLarge

JSON = "application/json"
PROTOBUF = "application/x-protobuf"
# Honest telemetry compresses 10 to 60 times; zlib's limit is 1032. Small bodies may do what they like.
MAX_RATIO = 200
_FREE_BYTES = 8 * 1024 * 1024
_CHUNK = 1024 * 1024
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
# A clock that was set back a little during the span is no reason to lose it.
CLOCK_TOLERANCE_NS = 1_000_000_000
MAX_NS = 2**63 - 1
_MESSAGES_KEPT = 5


class UnsupportedMediaType(InvalidInput):
    """A content type or encoding that OTLP over HTTP does not know."""

    code = "unsupported_media_type"
    status = 415


class SpanFault(ValueError):
    """Why one span is refused; `reason` is the telemetry label."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(slots=True)
class Span:
    """One span as sent. Ids are lower-case hex (the parent's is empty on roots), times are ns since the epoch."""

    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    is_error: bool = False
    status_message: str = ""
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    scope: str = ""
    service: str = ""


@dataclass(slots=True)
class Batch:
    """The good spans of a body, and why the others are refused (reasons, and the first few sentences)."""

    spans: list[Span] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def refuse(self, where: str, fault: SpanFault) -> None:
        """Leave one span out."""
        self.reasons.append(fault.reason)
        if len(self.messages) < _MESSAGES_KEPT:
            self.messages.append(f"{where}: {fault}")


def media_type(content_type: str) -> str:
    """`JSON` or `PROTOBUF`; nothing said means JSON."""
    wanted = content_type.partition(";")[0].strip().lower()
    if wanted in {"", JSON, "text/json"}:
        return JSON
    if wanted in {PROTOBUF, "application/protobuf", "application/vnd.google.protobuf"}:
        return PROTOBUF
    raise UnsupportedMediaType(
        f"Content-Type {wanted!r} is not supported; send {JSON} or {PROTOBUF}.", field="Content-Type", value=wanted
    )


def inflate(raw: bytes, encoding: str, *, limit: int) -> bytes:
    """The body without its Content-Encoding, never more than `limit` bytes of it in memory."""
    wanted = encoding.strip().lower()
    if wanted in {"", "identity"}:
        return raw
    if wanted not in _WINDOWS:
        raise UnsupportedMediaType(
            f"Content-Encoding {wanted!r} is not supported; send gzip, deflate or none.",
            field="Content-Encoding",
            value=wanted,
        )
    window = _WINDOWS[wanted]
    if wanted == "deflate" and not _has_zlib_header(raw):
        window = -15  # some clients send the bare stream
    allowed = min(limit, max(_FREE_BYTES, len(raw) * MAX_RATIO))
    try:
        return _inflate(raw, window, allowed, many=wanted != "deflate")
    except zlib.error as error:
        raise InvalidInput(f"The body is not valid {wanted}: {error}.", field="body") from None


def _has_zlib_header(raw: bytes) -> bool:
    return len(raw) >= 2 and raw[0] & 0x0F == 8 and int.from_bytes(raw[:2], "big") % 31 == 0


def _inflate(raw: bytes, window: int, allowed: int, *, many: bool) -> bytes:
    parts: list[bytes] = []
    size = 0
    rest = raw
    while rest:
        stream = zlib.decompressobj(window)
        while not stream.eof:
            part = stream.decompress(rest, _CHUNK)
            rest = stream.unconsumed_tail
            size += len(part)
            if size > allowed:
                raise PayloadTooLarge(
                    f"The body inflates to more than {allowed} bytes, which this server accepts of {len(raw)} "
                    "compressed ones; send smaller batches."
                )
            parts.append(part)
            if not part and not rest and not stream.eof:
                raise InvalidInput("The compressed body ends too early; send it again.", field="body")
        rest = stream.unused_data if many else b""
    if not parts:
        raise InvalidInput("The body is empty, but Content-Encoding announces a compressed one.", field="body")
    return b"".join(parts)


def sane_times(start: int, end: int) -> tuple[int, int]:
    """Start and end, made sense of; an end that was never set is the start."""
    if not 0 < start <= MAX_NS or not 0 <= end <= MAX_NS:
        raise SpanFault("times", f"start {start} or end {end} is out of range (nanoseconds since 1970)")
    if end < start:
        if end and start - end > CLOCK_TOLERANCE_NS:
            raise SpanFault("times", f"end {end} lies before start {start}")
        end = start
    return start, end


def finite_or_name(inner: object, depth: int = 0) -> float | str:
    """A number; what JSON has no word for becomes its name."""
    if isinstance(inner, str | int | float) and not isinstance(inner, bool):
        try:
            number = float(inner)
        except (ValueError, OverflowError):
            raise SpanFault("values", f"doubleValue {str(inner)[:40]!r} is not a number") from None
        if math.isfinite(number):
            return number
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    raise SpanFault("values", f"doubleValue {str(inner)[:40]!r} is not a number")
