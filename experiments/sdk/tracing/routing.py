"""One provider for instrumentors of libraries: each of their spans goes to the datapoint in whose context it starts.

Instrumentors patch a library once per process, so they cannot be made per datapoint; this provider is.
"""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from opentelemetry import trace as trace_api
from opentelemetry.trace import NoOpTracer, Span
from opentelemetry.util.types import Attributes

from experiments.sdk.errors import ConfigurationError
from experiments.sdk.tracing.current import current_tracer

log = logging.getLogger("hhweb.experiments")
_NOWHERE = NoOpTracer()


class RoutingProvider(trace_api.TracerProvider):
    """Tracers that look up the running datapoint at each span; outside of one they record nothing."""

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> trace_api.Tracer:
        """A routing tracer for one instrumentation scope."""
        return _RoutingTracer(instrumenting_module_name, instrumenting_library_version, schema_url, attributes)


class _RoutingTracer(trace_api.Tracer):
    def __init__(self, *scope: Any) -> None:
        self._scope = scope

    def _here(self) -> trace_api.Tracer:
        found = current_tracer.get()
        return _NOWHERE if found is None else found.provider.get_tracer(*self._scope)

    def start_span(self, *args: Any, **kwargs: Any) -> Span:
        """A span of the running datapoint."""
        return self._here().start_span(*args, **kwargs)

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        """A span of the running datapoint, current inside the block."""
        return self._here().start_as_current_span(*args, **kwargs)


@contextlib.contextmanager
def instrumented(instrumentors: Sequence[Any] | None) -> Iterator[None]:
    """Switch instrumentors on for the block. An item is an instrumentor, or a function that makes one.

    One that cannot be switched on is a ConfigurationError: silently missing spans help nobody.
    """
    active: list[Any] = []
    try:
        for item in instrumentors or ():
            instrumentor = item if hasattr(item, "instrument") and not isinstance(item, type) else item()
            try:
                instrumentor.instrument(tracer_provider=RoutingProvider())
            except Exception as error:
                name = type(instrumentor).__name__
                raise ConfigurationError(f"Instrumentor {name} could not be switched on: {error}") from error
            active.append(instrumentor)
        yield
    finally:
        for instrumentor in reversed(active):
            try:
                instrumentor.uninstrument()
            except Exception as error:
                log.warning("Instrumentor %s could not be switched off: %s", type(instrumentor).__name__, error)
