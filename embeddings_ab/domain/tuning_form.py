"""Reads what a person asks a search for: JSON of a request, or the lists of values typed into the console's form."""

import re
from collections.abc import Mapping
from typing import Any

from embeddings_ab.domain.tuning_spec import TuningGrid, TuningSpec
from governance.domain.errors import InvalidInput
from governance.domain.json_bodies import parsed

_MOST_VALUES = 101
_RANGE = re.compile(r"(?P<first>[^\s.]*(?:\.\d+)?)\s*(?:\.\.|to)\s*(?P<last>\S+)\s+(?:step|by)\s+(?P<step>\S+)")
_WHOLE = frozenset({"rrf_k", "depth", "dimensions"})
_TEXTS = frozenset({"quantisation"})


def read_tuning(data: Any) -> TuningSpec:
    """The search that `data` describes, or `InvalidInput` naming the field."""
    try:
        return parsed(TuningSpec, data)
    except InvalidInput as error:
        if error.details.get("field") != "body" or not isinstance(data, dict):
            raise
        # What contradicts itself has no place of its own; of a search only the choice can.
        raise InvalidInput(
            "Fields 'grid' and 'compare_arms' are both empty: there is nothing to choose from. Give values of alpha, "
            "rrf_k, depth, dimensions or quantisation, or name other arms.",
            field="grid",
        ) from None


def read_values(axis: str, text: str) -> list[Any]:
    """Values of one axis: `0, 0.25, 0.5`, blanks or commas between them, or `0 to 1 step 0.1`; none for empty text."""
    field = f"grid.{axis}"
    text = text.strip()
    if found := _RANGE.fullmatch(text):
        first, last, step = (_number(field, found[name]) for name in ("first", "last", "step"))
        if step <= 0 or last < first or (last - first) / step >= _MOST_VALUES:
            raise InvalidInput(
                f"Field {field!r} is {text[:80]!r}: a range goes upwards in at most {_MOST_VALUES} steps.",
                field=field,
                value=text[:200],
            )
        count = int((last - first) / step + 1e-9) + 1
        numbers: list[Any] = [round(first + step * index, 10) for index in range(count)]
    else:
        words = [word for word in re.split(r"[,;\s]+", text) if word]
        numbers = list(words) if axis in _TEXTS else [_number(field, word) for word in words]
    if axis not in _WHOLE:
        return numbers
    for number in numbers:
        if number != int(number):
            raise InvalidInput(f"Field {field!r} holds {number:g}; give whole numbers.", field=field, value=str(number))
    return [int(number) for number in numbers]


def _number(field: str, word: str) -> float:
    if not re.fullmatch(r"[+-]?(\d{1,9}(\.\d{0,12})?|\.\d{1,12})", word, re.ASCII):
        raise InvalidInput(
            f"Field {field!r} holds {word[:40]!r}, which is no number. Write for example 0, 0.5, 1 or 0 to 1 step 0.1.",
            field=field,
            value=word[:200],
        )
    return float(word)


def read_form(values: Mapping[str, str], compare_arms: list[str]) -> TuningSpec:
    """The search of the console's form: one text for each axis of the grid, under its name."""
    grid = {axis: read_values(axis, values.get(axis, "")) for axis in TuningGrid.model_fields}
    asked: dict[str, Any] = {"arm": values.get("arm", ""), "grid": grid, "compare_arms": compare_arms}
    for name in ("measure", "folds", "repeats", "seed"):
        text = values.get(name, "").strip()
        if text:
            asked[name] = text if name == "measure" else int(_number(name, text))
    return read_tuning(asked)
