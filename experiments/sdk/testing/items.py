"""Marked tests where they run: each is recorded as one datapoint, and held against its bounds.

Nothing is sent from here: a record travels with the test's report, also from a worker of pytest-xdist, so that one
process alone delivers.
"""

import hashlib
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from experiments.sdk.context import ExperimentContext
from experiments.sdk.errors import ConfigurationError
from experiments.sdk.ids import PREFIX, session_id_of
from experiments.sdk.jsonable import jsonable
from experiments.sdk.pytest_plugin import RECORD, experiment_key
from experiments.sdk.running.binding import bind, ground_truth_of, inputs_of
from experiments.sdk.running.conducting import weighted_composite
from experiments.sdk.running.datapoint_run import DatapointRun, judge_all
from experiments.sdk.running.execution import AsyncRunner, has_running_loop
from experiments.sdk.testing.marks import DATAPOINT, Options, agreed, options_of
from experiments.sdk.transport import json_text
from experiments.sdk.transport.records import FinishedDatapoint

if TYPE_CHECKING:
    from experiments.sdk.tracing.tracer import Tracer

Json = dict[str, Any]
LONGEST_ID = 255
MAIN_EVENT = "test"  # of all tests alike, so that a metric of several tests is one metric of the run
_record_key = pytest.StashKey[str]()


class MarkedTests:
    """Hooks around the marked tests of this process."""

    def __init__(self, items: Sequence[pytest.Item], *, seed: str) -> None:
        self._options = {item.nodeid: options_of(item) for item in items}
        self._headers: dict[str, Json] = {}
        self._seed = seed
        self._times: dict[str, int] = {}  # node id -> executions so far
        for name in dict.fromkeys(options.name for options in self._options.values()):
            self._headers[name] = self._header(name)

    def _header(self, name: str) -> Json:
        """What the run is created with; it travels with the first record only."""
        its = [(nodeid, options) for nodeid, options in self._options.items() if options.name == name]
        of_run, ranges = agreed(its)
        evaluators = {each.name: each for _, options in its for each in options.evaluators}
        composite = weighted_composite(list(evaluators.values()))
        return {
            "dataset_id": dataset_id_of(name),
            "datapoint_ids": [datapoint_id_of(nodeid) for nodeid, _ in its],
            "passing_ranges": ranges,
            "function": MAIN_EVENT,
            "evaluators": [each.description() for each in evaluators.values()],
            "composites": [composite] if composite else [],
            **jsonable(of_run),
        }

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """A fresh datapoint for a marked test, before its fixtures."""
        options = self._options.get(item.nodeid)
        if options is None:
            return
        number = self._times[item.nodeid] = self._times.get(item.nodeid, -1) + 1  # a plugin may run a test again
        run_id = str(uuid.uuid5(uuid.UUID(self._seed), options.name))
        item.stash[experiment_key] = Experiment(item, options, run_id=run_id, repetition=number)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Run the body as the datapoint's function, then hold its metrics against their bounds."""
        experiment = item.stash.get(experiment_key, None)
        if experiment is None:
            return (yield)
        try:
            with experiment._run.active():
                result = yield
                experiment._judge()
        except pytest.skip.Exception:  # it did not take place
            raise
        except BaseException as error:
            experiment._run.raised(error)
            self._keep(item, experiment, is_passed=False)
            raise
        missed = experiment._missed()
        self._keep(item, experiment, is_passed=not missed)
        if missed:
            pytest.fail("\n".join(missed), pytrace=False)
        return result

    def _keep(self, item: pytest.Item, experiment: "Experiment", *, is_passed: bool) -> None:
        outcome = experiment._run.close()
        name = self._options[item.nodeid].name
        record = {
            "run_id": experiment.run_id,
            "name": name,
            "header": self._headers.pop(name, None),
            "passed": is_passed,
            "outcome": jsonable(dict(outcome)),
            "finished": [
                {"session_id": each.session_id, "session": each.session, "spans": each.spans}
                for each in experiment._finished
            ],
        }
        item.stash[_record_key] = json_text.dumps(record).decode()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Let the record travel with the report of the call."""
        report = yield
        if call.when == "call" and (record := item.stash.get(_record_key, None)) is not None:
            setattr(report, RECORD, record)
            del item.stash[_record_key]
        if call.when == "teardown" and experiment_key in item.stash:
            del item.stash[experiment_key]
        return report


class Experiment:
    """The datapoint that a test is; the fixture `experiment`."""

    def __init__(self, item: pytest.Item, options: Options, *, run_id: str, repetition: int) -> None:
        self.run_id = run_id
        self.datapoint_id = datapoint_id_of(item.nodeid)
        self.name = options.name
        self._options = options
        self._finished: list[FinishedDatapoint] = []
        self._has_run = self._is_judged = False
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        row = parameters.get(DATAPOINT)
        self._datapoint: Mapping[str, Any] = row if isinstance(row, Mapping) else {"inputs": jsonable(parameters)}
        self._run = DatapointRun(
            context=ExperimentContext(run_id, dataset_id=dataset_id_of(options.name)),
            datapoint_id=self.datapoint_id,
            session_id=session_id_of(run_id, self.datapoint_id, repetition),
            function_name=MAIN_EVENT,
            inputs=inputs_of(self._datapoint),
            ground_truth=ground_truth_of(self._datapoint),
            repetition=repetition,
            deliver=self._finished.append,
            metadata={"test": item.nodeid},
        )

    @property
    def tracer(self) -> "Tracer":
        """The tracer of this datapoint; it is the current one while the test runs."""
        return self._run.tracer

    @property
    def metrics(self) -> Json:
        """What evaluators and log() have said so far, by name."""
        return self._run.metrics

    def run(self, function: Callable[..., Any], inputs: Any = None, ground_truth: Any = None) -> Any:
        """Call `function` on the inputs (those of the test's datapoint when none are given), traced, then evaluate.

        It may take what evaluate()'s functions take, sync or async. Returns what it returns; what it raises is
        raised. A test is one datapoint, so a second call is a ConfigurationError.
        """
        __tracebackhide__ = True
        if self._has_run:
            raise ConfigurationError(
                "experiment.run() was called twice; a test is one datapoint. Parametrise the test, or use "
                "experiment.tracer for further calls."
            )
        self._has_run = True
        bound = bind(function)
        self._set(inputs, ground_truth)
        datapoint = {**self._datapoint, "inputs": self._run.inputs, "ground_truth": self._run.ground_truth}
        with self.tracer.span(bound.name, event_type="chain", inputs=self._run.inputs) as span:
            outputs = bound(datapoint, self.tracer)
            if hasattr(outputs, "__await__"):
                outputs = _awaited(outputs)
            self.tracer.enrich(span, {"outputs": {"result": outputs}})
        self._run.returned(outputs)
        self._judge()
        return outputs

    def log(
        self,
        *,
        inputs: Any = None,
        outputs: Any = None,
        ground_truth: Any = None,
        metrics: Mapping[str, bool | int | float | str] | None = None,
    ) -> None:
        """Record what this test did by itself; may be called again, later values win.

        Outputs are evaluated when the test's body ends, unless run() did that.
        """
        self._set(inputs, ground_truth)
        if outputs is not None:
            self._run.returned(outputs)
        for name, value in (metrics or {}).items():
            if not isinstance(value, bool | int | float | str):
                raise ConfigurationError(
                    f"metrics[{name!r}]={value!r} is no number, boolean or text; log an object under outputs=."
                )
            self._run.metrics[str(name)] = value

    def _set(self, inputs: Any, ground_truth: Any) -> None:
        if inputs is not None:
            self._run.inputs = inputs
            self.tracer.session["inputs"].clear()
            self.tracer.enrich_session(inputs=inputs)
            self.tracer.enrich(self._run.root, {"inputs": inputs})
        if ground_truth is not None:
            self._run.ground_truth = ground_truth

    def _judge(self) -> None:
        if self._is_judged or self._run.outputs is None:
            return
        self._is_judged = True
        runner = _Runner()
        try:
            judge_all(self._run, self._options.evaluators, self._datapoint, runner)
        finally:
            runner.close()

    def _missed(self) -> list[str]:
        """A sentence for each metric that is out of its bounds, and for each evaluator that failed."""
        missed = [f"evaluator {name!r} failed: {error}" for name, error in self._run.evaluator_errors.items()]
        for metric, bounds in self._options.ranges.items():
            if metric in self._run.evaluator_errors:
                continue
            if metric not in self.metrics:
                missed.append(
                    f"metric {metric!r} has bounds but no value; measured: {', '.join(self.metrics) or 'none'}"
                )
                continue
            value = self.metrics[metric]
            if not isinstance(value, bool | int | float):
                missed.append(f"metric {metric!r} is {value!r}, which is no number to hold against its bounds")
            elif "min" in bounds and not value >= bounds["min"]:
                missed.append(f"metric {metric!r} is {value}, below its minimum {bounds['min']}")
            elif "max" in bounds and not value <= bounds["max"]:
                missed.append(f"metric {metric!r} is {value}, above its maximum {bounds['max']}")
        return missed


class _Runner(AsyncRunner):
    """Waits for coroutines also where a loop runs already, as it does in an async test."""

    def __call__(self, awaitable: Any) -> Any:
        return _awaited(awaitable) if has_running_loop() else super().__call__(awaitable)


def _awaited(awaitable: Any) -> Any:
    """Wait for a coroutine in a thread of its own, with the context copied."""
    import asyncio
    import contextvars
    from concurrent.futures import ThreadPoolExecutor

    async def whole() -> Any:
        return await awaitable

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.copy_context().run, asyncio.run, whole()).result()


def dataset_id_of(name: str) -> str:
    """The dataset that all tests of an experiment's name are of, whichever of them are selected."""
    return f"{PREFIX}pytest-{name}"


def datapoint_id_of(nodeid: str) -> str:
    """A node id as an external id; one that is too long ends with a hash of the whole."""
    found = PREFIX + nodeid
    if len(found) <= LONGEST_ID:
        return found
    return f"{found[: LONGEST_ID - 17]}-{hashlib.sha256(nodeid.encode('utf-8', 'replace')).hexdigest()[:16]}"
