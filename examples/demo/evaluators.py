"""The demo's evaluators, in the shapes the official SDK accepts: sync, `async def`, boolean, dictionary.

Each takes (outputs, inputs, ground_truth), as `evaluate()` calls it. Facts are compared as sets of (kind, fact).
The SDK skips evaluators wrapped with its `@aevaluator`, so the asynchronous ones are plain functions.
"""

from typing import Any

KINDS = ("dates", "amounts", "emails", "quantities")
Facts = dict[str, list[str]]


def fact_set(facts: Facts) -> set[tuple[str, str]]:
    """All facts of one message, each with its kind."""
    return {(kind, fact) for kind in KINDS for fact in facts.get(kind, [])}


async def recall(outputs: Facts, inputs: dict[str, str], ground_truth: Facts) -> float | None:
    """Share of the expected facts that were found; no score for a message without facts."""
    expected = fact_set(ground_truth)
    return len(expected & fact_set(outputs)) / len(expected) if expected else None


async def precision(outputs: Facts, inputs: dict[str, str], ground_truth: Facts) -> float | None:
    """Share of the found facts that are right; no score when nothing was found."""
    found = fact_set(outputs)
    return len(found & fact_set(ground_truth)) / len(found) if found else None


def exact(outputs: Facts, inputs: dict[str, str], ground_truth: Facts) -> bool:
    """True when every fact was found and none was made up."""
    return fact_set(outputs) == fact_set(ground_truth)


def f1(outputs: Facts, inputs: dict[str, str], ground_truth: Facts) -> dict[str, Any]:
    """Harmonic mean of precision and recall (1 when nothing was to be found and nothing was), with the reason."""
    expected, found = fact_set(ground_truth), fact_set(outputs)
    right = len(expected & found)
    score = 2 * right / (len(expected) + len(found)) if expected or found else 1.0
    missed = ", ".join(fact for _, fact in sorted(expected - found)) or "nothing"
    invented = ", ".join(fact for _, fact in sorted(found - expected)) or "nothing"
    return {"score": score, "explanation": f"missed {missed}; made up {invented}", "missed": len(expected - found)}


def wrong_facts(outputs: Facts, inputs: dict[str, str], ground_truth: Facts) -> int:
    """How many facts were made up: lower is better."""
    return len(fact_set(outputs) - fact_set(ground_truth))


EVALUATORS = [recall, precision, exact, f1, wrong_facts]
