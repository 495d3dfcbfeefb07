"""A Python callable that the operator registered, as a target: run in a process that can be killed."""

from collections.abc import Mapping
from typing import Any

from experiments.adapters.callable_host import CallableHost
from experiments.domain.calls import CallAnswer, CallFailed, Case


class RegisteredCallable:
    """`place` is module:attribute of the allow-list; `options` become keyword arguments."""

    event_type = "chain"

    def __init__(self, name: str, place: str, options: Mapping[str, Any]) -> None:
        self._name, self._place, self._options = name, place, dict(options)
        self._host = CallableHost()

    def call(self, case: Case, *, deadline_seconds: float) -> CallAnswer:
        """Call once; see `OpenTarget`. Latency is measured in the process of the callable."""
        said = self._host.run(
            {"place": self._place, "options": self._options, "case": datapoint_of(case)},
            who=f"callable {self._name!r}",
            deadline_seconds=deadline_seconds,
        )
        if (error := said.get("error")) is not None:
            raise CallFailed(
                f"{error['type']}: {error['message']}" if error["message"] else error["type"],
                error_class="callable_error",
                is_transient=error["is_transient"],
                retry_after_seconds=error["retry_after_seconds"],
                latency_ms=said["latency_ms"],
            )
        return CallAnswer(outputs=said["value"], latency_ms=said["latency_ms"])

    def close(self) -> None:
        """Kill calls under way."""
        self._host.close()


def datapoint_of(case: Case) -> dict[str, Any]:
    """The datapoint as functions and evaluators of the SDK know it."""
    return {
        "id": case.datapoint_id,
        "inputs": dict(case.inputs),
        "ground_truth": case.ground_truth,
        "history": case.history,
        "metadata": dict(case.metadata),
    }
