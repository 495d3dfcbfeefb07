"""Old names of the evaluation API; each warns once and leads to what replaced it (docs/migration.md).

Nothing is imported before it is asked for. Local evaluators of old stand in `experiments.evaluation.evaluators`, which
is importable from here as well.
"""

import importlib
from typing import TYPE_CHECKING, Any

from experiments.evaluation.deprecation import Old, found

if TYPE_CHECKING:
    from experiments import EvalResult as EvalResult
    from experiments import EvalSettings as EvalSettings
    from experiments import EvaluatorSettings as EvaluatorSettings
    from experiments import ExperimentContext, ExperimentResultSummary, ExperimentRun
    from experiments import aevaluator as aevaluator
    from experiments import compare_runs as compare_runs
    from experiments import evaluator as evaluator
    from experiments import get_run_result as get_run_result
    from experiments import run_experiment as run_experiment
    from experiments.evaluation import evaluators as evaluators
    from experiments.evaluation.local_evaluators import BaseEvaluator as BaseEvaluator
    from experiments.evaluation.local_evaluators import ExactMatchEvaluator as ExactMatchEvaluator
    from experiments.evaluation.local_evaluators import F1ScoreEvaluator as F1ScoreEvaluator
    from experiments.evaluation.local_evaluators import LengthEvaluator as LengthEvaluator
    from experiments.evaluation.local_evaluators import SemanticSimilarityEvaluator as SemanticSimilarityEvaluator
    from experiments.evaluation.local_evaluators import get_evaluator as get_evaluator
    from experiments.evaluation.local_runs import create_evaluation_run as create_evaluation_run
    from experiments.evaluation.local_runs import evaluate_batch as evaluate_batch
    from experiments.evaluation.local_runs import evaluate_decorator as evaluate_decorator
    from experiments.evaluation.local_runs import evaluate_with_evaluators as evaluate_with_evaluators
    from experiments.evaluation.old_calls import evaluate as evaluate
    from experiments.evaluation.old_calls import get_run_metrics as get_run_metrics

    EvaluationContext = ExperimentContext
    EvaluationResult = ExperimentResultSummary
    EvaluationRun = ExperimentRun

_LOCAL = "experiments.evaluation.evaluators"

# Old name -> where it is, under which name, and what to use instead.
_OLD = {
    "BaseEvaluator": Old("local_evaluators", "BaseEvaluator", "a function, with experiments.evaluator"),
    "EvalResult": Old("", "EvalResult", "experiments.EvalResult"),
    "EvalSettings": Old("", "EvalSettings", "experiments.EvalSettings"),
    "EvaluationContext": Old("", "ExperimentContext", "experiments.ExperimentContext"),
    "EvaluationResult": Old("", "ExperimentResultSummary", "experiments.ExperimentResultSummary"),
    "EvaluationRun": Old("", "ExperimentRun", "experiments.ExperimentRun"),
    "EvaluatorSettings": Old("", "EvaluatorSettings", "experiments.EvaluatorSettings"),
    "aevaluator": Old("", "aevaluator", "experiments.aevaluator"),
    "compare_runs": Old("", "compare_runs", "experiments.compare_runs"),
    "evaluate": Old("old_calls", "evaluate", "experiments.evaluate"),
    "evaluator": Old("", "evaluator", "experiments.evaluator"),
    "get_run_metrics": Old("old_calls", "get_run_metrics", "experiments.get_run_metrics"),
    "get_run_result": Old("", "get_run_result", "experiments.get_run_result"),
    "run_experiment": Old("", "run_experiment", "experiments.run_experiment"),
}
# Names of experiments.evaluation.evaluators, which were importable from here before they moved there.
_MOVED = (
    "ExactMatchEvaluator", "F1ScoreEvaluator", "LengthEvaluator", "SemanticSimilarityEvaluator",
    "create_evaluation_run", "evaluate_batch", "evaluate_decorator", "evaluate_with_evaluators", "get_evaluator",
)  # fmt: skip

__all__ = [
    *_OLD,
    *_MOVED,
    "evaluators",
]


def __getattr__(name: str) -> Any:
    if name == "evaluators":
        return importlib.import_module(_LOCAL)
    if name in _MOVED:
        return found(importlib.import_module(_LOCAL).OLD[name], name, __name__)
    if name in _OLD:
        return found(_OLD[name], name, __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
