"""Evaluators that come with hhweb: pure functions of (outputs, ground_truth), for the SDK and for the server alike.

A module is imported when one of its evaluators is asked for, a library when one of them is called.
"""

import importlib
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

# Name -> module of this package, and the libraries of the extra `evaluators` that it needs.
_TABLE: dict[str, tuple[str, tuple[str, ...]]] = {
    "exact_match": ("matching", ()),
    "normalized_match": ("matching", ()),
    "contains": ("matching", ()),
    "regex_match": ("matching", ()),
    "json_valid": ("documents", ()),
    "json_schema": ("documents", ("jsonschema",)),
    "numeric_tolerance": ("numbers", ()),
    "levenshtein_ratio": ("texts", ("rapidfuzz",)),
    "set_f1": ("sets", ()),
    "rouge_l": ("texts", ("rapidfuzz",)),
    "bleu": ("texts", ("sacrebleu",)),
    "embedding_similarity": ("embeddings", ()),
}
NAMES = tuple(_TABLE)


def find(name: str) -> Callable[..., Any] | None:
    """The evaluator of this name, or None."""
    if name not in _TABLE:
        return None
    found: Callable[..., Any] = getattr(importlib.import_module(f"{__name__}.{_TABLE[name][0]}"), name)
    return found


def problem_of(name: str, options: Mapping[str, Any]) -> str | None:
    """Why the evaluator cannot run here with these options, with the remedy; None when it can."""
    missing = [library for library in _TABLE[name][1] if find_spec(library) is None]
    if missing:
        return f"it needs {' and '.join(missing)}: pip install 'hhweb[evaluators]'"
    if name == "embedding_similarity" and options.get("embed") is None and find_spec("wordllama") is None:
        return (
            "it needs embed=, a function from a list of texts to their vectors, or the model of "
            "pip install 'hhweb[wordllama]'"
        )
    return None
