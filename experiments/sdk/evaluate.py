"""evaluate(): the one function most users need. Importing this imports nothing heavy."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.sdk.configuration import resolve
from experiments.sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from experiments.sdk.context import ExperimentContext
    from experiments.sdk.ids import IdScheme
    from experiments.sdk.models import ExperimentResultSummary

MAX_ID = 255  # characters of a run's id, as the server's columns hold
AGGREGATES = ("average", "min", "max", "median", "p90", "p95", "p99", "sum", "count")

# Called with every summary just before evaluate() returns it; the command line listens here.
observers: list[Callable[["ExperimentResultSummary"], None]] = []


def evaluate(
    function: Callable[..., Any],
    *,
    dataset: Any = None,
    dataset_id: str | None = None,
    evaluators: Sequence[Any] | None = None,
    name: str | None = None,
    project: str | None = None,
    api_key: str | None = None,
    ingestion_api_key: str | None = None,
    server_url: str | None = None,
    max_workers: int = 10,
    run_concurrently: bool = True,
    repetitions: int = 1,
    metadata: Mapping[str, Any] | None = None,
    configuration: Mapping[str, Any] | None = None,
    passing_ranges: Mapping[str, Mapping[str, float]] | None = None,
    aggregate_function: str = "average",
    resume: str | None = None,
    run_id: str | None = None,
    description: str | None = None,
    cache: Any = False,
    instrumentors: Sequence[Any] | None = None,
    id_scheme: "IdScheme" = "sha256-16",
    verbose: bool = False,
    print_results: bool | None = None,
    progress: bool | None = None,
) -> "ExperimentResultSummary":
    """Run a function over a dataset, judge what it returns, and give back the result that the server computed.

    function            sync or async; takes (datapoint), (inputs) or (inputs, ground_truth), these by name, and
                        optionally `tracer`; one parameter of another name gets the datapoint, two get inputs and
                        ground truth
    dataset             list of dicts {inputs, ground_truth, id?}, path to JSON, JSONL or CSV, or a pandas frame;
                        stays with you, its ids start with EXT-
    dataset_id          a dataset that the server stores; one of the two
    evaluators          functions, decorated evaluators, or names of built-in ones; called by parameter names
                        (outputs, inputs, ground_truth, datapoint), else in that order
    name, description   shown with the run; project is shown only, as the key decides it
    api_key, server_url else HH_API_KEY and HH_API_URL, else what `hhweb login` stored; with ingestion_api_key (or
                        HH_INGESTION_API_KEY) sessions and spans are sent by that key
    max_workers         executions at a time; run_concurrently=False runs them in turn in this thread
    repetitions         executions per datapoint, each stored by itself
    metadata            stands on the run; configuration says what is being tried (model, prompt, …)
    passing_ranges      {metric: {min?, max?}}: thresholds of this run, inclusive; with max alone, lower is better
    aggregate_function  average, min, max, median, p90, p95, p99, sum or count; computed by the server
    resume              id of a run to go on with: what the server already has is not run again
    cache               True, or a folder: outputs are kept by source, inputs, configuration and repetition
    instrumentors       OpenInference and the like; their spans go to the right datapoint
    verbose             a line per failure and notice; progress and print_results: None means on a terminal only

    An exception in the function or in an evaluator is recorded and the run goes on. With the server away the run
    finishes here: status `pending_upload`, no metrics, `spool_path` says where it waits. Ctrl-C ends the run as
    cancelled, with the finished datapoints stored, and is raised again.
    Raises ConfigurationError (a ValueError) for arguments or credentials that cannot work, before anything runs, and
    ServerError when the server refuses the run.
    """
    _check_arguments(dataset, dataset_id, max_workers, repetitions, aggregate_function, passing_ranges)
    for name_of, given in (("run_id", run_id), ("resume", resume)):
        if given is not None and (not isinstance(given, str) or not given.strip()):
            raise ConfigurationError(f"{name_of!r} must be a text that is not empty, not {given!r}.")
        if given is not None and len(given) > MAX_ID:
            raise ConfigurationError(f"{name_of!r} has {len(given)} characters; use at most {MAX_ID}.")
    if resume and run_id and resume != run_id:
        raise ConfigurationError("'resume' and 'run_id' name two runs; give one of them.")
    from experiments.sdk.running.conducting import Experiment

    experiment = Experiment(
        function=function,
        dataset=dataset,
        dataset_id=dataset_id,
        evaluators=evaluators or (),
        name=name,
        settings=resolve(api_key=api_key, server_url=server_url, project=project, ingestion_api_key=ingestion_api_key),
        max_workers=max_workers,
        run_concurrently=run_concurrently,
        repetitions=repetitions,
        metadata=metadata or {},
        configuration=configuration or {},
        passing_ranges=passing_ranges or {},
        aggregate_function=aggregate_function,
        resume=resume,
        run_id=run_id,
        description=description,
        cache=cache,
        instrumentors=instrumentors,
        id_scheme=id_scheme,
        verbose=verbose,
        progress=progress,
    )
    summary = experiment.conduct()
    if print_results or (print_results is None and _is_terminal()):
        summary.print_table(run_name=summary.name)
    for observer in observers:
        observer(summary)
    return summary


def run_experiment(
    function: Callable[..., Any],
    dataset: Sequence[Mapping[str, Any]],
    datapoint_ids: Sequence[str],
    *,
    experiment_context: "ExperimentContext",
    server_url: str | None = None,
    api_key: str | None = None,
    ingestion_api_key: str | None = None,
    max_workers: int = 10,
    verbose: bool = False,
    instrumentors: Sequence[Any] | None = None,
    evaluators: Sequence[Any] | None = None,
) -> list[dict[str, Any]]:
    """Only the execution: run a function over datapoints of a run that exists, in input order.

    Returns a dict for each: datapoint_id, inputs, outputs, ground_truth, status ("success" or "failed"), error,
    session_id, metrics, evaluator_errors, delivered. The run is neither created nor ended. Raises ConfigurationError
    when the lists differ in length.
    """
    if len(dataset) != len(datapoint_ids):
        raise ConfigurationError(
            f"'dataset' has {len(dataset)} datapoints and 'datapoint_ids' {len(datapoint_ids)} ids; give one each."
        )
    from experiments.sdk.running.conducting import execute_only

    return execute_only(
        function,
        dataset,
        datapoint_ids,
        context=experiment_context,
        settings=resolve(
            api_key=api_key or ingestion_api_key,
            server_url=server_url,
            project=experiment_context.project,
            ingestion_api_key=ingestion_api_key,
        ),
        max_workers=max_workers,
        verbose=verbose,
        instrumentors=instrumentors,
        evaluators=evaluators or (),
    )


def _check_arguments(
    dataset: Any,
    dataset_id: str | None,
    max_workers: Any,
    repetitions: Any,
    aggregate_function: str,
    passing_ranges: Any,
) -> None:
    if dataset is None and dataset_id is None:
        raise ConfigurationError("Give 'dataset' (a list, a file or a frame) or 'dataset_id' (a stored one).")
    if dataset is not None and dataset_id is not None:
        raise ConfigurationError("'dataset' and 'dataset_id' are both given; give one of them.")
    for name, value in (("max_workers", max_workers), ("repetitions", repetitions)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigurationError(f"{name!r} must be a whole number from 1, not {value!r}.")
    if aggregate_function not in AGGREGATES:
        raise ConfigurationError(
            f"'aggregate_function' {aggregate_function!r} is unknown; use one of {', '.join(AGGREGATES)}."
        )
    for metric, bounds in (passing_ranges or {}).items():
        if not isinstance(bounds, Mapping) or not bounds or set(bounds) - {"min", "max"}:
            raise ConfigurationError(
                f"'passing_ranges' of {metric!r} is {bounds!r}; write {{'min': 0.8}}, {{'max': 1.0}}, or both."
            )
        for bound in bounds.values():
            if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
                raise ConfigurationError(
                    f"'passing_ranges' of {metric!r} has the bound {bound!r}; use a finite number."
                )
        if bounds.get("min", -math.inf) > bounds.get("max", math.inf):
            raise ConfigurationError(
                f"'passing_ranges' of {metric!r} is {bounds!r}: nothing is in it; swap its bounds."
            )


def _is_terminal() -> bool:
    import os
    import sys

    return sys.stdout is not None and sys.stdout.isatty() and not os.environ.get("CI")
