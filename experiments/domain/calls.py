"""Calls of a target and of evaluators: what goes in, what comes out, how they fail. Pure.

Whatever implements the two protocols is thread-safe and touches no database: a worker calls from many threads.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from governance.domain.errors import DomainError

LONGEST_MESSAGE = 2_000
# Every class an execution can fail with; stable, for filters and counts.
ERROR_CLASSES = (
    "timeout",  # no answer within the deadline of the datapoint
    "connection",  # not reached, or the connection broke
    "rate_limited",  # 429, or no slot of the provider came free
    "server_error",  # 5xx
    "client_error",  # 4xx
    "refused",  # our own rules forbid the address
    "too_large",  # the answer passes the size cap
    "bad_answer",  # an answer without what was looked for
    "bad_input",  # the datapoint lacks what the target's template names
    "callable_error",  # the registered callable raised
    "crashed",  # the process of the callable died
    "cancelled",  # ended by close()
    "worker_lost",  # too many workers died over the datapoint
    "internal_error",  # a mistake of the platform
)


@dataclass(frozen=True, slots=True)
class Case:
    """One datapoint as a target and evaluators see it."""

    datapoint_id: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    history: list[Any] = field(default_factory=list)
    ground_truth: Any = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """What a target answered. Tokens are None when it did not say; `model` is the one it names itself.

    `metadata` is kept with the event and never holds headers of the request.
    """

    outputs: Any
    latency_ms: float
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    model: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


class CallFailed(DomainError):
    """A call without a usable answer.

    `error_class` is one of `ERROR_CLASSES`. `is_transient`: trying again may heal it. `called`: the other side may
    have seen the call. `retry_after_seconds` is what it asked for. `latency_ms` is how long the failure took.
    """

    code = "call_failed"
    status = 502

    def __init__(
        self,
        message: str,
        *,
        error_class: str,
        is_transient: bool,
        called: bool = True,
        retry_after_seconds: float | None = None,
        latency_ms: float | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message[:LONGEST_MESSAGE], error_class=error_class, **details)
        self.error_class = error_class
        self.is_transient = is_transient
        self.called = called
        self.retry_after_seconds = retry_after_seconds
        self.latency_ms = latency_ms


@dataclass(frozen=True, slots=True)
class Judgement:
    """What all evaluators said of one output.

    `metrics` is what the event stores, as the SDK writes it: explanations are the texts `<metric>_explanation`.
    `errors` tells for each evaluator that failed, by its metric's name, "TypeName: message".
    """

    metrics: dict[str, bool | int | float | str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


class OpenTarget(Protocol):
    """A target ready to be called from many threads."""

    @property
    def event_type(self) -> str:
        """Type of the main event: "model", "tool" or "chain"."""

    def call(self, case: Case, *, deadline_seconds: float) -> CallAnswer:
        """Call once. Raises `CallFailed` and nothing else.

        The call itself takes at most `deadline_seconds`; before it, some seconds may pass in waiting for a slot of
        the provider.
        """

    def close(self) -> None:
        """End calls under way, from any thread; further ones fail as cancelled."""


class OpenEvaluators(Protocol):
    """All evaluators of an experiment, ready to judge from many threads."""

    def judge(self, outputs: Any, case: Case, *, deadline_seconds: float) -> Judgement:
        """Judge one output; each evaluator has `deadline_seconds`. Never raises: failures are in the judgement."""

    def close(self) -> None:
        """End what is under way, from any thread."""
