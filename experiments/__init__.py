"""Experiments: datasets, runs, events, results, comparison, and our SDK, whose public names stand here.

Nothing is imported before it is asked for: the server's processes import this package too.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.sdk.context import ExperimentContext as ExperimentContext
    from experiments.sdk.declaration import Experiment as Experiment
    from experiments.sdk.declaration import experiment as experiment
    from experiments.sdk.evaluate import evaluate as evaluate
    from experiments.sdk.evaluate import run_experiment as run_experiment
    from experiments.sdk.evaluators.definition import EvalResult as EvalResult
    from experiments.sdk.evaluators.definition import EvalSettings as EvalSettings
    from experiments.sdk.evaluators.definition import EvaluatorSettings as EvaluatorSettings
    from experiments.sdk.evaluators.definition import aevaluator as aevaluator
    from experiments.sdk.evaluators.definition import evaluator as evaluator
    from experiments.sdk.evaluators.running import run_evaluators as run_evaluators
    from experiments.sdk.ids import create_external_dataset as create_external_dataset
    from experiments.sdk.ids import generate_datapoint_id as generate_datapoint_id
    from experiments.sdk.ids import generate_external_datapoint_id as generate_external_datapoint_id
    from experiments.sdk.ids import generate_external_dataset_id as generate_external_dataset_id
    from experiments.sdk.ids import prepare_external_dataset as prepare_external_dataset
    from experiments.sdk.ids import prepare_run_request_data as prepare_run_request_data
    from experiments.sdk.models import AggregatedMetrics as AggregatedMetrics
    from experiments.sdk.models import CreateRunRequest as CreateRunRequest
    from experiments.sdk.models import CreateRunResponse as CreateRunResponse
    from experiments.sdk.models import ExperimentComparisonResponse as ExperimentComparisonResponse
    from experiments.sdk.models import ExperimentResult as ExperimentResult
    from experiments.sdk.models import ExperimentResultResponse as ExperimentResultResponse
    from experiments.sdk.models import ExperimentResultSummary as ExperimentResultSummary
    from experiments.sdk.models import ExperimentRun as ExperimentRun
    from experiments.sdk.models import ExperimentRunStatus as ExperimentRunStatus
    from experiments.sdk.models import GetRunResponse as GetRunResponse
    from experiments.sdk.models import Metrics as Metrics
    from experiments.sdk.models import RunComparisonResult as RunComparisonResult
    from experiments.sdk.models import UpdateRunRequest as UpdateRunRequest
    from experiments.sdk.models import UpdateRunResponse as UpdateRunResponse
    from experiments.sdk.results import compare_runs as compare_runs
    from experiments.sdk.results import get_run_metrics as get_run_metrics
    from experiments.sdk.results import get_run_result as get_run_result
    from experiments.sdk.tracing.decorators import atrace as atrace
    from experiments.sdk.tracing.decorators import enrich_session as enrich_session
    from experiments.sdk.tracing.decorators import enrich_span as enrich_span
    from experiments.sdk.tracing.decorators import propagate as propagate
    from experiments.sdk.tracing.decorators import trace as trace
    from experiments.sdk.tracing.tracer import Tracer as Tracer
    from experiments.sdk.transport.client import Client as Client

# Public name -> module of experiments.sdk that has it.
_PUBLIC = {
    "AggregatedMetrics": "models",
    "Client": "transport.client",
    "CreateRunRequest": "models",
    "CreateRunResponse": "models",
    "Experiment": "declaration",
    "EvalResult": "evaluators.definition",
    "EvalSettings": "evaluators.definition",
    "EvaluatorSettings": "evaluators.definition",
    "ExperimentComparisonResponse": "models",
    "ExperimentContext": "context",
    "ExperimentResult": "models",
    "ExperimentResultResponse": "models",
    "ExperimentResultSummary": "models",
    "ExperimentRun": "models",
    "ExperimentRunStatus": "models",
    "GetRunResponse": "models",
    "Metrics": "models",
    "RunComparisonResult": "models",
    "Tracer": "tracing.tracer",
    "UpdateRunRequest": "models",
    "UpdateRunResponse": "models",
    "aevaluator": "evaluators.definition",
    "atrace": "tracing.decorators",
    "compare_runs": "results",
    "create_external_dataset": "ids",
    "enrich_session": "tracing.decorators",
    "enrich_span": "tracing.decorators",
    "evaluate": "evaluate",
    "evaluator": "evaluators.definition",
    "experiment": "declaration",
    "generate_datapoint_id": "ids",
    "generate_external_datapoint_id": "ids",
    "generate_external_dataset_id": "ids",
    "get_run_metrics": "results",
    "get_run_result": "results",
    "prepare_external_dataset": "ids",
    "prepare_run_request_data": "ids",
    "propagate": "tracing.decorators",
    "run_evaluators": "evaluators.running",
    "run_experiment": "evaluate",
    "trace": "tracing.decorators",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'experiments' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"experiments.sdk.{_PUBLIC[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
