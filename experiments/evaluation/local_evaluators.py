"""The old evaluators: each takes (inputs, outputs, ground_truth) and compares inputs["expected"] with
outputs["response"]. The figures are those of the official package, computed by our own functions where these agree.
"""

import uuid
from dataclasses import dataclass, field
from typing import Any

from experiments.domain.builtin_evaluators.matching import exact_match
from experiments.domain.builtin_evaluators.sets import set_f1

Json = dict[str, Any]


@dataclass
class EvaluationResult:
    """One evaluation: an overall score, figures by evaluator."""

    score: float
    metrics: Json
    feedback: str | None = None
    metadata: Json | None = None
    evaluation_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    timestamp: str | None = None


@dataclass
class EvaluationContext:
    """Where an evaluation belongs; kept in the result's metadata."""

    project: str
    source: str
    session_id: str | None = None
    metadata: Json | None = None


class BaseEvaluator:
    """Base of evaluators that are classes: override `evaluate`; experiments.evaluate takes instances."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        self.name = name
        self.__name__ = name
        self.config = kwargs

    def evaluate(self, inputs: Json, outputs: Json, ground_truth: Json | None = None, **kwargs: Any) -> Json:
        """Figures by name."""
        raise NotImplementedError(f"{type(self).__name__} must define evaluate(inputs, outputs, ground_truth)")

    def __call__(self, inputs: Json, outputs: Json, ground_truth: Json | None = None, **kwargs: Any) -> Json:
        return self.evaluate(inputs, outputs, ground_truth, **kwargs)


class ExactMatchEvaluator(BaseEvaluator):
    """1.0 when both are equal; texts regardless of case and white space around them."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("exact_match", **kwargs)

    def evaluate(self, inputs: Json, outputs: Json, ground_truth: Json | None = None, **kwargs: Any) -> Json:
        """exact_match, expected and actual."""
        expected, actual = _pair(inputs, outputs)
        if isinstance(expected, str) and isinstance(actual, str):
            is_equal = exact_match(actual.strip().lower(), expected.strip().lower())
        else:
            is_equal = expected == actual  # the old rule, by which 1 is True
        return {"exact_match": float(is_equal), "expected": expected, "actual": actual}


class F1ScoreEvaluator(BaseEvaluator):
    """F1 of the different words of both texts, regardless of case; 0 when one has none."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("f1_score", **kwargs)

    def evaluate(self, inputs: Json, outputs: Json, ground_truth: Json | None = None, **kwargs: Any) -> Json:
        """f1_score."""
        expected, actual = _pair(inputs, outputs)
        if not isinstance(expected, str) or not isinstance(actual, str):
            return {"f1_score": 0.0, "error": "Both inputs must be strings"}
        found, wanted = _words(actual), _words(expected)
        return {"f1_score": set_f1(found, wanted) if found and wanted else 0.0}


class LengthEvaluator(BaseEvaluator):
    """Characters, words and lines of the response."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("length", **kwargs)

    def evaluate(self, inputs: Json, outputs: Json, ground_truth: Json | None = None, **kwargs: Any) -> Json:
        """char_count, word_count, line_count; what is no text counts as one word on one line."""
        response = outputs.get("response", "")
        if not isinstance(response, str):
            return {"char_count": len(str(response)), "word_count": 1, "line_count": 1}
        return {
            "char_count": len(response),
            "word_count": len(response.split()),
            "line_count": len(response.splitlines()),
        }


class SemanticSimilarityEvaluator(BaseEvaluator):
    """No semantics: seven parts overlap of words, three parts closeness of the number of full stops."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("semantic_similarity", **kwargs)

    def evaluate(self, inputs: Json, outputs: Json, ground_truth: Json | None = None, **kwargs: Any) -> Json:
        """semantic_similarity, 0 to 1."""
        expected, actual = _pair(inputs, outputs)
        if not isinstance(expected, str) or not isinstance(actual, str):
            return {"semantic_similarity": 0.0, "error": "Both inputs must be strings"}
        found, wanted = _words(actual), _words(expected)
        if not found or not wanted:
            return {"semantic_similarity": 0.0}
        sentences = [text.count(".") + 1 for text in (actual, expected)]
        closeness = 1.0 - abs(sentences[0] - sentences[1]) / max(sentences)
        overlap = len(found & wanted) / len(found | wanted)
        return {"semantic_similarity": min(1.0, max(0.0, overlap * 0.7 + closeness * 0.3))}


BUILTIN_EVALUATORS: dict[str, Any] = {
    "exact_match": ExactMatchEvaluator,
    "f1_score": F1ScoreEvaluator,
    "length": LengthEvaluator,
    "semantic_similarity": SemanticSimilarityEvaluator,
}


def get_evaluator(evaluator_name: str, **kwargs: Any) -> BaseEvaluator:
    """An evaluator by its name. Raises ValueError for an unknown one."""
    if evaluator_name not in BUILTIN_EVALUATORS:
        raise ValueError(f"Unknown evaluator: {evaluator_name}; there are {', '.join(BUILTIN_EVALUATORS)}")
    made: BaseEvaluator = BUILTIN_EVALUATORS[evaluator_name](**kwargs)
    return made


def _pair(inputs: Json, outputs: Json) -> tuple[Any, Any]:
    return inputs.get("expected", ""), outputs.get("response", "")


def _words(text: str) -> set[str]:
    return set(text.lower().split())
