"""F1 of what two texts or two lists have in common."""

from collections import Counter
from collections.abc import Iterable, Set
from typing import Any

from experiments.domain.builtin_evaluators.matching import normalized
from experiments.domain.builtin_evaluators.operands import operands, text_of, texts_of


def set_f1(outputs: Any, ground_truth: Any, *, key: str | None = None, expected_key: str | None = None) -> float:
    """F1 of output and ground truth, 0 to 1: 2 * common / (number in the output + number in the ground truth).

    Texts: of their normalised words, repeated ones counted as often as both have them; of a list of accepted texts the
    best. Two empty texts score 1, one empty text 0. Source: f1_score of the evaluation script of SQuAD (2.0 for empty
    texts). Lists and sets: of their different items, which must be texts, numbers or bools; two empty ones score 1.
    Undefined (ValueError) without ground truth.
    """
    output, expected = operands(outputs, ground_truth, key, expected_key)
    if isinstance(output, list | tuple | Set):
        if not isinstance(expected, list | tuple | Set):
            raise ValueError(f"the output is a list, so ground_truth must be one too, not {type(expected).__name__}")
        return _f1(_items("outputs", output), _items("ground_truth", expected))
    words = Counter(normalized(text_of("outputs", output)).split())
    return max(_f1(words, Counter(normalized(text).split())) for text in texts_of("ground_truth", expected))


def _f1(left: Counter[Any], right: Counter[Any]) -> float:
    if not left or not right:
        return float(not left and not right)
    return 2 * (left & right).total() / (left.total() + right.total())


def _items(label: str, values: Iterable[Any]) -> Counter[Any]:
    found = set()
    for value in values:
        if not isinstance(value, str | int | float):
            raise ValueError(f"{label} holds a {type(value).__name__}; items must be texts, numbers or bools")
        found.add((isinstance(value, bool), value))  # True is not 1
    return Counter(found)
