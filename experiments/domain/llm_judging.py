"""Metrics that a model judges: the prompt, and what counts as an answer. Pure.

The metric's criteria are the prompt, with placeholders for what is judged. The model answers with a JSON object
`{"score": …, "explanation": …}`, or, as prompts of HoneyHive ask for, with the score in double brackets: `[[4]]`.
Anything else is an error of the evaluator, never a score.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from experiments.domain.calls import Case
from experiments.domain.evaluator_values import Scalar
from experiments.domain.templates import check, filled_text, placeholders
from governance.domain.errors import InvalidInput

ROOTS = ("inputs", "outputs", "ground_truth", "feedback", "history", "metadata", "datapoint_id")
LONGEST_EXPLANATION = 4_000
_BRACKETS = re.compile(r"\[\[\s*([^\[\]]{1,200}?)\s*\]\]")
_FENCE = re.compile(r"\A```(?:json)?\s*(.*?)\s*```\Z", re.DOTALL)

Json = dict[str, Any]


class BadJudgement(ValueError):
    """The model's answer is no judgement; the text says why."""


def check_metric(content: Mapping[str, Any], *, field: str) -> None:
    """Raise InvalidInput for a metric whose prompt judges nothing or cannot be filled."""
    check(content["criteria"], field=field, roots=ROOTS)
    if not any(path.split(".")[0] == "outputs" for path in placeholders(content["criteria"])):
        raise InvalidInput(
            f"Field '{field}': the criteria do not name what is judged; write {{{{outputs}}}} into the prompt.",
            field=field,
        )


def messages_of(content: Mapping[str, Any], outputs: Any, case: Case) -> list[Json]:
    """The judge's prompt. Raises Unfilled."""
    prompt = filled_text(
        content["criteria"],
        {
            "inputs": case.inputs,
            "outputs": outputs,
            "ground_truth": case.ground_truth,
            "feedback": {"ground_truth": case.ground_truth},
            "history": case.history,
            "metadata": case.metadata,
            "datapoint_id": case.datapoint_id,
        },
    )
    if "[[" in content["criteria"]:  # the prompt says itself how to answer
        return [{"role": "user", "content": prompt}]
    return [{"role": "system", "content": _instruction(content)}, {"role": "user", "content": prompt}]


def read_judgement(text: str, content: Mapping[str, Any]) -> tuple[Scalar, str]:
    """Score and explanation. Raises BadJudgement."""
    stripped = text.strip()
    fenced = _FENCE.match(stripped)
    try:
        said = json.loads(fenced[1] if fenced else stripped, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict):
        if "score" not in said:
            raise BadJudgement("its JSON object has no 'score'")
        explanation = said.get("explanation")
        return _score(said["score"], content), explanation[:LONGEST_EXPLANATION] if isinstance(explanation, str) else ""
    ratings = set(_BRACKETS.findall(text))
    if len(ratings) != 1:
        why = f"{len(ratings)} different ratings in double brackets" if ratings else "neither a JSON object nor [[…]]"
        raise BadJudgement(f"it contains {why}")
    return _score(_spelled(ratings.pop(), content), content), stripped[:LONGEST_EXPLANATION]


def _instruction(content: Mapping[str, Any]) -> str:
    kind, scale = content.get("return_type"), content.get("scale")
    wanted = {
        "boolean": "true or false",
        "string": "a text",
        "categorical": f"one of the texts {json.dumps(_categories(content), ensure_ascii=False)}",
    }.get(str(kind), f"a number from 0 to {scale}" if scale else "a number")
    return (
        'You judge an output. Answer with one JSON object and nothing else: {"score": …, "explanation": "…"}. '
        f"score is {wanted}; explanation is a short text that says why."
    )


def _score(value: Any, content: Mapping[str, Any]) -> Scalar:
    kind = content.get("return_type")
    if kind == "boolean":
        if not isinstance(value, bool):
            raise BadJudgement(f"its score {_shown(value)} is neither true nor false")
        return value
    if kind == "categorical":
        if not isinstance(value, str) or value not in _categories(content):
            raise BadJudgement(f"its score {_shown(value)} is none of the metric's categories")
        return value
    if kind == "string":
        if not isinstance(value, str):
            raise BadJudgement(f"its score {_shown(value)} is no text")
        return value[:LONGEST_EXPLANATION]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadJudgement(f"its score {_shown(value)} is no number")
    scale = content.get("scale")
    if scale is not None and not 0 <= value <= scale:
        raise BadJudgement(f"its score {_shown(value)} is not between 0 and {scale}")
    return value


def _spelled(text: str, content: Mapping[str, Any]) -> Any:
    """What a text in double brackets means for a metric of this type; the text itself when it means nothing."""
    kind = content.get("return_type")
    if kind in {"string", "categorical"}:
        return text
    if kind == "boolean":
        return {"true": True, "yes": True, "false": False, "no": False}.get(text.lower(), text)
    try:
        return float(text)
    except ValueError:
        return text


def _categories(content: Mapping[str, Any]) -> list[str]:
    return [str(item["category"]) for item in content.get("categories") or []]


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _shown(value: Any) -> str:
    return repr(value)[:80]
