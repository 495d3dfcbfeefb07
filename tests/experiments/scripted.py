"""A target that does what the test says, in place of the doors to the outside; everything around it is real."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from experiments.dispatch import PREPARE_EXPERIMENT, TAKE_TURN
from experiments.domain.calls import CallAnswer, CallFailed, Case, Judgement
from experiments.domain.experiment_spec import ExperimentSpec
from experiments.services import experiment_preparation, turns
from experiments.services.experiment_access import Pinned

Script = Callable[[Case, int], Any]


class ScriptedTarget:
    """Answers with what `script(case, number of this call of the case)` returns; raises what it raises."""

    event_type = "tool"

    def __init__(self, script: Script) -> None:
        self.script = script
        self.calls: Counter[str] = Counter()
        self.most_at_once = self.now = 0
        self.closed = threading.Event()
        self._lock = threading.Lock()

    def call(self, case: Case, *, deadline_seconds: float) -> CallAnswer:
        with self._lock:
            self.calls[case.datapoint_id] += 1
            number = self.calls[case.datapoint_id]
            self.now += 1
            self.most_at_once = max(self.most_at_once, self.now)
        try:
            began = time.monotonic()
            outputs = self.script(case, number)
            if self.closed.is_set():
                raise CallFailed("Closed.", error_class="cancelled", is_transient=False)
            return CallAnswer(outputs, (time.monotonic() - began) * 1000, prompt_tokens=3, completion_tokens=2)
        finally:
            with self._lock:
                self.now -= 1

    def close(self) -> None:
        self.closed.set()


class ScriptedEvaluators:
    """One metric, `length` of the output, and an evaluator that fails on outputs that contain `bad`."""

    required_metrics: list[str] = []

    def judge(self, outputs: Any, case: Case, *, deadline_seconds: float) -> Judgement:
        errors = {"picky": "ValueError: bad output"} if "bad" in str(outputs) else {}
        return Judgement(metrics={"length": len(str(outputs))}, errors=errors)

    def close(self) -> None:
        return


class ScriptedAccess:
    """Stands where `experiment_access.opened` gives a target and evaluators; a new one for each turn."""

    def __init__(self, script: Script) -> None:
        self.target, self.evaluators, self.provider = ScriptedTarget(script), ScriptedEvaluators(), ""

    def cost_of(self, prompt_tokens: int | None, completion_tokens: int | None) -> Decimal | None:
        return Decimal("0.001")

    def close(self) -> None:
        self.target.close()


def script_access(monkeypatch: Any, script: Script, *, provider: str = "") -> list[ScriptedTarget]:
    """Put the script in the place of every target; the targets that were opened, one for each turn."""
    opened: list[ScriptedTarget] = []

    @contextmanager
    def open_one(experiment: Any) -> Any:
        access = ScriptedAccess(script)
        opened.append(access.target)
        yield access
        access.close()

    def pin(*, caller: Any, spec: ExperimentSpec, earlier: Any = None) -> Pinned:
        return Pinned(document={"run_metadata": {}}, provider=provider)

    monkeypatch.setattr("experiments.services.experiment_access.opened", open_one)
    monkeypatch.setattr("experiments.services.experiment_access.pin", pin)
    return opened


class Queue:
    """What dispatch sends lands here after commit; delayed messages wait until they are run as well."""

    JOBS = {
        PREPARE_EXPERIMENT: lambda pk: experiment_preparation.prepare_experiment(experiment_id=pk),
        TAKE_TURN: lambda pk: turns.take_turn(lane_id=pk),
    }

    def __init__(self, monkeypatch: Any) -> None:
        self.waiting: deque[tuple[str, int]] = deque()
        monkeypatch.setattr("governance.dispatch._send", lambda task, pk, _: self.waiting.append((task, pk)))

    def run_one(self) -> None:
        task, pk = self.waiting.popleft()
        self.JOBS[task](pk)

    def run(self, *, most: int = 300) -> None:
        """All messages and those they send."""
        for _ in range(most):
            if not self.waiting:
                return
            self.run_one()
        raise AssertionError(f"the jobs do not come to an end: {list(self.waiting)[:5]}")
