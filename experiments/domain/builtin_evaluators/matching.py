"""Evaluators that say yes or no to a text."""

import re
import string
from collections.abc import Mapping
from typing import Any, Literal

from experiments.domain.builtin_evaluators.operands import operands, picked, text_of, texts_of

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)


def normalized(text: str) -> str:
    """Lower case without ASCII punctuation, English articles and superfluous white space.

    Source: normalize_answer of the evaluation script of SQuAD 1.1 (Rajpurkar et al. 2016).
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def exact_match(outputs: Any, ground_truth: Any, *, key: str | None = None, expected_key: str | None = None) -> bool:
    """Whether the output equals the ground truth: Python's ==, of texts, numbers, lists and dicts, but True is not 1.

    Undefined (ValueError) without ground truth.
    """
    output, expected = operands(outputs, ground_truth, key, expected_key)
    return _same(output, expected)


def normalized_match(
    outputs: Any, ground_truth: Any, *, key: str | None = None, expected_key: str | None = None
) -> bool:
    """Whether the texts are equal when normalised (see `normalized`); of a list of accepted answers, to any.

    Source: exact match of SQuAD 1.1, its maximum over the answers. Undefined (ValueError) without ground truth.
    """
    output, expected = operands(outputs, ground_truth, key, expected_key)
    text = normalized(text_of("outputs", output))
    return any(text == normalized(answer) for answer in texts_of("ground_truth", expected))


def contains(
    outputs: Any,
    ground_truth: Any,
    *,
    ignore_case: bool = False,
    need: Literal["all", "any"] = "all",
    key: str | None = None,
    expected_key: str | None = None,
) -> bool:
    """Whether the output contains the ground truth; of a list all of its texts, or any with need="any".

    An empty text is contained in every text. Undefined (ValueError) without ground truth.
    """
    if need not in ("all", "any"):
        raise ValueError(f"need={need!r} must be 'all' or 'any'")
    output, expected = operands(outputs, ground_truth, key, expected_key)
    text, parts = text_of("outputs", output), texts_of("ground_truth", expected)
    if ignore_case:
        text, parts = text.casefold(), [part.casefold() for part in parts]
    found = [part in text for part in parts]
    return all(found) if need == "all" else any(found)


def regex_match(
    outputs: Any,
    ground_truth: Any = None,
    *,
    pattern: str | None = None,
    full: bool = False,
    ignore_case: bool = False,
    key: str | None = None,
    expected_key: str | None = None,
) -> bool:
    """Whether the regular expression (Python's `re`) finds something, or with full=True matches the whole output.

    The expression is `pattern`, else the ground truth. Undefined (ValueError) with neither or a bad expression.
    """
    if pattern is None:
        output, expected = operands(outputs, ground_truth, key, expected_key)
        pattern = text_of("ground_truth", expected)
    else:
        output = picked("outputs", outputs, key)
    try:
        compiled = re.compile(pattern, re.IGNORECASE if ignore_case else 0)
    except re.error as error:
        raise ValueError(f"pattern {pattern!r} is no regular expression: {error}") from None
    text = text_of("outputs", output)
    return bool(compiled.fullmatch(text) if full else compiled.search(text))


def _same(left: Any, right: Any) -> bool:
    """Equality that keeps True and 1 apart at every depth, as JSON does; 1 and 1.0 are one number."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(_same(left[name], right[name]) for name in left)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)
