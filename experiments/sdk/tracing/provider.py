"""The OpenTelemetry provider of one datapoint: no thread, no exit handler, no fork hook, nothing to leave behind.

The SDK's own TracerProvider registers a fork hook for life and reads samplers and limits from the environment, which
must not decide what of an experiment is stored. So the SDK's Tracer is built here, from its public parts.
"""

import hashlib
import itertools
from collections.abc import Callable
from typing import Any

from opentelemetry import trace as trace_api
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanLimits, SpanProcessor
from opentelemetry.sdk.trace import Tracer as SdkTracer
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.util.types import Attributes

UNLIMITED = SpanLimits.UNSET
_LIMITS = SpanLimits(
    max_span_attributes=UNLIMITED,
    max_events=1000,
    max_links=128,
    max_event_attributes=UNLIMITED,
    max_link_attributes=UNLIMITED,
    max_attribute_length=UNLIMITED,
    max_span_attribute_length=UNLIMITED,
)
_RESOURCE = Resource({"service.name": "hhweb"})


class SeededIds(IdGenerator):
    """Ids that follow from a seed: the same execution delivered twice is the same events to the server."""

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._numbers = itertools.count()

    def generate_trace_id(self) -> int:
        """The one trace of this seed."""
        return int.from_bytes(hashlib.blake2b(self._seed, digest_size=16).digest(), "big") or 1

    def generate_span_id(self) -> int:
        """The next span of it; safe from several threads."""
        number = next(self._numbers)
        return int.from_bytes(hashlib.blake2b(self._seed + b"/%d" % number, digest_size=8).digest(), "big") or 1


class _Collector(SpanProcessor):
    """Hands finished spans on, in the thread that ended them."""

    def __init__(self, on_end: Callable[[ReadableSpan], None]) -> None:
        self._hand_on = on_end

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing to do: what every event carries is added when it ends."""

    def on_end(self, span: ReadableSpan) -> None:
        """Collect."""
        self._hand_on(span)


class IsolatedProvider(trace_api.TracerProvider):
    """A tracer provider whose spans go to one function and nowhere else."""

    resource = _RESOURCE

    def __init__(self, *, seed: str, on_end: Callable[[ReadableSpan], None]) -> None:
        self._ids = SeededIds(seed)
        self._collector: Any = _Collector(on_end)
        self._tracers: dict[tuple[str, str | None], SdkTracer] = {}

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> trace_api.Tracer:
        """A tracer of the OpenTelemetry SDK for one instrumentation scope."""
        key = (instrumenting_module_name, instrumenting_library_version)
        found = self._tracers.get(key)
        if found is None:
            scope = InstrumentationScope(
                instrumenting_module_name, instrumenting_library_version, schema_url, attributes
            )
            unused: Any = None  # the deprecated twin of the scope
            found = SdkTracer(ALWAYS_ON, _RESOURCE, self._collector, self._ids, unused, _LIMITS, scope)
            self._tracers[key] = found
        return found

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here: spans are handed on when they end. For instrumentors that ask."""
        return True

    def shutdown(self) -> None:
        """Forget the tracers. For instrumentors that ask."""
        self._tracers.clear()
