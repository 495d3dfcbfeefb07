"""One provider for instrumentors of libraries: each of their spans goes to the datapoint in whose context it starts.

Instrumentors patch a library once per process, so they cannot be made per datapoint; this provider is.
"""

import contextlib
import logging
import threading
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


_lock = threading.Lock()
_users: dict[int, list[Any]] = {}  # by the instrumentor's identity: [it, how many runs use it]


@contextlib.contextmanager
def instrumented(instrumentors: Sequence[Any] | None) -> Iterator[None]:
    """Switch instrumentors on for the block. An item is an instrumentor, or a function that makes one.

    Instrumentors are singletons of a process: one that several runs use at once stays on until the last of them ends,
    and one that the user had switched on for a provider of their own stays as it is, with a warning. One that cannot be
    switched on is a ConfigurationError: silently missing spans help nobody.
    """
    mine: list[Any] = []
    try:
        for item in instrumentors or ():
            instrumentor = item if hasattr(item, "instrument") and not isinstance(item, type) else item()
            if _switch_on(instrumentor):
                mine.append(instrumentor)
        yield
    finally:
        for instrumentor in reversed(mine):
            _switch_off(instrumentor)


def _switch_on(instrumentor: Any) -> bool:
    name = type(instrumentor).__name__
    with _lock:
        if (user := _users.get(id(instrumentor))) is not None:
            user[1] += 1
            return True
        if getattr(instrumentor, "is_instrumented_by_opentelemetry", False) is True:
            log.warning(
                "Instrumentor %s is on already, with a provider of its own: its spans go there. "
                "Switch it off before the experiment to have them here.",
                name,
            )
            return False
        try:
            instrumentor.instrument(tracer_provider=RoutingProvider())
        except Exception as error:
            raise ConfigurationError(f"Instrumentor {name} could not be switched on: {error}") from error
        _users[id(instrumentor)] = [instrumentor, 1]
        return True


def _switch_off(instrumentor: Any) -> None:
    with _lock:
        user = _users[id(instrumentor)]
        user[1] -= 1
        if user[1]:
            return
        del _users[id(instrumentor)]
        try:
            instrumentor.uninstrument()
        except Exception as error:
            log.warning("Instrumentor %s could not be switched off: %s", type(instrumentor).__name__, error)
