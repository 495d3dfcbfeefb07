"""How an experiment is conducted: prepare, create or resume the run, execute, deliver, fetch the result."""

import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.sdk import datasets, ids
from experiments.sdk.configuration import Settings, cache_folder
from experiments.sdk.context import ExperimentContext
from experiments.sdk.errors import ConfigurationError
from experiments.sdk.models import DatapointOutcome, ExperimentResultSummary
from experiments.sdk.running.binding import bind
from experiments.sdk.running.cache import OutputCache
from experiments.sdk.running.execution import GRACE_SECONDS
from experiments.sdk.running.git import git_context
from experiments.sdk.running.jobs import Job, execute, jobs_of, leave_forked_child, resumed
from experiments.sdk.running.open_run import HURRIED_SECONDS, OpenRun
from experiments.sdk.running.progress import Progress
from experiments.sdk.tracing.routing import instrumented
from experiments.sdk.transport.client import Client

COMPOSITE = "weighted_score"
REPLAY_SECONDS = 60.0
WAITING = f"Waiting up to {GRACE_SECONDS:g} s for what still runs; Ctrl-C again does not wait."


class Experiment:
    """One call of evaluate(); see there for the arguments."""

    def __init__(
        self,
        *,
        function: Callable[..., Any],
        dataset: Any,
        dataset_id: str | None,
        evaluators: Sequence[Any],
        name: str | None,
        settings: Settings,
        max_workers: int,
        run_concurrently: bool,
        repetitions: int,
        metadata: Mapping[str, Any],
        configuration: Mapping[str, Any],
        passing_ranges: Mapping[str, Any],
        aggregate_function: str,
        resume: str | None,
        run_id: str | None,
        description: str | None,
        cache: Any,
        instrumentors: Sequence[Any] | None,
        id_scheme: ids.IdScheme,
        verbose: bool,
        progress: bool | None,
    ) -> None:
        self.function = bind(function)
        self.evaluators = resolved_evaluators(evaluators)
        self.settings = settings
        self.dataset, self.dataset_id, self.id_scheme = dataset, dataset_id, id_scheme
        self.run_id = resume or run_id or str(uuid.uuid4())
        self.is_resumed = resume is not None
        self.given_name = (name or "").strip()
        self.name = self.given_name or f"{self.function.name}-{self.run_id[:8]}"
        self.max_workers = max_workers if run_concurrently else 1
        self.in_turn = not run_concurrently
        self.repetitions = repetitions
        self.metadata, self.user_configuration = dict(metadata), dict(configuration)
        self.passing_ranges = {**asserted_ranges(self.evaluators), **passing_ranges}
        self.aggregate_function = aggregate_function
        self.description = description
        self.instrumentors = instrumentors
        self.verbose, self.show_progress = verbose, progress
        self.cache = self._cache(cache, function)

    def _cache(self, cache: Any, function: Callable[..., Any]) -> OutputCache | None:
        if not cache:
            return None
        folder = cache_folder() if cache is True else Path(cache)
        return OutputCache(folder, function, self.user_configuration)

    # --- before

    def conduct(self) -> ExperimentResultSummary:
        """Do it all."""
        with Client(self.settings) as client:
            datapoints, dataset_id, datapoint_ids = self._datapoints(client)
            jobs = jobs_of(self.run_id, datapoints, datapoint_ids, self.repetitions)
            done = self._done(client, dataset_id) if self.is_resumed else {}
            with Progress(len(jobs), self.name, show=self.show_progress) as progress:
                run = self._open(client, dataset_id, datapoint_ids, progress)
                run.known_sessions = [session_id for session_id in done if session_id]
                return self._conduct(run, jobs, done, progress)

    def _datapoints(self, client: Client) -> tuple[list[dict[str, Any]], str, list[str]]:
        if self.dataset_id is None:
            rows = datasets.load(self.dataset)
            dataset_id, datapoint_ids = ids.create_external_dataset(rows, id_scheme=self.id_scheme)
            return rows, dataset_id, datapoint_ids
        if self.dataset_id.startswith(ids.PREFIX):
            raise ConfigurationError(
                f"'dataset_id' {self.dataset_id!r} names a dataset of your own, which no server stores; "
                "give its datapoints as 'dataset'."
            )
        rows, datapoint_ids = datasets.fetch(client, self.dataset_id)
        return rows, self.dataset_id, datapoint_ids

    def _done(self, client: Client, dataset_id: str) -> dict[str, dict[str, Any]]:
        """Sessions of the run that the server has, after delivering what an earlier process left in the spool."""
        from experiments.sdk.transport.replay import replay
        from experiments.sdk.transport.spool import Spool

        for replayed in replay(client, Spool(), run_id=self.run_id, timeout_seconds=REPLAY_SECONDS):
            if replayed.is_busy:
                raise ConfigurationError(
                    f"Run {self.run_id} is being executed or replayed by another process at this moment. "
                    "Wait for its end, or interrupt it; then resume it."
                )
        stored = client.get_run(self.run_id)
        known = stored.dataset_id or stored.metadata.get("offline_dataset_id")
        if known and known != dataset_id:
            raise ConfigurationError(
                f"Run {self.run_id} was made on dataset {known}, this is {dataset_id}: the data changed. "
                "Give the same data, or start a new run without 'resume'."
            )
        self.name = self.given_name or stored.name or self.name
        filters = [
            {"field": "metadata.run_id", "operator": "is", "value": self.run_id, "type": "string"},
            {"field": "event_type", "operator": "is", "value": "session", "type": "string"},
        ]
        found = client.events(filters, projections=["event_id", "session_id", "outputs", "error", "metadata"])
        return {str(event["session_id"]): event for event in found if (event.get("metadata") or {}).get("datapoint_id")}

    def _open(self, client: Client, dataset_id: str, datapoint_ids: list[str], progress: Progress) -> OpenRun:
        shared: dict[str, Any] = {
            "name": self.name,
            "dataset_id": dataset_id,
            "aggregate_function": self.aggregate_function,
            "run_id": self.run_id,
            "say": progress.say,
            "client": client,
        }
        metadata = dict(self.metadata)
        if self.passing_ranges:
            metadata["required_metrics"] = sorted(self.passing_ranges)
        if lower := {name: "lower" for name, bounds in self.passing_ranges.items() if set(bounds) == {"max"}}:
            metadata["metric_directions"] = {**lower, **(self.metadata.get("metric_directions") or {})}
        if self.is_resumed:
            given = {
                "description": self.description,
                "metadata": metadata,
                "configuration": self.user_configuration,
                "passing_ranges": self.passing_ranges,
            }
            changes = {name: value for name, value in given.items() if value}
            return OpenRun.attach(self.settings, **shared, changes={"name": self.name, "status": "running", **changes})
        if (git := git_context()) and "git" not in metadata:
            metadata["git"] = git
        if composite := weighted_composite(self.evaluators):
            metadata["composites"] = [composite]
        configuration = {
            **self.user_configuration,
            "function": self.function.name,
            "evaluators": [evaluator.description() for evaluator in self.evaluators],
            "max_workers": self.max_workers,
            "aggregate_function": self.aggregate_function,
            "repetitions": self.repetitions,
        }
        return OpenRun.start(
            self.settings,
            datapoint_ids=list(dict.fromkeys(datapoint_ids)),
            configuration=configuration,
            metadata=metadata,
            passing_ranges=self.passing_ranges,
            description=self.description,
            **shared,
        )

    # --- meanwhile

    def _conduct(
        self, run: OpenRun, jobs: list[Job], done: Mapping[str, Mapping[str, Any]], progress: Progress
    ) -> ExperimentResultSummary:
        parent = os.getpid()
        outcomes: list[DatapointOutcome | None] = [None] * len(jobs)

        def note(job: Job, outcome: DatapointOutcome) -> None:
            outcomes[job.place] = outcome
            progress.step(failed=outcome.error is not None)
            if self.verbose:
                tell(progress, outcome)

        def finished() -> list[DatapointOutcome]:
            return [outcome for outcome in outcomes if outcome is not None]

        try:
            for job in jobs:
                if (event := done.get(job.session_id)) is not None:
                    outcomes[job.place] = resumed(job, event)
                    progress.step(failed=False)
            # All datapoints once before any of them twice: an interrupted run has seen the whole dataset.
            left = sorted((job for job in jobs if outcomes[job.place] is None), key=lambda job: job.repetition)
            with instrumented(self.instrumentors):
                execute(
                    run,
                    left,
                    self.function,
                    self.evaluators,
                    note,
                    workers=self.max_workers,
                    in_turn=self.in_turn,
                    cache=self.cache,
                    on_wait=lambda: progress.say(WAITING),
                )
        except KeyboardInterrupt as interrupt:
            leave_forked_child(parent, interrupt)
            progress.say(f"Interrupted: {len(finished())} of {len(jobs)} are finished and being stored.")
            # The second one came while waiting for functions that do not end: then nothing else is waited for long.
            is_second = isinstance(interrupt.__context__, KeyboardInterrupt)
            run.cancel(outcomes=finished(), **({"timeout_seconds": HURRIED_SECONDS} if is_second else {}))
            progress.say(f"Run {run.run_id} is cancelled; go on with evaluate(..., resume={run.run_id!r}).")
            raise
        except BaseException as error:
            leave_forked_child(parent, error)
            run.finish("failed", outcomes=finished())
            raise
        return run.finish(outcomes=finished())


def execute_only(
    function: Callable[..., Any],
    dataset: Sequence[Mapping[str, Any]],
    datapoint_ids: Sequence[str],
    *,
    context: ExperimentContext,
    settings: Settings,
    max_workers: int,
    verbose: bool,
    instrumentors: Sequence[Any] | None,
    evaluators: Sequence[Any],
) -> list[dict[str, Any]]:
    """What run_experiment() does: executions of a run that somebody else creates and ends."""
    bound, judges = bind(function), resolved_evaluators(evaluators)
    jobs = jobs_of(context.run_id, [dict(row) for row in dataset], list(datapoint_ids), 1)
    outcomes: list[DatapointOutcome | None] = [None] * len(jobs)
    with Progress(len(jobs), context.run_name or context.run_id) as progress:
        run = OpenRun.attach(
            settings,
            run_id=context.run_id,
            name=context.run_name or context.run_id,
            dataset_id=context.dataset_id,
            say=progress.say,
        )

        def note(job: Job, outcome: DatapointOutcome) -> None:
            outcomes[job.place] = outcome
            progress.step(failed=outcome.error is not None)
            if verbose:
                tell(progress, outcome)

        try:
            with instrumented(instrumentors):
                execute(run, jobs, bound, judges, note, workers=max_workers, in_turn=False)
        finally:
            report = run.detach()
    return [
        {
            "datapoint_id": outcome.datapoint_id,
            "inputs": outcome.inputs,
            "outputs": outcome.outputs,
            "ground_truth": outcome.ground_truth,
            "status": "success" if outcome.error is None else "failed",
            "error": outcome.error,
            "session_id": outcome.session_id,
            "metrics": outcome.metrics,
            "evaluator_errors": outcome.evaluator_errors,
            "delivered": outcome.session_id in report.delivered,
        }
        for outcome in outcomes
        if outcome is not None
    ]


def resolved_evaluators(evaluators: Sequence[Any]) -> list[Any]:
    """Evaluators of functions and names, each checked before anything runs."""
    if not evaluators:
        return []
    from experiments.sdk.evaluators.binding import check
    from experiments.sdk.evaluators.registry import resolve as resolve_evaluators

    found = resolve_evaluators(evaluators)
    for evaluator in found:
        check(evaluator)
    return list(found)


def asserted_ranges(evaluators: Sequence[Any]) -> dict[str, Any]:
    """Passing ranges that evaluators with `asserts` ask for."""
    ranges = {evaluator.name: evaluator.passing_range() for evaluator in evaluators}
    return {name: bounds for name, bounds in ranges.items() if bounds}


def weighted_composite(evaluators: Sequence[Any]) -> dict[str, Any] | None:
    """The composite that the server computes when evaluators carry weights; None when all weigh the same."""
    if len({evaluator.weight for evaluator in evaluators}) < 2:
        return None
    children = [{"name": evaluator.name, "weight": evaluator.weight} for evaluator in evaluators]
    return {"name": COMPOSITE, "criteria": "weighted average", "child_metrics": children}


def tell(progress: Progress, outcome: DatapointOutcome) -> None:
    """A line for each failure."""
    if outcome.error is not None:
        progress.say(f"{outcome.datapoint_id}: {outcome.error}")
    for name, error in outcome.evaluator_errors.items():
        progress.say(f"{outcome.datapoint_id}: evaluator {name}: {error}")
