"""A tracer: one session, its spans, and what the user adds to them. Each datapoint of an experiment has its own."""

import atexit
import contextlib
import contextvars
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from opentelemetry import context as otel_context
from opentelemetry import trace as trace_api
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Span, Status, StatusCode

from experiments.sdk.configuration import Settings, resolve
from experiments.sdk.errors import ConfigurationError
from experiments.sdk.jsonable import as_object, jsonable
from experiments.sdk.tracing.current import current_tracer
from experiments.sdk.tracing.otlp import Json, attribute, bucket_attributes, encode
from experiments.sdk.tracing.provider import IsolatedProvider
from experiments.sdk.transport.records import FinishedDatapoint

if TYPE_CHECKING:
    from experiments.sdk.transport.client import Client
    from experiments.sdk.transport.delivery import Delivery

log = logging.getLogger("hhweb.experiments")
SCOPE = "hhweb"
SOURCE = "evaluation"
MAX_ID = 255  # characters, as the server's columns hold
SPANS_PER_BATCH = 512
MAX_WAITING = (
    1_000  # pieces of a tracer by itself, which has no journal: a server that is away must not fill the memory
)
FLUSH_SECONDS = 30.0
BUCKETS = ("inputs", "outputs", "config", "metadata", "metrics", "feedback", "user_properties")
Deliver = Callable[[FinishedDatapoint], None]


class Tracer:
    """Collects the spans of one session under one isolated OpenTelemetry provider.

    With `is_evaluation=True` the four ids of an experiment (run_id, dataset_id, datapoint_id, source) are required and
    stand on every event; anything else is a ConfigurationError. Used by itself (without evaluate()), spans are sent in
    the background and `flush()` or `shutdown()` waits for them. `deliver` takes the finished session instead.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        server_url: str | None = None,
        project: str | None = None,
        session_name: str | None = None,
        session_id: str | None = None,
        source: str | None = None,
        is_evaluation: bool = False,
        run_id: str | None = None,
        dataset_id: str | None = None,
        datapoint_id: str | None = None,
        inputs: Any = None,
        metadata: Mapping[str, Any] | None = None,
        deliver: Deliver | None = None,
        verbose: bool = False,
    ) -> None:
        self.session_id = session_id or str(uuid.uuid4())
        self.source = source or (SOURCE if is_evaluation else "dev")
        self.project = project
        self.is_evaluation = is_evaluation
        self.run_id, self.dataset_id, self.datapoint_id = run_id, dataset_id, datapoint_id
        ids = {"run_id": run_id, "dataset_id": dataset_id, "datapoint_id": datapoint_id}
        if is_evaluation:
            _check_ids({**ids, "source": self.source})
        self.ids: Json = {name: value for name, value in ids.items() if value is not None} | {"source": self.source}
        self.session: dict[str, Json] = {name: {} for name in BUCKETS}
        self.session["inputs"] = as_object(inputs, "input")
        self.session["metadata"] = {**self._given("metadata", metadata), **self.ids}
        self.session_name = session_name or "session"
        self.root: Span | None = None
        self._started_ms = time.time_ns() / 1e6
        self._records: dict[int, dict[str, Json]] = {}
        self._errors: dict[int, str] = {}
        self._spans: list[Json] = []
        self._lock = threading.Lock()
        self._common = [
            attribute("honeyhive.session_id", self.session_id),
            attribute("honeyhive.source", self.source),
            *(attribute(f"honeyhive_metadata.{name}", value) for name, value in self.ids.items() if name != "source"),
        ]
        seed = self.session_id if is_evaluation else f"{self.session_id}/{uuid.uuid4()}"
        self.provider = IsolatedProvider(seed=seed, on_end=self._collect)
        self._deliver = deliver
        self._is_closed = False
        self._dropped = 0
        self._error: str | None = None
        self._ended_ms: float | None = None
        self._background: tuple[Client, Delivery] | None = None
        self._settings: Settings | None = None
        if deliver is None:
            # Credentials that cannot work are said here, not when the first span ends.
            self._settings = resolve(api_key=api_key, server_url=server_url, project=project)
            atexit.register(self.shutdown)

    # --- spans

    def start_span(
        self,
        name: str,
        *,
        event_type: str = "tool",
        inputs: Any = None,
        start_time_ns: int | None = None,
        is_root: bool = False,
    ) -> Span:
        """A span below the current one of this session (or below its root); the caller ends it."""
        parent = trace_api.get_current_span()
        if is_root:
            context = Context()
        elif parent.get_span_context().span_id in self._records:
            context = otel_context.get_current()
        else:  # another tracer's span, or a thread without context
            context = trace_api.set_span_in_context(self.root) if self.root is not None else Context()
        span = self.provider.get_tracer(SCOPE).start_span(name, context=context, start_time=start_time_ns)
        record: dict[str, Json] = {}
        if inputs is not None:
            record["inputs"] = as_object(inputs, "input")
        self._records[span.get_span_context().span_id] = record
        span.set_attributes({"honeyhive_event_type": event_type, "honeyhive_event_name": name})
        return span

    @contextlib.contextmanager
    def span(self, name: str, *, event_type: str = "tool", inputs: Any = None, is_root: bool = False) -> Iterator[Span]:
        """A span around a block; an exception is recorded on it and goes on."""
        span = self.start_span(name, event_type=event_type, inputs=inputs, is_root=is_root)
        with self.active(span):
            try:
                yield span
            except BaseException as error:
                self.fail(span, error)
                raise
            finally:
                span.end()

    def active(self, span: Span) -> "Active":
        """Make this tracer and `span` the current ones, for this thread or task alone."""
        return Active(self, span)

    def fail(self, span: Span, error: BaseException) -> None:
        """Record an exception on a span: its text, its type and its traceback."""
        text = describe(error)
        with contextlib.suppress(Exception):  # an exception whose own text fails
            span.record_exception(error)
        span.set_status(Status(StatusCode.ERROR, text))
        self._errors[span.get_span_context().span_id] = text
        self.enrich(span, {"metadata": {"error_type": type(error).__name__}})

    def enrich(self, span: Span, buckets: Mapping[str, Any]) -> bool:
        """Add to an open span of this session, key by key; False when the span is not one of its open spans."""
        record = self._records.get(span.get_span_context().span_id)
        if record is None:
            return False
        for name, value in buckets.items():
            if value is not None:
                record.setdefault(name, {}).update(self._given(name, value))
        return True

    def set_error(self, span: Span, text: str) -> None:
        """Say that an open span went wrong without an exception."""
        self._errors[span.get_span_context().span_id] = str(jsonable(text))

    def enrich_session(self, **buckets: Any) -> None:
        """Add to the session: metadata, metrics, feedback, inputs, outputs, config, user_properties."""
        for name, value in buckets.items():
            if value is None:
                continue
            if name in self.session:
                self.session[name].update(self._given(name, value))
            else:
                self.session["metadata"].update(self._given("metadata", {name: value}))

    def _given(self, bucket: str, value: Any) -> Json:
        """What the user adds to a bucket. The ids of an experiment are not theirs to change: `source` is a likely name
        for something else, and is kept as `own_source`.
        """
        shown = as_object(value, "result" if bucket == "outputs" else "value")
        if bucket == "metadata" and self.is_evaluation:
            return {f"own_{name}" if name in self.ids else name: item for name, item in shown.items()}
        return shown

    def _collect(self, span: ReadableSpan) -> None:
        context = span.get_span_context()
        if context is None:
            return
        record = self._records.pop(context.span_id, {})
        error = self._errors.pop(context.span_id, None)
        own = bucket_attributes(record)
        if error:
            own.append(attribute("honeyhive_error", error))
        shown = encode(span, first=own, last=self._common)
        with self._lock:
            self._spans.append(shown)
            is_full = len(self._spans) >= SPANS_PER_BATCH
        if self._deliver is None:
            if is_full or span.parent is None:
                self._send()
        elif self._is_closed:  # a thread of the function that outlived it
            self._send()

    # --- the session on its way

    def finished(self, *, error: str | None = None, ended_ms: float | None = None) -> FinishedDatapoint:
        """The session with all spans that have ended, root first; the tracer keeps none of them."""
        with self._lock:
            spans, self._spans = self._spans, []
        spans.sort(key=lambda span: (span["parentSpanId"] is not None, int(span["startTimeUnixNano"])))
        ended = time.time_ns() / 1e6 if ended_ms is None else ended_ms
        session: Json = {
            "session_id": self.session_id,
            "session_name": self.session_name,
            "source": self.source,
            "start_time": self._started_ms,
            "end_time": max(ended, self._started_ms),
            **{name: dict(bucket) for name, bucket in self.session.items() if bucket},
        }
        if error is not None:
            session["error"] = error
        return FinishedDatapoint(session_id=self.session_id, session=session, spans=spans)

    def deliver(self, *, error: str | None = None, ended_ms: float | None = None) -> None:
        """Hand the finished session over; spans that end later are handed over one by one."""
        self._error, self._ended_ms = error, ended_ms
        self._is_closed = True
        self._send()

    def _send(self) -> None:
        finished = self.finished(error=self._error, ended_ms=self._ended_ms)
        if self._deliver is not None:
            self._deliver(finished)
            return
        with self._lock:
            if self._background is None:
                self._background = _background(self._settings)
            delivery = self._background[1]
            if delivery.waiting >= MAX_WAITING:
                self._dropped += len(finished.spans)
                if self._dropped == len(finished.spans):
                    log.warning("The server is away and %d pieces wait: events are dropped from now on.", MAX_WAITING)
                return
            delivery.put(finished)

    def flush(self, timeout_seconds: float = FLUSH_SECONDS) -> bool:
        """Send what has ended and wait until the server has it; True when it has. Nothing to do inside evaluate()."""
        if self._deliver is not None:
            return True
        if self._spans:
            self._send()
        with self._lock:
            background, self._background = self._background, None
        if background is None:
            return True
        client, delivery = background
        report = delivery.close(timeout_seconds)
        client.close()
        if not delivery.waiting and not report.refused and not self._dropped:
            return True
        reasons = [*report.refused.values(), *([str(report.error)] if report.error else [])]
        if self._dropped:
            reasons.append(f"{self._dropped} events were dropped while the server was away")
        log.warning("Session %s was not stored whole: %s", self.session_id, "; ".join(reasons[:3]))
        return False

    force_flush = flush

    def shutdown(self, timeout_seconds: float = FLUSH_SECONDS) -> None:
        """Flush and leave nothing behind."""
        atexit.unregister(self.shutdown)
        self.flush(timeout_seconds)
        self.provider.shutdown()
        self._records.clear()

    def __enter__(self) -> Self:
        self._token: contextvars.Token[Tracer | None] = current_tracer.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        current_tracer.reset(self._token)
        self.shutdown()


class Active:
    """What `Tracer.active` gives. No generator: one that Ctrl-C leaves open is closed in a context not its own."""

    __slots__ = ("_mine", "_span", "_theirs", "_tracer")

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer, self._span = tracer, span

    def __enter__(self) -> Tracer:
        self._mine = current_tracer.set(self._tracer)
        self._theirs = otel_context.attach(trace_api.set_span_in_context(self._span))
        return self._tracer

    def __exit__(self, *_: object) -> None:
        otel_context.detach(self._theirs)
        current_tracer.reset(self._mine)


def describe(error: BaseException) -> str:
    """`TypeName: message`, or the type alone."""
    try:
        text = str(jsonable(str(error)))
    except Exception:  # an exception whose own text fails
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _background(settings: Settings | None) -> "tuple[Client, Delivery]":
    from experiments.sdk.transport.client import Client
    from experiments.sdk.transport.delivery import Delivery

    client = Client(settings)
    delivery = Delivery(client, None, on_notice=lambda text: log.warning("%s", text))
    delivery.start()
    return client, delivery


def _check_ids(ids: Mapping[str, Any]) -> None:
    for name, value in ids.items():
        if not isinstance(value, str) or not value.strip():
            raise ConfigurationError(
                f"is_evaluation=True needs {name!r} as a text that is not empty, not {value!r}; "
                "every event of an experiment carries run_id, dataset_id, datapoint_id and source."
            )
        if len(value) > MAX_ID:
            raise ConfigurationError(f"{name!r} has {len(value)} characters; use at most {MAX_ID}.")
