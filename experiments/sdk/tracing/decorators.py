"""`@trace`, `enrich_span`, `enrich_session`, `propagate`: what user code writes. Without a tracer they do nothing."""

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from experiments.sdk.tracing.current import current_tracer

if TYPE_CHECKING:
    from experiments.sdk.tracing.tracer import Tracer

P = ParamSpec("P")
R = TypeVar("R")
_HIDDEN = frozenset({"self", "cls", "tracer"})
BUCKETS = ("inputs", "outputs", "config", "metadata", "metrics", "feedback", "user_properties")
EVENT_TYPES = ("model", "tool", "chain", "session")


def trace(
    function: Any = None,
    *,
    event_type: str = "tool",
    event_name: str | None = None,
    tracer: "Tracer | None" = None,
    capture_inputs: bool = True,
    capture_outputs: bool = True,
    **buckets: Any,
) -> Any:
    """Make every call of a function a span: arguments are its inputs, the returned value its outputs.

    Works on functions, coroutines, generators and asynchronous generators, bare or with settings. `event_type` is
    model, tool, chain or session; other keywords (metadata, metrics, config, feedback, user_properties, inputs,
    outputs) are added to each span. Raises ValueError for an unknown event type or keyword.
    """
    if event_type not in EVENT_TYPES:
        raise ValueError(f"event_type {event_type!r} is unknown; use one of {', '.join(EVENT_TYPES)}.")
    if unknown := sorted(set(buckets) - set(BUCKETS)):
        raise ValueError(f"@trace does not know {', '.join(unknown)}; use {', '.join(BUCKETS)}.")
    if function is None:
        return functools.partial(
            trace,
            event_type=event_type,
            event_name=event_name,
            tracer=tracer,
            capture_inputs=capture_inputs,
            capture_outputs=capture_outputs,
            **buckets,
        )
    plan = _Plan(function, event_type, event_name, tracer, capture_inputs, capture_outputs, buckets)
    return plan.wrapped()


atrace = trace


class _Plan:
    """How one decorated function becomes spans."""

    def __init__(
        self,
        function: Any,
        event_type: str,
        event_name: str | None,
        tracer: "Tracer | None",
        capture_inputs: bool,
        capture_outputs: bool,
        buckets: dict[str, Any],
    ) -> None:
        self.function = function
        self.event_type = event_type
        self.event_name: str = event_name or str(getattr(function, "__name__", type(function).__name__))
        self.tracer = tracer
        self.capture_outputs = capture_outputs
        self.buckets = buckets
        try:
            self.signature = inspect.signature(function) if capture_inputs else None
        except (TypeError, ValueError):
            self.signature = None

    def wrapped(self) -> Any:
        """The function that is called in its place, of the same kind."""
        function = self.function
        if inspect.isasyncgenfunction(function):
            wrapper: Any = self._async_generator
        elif inspect.iscoroutinefunction(function):
            wrapper = self._coroutine
        elif inspect.isgeneratorfunction(function):
            wrapper = self._generator
        else:
            wrapper = self._call
        return wrapper(function)

    def _call(self, function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            tracer = self.tracer or current_tracer.get()
            if tracer is None:
                return function(*args, **kwargs)
            with self._span(tracer, args, kwargs) as returned:
                value = function(*args, **kwargs)
                returned(value)
                return value

        return call

    def _coroutine(self, function: Any) -> Any:
        @functools.wraps(function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            tracer = self.tracer or current_tracer.get()
            if tracer is None:
                return await function(*args, **kwargs)
            with self._span(tracer, args, kwargs) as returned:
                value = await function(*args, **kwargs)
                returned(value)
                return value

        return call

    def _generator(self, function: Any) -> Any:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Iterator[Any]:
            tracer = self.tracer or current_tracer.get()
            if tracer is None:
                yield from function(*args, **kwargs)
                return
            given: list[Any] = []
            with self._open(tracer, args, kwargs) as returned:
                for item in function(*args, **kwargs):
                    given.append(item)
                    yield item
                returned(given)

        return call

    def _async_generator(self, function: Any) -> Any:
        @functools.wraps(function)
        async def call(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            tracer = self.tracer or current_tracer.get()
            given: list[Any] = []
            if tracer is None:
                async for item in function(*args, **kwargs):
                    yield item
                return
            with self._open(tracer, args, kwargs) as returned:
                async for item in function(*args, **kwargs):
                    given.append(item)
                    yield item
                returned(given)

        return call

    @contextmanager
    def _span(self, tracer: "Tracer", args: Any, kwargs: Any) -> Iterator[Callable[[Any], None]]:
        with tracer.span(self.event_name, event_type=self.event_type, inputs=self._inputs(args, kwargs)) as span:
            tracer.enrich(span, self.buckets)
            yield lambda value: self._returned(tracer, span, value)

    @contextmanager
    def _open(self, tracer: "Tracer", args: Any, kwargs: Any) -> Iterator[Callable[[Any], None]]:
        """A span that is never the current one: between two items of a generator other code runs."""
        span = tracer.start_span(self.event_name, event_type=self.event_type, inputs=self._inputs(args, kwargs))
        tracer.enrich(span, self.buckets)
        try:
            yield lambda value: self._returned(tracer, span, value)
        except GeneratorExit:
            raise
        except BaseException as error:
            tracer.fail(span, error)
            raise
        finally:
            span.end()

    def _returned(self, tracer: "Tracer", span: Any, value: Any) -> None:
        if self.capture_outputs and value is not None:
            tracer.enrich(span, {"outputs": {"result": value}})

    def _inputs(self, args: Any, kwargs: Any) -> dict[str, Any] | None:
        if self.signature is None:
            return None
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError:  # the call itself will say so
            return None
        return {name: value for name, value in bound.arguments.items() if name not in _HIDDEN}


def enrich_span(*, tracer: "Tracer | None" = None, error: str | None = None, **buckets: Any) -> bool:
    """Add to the current span: metadata, metrics, feedback, inputs, outputs, config, user_properties, error.

    Other keywords become metadata. False when there is no open span of ours here.
    """
    from opentelemetry.trace import get_current_span

    found = tracer or current_tracer.get()
    if found is None:
        return False
    span = get_current_span()
    known = {name: value for name, value in buckets.items() if name in BUCKETS}
    if others := {name: value for name, value in buckets.items() if name not in BUCKETS}:
        known["metadata"] = {**(known.get("metadata") or {}), **others}
    if not found.enrich(span, known):
        return False
    if error is not None:
        found.set_error(span, error)
    return True


def enrich_session(*, tracer: "Tracer | None" = None, **buckets: Any) -> bool:
    """Add to the session of the running datapoint: metadata, metrics, feedback, user_properties, outputs, config.

    False when there is no tracer here.
    """
    found = tracer or current_tracer.get()
    if found is None:
        return False
    found.enrich_session(**buckets)
    return True


def propagate(function: Callable[P, R]) -> Callable[P, R]:
    """The function bound to the present context: give this to threads, which do not inherit it by themselves.

    `executor.submit(propagate(work), item)` puts the spans of `work` below the span that is current here.
    """
    import contextvars

    from opentelemetry import context as otel_context

    tracer, spans = current_tracer.get(), otel_context.get_current()
    variables = contextvars.copy_context()

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        def inside() -> R:
            mine, theirs = current_tracer.set(tracer), otel_context.attach(spans)
            try:
                return function(*args, **kwargs)
            finally:
                otel_context.detach(theirs)
                current_tracer.reset(mine)

        # A copy each: one context cannot be entered by two threads at once.
        return variables.copy().run(inside)

    return call
