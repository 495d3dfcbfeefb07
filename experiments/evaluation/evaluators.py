"""Old evaluators and helpers that compute locally; each name warns once and works as it did (docs/migration.md)."""

from typing import TYPE_CHECKING, Any

from experiments.evaluation.deprecation import Old, found

if TYPE_CHECKING:
    from experiments import EvalResult as EvalResult
    from experiments import EvalSettings as EvalSettings
    from experiments import EvaluatorSettings as EvaluatorSettings
    from experiments.evaluation.local_evaluators import BUILTIN_EVALUATORS as BUILTIN_EVALUATORS
    from experiments.evaluation.local_evaluators import BaseEvaluator as BaseEvaluator
    from experiments.evaluation.local_evaluators import EvaluationContext as EvaluationContext
    from experiments.evaluation.local_evaluators import EvaluationResult as EvaluationResult
    from experiments.evaluation.local_evaluators import ExactMatchEvaluator as ExactMatchEvaluator
    from experiments.evaluation.local_evaluators import F1ScoreEvaluator as F1ScoreEvaluator
    from experiments.evaluation.local_evaluators import LengthEvaluator as LengthEvaluator
    from experiments.evaluation.local_evaluators import SemanticSimilarityEvaluator as SemanticSimilarityEvaluator
    from experiments.evaluation.local_evaluators import get_evaluator as get_evaluator
    from experiments.evaluation.local_runs import aevaluator as aevaluator
    from experiments.evaluation.local_runs import create_evaluation_run as create_evaluation_run
    from experiments.evaluation.local_runs import evaluate as evaluate
    from experiments.evaluation.local_runs import evaluate_batch as evaluate_batch
    from experiments.evaluation.local_runs import evaluate_decorator as evaluate_decorator
    from experiments.evaluation.local_runs import evaluate_with_evaluators as evaluate_with_evaluators
    from experiments.evaluation.local_runs import evaluator as evaluator

_A_NAME = "its name in evaluate(evaluators=[…]): "

OLD = {
    "BUILTIN_EVALUATORS": Old("local_evaluators", "BUILTIN_EVALUATORS", "names of built-in evaluators"),
    "BaseEvaluator": Old("local_evaluators", "BaseEvaluator", "a function, with experiments.evaluator"),
    "EvalResult": Old("", "EvalResult", "experiments.EvalResult"),
    "EvalSettings": Old("", "EvalSettings", "experiments.EvalSettings"),
    "EvaluationContext": Old("local_evaluators", "EvaluationContext", "experiments.ExperimentContext"),
    "EvaluationResult": Old("local_evaluators", "EvaluationResult", "the result of experiments.evaluate"),
    "EvaluatorSettings": Old("", "EvaluatorSettings", "experiments.EvaluatorSettings"),
    "ExactMatchEvaluator": Old("local_evaluators", "ExactMatchEvaluator", _A_NAME + "'exact_match'"),
    "F1ScoreEvaluator": Old("local_evaluators", "F1ScoreEvaluator", _A_NAME + "'set_f1'"),
    "LengthEvaluator": Old("local_evaluators", "LengthEvaluator", "a function that returns len(outputs)"),
    "SemanticSimilarityEvaluator": Old(
        "local_evaluators", "SemanticSimilarityEvaluator", _A_NAME + "'embedding_similarity'"
    ),
    "aevaluator": Old("local_runs", "aevaluator", "experiments.aevaluator"),
    "create_evaluation_run": Old("local_runs", "create_evaluation_run", "experiments.evaluate"),
    "evaluate": Old("local_runs", "evaluate", "experiments.evaluate"),
    "evaluate_batch": Old("local_runs", "evaluate_batch", "experiments.evaluate"),
    "evaluate_decorator": Old("local_runs", "evaluate_decorator", "experiments.evaluate"),
    "evaluate_with_evaluators": Old("local_runs", "evaluate_with_evaluators", "experiments.run_evaluators"),
    "evaluator": Old("local_runs", "evaluator", "experiments.evaluator"),
    "get_evaluator": Old("local_evaluators", "get_evaluator", "names of built-in evaluators"),
}

__all__ = list(OLD)


def __getattr__(name: str) -> Any:
    if name in OLD:
        return found(OLD[name], name, __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *OLD})
