"""Evaluators of experiments on the server: built-in ones, registered callables, and models that judge.

Quick built-in evaluators run right here. Whatever might never end, take the square of a long text or load much runs
in a process that is killed at the deadline. An evaluator that fails fails alone.
"""

import inspect
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from experiments.adapters.callable_host import CallableHost
from experiments.adapters.outbound_calls import Outlet
from experiments.adapters.targets.chat_model import complete
from experiments.adapters.targets.registered_callable import datapoint_of
from experiments.domain import builtin_evaluators, llm_judging
from experiments.domain.calls import CallFailed, Case, Judgement
from experiments.domain.evaluator_values import Scalar, metrics_of, parts_of
from experiments.domain.templates import Unfilled
from governance.domain.errors import InvalidInput
from governance.outbound.retries import delay_before

MOST_TRIES = 3  # of a judging model, within the deadline
QUICK = frozenset({"exact_match", "normalized_match", "contains", "json_valid", "numeric_tolerance", "set_f1"})
QUICK_BYTES = 100_000  # of what is judged
LONGEST_ERROR = 2_000
_CODE = frozenset({"embed"})  # options that are functions

Said = tuple[Mapping[str, Scalar], str | None]  # metrics; what went wrong: "TypeName: message"


class Judge(Protocol):
    """One evaluator. Its value is stored as `metric`."""

    @property
    def metric(self) -> str:
        """Name of its metric."""

    def judge(self, outputs: Any, case: Case, *, deadline_seconds: float) -> Said:
        """Metrics and error of one output. May raise anything, which counts as its error."""

    def close(self) -> None:
        """End what is under way."""


@dataclass(frozen=True, slots=True)
class BuiltinJudge:
    """A built-in evaluator with options."""

    metric: str
    name: str
    options: Mapping[str, Any]
    host: CallableHost = field(default_factory=CallableHost)

    def judge(self, outputs: Any, case: Case, *, deadline_seconds: float) -> Said:
        """Here when it is quick, else in a process of its own."""
        if self.name not in QUICK or not _is_small(outputs, case.ground_truth):
            return _hosted(self, {"place": "", "builtin": self.name}, outputs, case, deadline_seconds)
        evaluator = builtin_evaluators.find(self.name)
        assert evaluator is not None  # checked when the experiment was made
        judges_alone = "ground_truth" not in inspect.signature(evaluator).parameters
        judged = (outputs,) if judges_alone else (outputs, case.ground_truth)
        metrics, problem = metrics_of(self.metric, *parts_of(evaluator(*judged, **self.options)))
        return metrics, None if problem is None else f"ValueError: {problem}"

    def close(self) -> None:
        """Kill what is under way."""
        self.host.close()


@dataclass(frozen=True, slots=True)
class CallableJudge:
    """A registered callable: a function, or an evaluator made by the SDK's decorator."""

    metric: str
    place: str
    options: Mapping[str, Any]
    host: CallableHost = field(default_factory=CallableHost)

    def judge(self, outputs: Any, case: Case, *, deadline_seconds: float) -> Said:
        """In a process of its own."""
        return _hosted(self, {"place": self.place, "builtin": ""}, outputs, case, deadline_seconds)

    def close(self) -> None:
        """Kill what is under way."""
        self.host.close()


@dataclass(frozen=True, slots=True)
class ModelJudge:
    """A model that judges by the criteria of a project metric. `content` is the metric's pinned version."""

    metric: str
    content: Mapping[str, Any]
    base_url: str
    key: str = field(repr=False)
    outlet: Outlet

    def judge(self, outputs: Any, case: Case, *, deadline_seconds: float) -> Said:
        """Ask the model; what can heal is tried again while time is left."""
        until = time.monotonic() + deadline_seconds
        body = {
            "model": self.content["model_name"],
            "messages": llm_judging.messages_of(self.content, outputs, case),
            "temperature": 0,
        }
        completion = self._completed(body, until, seed=f"{case.datapoint_id} {self.metric}")
        text = completion.outputs.get("content")
        if not isinstance(text, str):
            raise llm_judging.BadJudgement("it has no text")
        score, explanation = llm_judging.read_judgement(text, self.content)
        return {self.metric: score, **({f"{self.metric}_explanation": explanation} if explanation else {})}, None

    def _completed(self, body: Mapping[str, Any], until: float, *, seed: str) -> Any:
        headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
        url = f"{self.base_url.rstrip('/')}/chat/completions"
        attempt = 1
        while True:
            left = until - time.monotonic()
            try:
                completion, _ = complete(self.outlet, url, body, headers=headers, deadline_seconds=max(left, 0.001))
                return completion
            except CallFailed as error:
                # Every slot was taken, mostly by other datapoints: nobody was asked, which is no try.
                has_no_slot = error.error_class == "rate_limited" and not error.called
                pause = 0.0
                if not has_no_slot:
                    pause = delay_before(attempt, retry_after=error.retry_after_seconds, seed=seed)
                    attempt += 1
                if not error.is_transient or attempt > MOST_TRIES or time.monotonic() + pause >= until:
                    raise
                if self.outlet.wait_closed(pause):
                    raise

    def close(self) -> None:
        """End calls under way."""
        self.outlet.close()


class Judges:
    """All evaluators of an experiment; see `OpenEvaluators`. Thread-safe."""

    def __init__(self, judges: Sequence[Judge]) -> None:
        self._judges = tuple(judges)

    def judge(self, outputs: Any, case: Case, *, deadline_seconds: float) -> Judgement:
        """Judge one output, one evaluator after the other. Never raises."""
        metrics: dict[str, Scalar] = {}
        errors: dict[str, str] = {}
        for judge in self._judges:
            try:
                found, error = judge.judge(outputs, case, deadline_seconds=deadline_seconds)
            except Exception as raised:  # whatever an evaluator says of odd values is its own failure
                found, error = {}, _told(raised)
            taken = sorted(metrics.keys() & found.keys())
            metrics |= {name: value for name, value in found.items() if name not in taken}
            problems = [f"ValueError: metric {name!r} has a value of another evaluator already" for name in taken]
            if problems := [*filter(None, [error]), *problems]:
                errors[judge.metric] = "; ".join(problems)[:LONGEST_ERROR]
        return Judgement(metrics, errors)

    def close(self) -> None:
        """End what is under way, from any thread."""
        for judge in self._judges:
            judge.close()


def check_options(name: str, options: Mapping[str, Any], *, field: str) -> None:
    """Raise InvalidInput, naming `field`.name or `field`.options, for a built-in evaluator that could not run."""
    evaluator = builtin_evaluators.find(name)
    if evaluator is None:
        raise InvalidInput(
            f"Field '{field}.name': {name[:100]!r} is no built-in evaluator; there are "
            f"{', '.join(builtin_evaluators.NAMES)}.",
            field=f"{field}.name",
            value=name[:100],
        )
    known = [
        parameter.name
        for parameter in inspect.signature(evaluator).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in _CODE
    ]
    if unknown := sorted(set(options) - set(known)):
        raise InvalidInput(
            f"Field '{field}.options': {name} has no option {unknown[0][:100]!r}; there are {', '.join(known)}.",
            field=f"{field}.options",
            value=unknown[0][:100],
        )
    if (problem := builtin_evaluators.problem_of(name, options)) is not None:
        raise InvalidInput(f"Field '{field}.name': {name} cannot run here: {problem}.", field=f"{field}.name")


def _hosted(
    judge: BuiltinJudge | CallableJudge, what: Mapping[str, str], outputs: Any, case: Case, deadline_seconds: float
) -> Said:
    message = {
        **what,
        "metric": judge.metric,
        "options": judge.options,
        "outputs": outputs,
        "case": datapoint_of(case),
    }
    said = judge.host.run(message, who=f"evaluator {judge.metric!r}", deadline_seconds=deadline_seconds)
    if (error := said.get("error")) is not None:
        return {}, f"{error['type']}: {error['message']}"
    return said["metrics"], said["evaluator_error"]


def _is_small(outputs: Any, ground_truth: Any) -> bool:
    if isinstance(outputs, str) and isinstance(ground_truth, str | None):
        return len(outputs) + len(ground_truth or "") <= QUICK_BYTES
    return len(json.dumps([outputs, ground_truth], default=str)) <= QUICK_BYTES


def _told(error: Exception) -> str:
    if isinstance(error, CallFailed):
        return f"{error.error_class}: {error.message}"
    if isinstance(error, Unfilled | llm_judging.BadJudgement):
        what = "The prompt cannot be written" if isinstance(error, Unfilled) else "The judge's answer is no judgement"
        return f"{type(error).__name__}: {what}: {error}"
    return f"{type(error).__name__}: {error}"
