"""Which tracer the running code belongs to: a context variable, so tasks inherit it and threads are given it."""

import contextvars
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from experiments.sdk.tracing.tracer import Tracer

current_tracer: "contextvars.ContextVar[Tracer | None]" = contextvars.ContextVar("hhweb_current_tracer", default=None)
